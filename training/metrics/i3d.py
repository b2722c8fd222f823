"""Inflated Inception-v1, the network behind VFID-I3D.

Source: Carreira and Zisserman, "Quo Vadis, Action Recognition?", CVPR 2017, figure 3; widths are
GoogLeNet's (Szegedy et al. 2015, table 1). Convolutions and pools pad as TensorFlow's SAME does,
batch norm uses epsilon 0.001, as in the published weights. Attribute names are a checkpoint
contract: they are the keys of the public ``i3d.pt`` (400 Kinetics classes, RGB).
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

Size3 = tuple[int, int, int]

NUM_CLASSES = 400
NUM_FEATURES = 1024

# b0 | b1a b1b | b2a b2b | b3b: 1x1; 1x1 then 3x3; 1x1 then 3x3; pool then 1x1
INCEPTION_WIDTHS = {
    "Mixed_3b": (192, 64, 96, 128, 16, 32, 32),
    "Mixed_3c": (256, 128, 128, 192, 32, 96, 64),
    "Mixed_4b": (480, 192, 96, 208, 16, 48, 64),
    "Mixed_4c": (512, 160, 112, 224, 24, 64, 64),
    "Mixed_4d": (512, 128, 128, 256, 24, 64, 64),
    "Mixed_4e": (512, 112, 144, 288, 32, 64, 64),
    "Mixed_4f": (528, 256, 160, 320, 32, 128, 128),
    "Mixed_5b": (832, 256, 160, 320, 32, 128, 128),
    "Mixed_5c": (832, 384, 192, 384, 48, 128, 128),
}


def pad_same(video: Tensor, kernel: Size3, stride: Size3) -> Tensor:
    """Zero-pad (b c t h w) so that the output has ceil(size / stride) positions, as TF's SAME.

    An odd total puts the extra column behind, which symmetric padding cannot express.
    """
    padding: list[int] = []
    for size, window, step in zip(video.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
        total = max(window - (size % step or step), 0)
        padding += [total // 2, total - total // 2]
    return F.pad(video, padding) if any(padding) else video


class SameMaxPool3d(nn.Module):
    """Max pooling with SAME padding; zeros are harmless since every input went through a ReLU."""

    def __init__(self, kernel: Size3, stride: Size3) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, video: Tensor) -> Tensor:
        """Pool (b c t h w)."""
        return F.max_pool3d(pad_same(video, self.kernel, self.stride), self.kernel, self.stride)


class Unit3D(nn.Module):
    """Convolution, batch norm, ReLU; the last layer of the network has neither of the two."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Size3 = (1, 1, 1),
        stride: Size3 = (1, 1, 1),
        *,
        is_logits: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d = nn.Conv3d(in_channels, out_channels, kernel, stride, bias=is_logits)
        self.bn = None if is_logits else nn.BatchNorm3d(out_channels, eps=0.001)

    def forward(self, video: Tensor) -> Tensor:
        """(b in t h w) -> (b out t' h' w'), sides divided by the stride and rounded up."""
        video = self.conv3d(pad_same(video, self.kernel, self.stride))
        return video if self.bn is None else F.relu(self.bn(video))


class InceptionBlock(nn.Module):
    """Four parallel branches, joined along channels."""

    def __init__(self, widths: tuple[int, int, int, int, int, int, int]) -> None:
        super().__init__()
        in_channels, point, reduce_a, spread_a, reduce_b, spread_b, pooled = widths
        self.b0 = Unit3D(in_channels, point)
        self.b1a = Unit3D(in_channels, reduce_a)
        self.b1b = Unit3D(reduce_a, spread_a, (3, 3, 3))
        self.b2a = Unit3D(in_channels, reduce_b)
        self.b2b = Unit3D(reduce_b, spread_b, (3, 3, 3))
        self.b3a = SameMaxPool3d((3, 3, 3), (1, 1, 1))
        self.b3b = Unit3D(in_channels, pooled)

    def forward(self, video: Tensor) -> Tensor:
        """(b in t h w) -> (b out t h w)."""
        branches = [
            self.b0(video),
            self.b1b(self.b1a(video)),
            self.b2b(self.b2a(video)),
            self.b3b(self.b3a(video)),
        ]
        return torch.cat(branches, dim=1)


class InceptionI3d(nn.Module):
    """I3D with random weights; ``training.weights.metric_networks`` loads the published ones."""

    num_features = NUM_FEATURES

    def __init__(self) -> None:
        super().__init__()
        widths = INCEPTION_WIDTHS
        self.Conv3d_1a_7x7 = Unit3D(3, 64, (7, 7, 7), (2, 2, 2))
        self.MaxPool3d_2a_3x3 = SameMaxPool3d((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit3D(64, 64)
        self.Conv3d_2c_3x3 = Unit3D(64, 192, (3, 3, 3))
        self.MaxPool3d_3a_3x3 = SameMaxPool3d((1, 3, 3), (1, 2, 2))
        self.Mixed_3b = InceptionBlock(widths["Mixed_3b"])
        self.Mixed_3c = InceptionBlock(widths["Mixed_3c"])
        self.MaxPool3d_4a_3x3 = SameMaxPool3d((3, 3, 3), (2, 2, 2))
        self.Mixed_4b = InceptionBlock(widths["Mixed_4b"])
        self.Mixed_4c = InceptionBlock(widths["Mixed_4c"])
        self.Mixed_4d = InceptionBlock(widths["Mixed_4d"])
        self.Mixed_4e = InceptionBlock(widths["Mixed_4e"])
        self.Mixed_4f = InceptionBlock(widths["Mixed_4f"])
        self.MaxPool3d_5a_2x2 = SameMaxPool3d((2, 2, 2), (2, 2, 2))
        self.Mixed_5b = InceptionBlock(widths["Mixed_5b"])
        self.Mixed_5c = InceptionBlock(widths["Mixed_5c"])
        self.logits = Unit3D(NUM_FEATURES, NUM_CLASSES, is_logits=True)
        self.eval()

    def features(
        self, clips: Float[Tensor, "b 3 t 224 224"]
    ) -> Float[Tensor, "b {self.num_features}"]:
        """Mixed_5c, averaged over the 7x7 plane and then over time; clips lie in [-1, 1]."""
        video = self.Conv3d_2c_3x3(
            self.Conv3d_2b_1x1(self.MaxPool3d_2a_3x3(self.Conv3d_1a_7x7(clips)))
        )
        video = self.Mixed_3c(self.Mixed_3b(self.MaxPool3d_3a_3x3(video)))
        video = self.Mixed_4c(self.Mixed_4b(self.MaxPool3d_4a_3x3(video)))
        video = self.Mixed_4f(self.Mixed_4e(self.Mixed_4d(video)))
        video = self.Mixed_5c(self.Mixed_5b(self.MaxPool3d_5a_2x2(video)))
        pooled = F.avg_pool3d(video, (1, 7, 7), stride=1)
        return rearrange(pooled, "b c t 1 1 -> b c t").mean(dim=2)

    def forward(self, clips: Float[Tensor, "b 3 t 224 224"]) -> Float[Tensor, "b c"]:
        """The features: torchmetrics' Frechet distance takes the module as it is."""
        return self.features(clips)
