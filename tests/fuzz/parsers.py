"""What of a user's files this project reads by itself: a reader of any bytes for each kind.

A reader returns, or raises a ``UserError``. Folders that it needs are made by ``make_place``.
"""

import itertools
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np

from configs.errors import UserError
from configs.loading import load_config
from curation.settings import CurateConfig
from curation.video.frame_folders import frames_rate
from curation.video.own_output import maker_of
from curation.video.sources import find_sources, sha256_of
from datasets.benchmarks.eevee import SUBSETS, read_eevee
from datasets.benchmarks.vivid import read_vivid
from datasets.video.clock import Clock
from datasets.video.orientation import orientation_of
from datasets.video.parts import FilePart, parts_of
from inference.conditions.given import FORMATS, GivenConditions, read_conditions
from inference.job_list import check_outs, read_jobs
from inference.progress import Tracker
from inference.tryon_config import TryOnConfig
from inference.video.source import open_video
from inference.video.work_folder import WorkFolder

MATRIX = struct.Struct("<9i")
STAMPS = struct.Struct("<?i?i")
STAMPED_FORMATS = ("mpegts", "mov,mp4,m4a,3gp,3g2,mj2")


@dataclass(frozen=True, kw_only=True)
class Parser:
    """One kind of text or bytes.

    Attributes:
        read: the reader, of bytes and the folder of ``make_place``.
        seeds: bytes that it reads.
        refuses: whether it may raise a ``UserError``.
    """

    read: Callable[[bytes, Path], None]
    seeds: tuple[bytes, ...]
    refuses: bool = True


def make_place(folder: Path) -> Path:
    """The files that the seeds name."""
    for name in ("t.mp4", "m.mp4", "g.png", *(f"x/{number}.png" for number in range(8))):
        (folder / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "src" / name).write_bytes(name.encode())
    for subset in ("dresses", "lower_body", "upper_bdoy"):
        place = folder / "eevee" / subset / "00030"
        place.mkdir(parents=True)
        for name in ("garment.png", "video_0.mp4", "video_0_mask.mp4", "video_1.mp4",
                     "video_1_mask.mp4"):  # fmt: skip
            (place / name).touch()
    for name in ("v", "mask", "densepose"):
        (folder / f"{name}.mkv").write_bytes(given_video("matroska", "ffv1"))
    for _, name, _ in SUBSETS.values():
        (folder / "eevee" / name).write_text("Person,Garment\n00030,30\n")
    for name in ("videos/a.mp4", "images/g.jpg"):
        path = folder / "vivid/dresses" / name
        path.parent.mkdir(parents=True)
        path.touch()
    return folder


@cache
def given_video(container_format: str, codec: str) -> bytes:
    """Four frames of 32x24 px, a bright square on dark ground: video, mask or DensePose."""
    with tempfile.NamedTemporaryFile() as file:
        with av.open(file.name, "w", format=container_format) as container:
            stream: Any = container.add_stream(codec, rate=10)
            stream.height, stream.width, stream.pix_fmt = 32, 24, "yuv420p"
            for index in range(4):
                image = np.zeros((32, 24, 3), np.uint8)
                image[8:24, 4 + index : 14 + index] = 255
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return Path(file.name).read_bytes()


