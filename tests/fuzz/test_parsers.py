"""Texts that people write, with anything in them: read, or refused with one sentence."""

import itertools
import random
from pathlib import Path

import pytest
import tryon_fixtures
from waiting import cpu_at_most

from configs.errors import UserError
from inference.conditions.given import GivenConditions, read_conditions
from inference.progress import Tracker
from inference.video.source import open_video
from inference.video.work_folder import WorkFolder
from tests.fuzz.media import CPU_LIMIT_S, damage
from tests.fuzz.parsers import PARSERS, TOKENS, make_place

SLOW = {"given", "override", "settings"}
FOUND = {
    "override": (b"[[[checkpoint=~", b"[" * 2000 + b"a=1"),
    "settings": (b"src: caf\xe9\n", b"a: " + b"[" * 2000, b"src: a\0b\n", b"-1",
                 b"sources: {include../: [1]}\n", b"out: ${:rc}/x\n"),
    "vivid": (
        b'{"video": "caf\xe9.mp4"}', b"[" * 20_000,
        b'{"image": "g.jpg", "subdir": "dresses", "front_seqs": [3, 9], "video": "'
        + b"x" * 300 + b'"}',
    ),
    "eevee": (b"Person\n" + b"x" * 300 + b"\n",),
    "parts": (b"\x1aE\xdf\xa3\xff\xff\xff\xff" + 2 * b"\x1aE\xdf\xa3\x90B\x82\x84webm",),
}  # fmt: skip
"""What raised something else, or was wrong, once (``python -m tests.fuzz``, or by reading)."""


def garbled(kind: str, rng: random.Random) -> bytes:
    """A text of a kind with bytes replaced, taken away and put in."""
    text = bytearray(rng.choice(PARSERS[kind].seeds))
    for _ in range(rng.choice((1, 2, 8))):
        place = rng.randrange(len(text) + 1)
        end = place + rng.choice((0, 0, 1, 5, 40))
        text[place:end] = rng.choice((*TOKENS, rng.randbytes(rng.choice((1, 4, 30)))))
    return bytes(text)


def check(kind: str, count: int, seed: int, folder: Path) -> None:
    parser, place = PARSERS[kind], make_place(folder)
    rng, faults, num_refused = random.Random(seed), {}, 0
    for _ in range(count):
        data = garbled(kind, rng)
        try:
            with cpu_at_most(CPU_LIMIT_S, data):
                parser.read(data, place)
        except UserError:
            num_refused += 1
        except Exception as error:
            faults[repr(error)[:200]] = data
    assert not faults, faults
    assert (num_refused > count // 10) == parser.refuses


@pytest.mark.parametrize("kind", sorted(PARSERS))
def test_garbled_texts_are_read_or_refused(kind, tmp_path):
    check(kind, 25 if kind in SLOW else 300, 0, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", sorted(PARSERS))
def test_many_garbled_texts_are_read_or_refused(kind, tmp_path):
    check(kind, 20_000, 1, tmp_path)


@pytest.mark.parametrize("kind", sorted(FOUND))
def test_what_fuzzing_found_is_read_or_refused_with_a_sentence(kind, tmp_path):
    parser, place = PARSERS[kind], make_place(tmp_path)
    for data in FOUND[kind]:
        if parser.refuses:
            with pytest.raises(UserError):
                parser.read(data, place)
        else:
            parser.read(data, place)


def _outcome(source: Path, given: GivenConditions) -> str:
    try:
        read_conditions(open_video(source), given, "upper", 32, 48, WorkFolder(), Tracker(None))
    except UserError:
        return "refused"
    return "read"


def check_conditions(count: int, seed: int, folder: Path) -> None:
    rng = random.Random(seed)
    source = tryon_fixtures.write_video(folder / "v.mp4", people=[True] * 6)
    whole = tryon_fixtures.write_video(folder / "m.mp4", people=[True] * 6)
    outcomes = set()
    for _, name in zip(range(count), itertools.cycle(("mask", "densepose")), strict=False):
        paths = {"mask": whole, "densepose": whole, name: folder / "damaged.mp4"}
        paths[name].write_bytes(damage(whole.read_bytes(), rng, "mp4"))
        given = GivenConditions(mask=paths["mask"], densepose=paths["densepose"])
        with cpu_at_most(CPU_LIMIT_S, name):
            outcomes.add(_outcome(source, given))
    assert outcomes == {"read", "refused"}


def test_damaged_conditions_are_read_or_refused(tmp_path):
    check_conditions(8, 0, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_damaged_conditions_are_read_or_refused(tmp_path):
    check_conditions(300, 1, tmp_path)
