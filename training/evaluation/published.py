"""Published numbers on VVT (256x192 test videos, paired), as the papers print them.

VFID-ResNeXt exists on two scales: 4..12 in older tables, below 1 in today's public code. They are
never mixed in one column.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One method's row; None if a paper prints no number."""

    method: str
    ssim: float
    lpips: float
    vfid_i3d: float
    vfid_resnext_old: float | None = None  # the older tables' scale
    vfid_resnext: float | None = None  # the scale of the public code, and of ours


VVT_PAIRED = (
    PublishedRow(method="FW-GAN", ssim=0.675, lpips=0.283, vfid_i3d=8.019, vfid_resnext_old=12.15),
    PublishedRow(
        method="ClothFormer", ssim=0.921, lpips=0.081, vfid_i3d=3.967, vfid_resnext_old=5.048
    ),
    PublishedRow(
        method="Tunnel Try-on", ssim=0.913, lpips=0.054, vfid_i3d=3.345, vfid_resnext_old=4.614
    ),
    PublishedRow(method="ViViD", ssim=0.949, lpips=0.068, vfid_i3d=3.405, vfid_resnext_old=5.074),
    PublishedRow(method="VITON-DiT", ssim=0.896, lpips=0.080, vfid_i3d=2.498, vfid_resnext=0.187),
    PublishedRow(method="SwiftTry", ssim=0.887, lpips=0.066, vfid_i3d=3.589, vfid_resnext=0.534),
    PublishedRow(method="CatV2TON", ssim=0.900, lpips=0.039, vfid_i3d=1.778, vfid_resnext=0.0103),
    PublishedRow(method="DPIDM", ssim=0.930, lpips=0.041, vfid_i3d=0.506, vfid_resnext=0.047),
    PublishedRow(method="MagicTryOn", ssim=0.958, lpips=0.024, vfid_i3d=1.991),
    PublishedRow(method="KeyTailor", ssim=0.968, lpips=0.016, vfid_i3d=1.226),
)
