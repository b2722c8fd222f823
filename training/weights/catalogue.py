"""The public files this project can use: purpose, origin, licence.

A revision, hash or size is given only if its publisher states it (revision and hash: the
repository's commit and its LFS pointer). None means unknown: the hash of such a file is recorded at
its first use and checked afterwards (``records.py``).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HUB = "https://huggingface.co"
TORCH = "https://download.pytorch.org"
DENSEPOSE = "https://dl.fbaipublicfiles.com"
SOURCE_CODE = "https://raw.githubusercontent.com"
GROUPS = ("metrics", "training", "curation")
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8})\.pth$")


@dataclass(frozen=True, kw_only=True)
class PublicFile:
    """One file as its publisher names it."""

    file: str  # path in the folder of weights
    host: str
    path: str  # on the host; on the hub below the revision
    repository: str | None = None  # of the hub or of the source code
    revision: str | None = None  # the commit; None: the branch "main"
    sha256: str | None = None  # as the publisher states it
    num_bytes: int | None = None

    @property
    def sha256_start(self) -> str | None:
        """The start of its sha256, as stated by the publisher or by the file's name."""
        named = _HASH_IN_NAME.search(self.file)
        return self.sha256 or (named[1] if named else None)

    def url(self, mirror: str | None = None) -> str:
        """Its URL; ``mirror`` replaces the host, HF_ENDPOINT the hub."""
        host = mirror or (os.environ.get("HF_ENDPOINT") if self.host == HUB else None) or self.host
        revision = self.revision or "main"
        middle = {HUB: f"{self.repository}/resolve/{revision}/"}
        middle[SOURCE_CODE] = f"{self.repository}/{revision}/"
        return f"{host.rstrip('/')}/{middle.get(self.host, '')}{self.path}"


@dataclass(frozen=True, kw_only=True)
class PublicWeights:
    """Files that belong together, by the name that ``fetch=`` takes."""

    name: str
    group: str
    purpose: str
    source: str  # in words
    licence: str
    licence_by: str  # where the licence is stated, and remarks
    files: tuple[PublicFile, ...]
    about_mb: int | None = None  # of large files whose exact size is unknown
    given_as: str | None = None  # the setting that names it; None: found by its file name
    instead: tuple[str, ...] = ()  # other files of the same weights, accepted if they are there

    @property
    def num_mb(self) -> float | None:
        """Megabytes (10^6 bytes) of all files; None if one is unknown."""
        if self.about_mb is not None:
            return self.about_mb
        sizes = [file.num_bytes for file in self.files]
        known = [size for size in sizes if size is not None]
        return sum(known) / 1e6 if len(known) == len(sizes) else None

    @property
    def how_to_get(self) -> str:
        """How to get it."""
        files = ", ".join(public.file for public in self.files)
        return (
            f"`make weights FETCH={self.name}`, or put {files} ({self.source}) into "
            f"{weights_folder()}/"
        )


def weights_folder() -> Path:
    """The user's folder of weights: ``$WEIGHTS_DIR``, else ``weights``."""
    return Path(os.environ.get("WEIGHTS_DIR") or "weights")


def _hub(file: str, repository: str, **stated: Any) -> PublicFile:
    """A file of a repository on the hub, with the facts stated by its publisher."""
    return PublicFile(file=file, host=HUB, path=Path(file).name, repository=repository, **stated)


def _lpips(name: str, what: str, weights: str, file: str, about_mb: int) -> PublicWeights:
    """A classifier of torchvision, as LPIPS' backbone."""
    return PublicWeights(
        name=name,
        group="metrics",
        purpose=f"LPIPS, {what}",
        source=f"torchvision's {weights}_Weights.IMAGENET1K_V1",
        licence="BSD-3-Clause",
        licence_by="the licence of torchvision's code; ImageNet's terms may bind weights trained "
        "on it",
        files=(PublicFile(file=file, host=TORCH, path=f"models/{file}"),),
        about_mb=about_mb,
    )


def _open_sora(name: str, what: str, file: str, **stated: Any) -> PublicWeights:
    """A trunk of Open-Sora v1.0, with the facts stated by its publisher."""
    repository = "hpcai-tech/Open-Sora"
    return PublicWeights(
        name=name,
        group="training",
        purpose=f"the trunk, Open-Sora v1.0, {what}",
        source=f"Hugging Face repository {repository}",
        licence="Apache-2.0",
        licence_by=_TAG,
        files=(_hub(file, repository, **stated),),
        given_as=_AS_TRUNK,
    )


def _detectron2(file: str, revision: str) -> PublicFile:
    return PublicFile(
        file=f"densepose/{file}",
        host=SOURCE_CODE,
        path=f"projects/DensePose/configs/{file}",
        repository="facebookresearch/detectron2",
        revision=revision,
    )


_VFID = "zhengchong/VFID"
_VAE = "stabilityai/sd-vae-ft-ema"
_VAE_REVISION = "8937891f91ef6e9946cb7cf1b2e0207b1d8180bf"
_TAG = "the repository's tag"
_AS_TRUNK = "init_from=null trunk_weights=FILE of stage 1"

