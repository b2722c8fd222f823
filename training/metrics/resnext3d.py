"""3D-ResNeXt-101, the network behind VFID-ResNeXt.

Source: Hara, Kataoka and Satoh, "Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and
ImageNet?", CVPR 2018, table 1 (ResNeXt-101, cardinality 32, projection shortcuts); block of Xie et
al. 2017, figure 3c. Attribute names are a checkpoint contract: the keys of the public
``resnext-101.pth`` once its prefix ``module.`` is taken off (400 Kinetics classes).
"""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

NUM_CLASSES = 400
NUM_FEATURES = 2048
CARDINALITY = 32
NUM_BLOCKS = (3, 4, 23, 3)
WIDTHS = (128, 256, 512, 1024)
EXPANSION = 2


class ResNeXtBlock(nn.Module):
    """1x1, grouped 3x3x3, 1x1, plus the shortcut."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = width * EXPANSION
        self.conv1 = nn.Conv3d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(
            width, width, 3, stride=stride, padding=1, groups=CARDINALITY, bias=False
        )
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv3d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.BatchNorm3d(out_channels),
            )

    def forward(self, video: Tensor) -> Tensor:
        """(b in t h w) -> (b 2*width t/stride h/stride w/stride)."""
        shortcut = video if self.downsample is None else self.downsample(video)
        video = F.relu(self.bn1(self.conv1(video)))
        video = F.relu(self.bn2(self.conv2(video)))
        return F.relu(self.bn3(self.conv3(video)) + shortcut)


class ResNeXt3d101(nn.Module):
    """3D-ResNeXt-101 with random weights.

    ``training.weights.metric_networks`` loads the published ones.
    """

    num_features = NUM_FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        self.layer1 = _stage(64, WIDTHS[0], NUM_BLOCKS[0], stride=1)
        self.layer2 = _stage(WIDTHS[0] * EXPANSION, WIDTHS[1], NUM_BLOCKS[1], stride=2)
        self.layer3 = _stage(WIDTHS[1] * EXPANSION, WIDTHS[2], NUM_BLOCKS[2], stride=2)
        self.layer4 = _stage(WIDTHS[2] * EXPANSION, WIDTHS[3], NUM_BLOCKS[3], stride=2)
        self.fc = nn.Linear(NUM_FEATURES, NUM_CLASSES)
        self.eval()

    def features(
        self, clips: Float[Tensor, "b 3 t 224 224"]
    ) -> Float[Tensor, "b {self.num_features}"]:
        """layer4, averaged over the 7x7 plane; clips of 9..16 frames in [-1, 1].

        The network was trained on 0-255 minus a mean; the public evaluation code feeds [-1, 1], and
        the published numbers of the small scale depend on it.
        """
        video = F.relu(self.bn1(self.conv1(clips)))
        video = F.max_pool3d(video, 3, stride=2, padding=1)
        video = self.layer4(self.layer3(self.layer2(self.layer1(video))))
        return rearrange(F.avg_pool3d(video, (1, 7, 7)), "b c 1 1 1 -> b c")

    def forward(self, clips: Float[Tensor, "b 3 t 224 224"]) -> Float[Tensor, "b c"]:
        """The features: torchmetrics' Frechet distance takes the module as it is."""
        return self.features(clips)


def _stage(in_channels: int, width: int, num_blocks: int, stride: int) -> nn.Sequential:
    blocks = [ResNeXtBlock(in_channels, width, stride)]
    blocks += [ResNeXtBlock(width * EXPANSION, width, 1) for _ in range(num_blocks - 1)]
    return nn.Sequential(*blocks)
