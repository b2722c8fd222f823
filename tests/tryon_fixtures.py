"""Videos drawn by hand, a perception that reads them by colour and a tiny system, for try-on."""

from dataclasses import asdict

import av
import cv2
import numpy as np
import torch

from curation.perception.protocols import BackendInfo, DensePose, Perception, Person
from datasets.labels import DensePosePart, ParseLabel
from models.codecs.vae import CodecConfig
from models.stdit import STDiTConfig
from models.system import System, SystemConfig, build_system
from models.text import CaptionConfig
from models.viton_dit import VitonDiTConfig

SHIRT, SKIN, GROUND = (200, 30, 40), (225, 180, 150), (90, 120, 90)
INFO = BackendInfo(name="colours", version="1", weights_sha256=None, is_approximate=True)


class ColourPerception:
    """Finds the figure drawn below by its colours: enough to be real for these videos."""

    info = INFO

    def detect(self, frames):
        people = []
        for frame in frames:
            red = is_shirt(frame)
            if red.sum() < 20:
                people.append([])
                continue
            left, top, width, height = cv2.boundingRect(red.astype(np.uint8))
            box = np.array([left, top - height // 2, left + width, top + height], np.float32)
            keypoints = np.ones((17, 3), np.float32)
            people.append([Person(box=box, score=1.0, keypoints=keypoints)])
        return people

    def estimate(self, frames, people):
        poses = []
        for person in people:
            iuv = np.zeros((112, 112, 3), np.uint8)
            iuv[38:, :] = (DensePosePart.TORSO_FRONT, 128, 128)
            iuv[:38, :] = (DensePosePart.HEAD_LEFT, 128, 128)
            poses.append(None if person is None else DensePose(iuv=iuv, box=person.box))
        return poses

    def parse(self, frames, people):
        labels = []
        for frame, person in zip(frames, people, strict=True):
            label = np.zeros(frame.shape[:2], np.uint8)
            if person is not None:
                label[is_shirt(frame)] = ParseLabel.UPPER
            labels.append(label)
        return labels


def is_shirt(frame):
    return (frame[..., 0] > 150) & (frame[..., 1] < 110)


def draw(index, height, width, *, person=True):
    image = np.full((height, width, 3), GROUND, np.uint8)
    image[:, ::16] += 20
    if person:
        x = width // 3 + 2 * index
        cv2.rectangle(image, (x, height // 3), (x + 30, height - 12), SHIRT, cv2.FILLED)
        cv2.circle(image, (x + 15, height // 3 - 12), 11, SKIN, cv2.FILLED)
    return image


def write_video(path, *, people, height=120, width=160, rate=10):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for index, person in enumerate(people):
            image = draw(index, height, width, person=person)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def colour_perception():
    colours = ColourPerception()
    return Perception(detector=colours, densepose=colours, parser=colours)


def write_garment(path):
    photo = np.full((80, 60, 3), 235, np.uint8)
    photo[15:65, 12:48] = (40, 80, 200)
    cv2.imwrite(str(path), photo[..., ::-1])
    return path


def tiny_config(**settings) -> SystemConfig:
    trunk = STDiTConfig(
        in_channels=4, out_channels=8, dim=32, depth=2, num_heads=4, caption_dim=16,
        caption_length=3,
    )  # fmt: skip
    defaults = {
        "network": VitonDiTConfig(trunk=trunk),
        "codec": CodecConfig(kind="dct", latent_channels=4),
        "caption": CaptionConfig(),
        "height": 32,
        "width": 48,
        "num_frames": 5,
        "fps": 8.0,
    }
    return SystemConfig(**{**defaults, **settings})


def build_tiny(**settings) -> System:
    """Random weights everywhere, so that every path has an effect."""
    torch.manual_seed(0)
    system = build_system(tiny_config(**settings))
    with torch.no_grad():
        for name, parameter in system.network.named_parameters():
            if not name.endswith("y_embedding"):
                parameter.add_(0.15 * torch.randn(parameter.shape))
    system.network.eval()
    return system


def write_checkpoint(path, system, ema=None, drop=()):
    state = {
        f"network.{name}": tensor
        for name, tensor in system.network.state_dict().items()
        if not name.startswith(tuple(drop) or ("\0",))
    }
    content = {"system": asdict(system.config), "ema": ema, "state_dict": state, "global_step": 7}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path