CATALOGUE = {
    entry.name: entry
    for entry in (
        PublicWeights(
            name="i3d",
            group="metrics",
            purpose="VFID-I3D and KVD",
            source=f"Hugging Face repository {_VFID}",
            licence="Apache-2.0",
            licence_by=_TAG,
            files=(
                _hub(
                    "i3d.pt",
                    _VFID,
                    revision="655ac81b90c5475023d51aac74604223458426f4",
                    sha256="2609088c2e8c868187c9921c50bc225329a9057ed75e76120e0b4a397a2c7538",
                    num_bytes=50_883_138,
                ),
            ),
        ),
        PublicWeights(
            name="resnext",
            group="metrics",
            purpose="VFID-ResNeXt",
            source=f"Hugging Face repository {_VFID}",
            licence="Apache-2.0",
            licence_by=_TAG,
            files=(_hub("resnext-101.pth", _VFID),),
            about_mb=387,
        ),
        _lpips("alex", "AlexNet", "AlexNet", "alexnet-owt-7be5be79.pth", 244),
        _lpips("squeeze", "SqueezeNet", "SqueezeNet1_1", "squeezenet1_1-b8a52dc0.pth", 5),
        _lpips("vgg", "VGG-16 (no named protocol asks for it)", "VGG16", "vgg16-397923af.pth", 553),
        PublicWeights(
            name="dinov2",
            group="metrics",
            purpose="garment likeness, DINOv2 ViT-B/14",
            source="Hugging Face repository facebook/dinov2-base",
            licence="Apache-2.0",
            licence_by="the repository's tag, and the licence of facebookresearch/dinov2",
            files=(_hub("dinov2-base/model.safetensors", "facebook/dinov2-base"),),
            about_mb=346,
            instead=("dinov2_vitb14_pretrain.pth",),
        ),
        PublicWeights(
            name="vae",
            group="training",
            purpose="the image codec, sd-vae-ft-ema",
            source=f"Hugging Face repository {_VAE}",
            licence="MIT",
            licence_by=_TAG,
            files=(
                _hub("sd-vae-ft-ema/config.json", _VAE, revision=_VAE_REVISION),
                _hub(
                    "sd-vae-ft-ema/diffusion_pytorch_model.safetensors",
                    _VAE,
                    revision=_VAE_REVISION,
                ),
            ),
            given_as="system.codec.path=weights/sd-vae-ft-ema, the presets' default",
        ),
        _open_sora(
            "opensora-512",
            "at 512x512: the one to start from",
            "OpenSora-v1-HQ-16x512x512.pth",
            revision="a8f9be423f4426183fa13152bd297c96412cb96a",
            sha256="fc45fb0ac0ba0b9d78bac599ad0c0d8f8f8b4c1db11a3649c95abfe699a34976",
            num_bytes=3_045_418_814,
        ),
        _open_sora(
            "opensora-256",
            "at 256x256, fine-tuned (HQ)",
            "OpenSora-v1-HQ-16x256x256.pth",
            revision="342253edf06bd1f02a3a3ff63920a6ae0f54f671",
            sha256="812338b0c5173e878656e9e6525af17d7f39c3ebcfc8f2d8a5b253ccdf78f8d7",
            num_bytes=3_041_879_870,
        ),
        _open_sora(
            "opensora-256-all",
            "at 256x256, before that",
            "OpenSora-v1-16x256x256.pth",
            revision="64407cbd23949338f82d99a448d8ddfdb48aafe0",
            sha256="50dfba596b8bd0da9a77d36142a32d5f4e0db826fb97668bd2be034d48a6fd39",
            num_bytes=3_041_879_870,
        ),
        PublicWeights(
            name="pixart",
            group="training",
            purpose="PixArt-alpha, the image model that Open-Sora began with",
            source="Hugging Face repository PixArt-alpha/PixArt-alpha",
            licence="OpenRAIL++",
            licence_by="the tag of PixArt-alpha/PixArt-XL-2-512x512; its own was not seen",
            files=(_hub("PixArt-XL-2-512x512.pth", "PixArt-alpha/PixArt-alpha"),),
            given_as=_AS_TRUNK,
        ),
        PublicWeights(
            name="people",
            group="curation",
            purpose="Keypoint R-CNN, which finds people (no package to install)",
            source="torchvision's KeypointRCNN_ResNet50_FPN_Weights.COCO_V1",
            licence="BSD-3-Clause",
            licence_by="the licence of torchvision's code; COCO's terms may bind weights trained "
            "on it",
            files=(
                PublicFile(
                    file="keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
                    host=TORCH,
                    path="models/keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
                ),
            ),
            about_mb=237,
            given_as="perception.people_weights, the default",
        ),
        PublicWeights(
            name="densepose",
            group="curation",
            purpose="DensePose R50-FPN (with `make setup-densepose`)",
            source="detectron2's DensePose model zoo, model 165712039",
            licence="CC BY-SA 3.0",
            licence_by="detectron2's projects/DensePose/doc/MODEL_ZOO.md; the YAML is Apache-2.0",
            files=(
                PublicFile(
                    file="densepose/model_final_162be9.pkl",
                    host=DENSEPOSE,
                    path="densepose/densepose_rcnn_R_50_FPN_s1x/165712039/model_final_162be9.pkl",
                ),
                _detectron2(
                    "densepose_rcnn_R_50_FPN_s1x.yaml", "4752211dedeba471972cb1691b11e40894ac7506"
                ),
                _detectron2(
                    "Base-DensePose-RCNN-FPN.yaml", "789fbf37dc8065247b7ecff2d588d951372f97de"
                ),
            ),
            given_as="perception.densepose_config and densepose_weights, the defaults",
        ),
    )
}
