"""From a stretch that passed the cheap filters to a clip with all tracks, each step done once.

The canonical clip is the encoded track: every model after the detector reads what was stored, so a
stage that is done again later finds the very frames that it found the first time. What every stage
made is remembered under what decided it. A changed threshold is asked of the record; a changed
model redoes its stage and what depends on it, from stored tracks; the raw video is read again only
where other frames are wanted.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from curation.clip import Clip, Reject, Stage, Tracks
from curation.first_pass.signals import Signals
from curation.first_pass.stopwatch import Stopwatch
from curation.ledger import ClipRow
from curation.perception.protocols import Perception
from curation.selection.candidates import Candidate
from curation.selection.people import FollowPerson
from curation.settings import CurateConfig
from curation.shards.duplicates import pack_hashes, sample_hashes
from curation.stages.agnostic import MaskGarment
from curation.stages.clip_files import encode_tracks, read_rgb, read_tracks
from curation.stages.densepose import MapSurface
from curation.stages.garments import CutGarment
from curation.stages.parsing import ParseClothes
from curation.stages.people_files import pack_people, read_chosen, read_seen
from curation.versions import VERSION
from curation.video.canonical import Framing
from datasets.storage import settings_sha256, store_folder
from datasets.tracks import encode_video

logger = logging.getLogger(__name__)

DEPENDS = {"agnostic": ("densepose", "parsing"), "garments": ("parsing",)}
"""Stage -> stages whose tracks it reads; all read the canonical clip and its people."""
NO_FRAMING = Framing(top=0, left=0, crop_height=0, crop_width=0, height=0, width=0, coverage=0.0)
CLIP_FIELDS = {field.name for field in fields(Clip)}


@dataclass(frozen=True, kw_only=True)
class ToMake:
    """A clip that passes what could be asked, and lacks tracks."""

    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipMaker:
    """The stages on the canonical clip, and where their tracks go."""

    out: Path
    follow: FollowPerson
    stages: Sequence[Stage]  # in order, without ``follow``
    infos: Mapping[str, Any]  # role -> model
    category: str

    @cached_property
    def _follows(self) -> str:
        """Of all that decides who is followed, but the shortest stretch that is worth it."""
        making = self.follow.making()
        return fingerprint({k: v for k, v in making.items() if k != "min_duration_s"})

    @property
    def followed(self) -> str:
        """What decides who is followed, and the shortest stretch in seconds."""
        return f"{self._follows}-{self.follow.min_duration_s}"

    @cached_property
    def makings(self) -> dict[str, str]:
        """Stage -> what decides its tracks today."""
        return {stage.name: fingerprint(stage.making()) for stage in self.stages}

    def request(self, candidate: Candidate, companions: str | None) -> str:
        """Name of what is asked of the raw video: which pixels, and who looks for people in them.

        Thresholds have no part in it.
        """
        clip, framing = candidate.clip, candidate.framing
        asked = [clip.clip_id, clip.start_s, clip.end_s, clip.fps]
        asked += [framing.crop, framing.height, framing.width]
        return fingerprint(asked, self.infos["detector"], companions)

    def make(
        self,
        candidate: Candidate,
        frames: np.ndarray,
        request: str,
        watch: Stopwatch,
        extra: "Extra | None" = None,
    ) -> ClipRow:
        """Everything, from the decoded frames of the stretch.

        Args:
            candidate: the stretch.
            frames: (t, height, width, 3) uint8 RGB.
            request: of the candidate.
            watch: gets the time of every step.
            extra: makes further members once it is known which frames stay.
        """
        fps = candidate.clip.fps or 1.0
        with watch.measure(self.follow.name):
            found = self.follow.look(frames, fps)
            outcome = self.follow.choose(candidate.clip, Tracks(frames=frames), found)
        if isinstance(outcome, Reject):
            people = store_folder(self.out / "people", pack_people(found, None, fps))
            return _row(outcome.clip, outcome, self._beginning(request, people, watch))
        clip, tracks = outcome
        assert tracks.people is not None
        with watch.measure("encode tracks"):
            packed = pack_people(found, tracks.people, fps)
            video = encode_video(tracks.frames, fps)
            tracks = replace(tracks, frames=read_rgb(video))
        with watch.measure("write tracks"):
            people = store_folder(self.out / "people", packed)
        further = {} if extra is None else extra(clip)
        kept = self._beginning(request, people, watch)
        return self._run(clip, tracks, video, kept, set(), watch, further)

    def _beginning(self, request: str, people: str, watch: Stopwatch) -> dict[str, Any]:
        return {
            "request": request,
            "people": people,
            "followed": self.followed,
            "made": {},
            "seconds": watch.seconds,
        }

    def again(self, known: ClipRow, candidate: Candidate) -> ClipRow | None:
        """What became of the same stretch before, judged by today's settings and models.

        Returns:
            Its row, redone from stored tracks where a model changed; None: other frames are
            wanted, or the tracks are gone, so that it has to be made from the raw video.
        """
        outcome = self.judge(known, candidate)
        if isinstance(outcome, ClipRow):
            return outcome
        folder = self._folder_of(known)
        if folder is None or not self._has_same_frames(known, candidate):
            return None
        logger.info("%s: %s; done again from stored tracks", known.clip_id, outcome.reason)
        tracks = read_tracks(folder)
        tracks = replace(tracks, people=read_chosen(self.out / "people" / known.record["people"]))
        further = {
            name: (folder / name).read_bytes()
            for name in ("target.png", "truth.mp4")
            if (folder / name).is_file()
        }
        names = [stage.name for stage in self.stages]
        made = known.record["made"]
        stale = {s.name for s in self.stages if made.get(s.name) != self.makings[s.name]}
        for name in names:
            if stale & set(DEPENDS.get(name, ())):
                stale.add(name)
        kept = {**known.record, "made": {k: v for k, v in made.items() if k not in stale}}
        video = (folder / "mp4").read_bytes()
        done, watch = set(names) - stale, Stopwatch()
        kept["seconds"] = watch.seconds
        return self._run(before(known, candidate), tracks, video, kept, done, watch, further)

    def judge(self, known: ClipRow, candidate: Candidate) -> ClipRow | ToMake:
        """Today's thresholds, asked of what is stored: no video is opened and no model runs."""
        if not self._has_people(known):
            return ToMake(reason="who was seen in it is not stored")
        return self._ask(known, candidate, self._follow_again(known, candidate))

    def judge_record(self, known: ClipRow) -> ClipRow | ToMake:
        """``judge`` where the stretch and the rules on people are those that it was made with."""
        clip = clip_of(known.record)
        return self._ask(known, Candidate(clip=clip, framing=NO_FRAMING), clip)

    def _ask(
        self, known: ClipRow, candidate: Candidate, outcome: Clip | Reject
    ) -> ClipRow | ToMake:
        if isinstance(outcome, Reject):
            if known.record["made"]:
                # what was made of it stays in the record, in case a threshold is turned back
                return _row(before(known, candidate), outcome, known.record, known.folder)
            record = {**known.record, "followed": self.followed}  # the verdict is today's
            return _row(outcome.clip, outcome, record, known.folder)
        if not known.record["made"] or not self._is_same_stretch(known, outcome):
            return ToMake(reason="it is cut to other frames")
        clip = outcome
        for stage in self.stages:
            made = known.record["made"].get(stage.name)
            if made is None:
                return ToMake(reason=f"{stage.name} was never made")
            if made != self.makings[stage.name]:
                return ToMake(reason=f"{stage.name} is made otherwise now")
            refused = stage.judge(clip)
            if refused is not None:
                return _row(clip, refused, known.record, known.folder)
        if self._folder_of(known) is None:
            return ToMake(reason="its tracks are not stored")
        record = {**known.record, **clip.as_record(), "followed": self.followed}
        record["backends"] = dict(self.infos)  # who said where its scene ends may be another one
        return replace(
            known, status="kept", code=None, evidence={}, clip_id=clip.clip_id, record=record
        )

    def _run(
        self,
        clip: Clip,
        tracks: Tracks,
        video: bytes,
        kept: dict[str, Any],
        done: set[str],
        watch: Stopwatch,
        further: dict[str, bytes],
    ) -> ClipRow:
        """All stages but those that are ``done``, and the clip's folder."""
        made = dict(kept["made"])
        for stage in self.stages:
            if stage.name in done:
                refused = stage.judge(clip)
                if refused is None:
                    continue
                return _row(clip, refused, {**kept, "made": made})
            with watch.measure(stage.name):
                outcome = stage.process(clip, tracks)
            made[stage.name] = self.makings[stage.name]
            if isinstance(outcome, Reject):
                return _row(outcome.clip, outcome, {**kept, "made": made})
            clip, tracks = outcome
        with watch.measure("encode tracks"):
            files = {**encode_tracks(clip, tracks, video), **further}
        with watch.measure("write tracks"):
            folder = store_folder(self.out / "clips", files)
        record = {
            **kept,
            **clip.as_record(),
            "made": made,
            "backends": dict(self.infos),
            "category": self.category,
            "num_bytes": sum(len(data) for data in files.values()),
        }
        return ClipRow(
            clip_id=clip.clip_id,
            source_sha256=clip.source_sha256,
            status="kept",
            code=None,
            evidence={},
            record=record,
            folder=folder,
        )

    def _has_people(self, known: ClipRow) -> bool:
        name = known.record.get("people")
        return name is not None and (self.out / "people" / name).is_dir()

    def _folder_of(self, known: ClipRow) -> Path | None:
        folder = None if known.folder is None else self.out / "clips" / known.folder
        return folder if folder is not None and folder.is_dir() else None

    def _follow_again(self, known: ClipRow, candidate: Candidate) -> Clip | Reject:
        now = candidate.clip
        if self.is_followed_alike(known):
            if known.record["made"]:
                return before(known, candidate)
            return Reject(
                clip=before(known, candidate), code=str(known.code), evidence=known.evidence
            )
        height, width = now.height or 1, now.width or 1
        folder = self.out / "people" / known.record["people"]
        seen = read_seen(folder, now.fps or 1.0, height, width)
        outcome = self.follow.follow(now, seen, width / height)
        if isinstance(outcome, Reject):
            return outcome
        is_same = self._is_same_stretch(known, outcome.clip)
        return before(known, candidate) if is_same else outcome.clip

    def is_followed_alike(self, known: ClipRow) -> bool:
        """Whether today's rules on people give the very frames, or the very verdict, of before."""
        name, _, asked_s = str(known.record.get("followed")).rpartition("-")
        if name != self._follows:
            return False
        shortest_s = self.follow.min_duration_s
        if known.record["made"]:
            return known.record["num_frames"] >= shortest_s * known.record["fps"] - 0.5
        return float(asked_s) == shortest_s

    def keeps_all(self, known: ClipRow) -> bool:
        """Whether nothing was cut off its stretch, and nothing is by today's rules on people.

        Where the stretch is as before, it has the very same frames, then.
        """
        record = known.record
        if not (record["made"] and self._has_people(known)):
            return False
        fps, height, width = record["fps"] or 1.0, record["height"] or 1, record["width"] or 1
        seen = read_seen(self.out / "people" / record["people"], fps, height, width)
        is_whole = len(seen.times_s) == record["num_frames"]
        return is_whole and self.follow.keeps_all(seen, fps, width / height)

    def _is_same_stretch(self, known: ClipRow, clip: Clip) -> bool:
        record = known.record
        return (clip.start_s, clip.end_s, clip.num_frames) == (
            record["start_s"], record["end_s"], record["num_frames"],
        )  # fmt: skip

    def _has_same_frames(self, known: ClipRow, candidate: Candidate) -> bool:
        if not self._has_people(known):
            return False
        outcome = self._follow_again(known, candidate)
        return not isinstance(outcome, Reject) and self._is_same_stretch(known, outcome)


