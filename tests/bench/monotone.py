"""Which metric sees which fault: faults of five strengths on real clips, a table in Markdown.

    python -m tests.bench.monotone [--out FILE] [--frames 32] [--clips 3] [--no-networks]

The clips are real ones of ../shared/media/single at 256x192, masked by curation's own perception.
Each is taken as a perfect paired result; a fault of growing strength is put in and every metric
computed. A metric *rises* if each of the five steps makes it worse; *overall* if the strongest is
worse but not every step; *blind* if the strongest moves it by less than 2 % of what the worst of
the faults does; *falls* if the fault makes it better. Networks without their public weights
(``make weights``) run with weights made by a formula, and their rows say so: such a row shows that
the path works, not what the real network sees. Exit code 1 if a claim (``CLAIMS``) fails.
"""

import argparse
import hashlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from curation.perception.config import PerceptionConfig
from curation.perception.select import choose_perception
from datasets.labels import ParseLabel
from tests.bench.monotone_faults import FAULTS, Fault, FaultyResult, RealClip, wear
from tests.training.metrics.test_video_networks import formula_state
from training.evaluation.clips import ClipSelector, to_network_input
from training.evaluation.results import read_result
from training.evaluation.suite import load_suite
from training.metrics.catalogue import METRICS
from training.metrics.dinov2 import DinoConfig, DinoVisionTransformer, PictureFeatures
from training.metrics.frechet import frechet_distance, kernel_distance
from training.metrics.garment_picture import shrink
from training.metrics.i3d import InceptionI3d
from training.metrics.lpips import Lpips
from training.metrics.metric import Metric, VideoInputs
from training.metrics.protocols import Protocol, get_protocol
from training.metrics.resnext3d import ResNeXt3d101

MEDIA = Path(__file__).resolve().parents[3] / "shared" / "media" / "single"
CLIPS = ("asl_book.mkv", "asl_hungry.mkv", "juggle.mp4", "asl_again.mkv", "asl_milk.mkv")
HEIGHT, WIDTH = 256, 192
MOST_CLIPS_OF_A_VIDEO = 2  # that the networks see: they are slow on a CPU
BLIND = 0.02  # of what the metric's worst fault does

CLAIMS: dict[str, tuple[str, ...]] = {
    "ssim": ("blur", "shuffle", "swap", "freeze", "leak", "outside"),
    "ssim_masked": ("blur", "shuffle", "swap", "freeze", "leak"),
    "lpips": ("blur", "shuffle", "colour", "swap", "freeze", "leak"),
    "lpips_masked": ("blur", "shuffle", "colour", "swap", "freeze", "leak"),
    "colour_delta_e": ("colour", "swap", "leak"),
    "colour_delta_e_76": ("colour", "swap", "leak"),
    "garment_colour": ("colour", "swap", "leak"),
    "garment_pattern": ("blur",),  # half-way a swap shows both patterns at once
    "garment_likeness": (),  # as the video networks: by formula it would say nothing
    "garment_likeness_lowest": (),
    "leak": ("leak",),
    "outside_change": ("blur", "colour", "outside"),
    "flicker": ("flicker",),
    "temporal_error": ("shuffle", "flicker", "seam"),
    "seam": ("seam",),
}
"""Metric -> faults that it rises with at each of the five steps. The video networks claim nothing
here: with weights by formula a claim would say nothing about them."""


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The learned metrics' networks, and which of them have weights by formula."""

    lpips: Lpips
    video: dict[str, nn.Module]
    by_formula: frozenset[str]  # of "lpips", "i3d", "resnext", "dinov2"
    features: PictureFeatures


Values = dict[tuple[str, str], list[float]]
"""(metric, fault) -> its value without fault and at the five strengths."""


def formula_lpips(net: str = "alex") -> Lpips:
    """LPIPS on a backbone with weights by the formula of vfid_golden.json."""
    classifiers = {
        "alex": torchvision.models.alexnet,
        "squeeze": torchvision.models.squeezenet1_1,
        "vgg": torchvision.models.vgg16,
    }
    state = formula_state(classifiers[net]().features)  # pyright: ignore
    return Lpips(net, {f"features.{key}": value for key, value in state.items()})


