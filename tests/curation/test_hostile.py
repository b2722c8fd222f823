"""Every row of the table of what raw folders hold, and the one verdict that each must get."""

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from waiting import cpu_at_most

from curation.pipeline import Curator, SourceResult
from curation.selection.overlays import OverlaysConfig
from curation.selection.probe import ProbeConfig
from curation.settings import CurateConfig
from curation.shards.catalogue import build_catalogue
from curation.workers.executor import Workers
from datasets.tracks import read_frames
from datasets.video.tone_mapping import BT709_FROM_BT2020, HLG, PQ, hlg_light, pq_code
from tests.curation import hostile as h

MAX_CPU_S = 60.0
MAX_MEMORY_GB = 1.5
SIMPLE = {"bf": "0"}
BT2020_PRIMARIES, BT2020_MATRIX = 9, 9


@dataclass(frozen=True)
class Row:
    """A file and what must become of it."""

    name: str
    make: Callable[[Path], object]
    clips: tuple[str, ...] = ("kept",)  # "kept" or a code, clip by clip
    code: str | None = None  # of the source as a whole
    is_partial: bool = False
    is_same_picture: bool = True  # the clip shows what the plain file's clip shows
    seconds: float | None = h.NUM_FRAMES / h.FPS  # of the kept clips together; None: not asked


def refused(name: str, code: str, make: Callable[[Path], object]) -> Row:
    return Row(name, make, clips=(), code=code)


def turned(turns: int, matrix: tuple[int, int, int, int], *, mirror: str = "") -> Callable:
    """Stored the other way round; the track's matrix turns it back."""

    def make(path: Path) -> None:
        frames = [np.rot90(frame, turns) for frame in h.dance()]
        if mirror:
            frames = [np.flip(frame, "vh".index(mirror)) for frame in frames]
        h.set_matrix(h.write(path, frames), matrix)

    return make