def infos_of(perception: Perception) -> dict[str, Any]:
    """Role -> name, version, weights of the model that plays it."""
    return {role: asdict(info) for role, info in perception.infos().items()}


def build_maker(config: CurateConfig, perception: Perception) -> ClipMaker:
    """The stages on the canonical clip, in order; models load at first use."""
    return ClipMaker(
        out=Path(config.out),
        follow=FollowPerson(
            detector=perception.detector,
            config=config.selection.people,
            min_duration_s=config.selection.quality.min_duration_s,
        ),
        stages=(
            MapSurface(estimator=perception.densepose, config=config.densepose),
            ParseClothes(parser=perception.parser, config=config.parsing),
            MaskGarment(config=config.agnostic),
            CutGarment(config=config.garments),
        ),
        infos=infos_of(perception),
        category=config.agnostic.category,
    )


Extra = Callable[[Clip], dict[str, bytes]]
"""Further members of a clip: of benchmarks, the garment to put on and the true answer."""


def before(known: ClipRow, candidate: Candidate) -> Clip:
    """The clip as it was made, in the scene that it is seen in today."""
    now = candidate.clip
    return replace(
        clip_of(known.record),
        source=now.source,
        scene_start_s=now.scene_start_s,
        scene_end_s=now.scene_end_s,
    )


