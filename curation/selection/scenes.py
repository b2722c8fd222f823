"""The scenes of a source and who is seen in each: what cuts and people decide, kept in the ledger.

These two steps take most of the time of judging a source again, and most thresholds have no part
in them. What they found is stored beside the source's facts under what decided it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from curation.first_pass.signals import Signals
from curation.selection.people import PeopleConfig, PeopleVerdicts, judge_samples
from curation.selection.quality import QualityConfig, picture_region
from curation.selection.shots import Scene, ShotsConfig, find_scenes

SCHEMA = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class SeenScene:
    """A scene, its span without the frames next to cuts, and what its samples show."""

    scene: Scene
    span: tuple[float, float]
    people: PeopleVerdicts  # read back from the ledger it names nobody beside the main people
    num_people: int | None  # at most at one time; None: no sample
    evidence: dict[str, Any]  # of ``people``


@dataclass(frozen=True, kw_only=True)
class SceneRules:
    """What decides scenes and who is seen in them; one for all sources of a run."""

    shots: ShotsConfig
    people: PeopleConfig
    quality: QualityConfig

    def key(self, signals_name: str) -> str:
        """Name of everything that decides what a file of signals shows: of its cuts, of people."""
        return f"{_digest(signals_name, self._cuts)}-{_digest(signals_name, self._people)}"

    @cached_property
    def _cuts(self) -> str:
        return json.dumps([SCHEMA, asdict(self.shots)], sort_keys=True)

    @cached_property
    def _people(self) -> str:
        quality = self.quality
        decided = [SCHEMA, asdict(self.people), quality.trim_frames, quality.min_fill_likeness]
        return json.dumps(decided, sort_keys=True)

    def look_at(
        self, signals: Signals, stored: Mapping[str, Any] | None = None, key: str = ""
    ) -> list[SeenScene]:
        """Scenes in order of time, with who is seen in them.

        Args:
            signals: of a source.
            stored: what ``pack_scenes`` gave before; as far as it was decided alike, it is taken.
            key: of today.
        """
        old_cuts, _, old_people = str((stored or {}).get("key")).partition("-")
        cuts, _, people = key.partition("-")
        known = {_scene_of(entry): entry for entry in stored["scenes"]} if stored else {}
        scenes = list(known) if cuts == old_cuts else find_scenes(signals, self.shots)
        return [
            _read(known[scene])
            if people == old_people and scene in known
            else self._look(scene, signals)
            for scene in scenes
        ]

    def _look(self, scene: Scene, signals: Signals) -> SeenScene:
        span = _trim(scene, signals, self.quality.trim_frames)
        verdicts = people_in(signals, span, self.people, self.quality)
        return SeenScene(
            scene=scene,
            span=span,
            people=verdicts,
            num_people=int(verdicts.counts.max()) if len(verdicts.counts) else None,
            evidence=verdicts.evidence(),
        )


def people_in(
    signals: Signals, span: tuple[float, float], people: PeopleConfig, quality: QualityConfig
) -> PeopleVerdicts:
    """Whom the samples of a stretch of one scene show, in the picture proper."""
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


def _digest(*decided: str) -> str:
    return hashlib.sha256("\0".join(decided).encode()).hexdigest()[:16]


def pack_scenes(seen: Sequence[SeenScene], key: str) -> dict[str, Any]:
    """Scenes as plain values for the ledger."""
    return {
        "key": key,
        "scenes": [
            {
                "scene": [s.scene.first, s.scene.last, s.scene.start_s, s.scene.end_s],
                "span": list(s.span),
                "times_s": s.people.times_s.tolist(),
                "codes": s.people.codes.tolist(),
                "counts": s.people.counts.tolist(),
                "main_rows": s.people.main_rows.tolist(),
                "owners": s.people.owners.tolist(),
                "evidence": s.evidence,
            }
            for s in seen
        ],
    }


def _scene_of(entry: Mapping[str, Any]) -> Scene:
    first, last, start_s, end_s = entry["scene"]
    return Scene(first=first, last=last, start_s=start_s, end_s=end_s)


def _read(entry: Mapping[str, Any]) -> SeenScene:
    counts = np.array(entry["counts"], dtype=int)
    return SeenScene(
        scene=_scene_of(entry),
        span=(entry["span"][0], entry["span"][1]),
        people=PeopleVerdicts(
            times_s=np.array(entry["times_s"], dtype=np.float64),
            codes=np.array(entry["codes"], dtype=int),
            counts=counts,
            main_rows=np.array(entry["main_rows"], dtype=int),
            owners=np.array(entry["owners"], dtype=int),
            others=[],
            passed_over=[],
        ),
        num_people=int(counts.max()) if len(counts) else None,
        evidence=entry["evidence"],
    )


def _trim(scene: Scene, signals: Signals, frames: int) -> tuple[float, float]:
    """The scene without the frames next to a cut, which encoders and detectors blur into it."""
    first = scene.first + frames if scene.first > 0 else scene.first
    last = scene.last - frames if scene.last < signals.num_frames else scene.last
    first = min(first, scene.last)
    times = np.append(signals.times_s, signals.end_s)
    return float(times[first]), float(times[max(last, first)])
