"""Validation samples as images and videos: in ``samples/`` and in TensorBoard."""

import io
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import (
    Summary,  # pyright: ignore[reportAttributeAccessIssue]  (made by protobuf)
)

from datasets.storage import write_file
from training.distributed.ranks import rank
from training.step_record import SampledWindow, validation_record

MOST_SHOWN = 8
"""Samples written per validation and rank."""


class Pictures(Callback):
    """A strip of frames for every sample, and a video if the window has several frames.

    Args:
        folder: ``runs/<name>/samples``.
        fps: frame rate of the videos.
    """

    def __init__(self, folder: Path, fps: float) -> None:
        self.folder, self.fps = folder, fps

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the samples of this rank."""
        self.folder.mkdir(parents=True, exist_ok=True)
        step = trainer.global_step
        for sample in validation_record(pl_module).samples[:MOST_SHOWN]:
            stem = self.folder / f"step-{step:06d}-{sample.key}"
            strip = sample.strip()
            png = cv2.imencode(".png", np.ascontiguousarray(strip[..., ::-1]))[1]
            write_file(Path(f"{stem}.png"), png.tobytes())
            film = sample.film()
            if len(film) > 1:
                write_file(Path(f"{stem}.webp"), encode_film(film, self.fps, "WEBP"))
            if rank() == 0 and isinstance(trainer.logger, TensorBoardLogger):
                self._show(trainer.logger, sample, step)

    def _show(self, logger: TensorBoardLogger, sample: SampledWindow, step: int) -> None:
        """TensorBoard plays a GIF logged as an image."""
        film = sample.film()
        if len(film) == 1:
            logger.experiment.add_image(
                f"validation/{sample.key}", sample.strip(), step, dataformats="HWC"
            )
            return
        picture = Summary.Image(
            height=film.shape[1], width=film.shape[2], colorspace=3,
            encoded_image_string=encode_film(film, self.fps, "GIF"),
        )  # fmt: skip
        value = Summary.Value(tag=f"validation/{sample.key}", image=picture)
        writer = logger.experiment._get_file_writer()
        assert writer is not None
        writer.add_summary(Summary(value=[value]), step)


def encode_film(frames: UInt8[np.ndarray, "t h w 3"], fps: float, kind: str) -> bytes:
    """A looping animated GIF or WEBP."""
    images = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    images[0].save(
        buffer, kind, save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0
    )
    return buffer.getvalue()
