"""Frames in which the person was not found: how many, which, and when that is too many.

Such frames are kept as they are. A few at the end are nothing; a video that is mostly kept looks
finished and is not, so it is said, and refused beyond a share.
"""

import itertools
import logging
from collections.abc import Sequence

import numpy as np

from configs.console import counted
from inference.conditions.people import FoundPerson
from inference.conditions.stored import CHUNK, VideoConditions
from inference.errors import InputError
from inference.video.source import SourceVideo

logger = logging.getLogger(__name__)

WARNED_SHARE = 0.1
"""Above this, the command and the page warn."""
_SHOWN_STRETCHES = 5


class TooFewSeen(InputError):  # noqa: N818
    """The person was found in too few frames."""

    plain = "The person was found in too few frames of this video."


def unseen_frames(conditions: VideoConditions) -> np.ndarray:
    """Whether the person was missed, for each frame, (n,) bool."""
    starts = range(0, conditions.num_frames, CHUNK)
    present = [
        conditions.tracks(start, min(start + CHUNK, conditions.num_frames)).present
        for start in starts
    ]
    return ~np.concatenate(present).astype(bool)


def stretches_in_words(unseen: Sequence[bool] | np.ndarray) -> str:
    """``frames 3, 12-41``: counted from 0; the longest few where there are many."""
    found: list[tuple[int, int]] = []
    for is_unseen, group in itertools.groupby(enumerate(unseen), key=lambda pair: bool(pair[1])):
        indices = [index for index, _ in group]
        if is_unseen:
            found.append((indices[0], indices[-1]))
    longest = sorted(sorted(found, key=lambda run: run[0] - run[1])[:_SHOWN_STRETCHES])
    words = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in longest)
    rest = len(found) - len(longest)
    return f"frames {words}" + (f" and {rest} shorter stretches" if rest else "")


def unseen_in_words(unseen: np.ndarray) -> str:
    """One sentence without a full stop; empty if every frame shows the person."""
    if not unseen.any():
        return ""
    count, total = int(unseen.sum()), len(unseen)
    return (
        f"the person was not found in {count} of {counted(total, 'frame')} ({count / total:.0%}; "
        f"{stretches_in_words(unseen)}); these are kept as they are"
    )


def check_seen(conditions: VideoConditions) -> None:
    """Warn above ``WARNED_SHARE``; refuse above the limits' share. Given masks are not judged.

    Raises:
        TooFewSeen: as said.
    """
    if conditions.person is None or not conditions.num_without_person:
        return
    share = conditions.num_without_person / conditions.num_frames
    words = unseen_in_words(unseen_frames(conditions))
    most = conditions.source.limits.max_unseen_share
    if share > most:
        raise TooFewSeen(
            f"{conditions.source.path}: {words}; max_unseen={most:g} is the "
            "largest share that is painted. Look at preview=sheet.png; max_unseen=1 paints anyway",
            plain=f"{words[:1].upper()}{words[1:]}: too few to be worth painting.",
        )
    if share > WARNED_SHARE:
        logger.warning("%s: %s", conditions.source.path.name, words)


def expected_unseen(source: SourceVideo, person: FoundPerson) -> np.ndarray:
    """The same from the first pass alone, before conditions are made, (n,) bool."""
    return np.array([person.box_at(float(frame.time)) is None for frame in source.frames()], bool)


def pictures_of(
    source: SourceVideo, unseen: np.ndarray, count: int
) -> list[tuple[int, np.ndarray]]:
    """Some of these frames, evenly spread: index and (height, width, 3) uint8 RGB."""
    rows = np.flatnonzero(unseen)
    if not len(rows):  # reading a video takes time
        return []
    if len(rows) > count:
        rows = rows[np.linspace(0, len(rows) - 1, count).round().astype(int)]
    wanted = set(rows.tolist())
    return [(i, frame.image) for i, frame in enumerate(source.frames()) if i in wanted]