def read_given(data: bytes, folder: Path) -> None:
    """A mask or a DensePose video (by the number of bytes), handed in with a whole other one."""
    paths = {name: folder / f"{name}.mkv" for name in ("mask", "densepose")}
    given = paths["mask" if len(data) % 2 else "densepose"] = folder / "given"
    given.write_bytes(data)
    conditions = read_conditions(
        open_video(folder / "v.mkv"),
        GivenConditions(**paths, densepose_format=FORMATS[len(data) // 2 % 2]),
        "upper", 32, 24, WorkFolder(), Tracker(None),
    )  # fmt: skip
    assert conditions.num_frames == 4
    assert len(list(conditions.frames())) == 4


def read_sidecar(data: bytes, folder: Path) -> None:
    src = folder / "src"
    (src / "x.json").write_bytes(data)
    find_sources(src, sha256_of)
    frames_rate(src / "x")


def read_list(data: bytes, folder: Path) -> None:
    (folder / "jobs.csv").write_bytes(data)
    check_outs(read_jobs(folder / "jobs.csv", folder / "out", TryOnConfig()))


def read_override(data: bytes, folder: Path) -> None:
    word = data.decode("utf-8", "surrogateescape").replace("\0", "")  # as from the command line
    for schema in (CurateConfig, TryOnConfig):
        try:
            load_config(schema, None, [word])
        except UserError as error:
            last = error
        else:
            return
    raise last


def read_settings(data: bytes, folder: Path) -> None:
    (folder / "c.yaml").write_bytes(data)
    load_config(CurateConfig, folder / "c.yaml")


def read_eevee_list(data: bytes, folder: Path) -> None:
    (folder / "eevee/dresses_test.csv").write_bytes(data)
    read_eevee(folder / "eevee")


def read_vivid_list(data: bytes, folder: Path) -> None:
    (folder / "vivid/test_data_180.jsonl").write_bytes(data)
    read_vivid(folder / "vivid")


def read_record(data: bytes, folder: Path) -> None:
    (folder / "jobs.json").write_bytes(data)
    maker_of(folder, {"jobs.json"})


def read_matrix(data: bytes, folder: Path) -> None:
    data = data[: MATRIX.size].ljust(MATRIX.size, b"\0")

    class Entry(bytes):
        type = "Type.DISPLAYMATRIX"

    turned = orientation_of(SimpleNamespace(side_data=[Entry(data)]))
    assert turned.quarter_turns in range(4)


def read_stamps(data: bytes, folder: Path) -> None:
    """Times rise, and no more than one frame in a row is dropped for each stamp that is wrong."""
    for kind in STAMPED_FORMATS:
        clock, last = Clock(Fraction(25), kind), None
        for has_pts, pts, has_dts, dts in STAMPS.iter_unpack(
            data[: len(data) // STAMPS.size * STAMPS.size]
        ):
            time = clock.place(
                Fraction(pts, 90_000) if has_pts else None,
                Fraction(dts, 90_000) if has_dts else None,
            )
            assert time is not None or last is not None
            if time is not None:
                assert time >= 0 if last is None else time > last
                last = time


def read_parts(data: bytes, folder: Path) -> None:
    """The parts follow each other and are the whole file."""
    path = folder / "parts.mp4"
    path.write_bytes(data)
    spans = parts_of(path)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(data)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))
    whole = [FilePart(path, span).read(len(data)) for span in spans]
    assert b"".join(whole) == data


BOX = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov\0\0\0\x09mdat!"
PARSERS = {
    "sidecar": Parser(
        read=read_sidecar,
        seeds=(
            b'{"licence": "CC0", "url": "https://x/y", "group": "g1", "split": "bench", '
            b'"truth": "t.mp4", "truth_mask": "m.mp4", "target_garment": "g.png", "fps": 25}',
            '{"group": "日本 \ud83d", "fps": 1e400, "truth": null}'.encode(
                "utf-8", "surrogatepass"
            ),
            b"\xef\xbb\xbf{}",
        ),
    ),
    "jobs": Parser(
        read=read_list,
        seeds=(
            b"video,garment,out,category,person,seed,label,garment_kind,mask,densepose\n"
            b'a.mp4,"g,1.png",o.mp4,upper,1,0,AI,auto,m.mp4,d.mp4\n',
            b"\xef\xbb\xbfvideo;garment\r\na.mp4;g.png\r\n",
            b'video,garment\na.mp4@3.2,"g""@1e999\n",\n',
        ),
    ),
    "override": Parser(
        read=read_override,
        seeds=(
            b"canonical.max_s=20",
            b"sources.include=[a*,'b: c']",
            b"selection.people.min_other_change=${canonical.max_s}",
            b"probe.max_pixels=!!python/object:os.system {a: &x [*x]}",
            b"checkpoint=~",
            b"sampler.num_steps=0x1F",
        ),
    ),
    "given": Parser(
        read=read_given,
        seeds=(
            given_video("matroska", "ffv1"), given_video("mp4", "mpeg4"),
            given_video("avi", "rawvideo"),
        ),
    ),
    "settings": Parser(
        read=read_settings,
        seeds=(
            b"src: dances #2\nout: 007\nsources: {include: [2024.10, 'b: c'], licence: 1e3}\n"
            b"probe:\n  interlaced: refuse\n  max_declared_s: 1_000\n",
            b"out: ${src}/x\nsrc: >-\n  a\n  b\nsources:\n  splits: {'a*': val, b*: bench}\n",
            b"\xef\xbb\xbf# only this\nworkers: &n 2\nshards: {<<: {max_clips: *n}}\n",
        ),
    ),
    "eevee": Parser(
        read=read_eevee_list,
        seeds=(b"Person,Garment\n00030,30\n30,\n", b"\xef\xbb\xbfcloth, PERSON\r\n30,00030\r\n"),
    ),
    "vivid": Parser(
        read=read_vivid_list,
        seeds=(
            b'{"video": "a.mp4", "image": "g.jpg", "subdir": "dresses", "front_seqs": [35, 99]}\n',
            b'{"video_path": "a.mp4", "cloth": "g.jpg", "category": "overall", "start": 0, '
            b'"end": 64}\n\n',
        ),
    ),
    "record": Parser(
        read=read_record, refuses=False, seeds=(b'{"a.mp4": {"request": {}, "report": {}}}',)
    ),
    "matrix": Parser(
        read=read_matrix, refuses=False,
        seeds=(MATRIX.pack(0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30),),
    ),
    "stamps": Parser(
        read=read_stamps, refuses=False,
        seeds=(b"".join(STAMPS.pack(True, i * 3600, i % 3 > 0, i * 3600) for i in range(6)),),
    ),
    "parts": Parser(
        read=read_parts, refuses=False,
        seeds=(
            BOX + BOX, b"\x1aE\xdf\xa3\x90B\x82\x84webm" * 2,
            b"FLV\x01\x05\0\0\0\x09\0\0\0\0" * 2,
        ),
    ),
}  # fmt: skip
TOKENS = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b"\\u0000", b"\\ud800", b"[" * 2000, b"{",
    b"}", b",", b"\n", b"\r", b"=", b":", b"#", b"$", b"${", b"${oc.env:HOME}", b"&a", b"*a", b"~",
    b"../", b"/" * 300, b"x" * 300, b"9" * 5000, b"-1", b"1e999", b"NaN", b"null", b"@", b"%s",
    b"\xf0\x9f\x92\x83", b"!!binary |", b"- ", b"? ", b"<<: *a", b"\t", b"\x1a", b"\x7f", b"|",
)  # fmt: skip
"""What has a meaning somewhere, and what is too long."""