def formula_features(config: DinoConfig) -> PictureFeatures:
    """DINOv2 with weights by that formula."""
    network = DinoVisionTransformer(config)
    network.load_state_dict(formula_state(network))
    return PictureFeatures(network)


def load_networks(protocol: Protocol, with_video: bool = True) -> Networks:
    """Real weights where they are, weights by formula elsewhere."""
    suite = load_suite(protocol)
    video: dict[str, nn.Module] = dict(suite.networks) if with_video else {}
    by_formula = {n for n, net in (("lpips", suite.lpips), ("dinov2", suite.features)) if not net}
    for name, build in (("i3d", InceptionI3d), ("resnext", ResNeXt3d101)):
        if with_video and name not in video:
            video[name] = build()
            video[name].load_state_dict(formula_state(video[name]))
            by_formula.add(name)
    return Networks(
        lpips=suite.lpips or formula_lpips(protocol.lpips_net),
        video=video,
        by_formula=frozenset(by_formula),
        features=suite.features or formula_features(DinoConfig()),
    )


def load_clips(names: tuple[str, ...], num_frames: int) -> list[RealClip]:
    """Real clips at HEIGHT x WIDTH, the garment above the waist found by curation's perception."""
    perception = choose_perception(PerceptionConfig(kind="embedded"))
    found: list[tuple[str, np.ndarray, np.ndarray]] = []
    for name in names:
        frames = [_fit(frame) for frame in read_result(MEDIA / name)[:num_frames]]
        people = [seen[0] if seen else None for seen in perception.detector.detect(frames)]
        labels = np.stack(perception.parser.parse(frames, people))
        found.append((name, np.stack(frames), labels == ParseLabel.UPPER))
        progress(f"{name}: {found[-1][2].mean():.0%} of the pixels are the garment")
    return [
        make_clip(name, video, region, (found[index - 1][1], found[index - 1][2]))
        for index, (name, video, region) in enumerate(found)
    ]