def variable_rate(path: Path) -> None:
    """The plain file's frames, each shown as often as chance wants, 60 a second at most."""
    frames = h.dance()
    fine = [frames[i // 6] for i in range(6 * len(frames))]
    keep = sorted({6 * i for i in range(len(frames))} | set(range(0, len(fine), 11)))
    h.write(path, [fine[i] for i in keep], fps=60, times_s=[i / 60 for i in keep])


def hdr(path: Path, transfer: int) -> None:
    """The plain file's frames, 203 cd/m2 for white, in ten bits and BT.2020."""
    to_2020 = np.linalg.inv(BT709_FROM_BT2020)
    codes = np.arange(4096) / 4095
    frames = []
    for frame in h.dance():
        nits = np.clip(203 * (frame / 255.0) ** 2.4 @ to_2020.T, 0, None)
        if transfer == PQ:
            coded = pq_code(nits)
        else:
            luma = np.maximum(nits @ [0.2627, 0.6780, 0.0593], 1e-6)[..., None] / 1000
            coded = np.interp(nits / 1000 * luma ** (1 / 1.2 - 1), hlg_light(codes), codes)
        frames.append(np.rint(coded * 65_535).astype(np.uint16))
    colour = (BT2020_PRIMARIES, transfer, BT2020_MATRIX)
    h.write(path, frames, pixel_format="yuv420p10le", colour=colour)


def wide_pixels(path: Path) -> None:
    squeezed = [cv2.resize(frame, (h.WIDTH, h.HEIGHT)) for frame in h.dance(width=h.WIDTH * 3 // 2)]
    h.write(path, squeezed, aspect=Fraction(3, 2))


def odd_sides(path: Path) -> None:
    h.write(path, h.dance(height=h.HEIGHT + 1, width=h.WIDTH + 1), pixel_format="yuv444p")


def two_takes(path: Path) -> Path:
    return h.write(path, [*h.dance(18), *h.dance(18, seed=4)], options={"g": "6", **SIMPLE})


def truncated(path: Path) -> None:
    """A whole take, and half of the next one; the index came first."""
    frames = [*h.dance(18), *h.dance(40, seed=4)]
    h.write(path, frames, options={"g": "6", **SIMPLE}, container_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: h.mdat_start(data) + int(0.6 * (len(data) - h.mdat_start(data)))])


def bit_flipped(path: Path) -> None:
    """Two takes; in the middle of the second, noise."""
    data = bytearray(two_takes(path).read_bytes())
    start = h.mdat_start(data)
    # what the mdat holds runs to the moov behind it
    end = data.index(b"moov") if data.index(b"moov") > start else len(data)
    at = start + int(0.75 * (end - start))
    data[at : at + 600] = random.Random(0).randbytes(600)
    path.write_bytes(data)


def without_index(path: Path) -> None:
    data = h.write(path, h.dance()).read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


def split_screen(path: Path) -> None:
    room = h.ground(0, h.HEIGHT, 2 * h.WIDTH)
    frames = []
    for i in range(20):
        left = h.draw(room, 20 + 2 * i, 200, 28)
        frames.append(h.draw(left, h.WIDTH + 60 - 2 * i, 200, 28))
    h.write(path, frames)


def mirror_beside(path: Path) -> None:
    """A dancer and the mirror image: both would have to be dressed."""
    h.write(path, [np.concatenate([f, f[:, ::-1]], axis=1) for f in h.dance(20)])


def poster_behind(path: Path) -> None:
    """A dancer beside a large picture of another one."""
    wide = h.ground(0, h.HEIGHT, 2 * h.WIDTH)
    frames = [h.draw(wide, h.WIDTH + 70, 150, 40) for _ in range(20)]
    for image, dancer in zip(frames, h.dance(20), strict=True):
        image[:, : h.WIDTH] = dancer
    h.write(path, frames)


def passer_by(path: Path) -> None:
    """One dancer for six seconds; in the fourth, somebody walks through."""
    room = h.ground(0, h.HEIGHT, 2 * h.WIDTH)
    frames = []
    for i in range(60):
        image = h.draw(room, 20 + 10 * (i % 5), 200, 28)
        frames.append(h.draw(image, 150 + 14 * (i - 40), 180, 40) if 40 <= i < 52 else image)
    h.write(path, frames)


def letterboxed(path: Path) -> None:
    bar = np.zeros((60, h.WIDTH, 3), np.uint8)
    h.write(path, [np.concatenate([bar, frame, bar]) for frame in h.dance()])


def on_blurred_copy(frames: Sequence[np.ndarray], height: int, width: int) -> list[np.ndarray]:
    """Frames in the middle of larger ones, on their own copy that fills those, blurred."""
    filled = []
    for frame in frames:
        largest, fitting = (pick(height / frame.shape[0], width / frame.shape[1])
                            for pick in (max, min))  # fmt: skip
        ground = cv2.GaussianBlur(_middle(_scaled(frame, largest), height, width), (0, 0), 12)
        inner = _scaled(frame, fitting)
        _middle(ground, *inner.shape[:2])[:] = inner
        filled.append(ground)
    return filled


def _scaled(frame: np.ndarray, by: float) -> np.ndarray:
    return cv2.resize(frame, (round(frame.shape[1] * by), round(frame.shape[0] * by)))


def _middle(image: np.ndarray, height: int, width: int) -> np.ndarray:
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def doubled(path: Path) -> None:
    """Five frames a second stretched to fifteen by showing each one three times."""
    frames = [frame for frame in h.dance(8, slow=4) for _ in range(3)]
    h.write(path, frames, fps=15, options={"qp": "0"})


def slides(path: Path) -> None:
    still = [h.dance(1, seed=seed)[0] for seed in range(3)]
    h.write(path, [frame for frame in still for _ in range(25)])


def pre_roll(path: Path) -> None:
    """B-frames and an edit list: the first frames are there for the others' sake only."""
    frames = h.dance(h.NUM_FRAMES + 2)
    times = [(i - 2) / h.FPS for i in range(len(frames))]
    h.write(path, frames, times_s=times, options={"bf": "3"})


def tiny_film(path: Path) -> None:
    h.write(path, [frame[::4, ::4] for frame in h.dance()])


def hours(path: Path) -> None:
    frames = h.dance(3)
    h.write(path, frames, times_s=[0, 1, 5 * 3600])


ROWS = (
    Row("plain.mp4", lambda path: h.write(path, h.dance())),
    Row("turned 90.mp4", turned(1, (0, 1, -1, 0))),
    Row("turned 180.mp4", turned(2, (-1, 0, 0, -1))),
    Row("turned 270.mp4", turned(3, (0, -1, 1, 0))),
    Row("mirrored.mp4", turned(0, (-1, 0, 0, 1), mirror="h")),
    Row("upside down.mp4", turned(0, (1, 0, 0, -1), mirror="v")),
    Row("turned and mirrored.mp4", turned(1, (0, 1, 1, 0), mirror="v")),
    Row("variable rate.mp4", variable_rate, is_same_picture=False, seconds=1.3),
    Row("pre-roll.mp4", pre_roll, is_same_picture=False),
    Row("five a second.mp4", lambda p: h.write(p, h.dance(8), fps=5), is_same_picture=False,
        seconds=1.6),
    Row("240 a second.mp4", lambda p: h.write(p, h.dance(312, slow=24), fps=240),
        is_same_picture=False, seconds=1.3),
    Row("truncated.mp4", truncated, clips=("kept", "corrupt_frames"), is_partial=True,
        is_same_picture=False, seconds=None),
    Row("bit-flipped.mp4", bit_flipped, clips=("kept", "corrupt_frames"), is_partial=True,
        is_same_picture=False, seconds=1.6),
    Row("hdr10.mp4", lambda p: hdr(p, PQ)),
    Row("hlg.mp4", lambda p: hdr(p, HLG)),
    Row("wide pixels.mp4", wide_pixels, is_same_picture=False),
    Row("odd sides.mkv", odd_sides, is_same_picture=False),
    Row("vp9.webm", lambda p: h.write(p, h.dance(), codec="libvpx-vp9",
                                      options={"cpu-used": "8", "deadline": "realtime"})),
    Row("av1.mkv", lambda p: h.write(p, h.dance(), codec="libsvtav1",
                                     options={"preset": "10", "svtav1-params": "lp=1"})),
    Row("changes size.ts",
        lambda p: h.write_two_sizes(p, [h.dance(16), h.dance(16, height=320, width=240)]),
        clips=("kept", "kept"), is_same_picture=False, seconds=None),
    Row("letterbox.mp4", letterboxed),
    Row("blurred sides.mp4", lambda p: h.write(p, on_blurred_copy(h.dance(), h.HEIGHT, 456)),
        is_same_picture=False),
    Row("blurred above.mp4", lambda p: h.write(p, on_blurred_copy(h.dance(), 640, 360)),
        is_same_picture=False),
    Row("emoji 💃\n and: http.mp4", lambda p: h.write(p, h.dance())),
    Row("split screen.mp4", split_screen, clips=("two_people",)),
    Row("mirror.mp4", mirror_beside, clips=("two_people",)),
    Row("poster.mp4", poster_behind, is_same_picture=False, seconds=2.0),
    Row("passer-by.mp4", passer_by, is_same_picture=False, seconds=1.3),
    Row("one frame.mp4", lambda p: h.write(p, h.dance(1)), clips=("too_short",)),
    Row("slides.mp4", slides, clips=("frozen", "frozen", "frozen")),
    Row("doubled.mp4", doubled, clips=("duplicate_frames",)),
    refused("no index.mp4", "truncated", without_index),
    refused("empty.mp4", "empty_file", lambda p: p.touch()),
    refused("page.mp4", "not_a_video", lambda p: p.write_bytes(b"<!doctype html><html>404</html>")),
    refused("noise.mp4", "not_a_video", lambda p: p.write_bytes(random.Random(1).randbytes(9000))),
    refused("sound.mp4", "no_video_stream", h.write_sound),
    refused("cover.mp3", "no_video_stream", lambda p: h.write_sound(p, h.ground(0, 64, 64))),
    Row("animation.mp4", h.write_gif),
    refused("dressed.mp4", "own_result", h.write_tryon_result),
    refused("tiny.mp4", "too_small", tiny_film),
    refused("hours.mkv", "too_long", hours),
)  # fmt: skip


@pytest.fixture(scope="module")
def curator(tmp_path_factory) -> Curator:
    return Curator(CurateConfig(out=str(tmp_path_factory.mktemp("out"))), h.colour_perception())


def curate(curator: Curator, folder: Path) -> list[SourceResult]:
    with cpu_at_most(MAX_CPU_S, folder):
        return [curator.curate(job, lambda limit: None) for job in h.jobs_in(folder)]


def frames_of(curator: Curator, folder: str | None) -> np.ndarray:
    assert folder is not None
    return read_frames((curator.out / "clips" / folder / "mp4").read_bytes())


@pytest.fixture(scope="module")
def plain(curator, tmp_path_factory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("plain")
    h.write(folder / "a.mp4", h.dance())
    (result,) = curate(curator, folder)
    return frames_of(curator, result.clips[0].folder)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.encode("ascii", "ignore").decode())
def test_every_file_of_the_wild_gets_its_verdict(row, curator, plain, tmp_path):
    row.make(tmp_path / row.name)
    (result,) = curate(curator, tmp_path)
    assert (result.row.code, result.row.name) == (row.code, row.name)
    assert tuple(clip.code or clip.status for clip in result.clips) == row.clips
    assert bool(result.row.facts.get("is_partial")) == row.is_partial
    kept = [clip for clip in result.clips if clip.status == "kept"]
    if kept and row.seconds is not None:
        length = sum(clip.record["num_frames"] / clip.record["fps"] for clip in kept)
        assert length == pytest.approx(row.seconds, abs=0.11)
    if kept and row.is_same_picture:
        (clip,) = kept
        frames = frames_of(curator, clip.folder)
        assert frames.shape == plain.shape
        assert np.abs(frames.astype(int) - plain).mean() < 8.0


def test_a_copy_encoded_again_and_a_mirrored_one_leave_the_best(curator, tmp_path):
    frames = h.dance(20)
    h.write(tmp_path / "best.mp4", frames, options={"crf": "12"})
    h.write(tmp_path / "again.mp4", frames, options={"crf": "34"})
    h.write(tmp_path / "mirrored.mp4", [frame[:, ::-1] for frame in frames])
    h.write(tmp_path / "other.mp4", h.dance(20, seed=5))
    results = curate(curator, tmp_path)
    config = CurateConfig()
    rows, clips = [r.row for r in results], [clip for r in results for clip in r.clips]
    entries = build_catalogue(rows, clips, config.duplicates, config.shards)
    verdicts = {entry.source.name: entry.clip.code for entry in entries}
    assert verdicts.pop("other.mp4") is None
    assert sorted(verdicts.values(), key=str) == [None, "near_duplicate", "near_duplicate"]


def test_a_clip_shows_nothing_of_the_blurred_copy_around_it(curator, tmp_path):
    frames = h.dance(seed=3)
    h.write(tmp_path / "bare.mp4", frames)
    h.write(tmp_path / "filled.mp4", on_blurred_copy(frames, h.HEIGHT, 456))
    bare, filled = (result.clips[0] for result in curate(curator, tmp_path))
    assert filled.record["scores"]["blurred_fill"] == pytest.approx(1 - h.WIDTH / 456, abs=0.03)
    assert bare.record["scores"]["blurred_fill"] == 0
    left, inner = (456 - h.WIDTH) / 2, filled.record["crop"]
    assert left - 1 <= inner[1] <= inner[1] + inner[3] <= left + h.WIDTH + 1
    # as much of it as of the bare one, but for a few pixels at the border
    assert inner[3] == pytest.approx(bare.record["crop"][3], abs=6)


def test_a_change_of_shape_in_mid_stream_squashes_nothing(curator, tmp_path):
    upright, lying = h.dance(16), h.dance(16, height=288, width=512, slow=8)
    h.write_two_sizes(tmp_path / "both.ts", [upright, lying])
    # a slow paper figure stands as still as a sticker
    allowing = replace(curator.config.selection, overlays=OverlaysConfig(max_share=1.0))
    curator = Curator(replace(curator.config, selection=allowing), curator.perception)
    (result,) = curate(curator, tmp_path)
    assert [clip.code for clip in result.clips] == [None, None]
    for clip, drawn in zip(result.clips, (upright[:-2], lying[2:]), strict=True):
        sizes = clip.record["source_height"], clip.record["source_width"]
        assert sizes == drawn[0].shape[:2]
        top, left, height, width = clip.record["crop"]
        shown = frames_of(curator, clip.folder)
        wanted = [
            cv2.resize(frame[top : top + height, left : left + width], shown.shape[2:0:-1])
            for frame in drawn[: len(shown)]
        ]
        assert np.abs(shown.astype(int) - np.stack(wanted)).mean() < 8.0


def test_what_is_larger_than_asked_for_is_refused(tmp_path):
    h.write(tmp_path / "in" / "a.mp4", h.dance())
    config = CurateConfig(out=str(tmp_path / "out"), probe=ProbeConfig(max_pixels=40_000))
    (result,) = curate(Curator(config, h.colour_perception()), tmp_path / "in")
    assert result.row.code == "too_large"


def test_what_is_refused_by_setting_says_why(tmp_path):
    hdr(tmp_path / "in" / "a.mp4", PQ)
    config = CurateConfig(out=str(tmp_path / "out"), probe=ProbeConfig(hdr="refuse"))
    (result,) = curate(Curator(config, h.colour_perception()), tmp_path / "in")
    assert (result.row.code, result.row.evidence) == ("hdr", {"transfer": "PQ"})


class Enlarged(Sequence[np.ndarray]):
    """Frames drawn small and enlarged one at a time: a list of 8K ones takes gigabytes."""

    def __init__(self, frames: Sequence[np.ndarray], height: int, width: int) -> None:
        self._frames, self._size = frames, (width, height)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index):
        return cv2.resize(self._frames[index], self._size, interpolation=cv2.INTER_NEAREST)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("count", "height", "width"), [(100, 2160, 3840), (16, 4320, 7680)])
def test_4k_of_ten_seconds_and_8k_stay_below_the_memory_limit(count, height, width, tmp_path):
    frames = Enlarged(h.dance(count, height=540, width=960, slow=6), height, width)
    h.write(tmp_path / "in" / "large.mp4", frames, options={"preset": "ultrafast"})
    config = CurateConfig(out=str(tmp_path / "out"))
    build = functools.partial(h.build_worker, config)
    with Workers(build, 1, 120.0, max_memory_gb=MAX_MEMORY_GB) as pool:
        ((_, result),) = pool.run(h.jobs_in(tmp_path / "in"))
    assert isinstance(result, SourceResult), result
    assert [clip.code or clip.status for clip in result.clips] == ["kept"]
