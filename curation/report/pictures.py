"""Pictures for the report: strips of a source's previews and of a finished clip's tracks."""

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from curation.first_pass.signals import Signals
from curation.selection.people import PASSES, PeopleVerdicts
from curation.stages.clip_files import read_some
from curation.video.decode import decode_jpeg
from datasets.densepose import paste_iuv, render_densepose

STRIP_HEIGHT = 112
STRIP_FRAMES = 4
MOMENTS = tuple((i + 0.5) / STRIP_FRAMES for i in range(STRIP_FRAMES))
"""Shares of a clip's length: the middles of as many equal parts."""
MIDDLE = (0.5,)
GAP = 3
EMPTY_GRAY = 210
MAIN_COLOUR, OTHER_COLOUR, OVERLAY_COLOUR = (40, 170, 70), (214, 40, 40), (230, 30, 230)
LABEL_COLOURS = np.array(
    [
        (24, 24, 28), (242, 193, 160), (110, 70, 40), (214, 69, 65), (52, 97, 168),
        (160, 80, 170), (240, 200, 80), (90, 180, 190), (110, 200, 110), (230, 140, 60),
        (140, 140, 140), (235, 235, 235),
    ],
    dtype=np.uint8,
)  # fmt: skip
"""Colours of datasets.labels.ParseLabel, in its order."""


def preview_strip(signals: Signals, span: tuple[float, float]) -> np.ndarray | None:
    """Up to STRIP_FRAMES previews of a stretch, side by side; else the nearest preview."""
    previews = signals.previews
    if previews is None or not len(previews.times_s):
        return None
    inside = np.flatnonzero((previews.times_s >= span[0]) & (previews.times_s < span[1]))
    if not len(inside):
        inside = np.array([int(np.argmin(np.abs(previews.times_s - sum(span) / 2)))])
    chosen = inside[np.unique(np.linspace(0, len(inside) - 1, STRIP_FRAMES).round().astype(int))]
    pictures = [decode_jpeg(previews.read(int(index))) for index in chosen]
    empty = np.full_like(pictures[0], EMPTY_GRAY)
    return join(pictures + [empty] * (STRIP_FRAMES - len(pictures)))


def people_strip(
    signals: Signals,
    span: tuple[float, float],
    verdicts: PeopleVerdicts,
    overlays: Sequence[tuple[float, float, float, float]] = (),
) -> np.ndarray | None:
    """Up to STRIP_FRAMES previews of a stretch with everyone outlined, the main person in green.

    Moments that do not pass come first; ``overlays`` (left, top, right, bottom in shares of the
    frame) are outlined in magenta. None: no preview is stored.
    """
    previews, samples = signals.previews, signals.samples
    if previews is None or samples is None or not len(previews.times_s):
        return None
    inside = (verdicts.times_s >= span[0] - 1e-6) & (verdicts.times_s < span[1] + 1e-6)
    failing = np.flatnonzero(inside & (verdicts.codes != PASSES))
    chosen = failing if len(failing) else np.flatnonzero(inside)
    if not len(chosen):
        return None
    starts = np.concatenate(([0], np.cumsum(samples.num_people)))
    pictures: list[np.ndarray] = []
    for moment in chosen[np.unique(np.linspace(0, len(chosen) - 1, STRIP_FRAMES).round())
                         .astype(int)]:  # fmt: skip
        time_s = verdicts.times_s[moment]
        picture = decode_jpeg(previews.read(int(np.argmin(np.abs(previews.times_s - time_s)))))
        picture = picture.copy()
        height, width = picture.shape[:2]
        at = int(np.argmin(np.abs(samples.times_s - time_s)))
        for row in range(int(starts[at]), int(starts[at + 1])):
            is_main = row == verdicts.main_rows[moment]
            corners = np.rint(samples.boxes[row] * [width, height, width, height]).astype(int)
            left, top, right, bottom = corners.tolist()
            colour = MAIN_COLOUR if is_main else OTHER_COLOUR
            cv2.rectangle(picture, (left, top), (right, bottom), colour, 2)
        for box in overlays:
            corners = np.rint(np.array(box) * [width, height, width, height]).astype(int)
            left, top, right, bottom = corners.tolist()
            cv2.rectangle(picture, (left, top), (right, bottom), OVERLAY_COLOUR, 2)
        pictures.append(picture)
    return join(pictures)


def clip_strip(folder: Path) -> np.ndarray:
    """Frames of a finished clip, side by side."""
    video = (folder / "mp4").read_bytes()
    return join(list(read_some(video, "rgb24", MOMENTS)))


def track_strip(folder: Path) -> np.ndarray:
    """One moment of a finished clip: frame, mask, agnostic, DensePose, labels; and its garment."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    frame, agnostic = (
        read_some(files[name], "rgb24", MIDDLE)[0] for name in ("mp4", "agnostic.mp4")
    )
    mask, labels = (read_some(files[name], "gray", MIDDLE)[0] for name in ("mask.mp4", "parse.mp4"))
    height, width = frame.shape[:2]
    boxes = np.load(io.BytesIO(files["box.npy"]), allow_pickle=False)
    iuv = read_some(files["iuv.mp4"], "rgb24", MIDDLE)
    iuv = paste_iuv(iuv, boxes[[len(boxes) // 2]], height, width)
    tinted = frame.copy()
    tinted[mask > 127] = (0.45 * frame[mask > 127] + 0.55 * np.array([214, 69, 65])).astype(
        np.uint8
    )
    garment = cv2.imdecode(np.frombuffer(files["garment.png"], np.uint8), cv2.IMREAD_COLOR)
    assert garment is not None, "clip_files.encode_png wrote it"
    parts = [
        frame,
        tinted,
        agnostic,
        render_densepose(iuv)[0],
        LABEL_COLOURS[np.minimum(labels, len(LABEL_COLOURS) - 1)],
        cv2.cvtColor(garment, cv2.COLOR_BGR2RGB),
    ]
    return join(parts, height=168)


def join(images: list[np.ndarray], height: int = STRIP_HEIGHT) -> np.ndarray:
    """Images (h, w, 3) scaled to one height, side by side."""
    parts: list[np.ndarray] = []
    for image in images:
        width = max(1, round(image.shape[1] * height / image.shape[0]))
        method = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
        parts += [
            cv2.resize(image, (width, height), interpolation=method),
            np.full((height, GAP, 3), 255, dtype=np.uint8),
        ]
    return np.concatenate(parts[:-1], axis=1)
