"""Whole runs with the embedded models on rendered dancers: the way of a stranger's first folder."""

import json
import re
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from configs.errors import ConfigError, DataError
from configs.loading import load_config
from curation import run
from curation.settings import CurateConfig
from datasets.benchmarks.benchmark import Benchmark
from datasets.benchmarks.vivid import clip_frames
from datasets.shards import index_split
from datasets.synthetic.dataset import SyntheticConfig, write_dancers
from datasets.tracks import count_frames, encode_video, read_frames, read_labels

CONFIG = Path(__file__).parents[2] / "configs" / "curate.yaml"
FAST = ["perception=embedded", "workers=1", "shards.val_share=0.0"]

pytestmark = pytest.mark.perception


def rows_of(out: Path) -> list[dict]:
    return pq.read_table(out / "manifest.parquet").to_pylist()


def arguments(src: Path, out: Path, *more: str) -> list[str]:
    return [str(CONFIG), f"src={src}", f"out={out}", *FAST, *more]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """One dancer for training, one for the benchmark, and files that are no videos."""
    root = tmp_path_factory.mktemp("dancers")
    write_dancers(
        SyntheticConfig(
            out=str(root), num_train=1, num_val=0, num_bench=1, num_bad=0,
            duration_s=1.5, height=256, width=192, fps=10.0, workers=1,
        )
    )  # fmt: skip
    (root / "page 💃.mp4").write_bytes(b"<html>not found</html>")
    (root / "empty.mkv").touch()
    shutil.copy(next((root / "train").glob("*.mp4")), root / "a copy.mp4")
    return root


