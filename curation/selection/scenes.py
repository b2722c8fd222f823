"""The scenes of a source and the people in each, from its stored signals."""

from dataclasses import dataclass

from curation.first_pass.signals import Signals
from curation.selection.overlays import OverlaysConfig, find_overlays
from curation.selection.people import PeopleConfig, PeopleVerdicts, judge_samples
from curation.selection.quality import QualityConfig, picture_region
from curation.selection.shots import Scene, ShotsConfig, find_scenes


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenScene:
    """A scene, its span without the frames next to cuts, and what its samples show."""

    scene: Scene
    span: tuple[float, float]
    people: PeopleVerdicts


def find_seen_scenes(
    signals: Signals, shots: ShotsConfig, people: PeopleConfig, quality: QualityConfig
) -> list[SeenScene]:
    """All scenes, in order of time."""
    found: list[SeenScene] = []
    for scene in find_scenes(signals, shots):
        span = _trim(scene, signals, quality.trim_frames)
        verdicts = people_in(signals, span, people, quality)
        found.append(SeenScene(scene=scene, span=span, people=verdicts))
    return found


def people_in(
    signals: Signals, span: tuple[float, float], people: PeopleConfig, quality: QualityConfig
) -> PeopleVerdicts:
    """The people in the samples of a stretch of one scene, inside the picture proper."""
    assert signals.samples is not None, "the first pass ran the detector"
    height, width = signals.size_at(span[0])
    top, left, bottom, right = picture_region(signals, span, quality.min_fill_likeness)
    return judge_samples(
        signals.samples,
        people,
        span=span,
        aspect=width / height,
        region=(left, top, right, bottom),
    )


def overlays_in(
    signals: Signals,
    span: tuple[float, float],
    people: PeopleVerdicts,
    quality: QualityConfig,
    overlays: OverlaysConfig,
) -> list[tuple[float, float, float, float]]:
    """What is drawn over the picture proper in a stretch of one scene; see ``find_overlays``."""
    top, left, bottom, right = picture_region(signals, span, quality.min_fill_likeness)
    return find_overlays(signals, span, people, (left, top, right, bottom), overlays)


def _trim(scene: Scene, signals: Signals, frames: int) -> tuple[float, float]:
    """The scene without the frames next to a cut, which encoders and detectors blend with it."""
    first = scene.first + frames if scene.first > 0 else scene.first
    last = scene.last - frames if scene.last < signals.num_frames else scene.last
    first = min(first, scene.last)
    times = signals.edges_s
    return float(times[first]), float(times[max(last, first)])
