"""Benchmarks on disk: the VVT layout, and prepared shards."""

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from configs.errors import DataError
from datasets.benchmarks.benchmark import Benchmark
from datasets.benchmarks.origins import ORIGINS
from datasets.benchmarks.vvt import read_vvt
from datasets.labels import DensePosePart, ParseLabel
from datasets.tracks import encode_labels, encode_rgb_lossless

HEIGHT, WIDTH, FRAMES = 96, 64, 11
WORN, WANTED = (40, 90, 200), (200, 60, 50)


def picture(colour: tuple[int, int, int]) -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    image[20:70, 16:48] = colour
    return image


def dancer(colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A torso of one colour that walks over a ramp, and where it is."""
    video = np.tile(np.linspace(60, 180, WIDTH).astype(np.uint8)[None, None, :, None], (1, 1, 1, 3))
    video = np.repeat(np.repeat(video, HEIGHT, axis=1), FRAMES, axis=0)
    torso = np.zeros(video.shape[:3], dtype=bool)
    for frame in range(FRAMES):
        torso[frame, 30:70, 14 + frame : 40 + frame] = True
    video[torso] = colour
    return video, torso


def write_bench(root: Path, items: dict[str, dict[str, object]], *, unpaired: bool = True) -> None:
    """Shards as curation writes them; ``items`` maps a key to what its json says besides."""
    (root / "shards").mkdir(parents=True)
    video, torso = dancer(WORN)
    parse = np.where(torso, ParseLabel.UPPER, ParseLabel.BACKGROUND).astype(np.uint8)
    mask = np.stack([cv2.dilate(frame.astype(np.uint8), np.ones((9, 9))) * 255 for frame in torso])
    iuv = np.full((FRAMES, 112, 112, 3), (DensePosePart.TORSO_FRONT, 128, 128), np.uint8)
    boxes = np.tile(np.array([14, 30, 50, 70], np.float32), (FRAMES, 1))
    with tarfile.open(root / "shards" / "bench-000000.tar", "w") as archive:
        for key, extra in items.items():
            record = {
                "num_frames": FRAMES, "fps": 8.0, "height": HEIGHT, "width": WIDTH,
                "category": "upper", "source": f"{key}.mp4",
            } | extra  # fmt: skip
            members = {
                "mp4": encode_rgb_lossless(video, 8.0),
                "parse.mp4": encode_labels(parse, 8.0),
                "mask.mp4": encode_labels(mask, 8.0),
                "iuv.mp4": encode_rgb_lossless(iuv, 8.0),
                "box.npy": npy(boxes),
                "garment.png": png(picture(WORN)),
                "json": json.dumps(record).encode(),
            }
            if unpaired:
                members["target.png"] = png(picture(WANTED))
                members["truth.mp4"] = encode_rgb_lossless(dancer(WANTED)[0], 8.0)
            for name, content in members.items():
                info = tarfile.TarInfo(f"{key}.{name}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def write_vvt(root: Path) -> Path:
    """A VVT-shaped folder of two people: one paired line, one unpaired."""
    for person in ("an121d0dh-q11", "be821d00h-k11"):
        garments = root / "lip_clothes_person" / person
        garments.mkdir(parents=True)
        cv2.imwrite(str(garments / f"{person}@9=cloth_front.jpg"), picture(WORN))
        frames = root / "test_frames" / person
        frames.mkdir(parents=True)
        for number in (2, 0, 1, 10, 3, 4, 5, 6, 7, 8, 9):
            image = np.full((256, 192, 3), number, np.uint8)
            cv2.imwrite(str(frames / f"{person}_frame_{number:03d}.png"), image)
    (root / "test_person_clothes_pose_tuple.txt").write_text(
        "an121d0dh-q11 an121d0dh-q11 an121d0dh-q11\nan121d0dh-q11 be821d00h-k11 an121d0dh-q11\n"
    )
    return root


def test_vvt_pairs_are_read_with_frames_in_order(tmp_path: Path) -> None:
    paired, unpaired = read_vvt(write_vvt(tmp_path / "vvt"))
    assert (paired.is_paired, unpaired.is_paired) == (True, False)
    assert [path.name[-7:-4] for path in paired.frame_paths] == [f"{i:03d}" for i in range(11)]
    assert unpaired.garment_path.parent.name == "be821d00h-k11"
    assert unpaired.own_garment_path == paired.garment_path


def test_hidden_files_that_macos_writes_are_no_frames_and_no_garments(tmp_path: Path) -> None:
    root = write_vvt(tmp_path / "vvt")
    whole = read_vvt(root)
    for path in [*root.rglob("*.png"), *root.rglob("*.jpg")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    assert read_vvt(root) == whole


@pytest.mark.parametrize(
    "missing",
    [
        "test_person_clothes_pose_tuple.txt",
        "test_frames/an121d0dh-q11/an121d0dh-q11_frame_004.png",
        "lip_clothes_person/be821d00h-k11/be821d00h-k11@9=cloth_front.jpg",
    ],
)
def test_an_incomplete_vvt_folder_names_the_first_missing_file(
    tmp_path: Path, missing: str
) -> None:
    root = write_vvt(tmp_path / "vvt")
    (root / missing).unlink()
    named = missing.replace("be821d00h-k11@9=", "*")
    with pytest.raises(DataError) as caught:
        Benchmark(root, "vvt")
    assert f"{root / named} is missing" in str(caught.value)


def test_a_whole_vvt_folder_without_masks_says_how_to_prepare_it(tmp_path: Path) -> None:
    root = write_vvt(tmp_path / "vvt")
    with pytest.raises(DataError, match="make curate BENCH=vvt"):
        Benchmark(root, "vvt")
    with pytest.raises(DataError, match="DATA_ROOT"):
        Benchmark(tmp_path / "nowhere", "vvt")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("synthetic", "`make render` and `make curate CONFIG=configs/demo/curate.yaml SRC="),
        ("dance", "`make curate SRC=<videos> OUT={root} HOLD_OUT=50`"),
        ("vvt", "`make curate BENCH=vvt`"),
        ("vivid_s", "`make curate BENCH=vivid_s`"),
        ("eevee", "`make curate BENCH=eevee`"),
    ],
)
def test_a_benchmark_that_is_absent_or_empty_says_what_to_run(
    tmp_path: Path, name: str, command: str
) -> None:
    absent, empty = tmp_path / "absent", tmp_path / "empty"
    (empty / "shards").mkdir(parents=True)
    tarfile.open(empty / "shards" / "bench-000000.tar", "w").close()
    for root, what in ((absent, "does not exist"), (empty, "contain no sample")):
        with pytest.raises(DataError) as caught:
            Benchmark(root, name)
        told = str(caught.value)
        assert str(root) in told
        assert what in told
        assert command.format(root=root) in told
        assert name in ORIGINS or "\n" not in told


def test_vvt_is_measured_on_its_own_frames_not_on_the_shards_h264(tmp_path: Path) -> None:
    root = write_vvt(tmp_path)
    person = "an121d0dh-q11"
    write_bench(root, {"k": {"source": f"test_frames/{person}", "bench_id": person}})
    item = Benchmark(root, "vvt").load(person, 256, 192)
    assert [set(frame.ravel().tolist()) for frame in item.video] == [{n} for n in range(FRAMES)]
    (root / "test_frames" / person / f"{person}_frame_007.png").unlink()
    with pytest.raises(DataError, match=r"frame_007\.png is missing"):
        Benchmark(root, "vvt").load(person, 256, 192)


def test_an_item_has_both_garments_the_truth_and_the_worn_region(tmp_path: Path) -> None:
    write_bench(tmp_path, {"a": {}})
    item = Benchmark(tmp_path, "synthetic").load("a", HEIGHT, WIDTH)
    assert item.video.shape == item.iuv.shape == (FRAMES, HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(item.garment_region, dancer(WORN)[1])
    assert (item.mask > 127).sum() > item.garment_region.sum()
    assert item.garment("paired")[40, 30].tolist() == list(WORN)
    assert item.garment("unpaired")[40, 30].tolist() == list(WANTED)
    truth = item.truth("unpaired")
    assert truth is not None
    np.testing.assert_array_equal(truth, dancer(WANTED)[0])
    assert item.truth("paired") is item.video


def test_items_come_at_the_resolution_asked_for(tmp_path: Path) -> None:
    write_bench(tmp_path, {"a": {}})
    bench = Benchmark(tmp_path, "synthetic")
    assert bench.resolution() == (HEIGHT, WIDTH)
    item = bench.load("a", 192, 128)
    assert item.video.shape == (FRAMES, 192, 128, 3)
    assert item.garment_region.shape == item.mask.shape == (FRAMES, 192, 128)


def test_paired_scores_each_source_once_and_unpaired_each_other_garment(tmp_path: Path) -> None:
    anna = {"source": "test_frames/anna", "source_sha256": "f00", "start_s": 0.0}
    berta = {"source": "test_frames/berta", "source_sha256": "ba2", "start_s": 0.0}
    write_bench(
        tmp_path,
        {
            "k1": anna | {"paired": False, "bench_id": "anna_berta"},
            "k2": anna | {"paired": True, "bench_id": "anna"},
            "k3": anna | {"paired": False, "bench_id": "anna_clara"},
            "k4": berta | {"paired": False, "bench_id": "berta_anna"},
        },
    )
    bench = Benchmark(tmp_path, "vvt")
    assert bench.ids("paired") == ["anna", "berta"]
    assert bench.ids("unpaired") == ["anna_berta", "anna_clara", "berta_anna"]
    assert bench.resolution() == (HEIGHT, WIDTH)


def test_items_are_called_by_their_source_file_where_that_is_one_clip(tmp_path: Path) -> None:
    sources = {"0a1b-000000": "sub/anna.mp4", "2c3d-000000": "b.mp4", "2c3d-005000": "b.mp4"}
    write_bench(tmp_path, {key: {"source": source} for key, source in sources.items()})
    bench = Benchmark(tmp_path, "dance")
    assert bench.ids("unpaired") == ["2c3d-000000", "2c3d-005000", "anna"]


def test_a_benchmark_without_targets_has_no_unpaired_items(tmp_path: Path) -> None:
    write_bench(tmp_path, {"a": {}}, unpaired=False)
    bench = Benchmark(tmp_path, "dance")
    assert bench.ids("unpaired") == []
    assert bench.load("a", HEIGHT, WIDTH).truth("unpaired") is None


def test_items_that_could_not_be_prepared_are_named(tmp_path: Path) -> None:
    write_bench(tmp_path, {"a": {}})
    assert Benchmark(tmp_path, "dance").rejected("paired") == []
    lost = {"id": "b", "source": "b.mp4", "code": "mask_failed", "evidence": {"smallest_area": 0}}
    path = tmp_path / "shards" / "rejected.json"
    path.write_text(json.dumps({"schema": 1, "rejected": {"paired": [lost], "unpaired": []}}))
    (item,) = Benchmark(tmp_path, "dance").rejected("paired")
    assert (item.id, item.code, item.evidence) == ("b", "mask_failed", {"smallest_area": 0})
    path.write_text("[]")
    with pytest.raises(DataError, match=r"rejected\.json is not what curation writes"):
        Benchmark(tmp_path, "dance").rejected("unpaired")
