"""The film strip of the README: frames of a source, the garment, and the same frames generated."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from datasets.benchmarks.benchmark import Benchmark
from datasets.storage import write_file
from training.evaluation.results import read_result

MOMENTS = 3  # frames per video, spread over its length
PANEL_HEIGHT = 192  # pixels
GAP = 6
HEADER = 26
GROUND = 255  # white
INK = (60, 60, 60)


def write_film_strip(path: Path, bench_root: Path, predictions: Path, rows: int = 3) -> Path | None:
    """Draw source | garment | result for the first results of a benchmark.

    Args:
        path: the PNG to write.
        bench_root: a prepared benchmark with rendered dancers.
        predictions: ``predictions/<pairing>`` of an evaluation, one video per item.
        rows: items drawn, one below the other.

    Returns:
        The picture's path, or None if there are no results.
    """
    bench = Benchmark(bench_root, "synthetic")
    pairing = predictions.name
    painted = [name for name in bench.ids(pairing) if (predictions / f"{name}.mp4").is_file()]
    strips: list[np.ndarray] = []
    for identity in painted[:rows]:
        result = read_result(predictions / f"{identity}.mp4")
        item = bench.load(identity, *result.shape[1:3])
        strips.append(draw_row(item.video, item.garment(pairing), result))
    if not strips:
        return None
    picture = np.concatenate([_header(strips[0].shape[1]), *strips], axis=0)
    png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    write_file(path, png.tobytes())
    return path


def draw_row(
    source: UInt8[np.ndarray, "t h w 3"],
    garment: UInt8[np.ndarray, "gh gw 3"],
    result: UInt8[np.ndarray, "t h w 3"],
) -> UInt8[np.ndarray, "y x 3"]:
    """One item: frames of the source, the garment, the same frames of the result; RGB."""
    moments = np.linspace(0, min(len(source), len(result)) - 1, MOMENTS + 2)[1:-1].round()
    numbers = [int(moment) for moment in moments]
    panels = [source[n] for n in numbers] + [garment] + [result[n] for n in numbers]
    return _beside([_scaled(panel) for panel in panels])


def _scaled(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    size = (round(width * PANEL_HEIGHT / height), PANEL_HEIGHT)
    method = cv2.INTER_AREA if height > PANEL_HEIGHT else cv2.INTER_CUBIC
    return cv2.resize(picture, size, interpolation=method)


def _beside(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Panels of one height in a row, with a gap around each."""
    gap = np.full((PANEL_HEIGHT, GAP, 3), GROUND, np.uint8)
    row = np.concatenate([gap, *(part for panel in panels for part in (panel, gap))], axis=1)
    line = np.full((GAP, row.shape[1], 3), GROUND, np.uint8)
    return np.concatenate([row, line], axis=0)


def _header(width: int) -> np.ndarray:
    """The column titles."""
    header = np.full((HEADER, width, 3), GROUND, np.uint8)
    column = (width - GAP) / (2 * MOMENTS + 1)
    for word, start in (("source", 0), ("garment", MOMENTS), ("result", MOMENTS + 1)):
        place = (round(GAP + start * column), HEADER - 9)
        cv2.putText(header, word, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    return header