def clip_of(record: Mapping[str, Any]) -> Clip:
    """A stored record as a ``Clip``."""
    values = {name: value for name, value in record.items() if name in CLIP_FIELDS}
    if values.get("crop") is not None:
        values["crop"] = tuple(values["crop"])
    return Clip(**values)


def with_hashes(row: ClipRow, signals: Signals, hash_fps: float) -> ClipRow:
    """A kept clip's row with the hashes by which copies are found."""
    if row.status != "kept":
        return row
    span = (float(row.record["start_s"]), float(row.record["end_s"]))
    hashes = pack_hashes(sample_hashes(signals.times_s, signals.thumbs, span, hash_fps))
    return replace(row, record={**row.record, "hashes": hashes})


def fingerprint(*parts: Any) -> str:
    """sha256 of settings and names: another one means that work has to be done again."""
    return settings_sha256([VERSION, *parts])


def rejected_row(reject: Reject) -> ClipRow:
    """The ledger's row of a clip of which nothing was made."""
    return _row(reject.clip, reject, {})


def _row(
    clip: Clip, reject: Reject, record: Mapping[str, Any], folder: str | None = None
) -> ClipRow:
    """A rejected clip's row; what was made of it stays known."""
    return ClipRow(
        clip_id=clip.clip_id,
        source_sha256=clip.source_sha256,
        status="rejected",
        code=reject.code,
        evidence=reject.evidence,
        record={**record, **clip.as_record()},
        folder=folder,
    )
