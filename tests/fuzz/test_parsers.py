"""Texts that people write, with anything in them: read, or refused with one sentence."""

import itertools
import random
import time
from pathlib import Path

import pytest
import tryon_fixtures

from configs.errors import UserError
from configs.loading import load_config
from curation.settings import CurateConfig
from curation.video.sources import find_sources, sha256_of
from inference.conditions.given import GivenConditions, read_conditions
from inference.job_list import check_outs, read_jobs
from inference.progress import Tracker
from inference.tryon_config import TryOnConfig
from inference.video.source import open_video
from inference.video.work_folder import WorkFolder
from tests.fuzz.media import damage

LIMIT_S = 10.0
SEEDS = {
    "sidecar": (
        b'{"licence": "CC0", "url": "https://x/y", "group": "g1", "split": "bench", '
        b'"truth": "t.mp4", "truth_mask": "m.mp4", "target_garment": "g.png", "fps": 25}',
        '{"group": "日本 \ud83d", "fps": 1e400, "truth": null}'.encode("utf-8", "surrogatepass"),
        b"\xef\xbb\xbf{}",
    ),
    "jobs": (
        b"video,garment,out,category,person,seed,label,garment_kind,mask,densepose\n"
        b'a.mp4,"g,1.png",o.mp4,upper,1,0,AI,auto,m.mp4,d.mp4\n',
        b"\xef\xbb\xbfvideo;garment\r\na.mp4;g.png\r\n",
        b'video,garment\na.mp4@3.2,"g""@1e999\n",\n',
    ),
    "override": (
        b"canonical.max_s=20",
        b"sources.include=[a*,'b: c']",
        b"selection.people.min_other_change=${canonical.max_s}",
        b"probe.max_pixels=!!python/object:os.system {a: &x [*x]}",
    ),
}
TOKENS = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b"\\u0000", b"\\ud800", b"[" * 2000, b"{",
    b"}", b",", b"\n", b"\r", b"=", b":", b"#", b"$", b"${", b"${oc.env:HOME}", b"&a", b"*a", b"~",
    b"../", b"/" * 300, b"x" * 300, b"9" * 5000, b"-1", b"1e999", b"NaN", b"null", b"@", b"%s",
    b"\xf0\x9f\x92\x83", b"!!binary |", b"- ", b"? ", b"<<: *a", b"\t", b"\x1a", b"\x7f", b"|",
)  # fmt: skip


def garbled(kind: str, rng: random.Random) -> bytes:
    """A text of a kind with bytes replaced, taken away and put in."""
    text = bytearray(rng.choice(SEEDS[kind]))
    for _ in range(rng.choice((1, 2, 8))):
        place = rng.randrange(len(text) + 1)
        end = place + rng.choice((0, 0, 1, 5, 40))
        text[place:end] = rng.choice((*TOKENS, rng.randbytes(rng.choice((1, 4, 30)))))
    return bytes(text)


def read_sidecar(data: bytes, folder: Path) -> None:
    (folder / "x.json").write_bytes(data)
    find_sources(folder, sha256_of)


def read_list(data: bytes, folder: Path) -> None:
    (folder / "jobs.csv").write_bytes(data)
    check_outs(read_jobs(folder / "jobs.csv", folder / "out", TryOnConfig()))


def read_override(data: bytes, folder: Path) -> None:
    word = data.decode("utf-8", "surrogateescape").replace("\0", "")  # as from the command line
    load_config(CurateConfig, None, [word])


READERS = {"sidecar": read_sidecar, "jobs": read_list, "override": read_override}


def check(kind: str, count: int, seed: int, folder: Path) -> None:
    rng, faults, num_refused = random.Random(seed), {}, 0
    place = folder / "in"
    place.mkdir()
    (place / "x").mkdir()
    for number in range(8):
        (place / "x" / f"{number}.png").write_bytes(b"picture")
    for name in ("t.mp4", "m.mp4", "g.png"):
        (place / name).write_bytes(name.encode())
    for _ in range(count):
        data, started = garbled(kind, rng), time.monotonic()
        try:
            READERS[kind](data, place)
        except UserError:
            num_refused += 1
        except Exception as error:
            faults[repr(error)[:200]] = data
        assert time.monotonic() - started < LIMIT_S, data
    assert not faults, faults
    assert num_refused > count // 10


@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_garbled_texts_are_read_or_refused(kind, tmp_path):
    check(kind, 25 if kind == "override" else 300, 0, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_many_garbled_texts_are_read_or_refused(kind, tmp_path):
    check(kind, 2000 if kind == "override" else 20_000, 1, tmp_path)


def check_conditions(count: int, seed: int, folder: Path) -> None:
    rng = random.Random(seed)
    source = tryon_fixtures.write_video(folder / "v.mp4", people=[True] * 6)
    whole = tryon_fixtures.write_video(folder / "m.mp4", people=[True] * 6)
    outcomes = set()
    for _, name in zip(range(count), itertools.cycle(("mask", "densepose")), strict=False):
        paths = {"mask": whole, "densepose": whole, name: folder / "damaged.mp4"}
        paths[name].write_bytes(damage(whole.read_bytes(), rng, "mp4"))
        started = time.monotonic()
        try:
            given = GivenConditions(mask=paths["mask"], densepose=paths["densepose"])
            read_conditions(open_video(source), given, "upper", 32, 48, WorkFolder(), Tracker(None))
            outcomes.add("read")
        except UserError:
            outcomes.add("refused")
        assert time.monotonic() - started < LIMIT_S
    assert outcomes == {"read", "refused"}


def test_damaged_conditions_are_read_or_refused(tmp_path):
    check_conditions(8, 0, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_damaged_conditions_are_read_or_refused(tmp_path):
    check_conditions(300, 1, tmp_path)
