"""ViViD-S's lists: read with their garments, or refused with what is missing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import DataError
from datasets.benchmarks.vivid import clip_frames, frame_rate, read_vivid
from datasets.tracks import encode_video

LINE = {"video": "7_detail.mp4", "image": "7_in.jpg", "subdir": "dresses", "front_seqs": [3, 67]}


def write_vivid(
    root: Path, paired: list[dict[str, Any]], unpaired: list[dict[str, Any]] | None = None
) -> Path:
    """The lists, and an empty file for each video and picture that they name."""
    root.mkdir(parents=True, exist_ok=True)
    for name, lines in (("test_data_180", paired), ("test_data_180_unpaired", unpaired)):
        if lines is not None:
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (root / f"{name}.jsonl").write_text(text)
        for line in lines or []:
            for kind, key in (("videos", "video"), ("images", "image")):
                if key in line and "subdir" in line:
                    path = root / str(line["subdir"]) / kind / line[key]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
    return root


def test_a_clip_has_its_own_garment_its_range_and_the_part_that_is_painted(tmp_path: Path) -> None:
    lower = LINE | {"subdir": "lower_body", "video": "8_detail.mp4", "front_seqs": [[0, 64]]}
    root = write_vivid(tmp_path, [LINE, lower], [LINE | {"image": "9_in.jpg"}])
    dress, trousers = read_vivid(root)
    assert (dress.id, dress.category, dress.first, dress.end) == ("7_detail", "overall", 3, 67)
    assert dress.video_path == root / "dresses" / "videos" / "7_detail.mp4"
    assert dress.own_garment_path == root / "dresses" / "images" / "7_in.jpg"
    assert [path.name for path in dress.other_garment_paths] == ["9_in.jpg"]
    assert (trousers.category, trousers.num_frames) == ("lower", 64)
    assert trousers.other_garment_paths == []


def test_other_names_for_the_fields_are_taken(tmp_path: Path) -> None:
    root = write_vivid(tmp_path, [LINE])
    other = {"video_path": "7_detail.mp4", "cloth": "7_in.jpg", "category": "upper", "start": 1,
             "end": 65}  # fmt: skip
    (root / "videos").mkdir()
    (root / "videos" / "7_detail.mp4").touch()
    (root / "7_in.jpg").touch()
    (root / "test_data_180.jsonl").write_text(json.dumps(other))
    (clip,) = read_vivid(root)
    assert (clip.category, clip.first, clip.end) == ("upper", 1, 65)
    assert clip.video_path == root / "videos" / "7_detail.mp4"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"front_seqs": None}, r"line 1: frame range is None; \[first, end\) is accepted"),
        ({"front_seqs": [9, 9]}, r"frame range is \[9, 9\]"),
        ({"front_seqs": [0.0, 64.0]}, "two whole numbers"),
        ({"subdir": "hats"}, "subset is 'hats'; upper_body"),
    ],
)
def test_a_line_that_says_something_else_is_refused_with_what_it_says(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_vivid(write_vivid(tmp_path, [LINE | change]))


def test_a_field_under_an_unknown_name_is_said_with_the_names_that_were_found(
    tmp_path: Path,
) -> None:
    line = {key: value for key, value in LINE.items() if key != "front_seqs"}
    with pytest.raises(DataError) as caught:
        read_vivid(write_vivid(tmp_path, [line | {"window": [0, 64]}]))
    assert "does not say its frame range" in str(caught.value)
    assert "it has video, image, subdir, window" in str(caught.value)
    assert "front_seqs" in str(caught.value)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not downloaded for you"):
        read_vivid(tmp_path / "nowhere")
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(DataError, match=r"test_data_180\.jsonl is missing \(there is train\.jsonl"):
        read_vivid(tmp_path)
    root = write_vivid(tmp_path / "vivid", [LINE])
    for path in ("dresses/images/7_in.jpg", "dresses/videos/7_detail.mp4"):
        (root / path).unlink()
        with pytest.raises(DataError) as caught:
            read_vivid(root)
        assert f"line 1: ViViD-S folder {root} is incomplete: {root / path} is missing" in str(
            caught.value
        )
        write_vivid(root, [LINE])
    (root / "test_data_180.jsonl").write_text("[1]\n")
    with pytest.raises(DataError, match="is a list; an object is expected"):
        read_vivid(root)


def test_an_unpaired_line_without_its_paired_one_is_refused(tmp_path: Path) -> None:
    other = LINE | {"image": "9_in.jpg", "front_seqs": [4, 68]}
    with pytest.raises(
        DataError, match=r"frames 4 to 68 of .* the garment worn there is not known"
    ):
        read_vivid(write_vivid(tmp_path, [LINE], [other]))


def test_two_clips_of_one_video_have_different_ids(tmp_path: Path) -> None:
    clips = read_vivid(write_vivid(tmp_path, [LINE, LINE | {"front_seqs": [90, 154]}]))
    assert [clip.id for clip in clips] == ["dresses-7_detail-3", "dresses-7_detail-90"]


def test_the_asked_frames_come_and_no_others_with_sides_that_can_be_stored(tmp_path: Path) -> None:
    levels = (np.arange(12) * 20).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (12, 100, 90, 3))
    path = tmp_path / "video.mp4"
    path.write_bytes(encode_video(frames, 12.5))
    cut = clip_frames(path, 3, 7)
    assert cut.shape == (4, 96, 80, 3)
    np.testing.assert_allclose(cut.mean(axis=(1, 2, 3)), levels[3:7], atol=3)
    assert len(clip_frames(path, 10, 99)) == 2
    assert frame_rate(path) == 12.5
    with pytest.raises(DataError, match="has no frame 12; the benchmark names frames 12 to 20"):
        clip_frames(path, 12, 20)
    path.write_bytes(b"<html>")
    with pytest.raises(DataError, match="cannot be read as a video"):
        clip_frames(path, 0, 2)
    with pytest.raises(DataError, match="is missing"):
        clip_frames(tmp_path / "nothing.mp4", 0, 2)