def make_clip(
    name: str, video: np.ndarray, region: np.ndarray, other: tuple[np.ndarray, np.ndarray]
) -> RealClip:
    """A clip whose other garment is the one of another video.

    Args:
        name: of the clip.
        video: (t, h, w, 3) uint8.
        region: (t, h, w) bool, the worn garment.
        other: the other video and its garment's region.
    """
    radius = max(1, round(0.02 * video.shape[1]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    mask = np.stack([cv2.dilate(area.astype(np.uint8), kernel) > 0 for area in region])
    swapped = wear(video, region, _cloth(other[0][0], other[1][0]))
    size = video.shape[2], video.shape[1]
    return RealClip(
        name=name,
        video=video,
        mask=mask,
        garment_region=region,
        own_garment=_on_white(video[0], region[0]),
        other_garment=cv2.resize(
            _on_white(swapped[0], region[0]), size, interpolation=cv2.INTER_AREA
        ),
        swapped=swapped,
    )


def measure(
    clips: list[RealClip], faults: tuple[Fault, ...], networks: Networks, protocol: Protocol
) -> Values:
    """Each metric's mean over the clips, for each fault, at strength 0 and the five strengths."""
    values: Values = {}
    cache: dict[str, Tensor] = {}
    memos: dict[tuple[str, str], dict] = {}  # what belongs to a clip, whatever its fault
    unfaulted: dict[str, dict[str, float]] = {}  # by pairing: the same for all of its faults
    for fault in faults:
        start = time.perf_counter()
        for strength in (0.0, *fault.strengths):
            results = [fault.apply(clip, strength) for clip in clips]
            numbers = None if strength else unfaulted.get(results[0].pairing)
            if numbers is None:
                numbers = _video_numbers(clips, results, networks, protocol, memos)
                if fault.is_asked:
                    numbers |= _set_numbers(results, networks, protocol, cache)
            if not strength:
                unfaulted.setdefault(results[0].pairing, numbers)
            for key, number in numbers.items():
                values.setdefault((key, fault.key), []).append(number)
        progress(f"{fault.label}: {time.perf_counter() - start:.1f} s")
    complete = 1 + len(faults[0].strengths)
    return {key: row for key, row in values.items() if len(row) == complete}


def classify(values: list[float], is_higher_better: bool, scale: float) -> str:
    """``rises``, ``overall``, ``blind`` or ``falls``; ``scale`` is the worst fault's change."""
    worse = [-value if is_higher_better else value for value in values]
    change = worse[-1] - worse[0]
    if abs(change) <= BLIND * scale:
        return "blind"
    if change < 0:
        return "falls"
    steps = np.diff(worse)
    return "rises" if (steps > 0).all() else "overall"


def classify_all(values: Values) -> dict[tuple[str, str], str]:
    """(metric, fault) -> how the metric takes the fault."""
    scales: dict[str, float] = {}
    for (key, _), row in values.items():
        scales[key] = max(scales.get(key, 0.0), abs(row[-1] - row[0]))
    better = {metric.key: metric.is_higher_better for metric in METRICS}
    return {
        (key, fault): classify(row, better[key], scales[key])
        for (key, fault), row in values.items()
    }


def broken_claims(seen: dict[tuple[str, str], str]) -> list[str]:
    """Claims that the measurement does not bear out."""
    return [
        f"{key} does not rise at each step of {fault}: {seen[key, fault]}"
        for key, faults in CLAIMS.items()
        for fault in faults
        if (key, fault) in seen and seen[key, fault] != "rises"
    ]


def write_table(
    values: Values, seen: dict[tuple[str, str], str], networks: Networks, clips: list[RealClip]
) -> str:
    """Markdown: one table of verdicts, one of values."""
    faults = [fault for fault in FAULTS if any(key[1] == fault.key for key in values)]
    metrics = [metric for metric in METRICS if any(key[0] == metric.key for key in values)]
    head = "| metric | " + " | ".join(fault.label for fault in faults) + " |"
    rule = "|---" * (len(faults) + 1) + "|"
    lines = [
        f"{len(clips)} clips ({', '.join(clip.name for clip in clips)}) of "
        f"{len(clips[0].video)} frames at {HEIGHT}x{WIDTH}; five strengths: "
        + "; ".join(
            f"{f.label} {', '.join(f'{s:g}' for s in f.strengths)} ({f.unit})" for f in faults
        )
        + ".",
        "",
        head,
        rule,
    ]
    for metric in metrics:
        cells = [seen.get((metric.key, fault.key), "") for fault in faults]
        lines.append(f"| {_label(metric, networks)} | " + " | ".join(cells) + " |")
    lines += ["", "Values without fault, at the weakest and at the strongest:", "", head, rule]
    for metric in metrics:
        rows = [values.get((metric.key, fault.key)) for fault in faults]
        cells = [f"{r[0]:.3g}, {r[1]:.3g}, {r[-1]:.3g}" if r else "" for r in rows]
        lines.append(f"| {_label(metric, networks)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def progress(text: str) -> None:
    """Say it on stderr: stdout is the table's."""
    sys.stderr.write(f"{text}\n")


def _video_numbers(
    clips: list[RealClip],
    results: list[FaultyResult],
    networks: Networks,
    protocol: Protocol,
    memos: dict[tuple[str, str], dict],
) -> dict[str, float]:
    rows: list[dict[str, float | None]] = []
    for clip, result in zip(clips, results, strict=True):
        inputs = VideoInputs(
            prediction=result.prediction,
            source=clip.video,
            truth=result.truth,
            mask=np.where(clip.mask, 255, 0).astype(np.uint8),
            garment_region=clip.garment_region,
            garment=result.garment,
            pairing=result.pairing,
            protocol=protocol,
            segment_borders=result.segment_borders,
            lpips=networks.lpips,
            features=networks.features,
            item_memo=memos.setdefault((clip.name, result.pairing), {}),
        )
        rows.append({m.key: m.compute(inputs).value for m in METRICS if m.compute is not None})
    means: dict[str, float] = {}
    for key in rows[0]:
        known = [value for row in rows if (value := row[key]) is not None]
        if known:
            means[key] = float(np.mean(known))
    return means


def _set_numbers(
    results: list[FaultyResult],
    networks: Networks,
    protocol: Protocol,
    cache: dict[str, Tensor],
) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for name, key, distance in (
        ("i3d", "vfid_i3d", frechet_distance),
        ("i3d", "kvd", kernel_distance),
        ("resnext", "vfid_resnext", frechet_distance),
    ):
        if name in networks.video:
            sides = [
                torch.cat(
                    [
                        _features(side, name, networks.video[name], protocol, cache)
                        for side in videos
                    ]
                )
                for videos in ([r.prediction for r in results], [r.truth for r in results])
            ]
            numbers[key] = distance(*sides)
    return numbers


def _features(
    video: np.ndarray, name: str, network: nn.Module, protocol: Protocol, cache: dict[str, Tensor]
) -> Tensor:
    features: list[Tensor] = []
    for clip in ClipSelector(protocol).push(video)[:MOST_CLIPS_OF_A_VIDEO]:
        digest = name + hashlib.sha256(np.ascontiguousarray(clip).data).hexdigest()
        if digest not in cache:
            batch = to_network_input([clip], protocol)
            with torch.no_grad():
                cache[digest] = network(batch.to(next(network.parameters()).device)).float().cpu()
        features.append(cache[digest])
    return torch.cat(features)


def _label(metric: Metric, networks: Networks) -> str:
    return metric.label + (" (weights by formula)" if metric.needs in networks.by_formula else "")


def _fit(frame: np.ndarray) -> np.ndarray:
    """The middle of the frame at HEIGHT x WIDTH."""
    height, width = frame.shape[:2]
    scale = max(HEIGHT / height, WIDTH / width)
    size = max(WIDTH, round(width * scale)), max(HEIGHT, round(height * scale))
    scaled = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    top, left = (size[1] - HEIGHT) // 2, (size[0] - WIDTH) // 2
    return np.ascontiguousarray(scaled[top : top + HEIGHT, left : left + WIDTH])


def _on_white(frame: np.ndarray, area: np.ndarray) -> np.ndarray:
    """A picture of the garment, cut out of a frame."""
    return np.where(area[..., None], frame, np.uint8(255))


def _cloth(frame: np.ndarray, area: np.ndarray) -> np.ndarray:
    """The largest upright square, roughly, that lies in the garment."""
    inner = shrink(area, 0.02).astype(np.uint8)
    distance = cv2.distanceTransform(np.pad(inner, 1), cv2.DIST_C, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(distance.argmax()), distance.shape)
    reach = max(1, int(distance.max()) - 1)
    top, left = max(0, int(row) - reach), max(0, int(column) - reach)
    return frame[top : int(row) + reach + 1, left : int(column) + reach + 1]


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description="Which metric sees which fault")
    parser.add_argument("--out", type=Path, help="write the table there, too")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--clips", type=int, default=3, choices=range(2, len(CLIPS) + 1))
    parser.add_argument("--no-networks", action="store_true", help="leave out the video networks")
    given = parser.parse_args()
    if not MEDIA.is_dir():
        sys.stdout.write(f"skipped: {MEDIA} is absent\n")
        return 0
    protocol = get_protocol("fixed")
    clips = load_clips(CLIPS[: given.clips], given.frames)
    networks = load_networks(protocol, with_video=not given.no_networks)
    values = measure(clips, FAULTS, networks, protocol)
    seen = classify_all(values)
    table = write_table(values, seen, networks, clips)
    sys.stdout.write(table)
    if given.out is not None:
        given.out.write_text(table, encoding="utf-8")
    broken = broken_claims(seen)
    for line in broken:
        progress(f"claim broken: {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
