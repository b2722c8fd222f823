"""From a stretch that passed the cheap filters to a clip with all tracks, each step done once.

The canonical clip is the encoded track: every model after the detector reads the stored file, so a
stage that runs again later sees exactly the same frames. Each stage's result is stored under a key
of what determined it. A changed threshold is applied to the record; a changed model reruns its
stage and the stages that depend on it, from stored tracks; the raw video is read again only if
different frames are needed.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from curation.clip import Clip, Reject, Stage, Tracks, first_failed, run_stages
from curation.first_pass.signals import Signals
from curation.ledger import ClipRow
from curation.perception.protocols import Perception
from curation.selection.candidates import Candidate, RejectedClip
from curation.shards.duplicates import pack_hashes, sample_hashes
from curation.stages.check_labels import LABELS_CUT, CheckLabels
from curation.stages.clip_files import encode_tracks, read_rgb, read_tracks
from curation.stages.follow_person import FollowPerson
from curation.stages.people_files import pack_people, read_chosen, read_seen
from curation.step_times import StepTimes
from curation.versions import VERSION
from datasets.storage import settings_sha256, store_folder
from datasets.tracks import encode_clip

logger = logging.getLogger(__name__)

STRETCH = ("start_s", "end_s", "num_frames")
CUT_BY = "cut_by"
"""In a record: the limits by which frames with wrong labels were cut off."""
CLIP_FIELDS = {field.name for field in fields(Clip)}


@dataclass(frozen=True, kw_only=True)
class NeedsDecoding:
    """A clip that passes every check that could be applied, but lacks tracks."""

    reason: str


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipMaker:
    """Runs the stages on the canonical clip and stores their tracks."""

    out: Path
    follow: FollowPerson  # the first stage: it reads decoded frames, all others the stored clip
    stages: Sequence[Stage]  # those after it, in order
    infos: Mapping[str, Any]  # role -> model
    category: str

    @cached_property
    def provenance_keys(self) -> dict[str, str]:
        """Stage -> key of what determines its tracks under today's settings."""
        return {stage.name: fingerprint(stage.provenance_key()) for stage in self.stages}

    def request(self, candidate: Candidate, companions: str | None) -> str:
        """Key of what is needed from the raw video: which pixels, and the model that finds people.

        Independent of thresholds.
        """
        clip, plan = candidate.clip, candidate.plan
        needed = [clip.clip_id, clip.start_s, clip.end_s, clip.fps]
        needed += [plan.crop, plan.height, plan.width]
        return fingerprint(needed, self.infos["detector"], companions)

    def make(
        self,
        candidate: Candidate,
        frames: np.ndarray,
        request: str,
        watch: StepTimes,
        extra: "Extra | None" = None,
    ) -> ClipRow:
        """Make everything from the decoded frames (t, height, width, 3) uint8 RGB of the stretch.

        ``extra`` makes further members once the kept frames are known.
        """
        fps = candidate.clip.fps or 1.0
        begun: dict[str, Any] = {"request": request, "made": {}, "seconds": watch.seconds}
        run = run_stages([self.follow], candidate.clip, Tracks(frames=frames), watch=watch)
        clip, tracks = run.clip, run.tracks
        assert tracks.everyone is not None
        if run.reject is not None:
            packed = pack_people(tracks.everyone, None, fps)
            begun["people"] = store_folder(self.out / "people", packed)
            return _row(clip, run.reject, begun)
        assert tracks.people is not None
        with watch.measure("encode tracks"):
            packed = pack_people(tracks.everyone, tracks.people, fps)
            video = encode_clip(tracks.frames, fps)
            tracks = replace(tracks, frames=read_rgb(video))
        with watch.measure("write tracks"):
            begun["people"] = store_folder(self.out / "people", packed)
        row = self._run(
            clip,
            tracks,
            video,
            begun,
            set(),
            watch,
            extra or (lambda _: {}),
            frames=run.tracks.frames,
        )
        assert row is not None, "the decoded frames were given"
        return row

    def reuse_or_redo(self, known: ClipRow, candidate: Candidate) -> ClipRow | None:
        """The stored result for the same stretch, judged by today's settings and models.

        Returns:
            Its row, rerun from stored tracks if a model changed; None: different frames are needed
            or the tracks are gone, so the clip must be made from the raw video.
        """
        outcome = self.judge(known, candidate)
        if isinstance(outcome, ClipRow):
            return outcome
        folder = self._folder_of(known)
        people = self._people_of(known)
        if folder is None or people is None or "uncut" in known.record:
            return None  # of a clip that was cut for its labels, the other frames are not stored
        clip = self._follow_stored(known, candidate)
        if isinstance(clip, RejectedClip) or not _is_same_stretch(known, clip):
            return None
        logger.info("%s: %s; rerun from stored tracks", known.clip_id, outcome.reason)
        tracks = read_tracks(folder)
        tracks = replace(tracks, people=read_chosen(people))
        further = {
            name: (folder / name).read_bytes()
            for name in ("target.png", "truth.mp4")
            if (folder / name).is_file()
        }
        names = [stage.name for stage in self.stages]
        made = known.record["made"]
        stale = {name for name in names if made.get(name) != self.provenance_keys[name]}
        for stage in self.stages:
            if stale & set(stage.reads):
                stale.add(stage.name)
        watch = StepTimes()
        kept = {**known.record, "made": {k: v for k, v in made.items() if k not in stale}}
        kept["seconds"] = watch.seconds
        video = (folder / "mp4").read_bytes()
        return self._run(clip, tracks, video, kept, set(names) - stale, watch, lambda _: further)

    def judge(
        self, known: ClipRow, candidate: Candidate, *, is_followed: bool = False
    ) -> ClipRow | NeedsDecoding:
        """Apply today's thresholds to what is stored: opens no video, runs no model.

        ``is_followed``: the clip was kept under today's settings of people, so following them again
        would cut it the same way; only its length is checked.
        """
        if self._people_of(known) is None:
            return NeedsDecoding(reason="its detected people are not stored")
        clip = _as_made(known, candidate) if is_followed else None
        if clip is None or first_failed(self.follow.checks(clip)) is not None:
            clip = self._follow_stored(known, candidate)
        if isinstance(clip, RejectedClip):
            # existing tracks stay in the record, in case the threshold is changed back
            now = _as_made(known, candidate) if known.record["made"] else clip.clip
            return _row(now, clip.reject, known.record, known.folder)
        if not known.record["made"] or not _is_same_stretch(known, clip):
            return NeedsDecoding(reason="its frames changed")
        for stage in self.stages:
            made = known.record["made"].get(stage.name)
            if made is None:
                return NeedsDecoding(reason=f"{stage.name} has not run")
            if made != self.provenance_keys[stage.name]:
                return NeedsDecoding(reason=f"the model or settings of {stage.name} changed")
            if stage is self._labels and known.record.get(CUT_BY, self._limits) != self._limits:
                return NeedsDecoding(reason="it was cut by other limits of its labels")
            reject = first_failed(stage.checks(clip))
            if reject is not None:
                return _row(clip, reject, known.record, known.folder)
        if self._right_part(clip) is not None:
            return NeedsDecoding(reason="frames with wrong labels are to be cut off")
        if self._folder_of(known) is None:
            return NeedsDecoding(reason="its tracks are not stored")
        record = {**known.record, **clip.as_record()}
        record["backends"] = dict(self.infos)  # the arbiter of its cuts may have changed
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
        watch: StepTimes,
        extra: "Extra",
        frames: np.ndarray | None = None,
    ) -> ClipRow | None:
        """Run all stages except those ``done``, and write the clip's folder.

        Frames with wrong labels are cut off, and everything is made again from the others, since
        a parser learns from all frames of a clip. That needs the decoded ``frames``; None is
        returned where they are needed and not given.
        """
        run = run_stages(self.stages, clip, tracks, done=done, watch=watch)
        while run.reject is None and (part := self._right_part(run.clip)) is not None:
            if frames is None or run.tracks.people is None:
                return None
            kept.setdefault("uncut", {name: vars(clip)[name] for name in STRETCH})
            kept[CUT_BY] = self._limits
            seen = [clip.verdicts.get(LABELS_CUT), run.clip.verdicts[CheckLabels.name]]
            cut = {LABELS_CUT: "; then ".join(words for words in seen if words)}
            clip = replace(clip.cut_to(part), verdicts={**clip.verdicts, **cut})
            frames = frames[part]
            with watch.measure("encode tracks"):
                video = encode_clip(frames, clip.fps or 1.0)
            tracks = Tracks(frames=read_rgb(video), people=run.tracks.people[part])
            run = run_stages(self.stages, clip, tracks, watch=watch)
        kept["made"] = {**kept["made"], **{name: self.provenance_keys[name] for name in run.ran}}
        clip = run.clip
        if run.reject is not None:
            return _row(clip, run.reject, kept)
        with watch.measure("encode tracks"):
            files = {**encode_tracks(clip, run.tracks, video), **extra(clip)}
        with watch.measure("write tracks"):
            folder = store_folder(self.out / "clips", files)
        record = {
            **kept,
            **clip.as_record(),
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

    def _right_part(self, clip: Clip) -> slice | None:
        """The frames that a clip is cut to for its labels; None: it is not cut."""
        return None if self._labels is None else self._labels.kept(clip)

    @cached_property
    def _labels(self) -> CheckLabels | None:
        return next((stage for stage in self.stages if isinstance(stage, CheckLabels)), None)

    @property
    def _limits(self) -> dict[str, float]:
        """The shares of faults that its labels' check allows."""
        return {} if self._labels is None else asdict(self._labels.config)

    def _people_of(self, known: ClipRow) -> Path | None:
        return self._stored("people", known.record.get("people"))

    def _folder_of(self, known: ClipRow) -> Path | None:
        return self._stored("clips", known.folder)

    def _stored(self, kind: str, name: str | None) -> Path | None:
        folder = None if name is None else self.out / f"{kind}/{name}"
        return folder if folder is not None and folder.is_dir() else None

    def _follow_stored(self, known: ClipRow, candidate: Candidate) -> Clip | RejectedClip:
        """The clip cut by today's rules on people; the stored clip if it is cut the same way."""
        now = candidate.clip
        height, width = now.height or 1, now.width or 1
        folder = self.out / f"people/{known.record['people']}"
        seen = read_seen(folder, now.fps or 1.0, height, width)
        clip = self.follow.follow(now, seen, width / height).clip
        reject = first_failed(self.follow.checks(clip))
        if reject is not None:
            return RejectedClip(clip=clip, reject=reject)
        return _as_made(known, candidate) if _is_same_stretch(known, clip) else clip


def _is_same_stretch(known: ClipRow, clip: Clip) -> bool:
    """Whether a clip has the frames of a stored one, or those it had before its labels' cut."""
    now = [vars(clip)[name] for name in STRETCH]
    stored = (known.record, known.record.get("uncut", known.record))
    return any(now == [record[name] for name in STRETCH] for record in stored)


def infos_of(perception: Perception) -> dict[str, Any]:
    """Role -> name, version and weights of the model used for it."""
    return {role: asdict(info) for role, info in perception.infos().items()}


Extra = Callable[[Clip], dict[str, bytes]]
"""Makes further members of a clip: in benchmarks, the garment to put on and the ground truth."""


def _as_made(known: ClipRow, candidate: Candidate) -> Clip:
    """The clip as it was made, with the scene boundaries found today."""
    now = vars(candidate.clip)
    changed = {name: now[name] for name in ("source", "scene_start_s", "scene_end_s")}
    return clip_of({**known.record, **changed})


def clip_of(record: Mapping[str, Any]) -> Clip:
    """A stored record as a ``Clip``."""
    values = {name: value for name, value in record.items() if name in CLIP_FIELDS}
    if values.get("crop") is not None:
        values["crop"] = tuple(values["crop"])
    if values.get("garment_affine") is not None:
        values["garment_affine"] = tuple(values["garment_affine"])
    return Clip(**values)


def with_hashes(row: ClipRow, signals: Signals, hash_fps: float) -> ClipRow:
    """A kept clip's row with the hashes used to find copies."""
    if row.status != "kept":
        return row
    span = (float(row.record["start_s"]), float(row.record["end_s"]))
    hashes = pack_hashes(sample_hashes(signals.times_s, signals.thumbs, span, hash_fps))
    return replace(row, record={**row.record, "hashes": hashes})


def fingerprint(*parts: Any) -> str:
    """sha256 of settings and names; if it changes, the work is done again."""
    return settings_sha256([VERSION, *parts])


def rejected_row(rejected: RejectedClip) -> ClipRow:
    """The ledger's row of a clip without any tracks."""
    return _row(rejected.clip, rejected.reject, {})


def _row(
    clip: Clip, reject: Reject, record: Mapping[str, Any], folder: str | None = None
) -> ClipRow:
    """A rejected clip's row; references to the tracks it has are kept."""
    return ClipRow(
        clip_id=clip.clip_id,
        source_sha256=clip.source_sha256,
        status="rejected",
        code=reject.code,
        evidence=reject.evidence,
        record={**record, **clip.as_record()},
        folder=folder,
    )
