"""Videos whose transitions are known: real takes, and real takes joined in every way.

Takes of ../shared/media are cut to one size and joined by cuts, dissolves, fades and wipes, or
disturbed by what is no cut: flashes, strobes, whip pans, somebody who passes before the camera.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations
from pathlib import Path

import cv2
import numpy as np

from curation.video.decode import decode
from datasets.video.reader import ReadNotes
from tests.bench.cut_disturbances import DISTURBANCES, Frames, panned, shaken

MEDIA = Path(__file__).parents[3] / "shared" / "media"
HEIGHT, WIDTH, FPS = 288, 384, 25.0
PIECE = 40  # frames of a take between two transitions
LONG_PIECE = 72
Between = Callable[[Frames, Frames], Frames]
Truth = tuple[tuple[int, int], ...]
"""(leave, enter) of each transition, as ``curation.selection.shots.Transition`` counts them."""

KNOWN: dict[str, Truth] = {
    "cuts/cuts_asl_3persons.mp4": ((89, 89), (176, 176)),
    "cuts/cuts_dissolve_freeze_empty.mp4": ((60, 60), (104, 116), (164, 164), (234, 234)),
    "cuts/nasa_13013.mp4": ((127, 152), (202, 202)),  # SOURCES.tsv calls the dissolve a cut
    "cuts/letterbox_whitefade_blackend.mp4": ((0, 15), (96, 108)),
    "cuts/blurred_juggle.mp4": (),
}
TAKES = (
    "asl_again", "asl_bird", "asl_book", "asl_brother", "asl_eat", "asl_help", "asl_hungry",
    "asl_learn", "asl_milk", "asl_night", "asl_no", "asl_please",
)  # fmt: skip
ONE_ROOM = ("asl_again", "asl_brother", "asl_help", "asl_no")  # of one person
PEOPLE = (
    ONE_ROOM, ("asl_bird", "asl_milk", "asl_please"), ("asl_book", "asl_learn"),
    ("asl_eat", "asl_night"),
)  # fmt: skip
COARSE = {"crf": "40"}
COARSEST = {"crf": "48", "g": "24"}
"""Keyframes of such videos bring back what the frames before them had lost."""


@dataclass(frozen=True, kw_only=True)
class CutVideo:
    """A video and its transitions."""

    group: str
    name: str
    truth: Truth
    path: Path | None = None  # of a file as it is; None: it is made of ``frames``
    frames: Sequence[np.ndarray] = ()
    options: dict[str, str] = field(default_factory=dict)  # of the encoder


@cache
def take(name: str) -> Frames:
    """A real take, RGB (HEIGHT, WIDTH, 3), its middle where its shape is another one."""
    folder = MEDIA / name
    frames: Frames = []
    for _, frame in decode(folder, ReadNotes()):
        image = frame.to_ndarray(format="rgb24")
        height, width = image.shape[:2]
        scale = max(HEIGHT / height, WIDTH / width)
        size = (max(round(width * scale), WIDTH), max(round(height * scale), HEIGHT))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        top, left = (size[1] - HEIGHT) // 2, (size[0] - WIDTH) // 2
        frames.append(np.ascontiguousarray(image[top : top + HEIGHT, left : left + WIDTH]))
    return frames


def moving_takes() -> list[Frames]:
    """One piece each of ten takes in which somebody moves, no two of one room in a row."""
    names = (
        "single/asl_again.mkv", "single/juggle.mp4", "single/asl_bird.mkv",
        "multi/bedroom_two_children.mp4", "single/asl_book.mkv", "single/onebyone_person.mp4",
        "single/asl_eat.mkv", "multi/store-aisle-detection.mp4", "single/asl_hungry.mkv",
        "single/asl_brother.mkv",
    )  # fmt: skip
    starts = {"single/onebyone_person.mp4": 100, "single/juggle.mp4": 60}
    return [take(name)[starts.get(name, 4) : starts.get(name, 4) + PIECE] for name in names]


def long_takes() -> list[Frames]:
    """The same of takes that are long enough for slow transitions."""
    spans = (
        ("single/juggle.mp4", 0), ("single/onebyone_person.mp4", 110), ("single/asl_book.mkv", 10),
        ("multi/bedroom_two_children.mp4", 20), ("single/asl_again.mkv", 3),
        ("single/onebyone_person.mp4", 560), ("single/juggle.mp4", 150),
        ("multi/bedroom_two_children.mp4", 120),
    )  # fmt: skip
    return [take(name)[first : first + LONG_PIECE] for name, first in spans]


def join(pieces: Sequence[Frames], between: Between, length: int) -> tuple[Frames, Truth]:
    """Pieces one after the other; ``between`` makes ``length`` frames of the end and the start.

    Returns:
        Frames, and the transitions.
    """
    frames: Frames = list(pieces[0])
    truth: list[tuple[int, int]] = []
    for piece in pieces[1:]:
        if length:
            mixed = between(frames[-length:], piece[:length])
            frames = [*frames[:-length], *mixed, *piece[length:]]
            at = len(frames) - len(piece)
            truth.append((at, at + length))
        else:
            truth.append((len(frames), len(frames)))
            frames += piece
    return frames, tuple(truth)


def dissolve(end: Frames, start: Frames) -> Frames:
    """Both at once, the share of the second growing evenly."""
    shares = (np.arange(len(end)) + 1) / (len(end) + 1)
    return [cv2.addWeighted(a, 1 - s, b, s, 0) for a, b, s in zip(end, start, shares, strict=True)]


def through_black(end: Frames, start: Frames) -> Frames:
    """The first goes dark, then the second comes out of the dark."""
    half = len(end) // 2
    out = [(f * (1 - (i + 1) / half)).astype(np.uint8) for i, f in enumerate(end[:half])]
    rest = len(end) - half
    return out + [(f * (i / rest)).astype(np.uint8) for i, f in enumerate(start[half:])]


def wipe(end: Frames, start: Frames) -> Frames:
    """The second comes in from the left."""
    mixed = []
    for i, (a, b) in enumerate(zip(end, start, strict=True)):
        edge = round(WIDTH * (i + 1) / (len(end) + 1))
        mixed.append(np.concatenate([b[:, :edge], a[:, edge:]], axis=1))
    return mixed


def insert(pieces: Sequence[Frames], length: int) -> tuple[Frames, Truth]:
    """A few frames of another take in the middle of each; one transition, there and back."""
    frames: Frames = []
    truth: list[tuple[int, int]] = []
    for piece, other in zip(pieces, [*pieces[1:], pieces[0]], strict=True):
        if frames:
            truth.append((len(frames), len(frames)))
        half = len(piece) // 2
        at = len(frames) + half
        frames += [*piece[:half], *other[:length], *piece[half:]]
        truth.append((at, at + length))
    return frames, tuple(truth)


def cut_videos(word: str = "") -> Iterator[CutVideo]:
    """All of them, in groups whose name holds ``word``."""
    for videos in (whole_files, joined_takes, disturbed_takes):
        for video in videos():
            if word in video.group:
                yield video


def whole_files() -> Iterator[CutVideo]:
    """Files as they are."""
    for name, truth in KNOWN.items():
        yield CutVideo(group="known cuts", name=name, truth=truth, path=MEDIA / name)
    for folder in ("single", "multi", "pose", "densepose"):
        for path in sorted((MEDIA / folder).iterdir()):
            group = "single takes" if folder == "single" else "other takes"
            yield CutVideo(group=group, name=f"{folder}/{path.name}", truth=(), path=path)


def joined_takes() -> Iterator[CutVideo]:
    """Takes one after the other."""

    def joined(group: str, pieces: Sequence[Frames], between: Between, length: int) -> CutVideo:
        frames, truth = join(pieces, between, length)
        return CutVideo(group=group, name=group, truth=truth, frames=frames)

    quick, slow = moving_takes(), long_takes()
    yield joined("cuts", quick, dissolve, 0)
    room = [take(f"single/{name}.mkv")[5:45] for name in ONE_ROOM * 2]
    yield joined("cuts in one room", room, dissolve, 0)
    yield from takes_of_one_person()
    for name in TAKES:
        frames = take(f"single/{name}.mkv")
        if len(frames) >= 60:
            yield joined("jump cuts", [frames[:20], frames[32:]], dissolve, 0)
    passing, juggle = take("single/onebyone_person.mp4"), take("single/juggle.mp4")
    yield joined("jump cuts", [passing[i : i + 30] for i in range(60, 460, 45)], dissolve, 0)
    yield joined("jump cuts", [juggle[i : i + 20] for i in range(0, 240, 30)], dissolve, 0)
    for length in (4, 8, 12):
        yield joined(f"dissolves of {length}", quick, dissolve, length)
    for length in (18, 25, 36):
        yield joined(f"dissolves of {length}", slow, dissolve, length)
    for disturb, name in ((shaken, "shaken"), (panned, "panned")):
        rng = np.random.default_rng(1)
        pieces = [disturb(piece, rng) for piece in slow]
        yield joined(f"{name} cuts", pieces, dissolve, 0)
        for length in (8, 16, 25):
            yield joined(f"{name} dissolves of {length}", pieces, dissolve, length)
    yield joined("through black", quick, through_black, 16)
    yield joined("wipes", quick, wipe, 8)
    yield joined("wipes", slow, wipe, 16)
    for length in (2, 4, 8):
        frames, truth = insert(quick, length)
        group = f"inserts of {length}"
        yield CutVideo(group=group, name=group, truth=truth, frames=frames)


def takes_of_one_person() -> Iterator[CutVideo]:
    """Two takes of one person in one room, cut where hands hang, and where they sign."""
    pairs = [pair for person in PEOPLE for pair in permutations(person, 2)]
    for names in pairs:
        one, other = (take(f"single/{name}.mkv") for name in names)
        at_rest = [one[-30:], other[:30]]
        signing = [one[: len(one) // 2], other[len(other) // 2 :]]
        for pieces in (at_rest, signing):
            frames, truth = join(pieces, dissolve, 0)
            for group, options in (("cuts of one person", {}), ("the same, coarse", COARSE)):
                name = " ".join(names)
                yield CutVideo(group=group, name=name, truth=truth, frames=frames, options=options)


def disturbed_takes() -> Iterator[CutVideo]:
    """Single takes in which something happens that is no transition."""
    rng = np.random.default_rng(0)
    quick = moving_takes()
    long = [*long_takes(), take("single/juggle.mp4"), take("multi/bedroom_two_children.mp4")]
    long.append(take("single/onebyone_person.mp4")[60:560])
    for disturb in DISTURBANCES:
        group = disturb.__name__.replace("_", " ")
        has_few = group in ("hurried", "stretched", "lossy")
        for index, piece in enumerate(long if has_few else quick):
            frames = disturb(piece, rng)
            yield CutVideo(group=group, name=f"{group} {index}", truth=(), frames=frames)
    for index, piece in enumerate(long):
        name = f"coarsest {index}"
        yield CutVideo(group="coarsest", name=name, truth=(), frames=piece, options=COARSEST)
