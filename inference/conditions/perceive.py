"""A user's video -> its conditions, by the perception that curated the training clips.

Three passes, each in memory that does not grow with the video: who is there (``people.py``); what
the clothes look like, from frames spread over the whole; then chunk after chunk, every frame. A
chunk depends on the source, on its neighbours' first and last frames, and on nothing else, so a
stopped job goes on where it was and gives the same.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.errors import ConfigError
from curation.perception.protocols import ClipParser, HumanParser, Perception
from datasets.densepose import render_densepose
from datasets.labels import CATEGORIES
from datasets.masks import MaskSettings
from datasets.storage import file_sha256, write_file
from inference.conditions.chunks import Looked, chunk_mask, look, still_masks
from inference.conditions.people import Cast, FoundPerson, find_people
from inference.conditions.picking import Picked, Picker
from inference.conditions.stored import (
    CHUNK,
    ConditionFrame,
    Tracks,
    VideoConditions,
    count_chunks,
    evenly,
    framing_record,
    load_chunk,
    store_chunk,
)
from inference.errors import NoPerson
from inference.progress import CONDITIONS, FINDING, Tracker
from inference.video.framing import Framing, frame_person
from inference.video.source import SourceVideo
from inference.video.work_folder import WorkFolder

_WORK_HEIGHT = 512  # perception wants about this many rows, whatever the network paints
_BRIDGED_S = 0.5  # a person missed for less than this is taken to have been there
_MAX_BRIDGED = 24  # and for fewer frames than this
_LESSONS = 24  # frames that the parser learns the clothes from
_FORMAT = 3  # of what lies in a work folder


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """A person of a video, looked at in a few frames: enough to show what will be painted."""

    source: SourceVideo
    category: str
    cast: Cast
    person: FoundPerson
    framing: Framing
    parser: HumanParser  # has learned the clothes
    frames: list[np.ndarray]  # (out_height, out_width, 3) uint8 each
    indices: list[int]
    times: list[float]
    picked: list[Picked]

    def preview(self, perception: Perception, count: int = 6) -> list[ConditionFrame]:
        """Conditions of some frames; their masks know nothing of their neighbours in time."""
        rows = evenly([i for i, one in enumerate(self.picked) if one.person is not None], count)
        frames, picked = [self.frames[i] for i in rows], [self.picked[i] for i in rows]
        looked = look(frames, picked, perception, self.parser, self.framing)
        mask = still_masks(looked, self.category)
        return [
            ConditionFrame(
                index=self.indices[i], time=self.times[i], image=self.frames[i],
                mask=mask[row], densepose=render_densepose(_as_iuv(looked.parts[row : row + 1]))[0],
            )
            for row, i in enumerate(rows)
        ]  # fmt: skip


def cast_of(
    source: SourceVideo, perception: Perception, work: WorkFolder, tracker: Tracker
) -> Cast:
    """Everyone in a video; kept in the work folder."""
    detector = _names(perception)["detector"]
    identity = {"format": _FORMAT, "source": file_sha256(source.path), "detector": detector}
    path = work.section("people", identity) / "cast.npz"
    if path.is_file():
        cast = Cast.load(path)
        tracker.start(FINDING, cast.num_frames, cast.num_frames)
        return cast
    tracker.start(FINDING, source.expected_frames)
    cast = find_people(source, perception.detector, tracker)
    cast.save(path)
    return cast


def study(
    source: SourceVideo,
    category: str,
    number: int | None,
    height: int,
    width: int,
    perception: Perception,
    work: WorkFolder,
    tracker: Tracker,
) -> Study:
    """Find a person and learn what they wear.

    Args:
        source: the video.
        category: which garment is to be replaced: upper, lower or overall.
        number: of the person; None is the main one.
        height: of the network's frames, px; the conditions' size is a whole multiple of it.
        width: likewise.
        perception: the models to look with.
        work: where to keep what was found.
        tracker: told about every batch of frames.

    Raises:
        ConfigError: no such category, no person of this number.
        NoPerson: nobody is in the video.
    """
    check_category(category)
    cast = cast_of(source, perception, work, tracker)
    person = cast.person(number, source.path)
    scale = max(1, round(_WORK_HEIGHT / height))
    framing = frame_person(person.boxes, source.height, source.width, height * scale, width * scale)
    tracker.start(CONDITIONS, cast.num_frames)
    picker = Picker(cast, person, framing)
    wanted = iter([*evenly(person.times.tolist(), _LESSONS), None])
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
        tracker.tell(0)
    people = [one.person for one in picked]
    if not any(seen is not None for seen in people):
        raise NoPerson(f"no person found in {source.path} when looked at closely")
    parser = perception.parser
    if isinstance(parser, ClipParser):
        parser = parser.learned(frames, people)
    return Study(
        source=source, category=category, cast=cast, person=person, framing=framing, parser=parser,
        frames=frames, indices=indices, times=times, picked=picked,
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
) -> VideoConditions:
    """Make mask and DensePose of every frame; arguments and errors as ``study``."""
    check_category(category)
    identity = {
        "format": _FORMAT, "source": file_sha256(source.path), "category": category,
        "person": number, "size": [height, width], "perception": _names(perception), "chunk": CHUNK,
    }  # fmt: skip
    folder = work.section("conditions", identity)
    summary_path = folder / "summary.json"
    if summary_path.is_file():
        summary = json.loads(summary_path.read_text(encoding="utf-8"))
        cast = cast_of(source, perception, work, tracker)
        framing = Framing(**summary["framing"])
        tracker.start(CONDITIONS, cast.num_frames, cast.num_frames)
    else:
        studied = study(source, category, number, height, width, perception, work, tracker)
        cast, framing = studied.cast, studied.framing
        missing = _make_chunks(studied, perception, folder, tracker)
        if missing == cast.num_frames:
            raise NoPerson(f"no person found in {source.path} when looked at closely")
        summary = {"framing": framing_record(framing), "num_without_person": missing}
        write_file(summary_path, json.dumps(summary).encode())
    return VideoConditions(
        source=source,
        category=category,
        cast=cast,
        person=cast.person(number, source.path),
        framing=framing,
        num_frames=cast.num_frames,
        num_without_person=int(summary["num_without_person"]),
        perception=_names(perception),
        identity=identity,
        folder=folder,
        work=work,
    )


def check_category(category: str) -> None:
    """Refuse one that does not exist.

    Raises:
        ConfigError: no such category.
    """
    if category not in CATEGORIES:
        raise ConfigError(f"category={category!r}; one of {', '.join(CATEGORIES)} is expected")


def _names(perception: Perception) -> dict[str, str]:
    return {role: f"{info.name} {info.version}" for role, info in perception.infos().items()}


def _make_chunks(studied: Study, perception: Perception, folder: Path, tracker: Tracker) -> int:
    """Write what is missing; returns the number of frames without the person, of all."""
    longest = min(round(_BRIDGED_S * studied.source.fps), _MAX_BRIDGED)
    context = min(CHUNK, longest + 2 * MaskSettings().closing_frames)
    total = studied.cast.num_frames
    finished = count_chunks(folder)
    first = max(0, finished - 1)  # the last finished one is looked at again: a neighbour
    tracker.start(CONDITIONS, total, min(total, first * CHUNK))
    before: Looked | None = None
    now: Looked | None = None
    number = first
    for after in itertools.chain(_looked_chunks(studied, perception, first, tracker), [None]):
        if now is not None:
            if number >= finished:
                mask = chunk_mask(before, now, after, context, longest, studied.category)
                store_chunk(folder, number, Tracks(mask=mask, parts=now.parts, present=now.present))
            number += 1
        before, now = now, after
    size = studied.framing.out_height, studied.framing.out_width
    present = [load_chunk(folder, chunk, *size).present for chunk in range(number)]
    return total - int(np.concatenate(present).sum())


def _looked_chunks(
    studied: Study, perception: Perception, first: int, tracker: Tracker
) -> Iterator[Looked]:
    """Perception of chunk after chunk, from number ``first`` on."""
    framing, total = studied.framing, studied.cast.num_frames
    picker = Picker(studied.cast, studied.person, framing)
    frames = itertools.islice(studied.source.counted_frames(total), first * CHUNK, None)
    cuts = ((float(frame.time), framing.take(frame.image)) for frame in frames)
    done = first * CHUNK
    while batch := list(itertools.islice(cuts, CHUNK)):
        images = [image for _, image in batch]
        found = perception.detector.detect(images)
        picked = [
            picker.pick(image, people, time)
            for (time, image), people in zip(batch, found, strict=True)
        ]
        yield look(images, picked, perception, studied.parser, framing)
        done += len(batch)
        tracker.tell(done, total)


def _as_iuv(parts: np.ndarray) -> np.ndarray:
    return np.repeat(parts[..., None], 3, axis=-1)