@pytest.fixture(scope="module")
def curated(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("curated")
    assert run.main(arguments(raw, out)) == 0
    return out


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def test_a_dry_run_of_a_new_folder_names_what_would_be_done_and_makes_nothing(
    raw, tmp_path, capsys
):
    assert run.main(arguments(raw, tmp_path / "out", "--dry-run")) == 0
    assert not (tmp_path / "out").exists()
    said = capsys.readouterr().out
    assert re.search(r"a copy\.mp4 +│ to decode +│ 256x192, 10 fps", said)
    assert re.search(r"empty\.mkv +│ rejected +│ empty_file", said)
    assert "5 videos: 3 to decode, 2 rejected. About" in said
    assert "typical for the embedded models, 100% of new videos going into clips" in said
    assert "(by a look at a few frames)" in said


@pytest.mark.timeout(300)
def test_a_run_that_drew_nothing_for_val_says_what_to_do(raw, curated, capsys):
    assert run.main([*arguments(raw, curated), "shards.val_share=0"]) == 0
    said = capsys.readouterr().out
    assert "No clip was assigned to val" in said
    assert "shards.val_share=0.3" in said
    assert "split: val" in said


def test_a_dry_run_of_a_curated_folder_judges_from_what_is_stored(raw, curated, capsys):
    before = stamps(curated)
    assert run.main(arguments(raw, curated, "dry_run=true")) == 0
    said = capsys.readouterr().out
    assert "4 videos: 4 unchanged." in said  # the copy is known by its content
    assert "measured in earlier runs of this folder" in said
    assert run.main(arguments(raw, curated, "dry_run=true", "agnostic.max_area=0.01")) == 0
    said = capsys.readouterr().out
    assert said.count("1 -> 0 kept") == 2
    assert run.main(arguments(raw, curated, "dry_run=true", "first_pass.sample_fps=5")) == 0
    assert "2 to decode, 2 rejected" in capsys.readouterr().out
    assert stamps(curated) == before


@pytest.mark.timeout(300)
def test_dancers_become_clips_and_foreign_files_rejects_with_a_code(curated):
    rows = rows_of(curated)
    kept = [row for row in rows if row["status"] == "kept"]
    assert sorted(row["split"] for row in kept) == ["bench", "train"]
    assert all(row["num_people"] == 1 and row["fps"] == 10.0 for row in kept)
    assert all(row["licence"] for row in kept)
    reasons = {Path(row["source"]).name: row["reason"] for row in rows if row["reason"]}
    assert reasons == {"page 💃.mp4": "not_a_video", "empty.mkv": "empty_file"}


def test_a_shards_sample_holds_every_track_at_equal_length(curated):
    (sample,) = index_split(curated, "train")
    files = sample.read().files
    record = json.loads(files["json"])
    length = record["num_frames"]
    for name in ("mp4", "parse.mp4", "mask.mp4", "iuv.mp4", "agnostic.mp4"):
        assert count_frames(files[name]) == length
    assert read_frames(files["mp4"]).shape[1:3] == (record["height"], record["width"])
    mask = read_labels(files["mask.mp4"])
    assert set(np.unique(mask)) == {0, 255}
    assert (mask.mean(axis=(1, 2)) > 3).all()
    assert record["schema"] == 1
    assert record["category"] == "upper"
    assert {"detector", "densepose", "parser"} == set(record["backends"])
    assert record["garment_frame"] < length
    assert record["source_sha256"].startswith(sample.key[:16])


def test_a_benchmark_sample_has_the_target_and_the_truth_cut_the_same_way(curated, raw):
    (sample,) = index_split(curated, "bench")
    files = sample.read().files
    video, truth = read_frames(files["mp4"]), read_frames(files["truth.mp4"])
    assert video.shape == truth.shape
    mask = read_labels(files["mask.mp4"])[..., None] > 127
    change = np.abs(video.astype(int) - truth)
    # the same motion in another garment: what differs lies inside the mask
    assert (change * mask).sum() / mask.sum() > 4 * (change * ~mask).sum() / (~mask).sum()
    target = cv2.imdecode(np.frombuffer(files["target.png"], np.uint8), cv2.IMREAD_COLOR)
    assert target is not None
    assert target.shape == video.shape[1:]


def test_a_second_run_decodes_nothing_and_packs_the_same_bytes(curated, raw, caplog):
    before = {path: path.read_bytes() for path in sorted(curated.glob("shards/*.tar"))}
    with caplog.at_level("INFO"):
        assert run.main(arguments(raw, curated)) == 0
    assert "decoded 0 sources" in caplog.text
    assert {path: path.read_bytes() for path in sorted(curated.glob("shards/*.tar"))} == before


def test_a_stricter_threshold_is_applied_to_stored_signals(curated, raw, tmp_path, caplog):
    out = tmp_path / "again"
    shutil.copytree(curated, out)
    with caplog.at_level("INFO"):
        assert run.main(arguments(raw, out, "selection.quality.min_duration_s=1.6")) == 0
    assert "decoded 0 sources" in caplog.text
    assert {row["reason"] for row in rows_of(out) if row["scene_start_s"] is not None} == {
        "too_short"
    }
    assert list((out / "shards").glob("*.tar")) == []
    caplog.clear()
    with caplog.at_level("INFO"):
        assert run.main(arguments(raw, out, "strict=true")) == run.EXIT_STRICT
    assert "decoded 0 sources" in caplog.text  # what was made before is remembered
    assert sum(row["status"] == "kept" for row in rows_of(out)) == 2


def test_the_report_shows_clips_and_reasons(curated):
    text = (curated / "report.html").read_text()
    for words in ("not_a_video", "Tracks", "embedded-blazepose", "data:image/jpeg"):
        assert words in text
    cost = json.loads((curated / "cost.json").read_text())
    assert cost["source_s"] == pytest.approx(3.0, abs=0.3)  # two dancers
    told = f"An hour of source video costs {cost['cpu_h_per_source_h']:.2g} CPU hours: "
    assert told in text
    assert "http://" not in text.replace("http://www.w3.org", "")


def test_the_shards_are_plain_tars_with_safe_keys(curated):
    for path in curated.glob("shards/*.tar"):
        with tarfile.open(path) as archive:
            for info in archive:
                assert (info.mtime, info.uid, info.gid) == (0, 0, 0)
                key = info.name.split(".")[0]
                assert key
                assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


def test_what_is_asked_wrongly_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match="src=DIR is missing"):
        run.main([str(CONFIG), f"out={tmp_path}"])
    with pytest.raises(DataError, match="is not a folder"):
        run.main(arguments(tmp_path / "gone", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match=r"did you mean 'selection\.quality\.min_sharpness'"):
        load_config(CurateConfig, CONFIG, ["selection.quality.min_sharpnes=3"])


def test_a_garment_that_is_no_picture_is_one_sentence(raw, tmp_path):
    for name in ("raw", "truth"):
        shutil.copytree(raw / "bench" / name, tmp_path / "src" / name)
    sidecar = next((tmp_path / "src" / "raw").glob("*.json"))
    content = json.loads(sidecar.read_text())
    (tmp_path / "src" / "garment.png").write_bytes(b"not a picture")
    content |= {"target_garment": "../garment.png", "truth_mask": None}
    sidecar.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"garment\.png is no image that can be read"):
        run.main(arguments(tmp_path / "src", tmp_path / "out"))


