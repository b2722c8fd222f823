"""A user's video -> its conditions, by the perception that curated the training clips.

Three passes, in memory that does not grow with the video: who is in it (``people.py``); which
clothes, learned from frames spread over the video; then every frame, chunk by chunk. A chunk
depends only on the source and on its neighbours' first and last frames, so a stopped job resumes
at the next chunk with the same result.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import ConfigError
from curation.perception.protocols import ClipParser, HumanParser, Perception
from datasets.densepose import render_densepose
from datasets.labels import CATEGORIES
from datasets.masks import MaskRule, MaskSettings, mask_rule
from datasets.storage import file_sha256, write_file
from inference.conditions.chunks import (
    PerceivedFrames,
    chunk_bare,
    chunk_ground,
    chunk_hem,
    chunk_mask,
    perceive_frames,
    still_masks,
)
from inference.conditions.people import FoundPerson, PeopleInVideo, find_people
from inference.conditions.picking import Picked, Picker
from inference.conditions.stored import (
    CHUNK,
    ConditionFrame,
    ConditionTracks,
    VideoConditions,
    count_chunks,
    frame_for_conditions,
    load_chunk,
    store_chunk,
)
from inference.errors import NoPerson
from inference.progress import CONDITIONS, FINDING, Tracker
from inference.video.framing import CropWindow
from inference.video.source import SourceVideo, warn_of
from inference.video.work_folder import WorkFolder

_BRIDGED_S = 0.5  # a person missed for less than this is assumed to be present
_MAX_BRIDGED = 24  # and for fewer frames than this
_LESSONS = 24  # frames that the parser learns the clothes from
_FORMAT = 9  # of the files in a work folder


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedPerson:
    """A person of a video whose clothes the parser has learned, and the frames it learned from."""

    source: SourceVideo
    rule: MaskRule  # what of the person is painted
    everyone: PeopleInVideo
    person: FoundPerson
    framing: CropWindow
    parser: HumanParser  # has learned the clothes
    frames: list[np.ndarray]  # (out_height, out_width, 3) uint8 each
    indices: list[int]
    times: list[float]
    picked: list[Picked]

    def preview(self, perception: Perception, count: int = 6) -> list[ConditionFrame]:
        """Conditions of some frames; each mask is made without the neighbouring frames."""
        rows = _evenly([i for i, one in enumerate(self.picked) if one.person is not None], count)
        frames, picked = [self.frames[i] for i in rows], [self.picked[i] for i in rows]
        perceived = perceive_frames(frames, picked, perception, self.parser, self.framing)
        mask = still_masks(perceived, self.rule)
        poses = render_densepose(perceived.iuv)
        return [
            ConditionFrame(
                index=self.indices[i], time=self.times[i], image=self.frames[i],
                mask=mask[row], densepose=poses[row],
            )
            for row, i in enumerate(rows)
        ]  # fmt: skip


def load_or_find_people(
    source: SourceVideo, perception: Perception, work: WorkFolder, tracker: Tracker
) -> PeopleInVideo:
    """Everyone in a video, from the work folder or found and stored there."""
    detector = _names(perception)["detector"]
    identity = {"format": _FORMAT, "source": file_sha256(source.path), "detector": detector}
    path = work.section("people", identity) / "people.npz"
    if path.is_file():
        everyone = PeopleInVideo.load(path)
        tracker.start(FINDING, everyone.num_frames, everyone.num_frames)
    else:
        tracker.start(FINDING, source.expected_frames)
        everyone = find_people(source, perception.detector, tracker)
        everyone.save(path)
    warn_of(source, everyone.remarks)
    return everyone


def learn_person(
    source: SourceVideo,
    category: str,
    number: int | None,
    height: int,
    width: int,
    perception: Perception,
    work: WorkFolder,
    tracker: Tracker,
    margin: str | None = None,
) -> LearnedPerson:
    """Find a person and learn their clothes.

    Args:
        source: the video.
        category: which garment is to be replaced: upper, lower or overall.
        number: of the person; None is the main one.
        height: of the network's frames, px; the conditions' size is a whole multiple of it.
        width: likewise.
        perception: the models.
        work: where to store what was found.
        tracker: receives the progress.
        margin: of the mask, tight or wide; None: the category's own.

    Raises:
        ConfigError: no such category or margin, no person of this number.
        NoPerson: nobody is in the video.
    """
    rule = _rule_of(category, margin)
    everyone = load_or_find_people(source, perception, work, tracker)
    person = everyone.person(number, source.path)
    framing = frame_for_conditions(person.boxes, source, height, width)
    tracker.start(CONDITIONS, everyone.num_frames)
    picker = Picker(everyone, person, framing)
    wanted = iter([*_evenly(person.times.tolist(), _LESSONS), None])
    next_time = next(wanted)
    frames: list[np.ndarray] = []
    indices: list[int] = []
    times: list[float] = []
    picked: list[Picked] = []
    for index, frame in enumerate(source.frames()):
        if next_time is None:
            break
        if float(frame.time) < next_time - 1e-6:
            continue
        cut = framing.take(frame.image)
        found = perception.detector.detect([cut])[0]
        frames.append(cut)
        indices.append(index)
        times.append(float(frame.time))
        picked.append(picker.pick(cut, found, times[-1]))
        next_time = next(wanted)
        tracker.report(0)
    people = [one.person for one in picked]
    if not any(seen is not None for seen in people):
        raise NoPerson(f"no person found in {source.path} in the detailed second pass")
    parser = perception.parser
    if isinstance(parser, ClipParser):
        parser = parser.learned(frames, people)
    return LearnedPerson(
        source=source, rule=rule, everyone=everyone, person=person, framing=framing,
        parser=parser, frames=frames, indices=indices, times=times, picked=picked,
    )  # fmt: skip


def perceive(
    source: SourceVideo,
    category: str,
    number: int | None,
    height: int,
    width: int,
    perception: Perception,
    work: WorkFolder,
    tracker: Tracker,
    margin: str | None = None,
) -> VideoConditions:
    """Make mask and DensePose of every frame; arguments and errors as for ``learn_person``."""
    rule = _rule_of(category, margin)
    identity = {
        "format": _FORMAT, "source": file_sha256(source.path), "category": category,
        "margin": rule.margin, "person": number, "size": [height, width],
        "perception": _names(perception), "chunk": CHUNK,
    }  # fmt: skip
    folder = work.section("conditions", identity)
    summary_path = folder / "summary.json"
    if summary_path.is_file():
        summary = json.loads(summary_path.read_text(encoding="utf-8"))
        everyone = load_or_find_people(source, perception, work, tracker)
        framing = CropWindow(**summary["framing"])
        tracker.start(CONDITIONS, everyone.num_frames, everyone.num_frames)
    else:
        learned = learn_person(
            source, category, number, height, width, perception, work, tracker, margin
        )
        everyone, framing = learned.everyone, learned.framing
        missing = _make_chunks(learned, perception, folder, tracker)
        if missing == everyone.num_frames:
            raise NoPerson(f"no person found in {source.path} in the detailed second pass")
        summary = {"framing": asdict(framing), "num_without_person": missing}
        write_file(summary_path, json.dumps(summary).encode())
    return VideoConditions(
        source=source,
        category=category,
        margin=rule.margin,
        everyone=everyone,
        person=everyone.person(number, source.path),
        framing=framing,
        num_frames=everyone.num_frames,
        remarks=everyone.remarks,
        num_without_person=int(summary["num_without_person"]),
        perception=_names(perception),
        identity=identity,
        folder=folder,
        work=work,
    )


def check_category(category: str) -> None:
    """Reject an unknown category.

    Raises:
        ConfigError: no such category.
    """
    if category not in CATEGORIES:
        raise ConfigError(f"category={category!r}; one of {', '.join(CATEGORIES)} is expected")


def _rule_of(category: str, margin: str | None) -> MaskRule:
    check_category(category)
    try:
        return mask_rule(category, margin)
    except ValueError as error:
        raise ConfigError(f"agnostic.{error}") from error


def _names(perception: Perception) -> dict[str, str]:
    return {role: f"{info.name} {info.version}" for role, info in perception.infos().items()}


def _make_chunks(
    learned: LearnedPerson, perception: Perception, folder: Path, tracker: Tracker
) -> int:
    """Write the missing chunks; returns the number of frames without the person in all of them."""
    longest = min(round(_BRIDGED_S * learned.source.fps), _MAX_BRIDGED)
    context = min(CHUNK, longest + 2 * MaskSettings().closing_frames)
    total = learned.everyone.num_frames
    finished = count_chunks(folder)
    first = max(0, finished - 1)  # the last finished one is perceived again, as a neighbour
    tracker.start(CONDITIONS, total, min(total, first * CHUNK))
    before: PerceivedFrames | None = None
    now: PerceivedFrames | None = None
    number = first
    for after in itertools.chain(_perceived_chunks(learned, perception, first, tracker), [None]):
        if now is not None:
            if number >= finished:
                mask = chunk_mask(before, now, after, context, longest, learned.rule)
                hem = chunk_hem(now, learned.rule)
                tracks = ConditionTracks(
                    mask=mask, iuv=now.iuv, present=now.present, hem=hem,
                    ground=chunk_ground(now), bare=chunk_bare(now),
                )  # fmt: skip
                store_chunk(folder, number, tracks)
            number += 1
        before, now = now, after
    size = learned.framing.out_height, learned.framing.out_width
    present = [load_chunk(folder, chunk, *size).present for chunk in range(number)]
    return total - int(np.concatenate(present).sum())


def _perceived_chunks(
    learned: LearnedPerson, perception: Perception, first: int, tracker: Tracker
) -> Iterator[PerceivedFrames]:
    """Perception of each chunk, from number ``first`` on."""
    framing, total = learned.framing, learned.everyone.num_frames
    picker = Picker(learned.everyone, learned.person, framing)
    frames = itertools.islice(learned.source.counted_frames(total), first * CHUNK, None)
    cuts = ((float(frame.time), framing.take(frame.image)) for frame in frames)
    done = first * CHUNK
    while batch := list(itertools.islice(cuts, CHUNK)):
        images = [image for _, image in batch]
        found = perception.detector.detect(images)
        picked = [
            picker.pick(image, people, time)
            for (time, image), people in zip(batch, found, strict=True)
        ]
        yield perceive_frames(images, picked, perception, learned.parser, framing)
        done += len(batch)
        tracker.report(done, total)


def _evenly(values: Sequence[Any], count: int) -> list[Any]:
    """At most ``count`` of the values, evenly spread, the middle of each stretch."""
    if len(values) <= count:
        return list(values)
    return [values[int((i + 0.5) * len(values) / count)] for i in range(count)]