def test_vvt_is_prepared_once_and_read_as_a_benchmark(raw, tmp_path, caplog):
    root = tmp_path / "vvt"
    video = next((raw / "bench" / "raw").glob("*.mp4")).read_bytes()
    frames = read_frames(video, range(8))
    for index, frame in enumerate(frames):
        path = root / "test_frames" / "p1" / f"p1_frame_{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), frame[..., ::-1])
    garment = next((raw / "bench" / "garments").glob("*.png")).read_bytes()
    picture = cv2.imdecode(np.frombuffer(garment, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    for name in ("p1", "g2"):
        path = root / "lip_clothes_person" / name / f"{name}_cloth_front.jpg"
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), picture)
    pairs = root / "test_person_clothes_pose_tuple.txt"
    pairs.write_text("p1 p1 p1\np1 g2 p1\n")
    words = [str(CONFIG), "bench=vvt", f"bench_root={root}", *FAST]
    assert run.main(words) == 0
    samples = index_split(root, "bench")
    assert {s.record["bench_id"]: s.record["paired"] for s in samples} == {
        "p1": True, "p1_g2": False,
    }  # fmt: skip
    assert all(s.num_frames == 8 for s in samples)
    assert all({"target.png", "garment.png", "mask.mp4"} <= set(s.members) for s in samples)
    with caplog.at_level("INFO"):
        assert run.main(words) == 0
    assert "decoded 0 sources" in caplog.text
    pairs.write_text("p1 p1 p1\np1 g3 p1\n")
    with pytest.raises(DataError, match="g3"):
        run.main(words)


def test_vivid_s_is_prepared_once_and_what_was_refused_is_named(raw, tmp_path, caplog):
    root = tmp_path / "vivid_s"
    videos, images = root / "upper_body" / "videos", root / "upper_body" / "images"
    videos.mkdir(parents=True)
    images.mkdir()
    shutil.copy(next((raw / "bench" / "raw").glob("*.mp4")), videos / "1_detail.mp4")
    nobody = np.full((12, 256, 192, 3), 90, np.uint8)
    (videos / "2_detail.mp4").write_bytes(encode_video(nobody, 25.0))
    for name in ("1_in.png", "2_in.png", "3_in.png"):
        shutil.copy(next((raw / "bench" / "garments").glob("*.png")), images / name)
    write_list(root / "test_data_180.jsonl", [("1", "1", 4, 12), ("2", "2", 0, 8)])
    write_list(root / "test_data_180_unpaired.jsonl", [("1", "3", 4, 12), ("2", "3", 0, 8)])
    with pytest.raises(DataError, match=r"2 clips, but has no masks.*make curate BENCH=vivid_s"):
        Benchmark(root, "vivid_s")
    words = [str(CONFIG), "bench=vivid_s", f"bench_root={root}", *FAST]
    assert run.main(words) == 0
    assert "2 of 2 clips do not have 64 frames" in caplog.text
    assert "rejected.json: 2_detail" in caplog.text
    bench = Benchmark(root, "vivid_s")
    assert bench.ids("paired") == bench.ids("unpaired") == ["1_detail"]
    for pairing in ("paired", "unpaired"):
        (lost,) = bench.rejected(pairing)
        assert (lost.id, lost.code) == ("2_detail", "mask_failed")
        assert lost.evidence["smallest_area"] == 0
    item = bench.load("1_detail", 256, 192)
    assert item.target_garment is not None
    assert item.mask.any()
    original = clip_frames(videos / "1_detail.mp4", 4, 12)
    np.testing.assert_array_equal(item.video, original)  # not the shard's own H.264
    with caplog.at_level("INFO"):
        assert run.main(words) == 0
    assert "decoded 0 sources" in caplog.text

    write_list(root / "test_data_180.jsonl", [("1", "1", 4, 12), ("2", "2", 0, 999)])
    write_list(root / "test_data_180_unpaired.jsonl", [("1", "3", 4, 12)])
    assert run.main(words) == 0
    bench = Benchmark(root, "vivid_s")
    assert bench.ids("paired") == ["1_detail"]
    (lost,) = bench.rejected("paired")
    assert (lost.code, lost.evidence["frames_there"]) == ("range_beyond_end", 12)
    assert bench.rejected("unpaired") == []
    write_list(root / "test_data_180.jsonl", [("2", "2", 0, 999)])
    (root / "test_data_180_unpaired.jsonl").unlink()
    assert run.main(words) == 0
    with pytest.raises(DataError, match=r"all were rejected.*'2_detail', with range_beyond_end"):
        Benchmark(root, "vivid_s")


def write_list(path: Path, rows: list[tuple[str, str, int, int]]) -> None:
    lines = [
        {"video": f"{video}_detail.mp4", "image": f"{image}_in.png", "type": "video",
         "subdir": "upper_body", "front_seqs": [first, end]}
        for video, image, first, end in rows
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
