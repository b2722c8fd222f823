import json

import pytest

from configs.errors import DataError
from curation.video.sources import find_sources, sha256_of


def write(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_same_bytes_under_two_names_are_one_source(tmp_path):
    write(tmp_path / "b" / "twice.mp4", b"same")
    write(tmp_path / "a 💃\n.mp4", b"same")
    write(tmp_path / "other.mp4", b"other")
    first, other = find_sources(tmp_path, sha256_of)
    assert first.name == "a 💃\n.mp4"
    assert first.also_named == ("b/twice.mp4",)
    assert other.group == other.sha256


def test_a_sidecar_describes_its_video_and_hides_what_it_names(tmp_path):
    write(tmp_path / "raw" / "x.mp4", b"video")
    write(tmp_path / "truth" / "x.mp4", b"truth")
    write(tmp_path / "garment.png", b"picture")
    content = {
        "licence": "CC0", "split": "bench", "group": "g1", "truth": "../truth/x.mp4",
        "target_garment": "../garment.png", "unknown_key": 3,
    }  # fmt: skip
    write(tmp_path / "raw" / "x.json", json.dumps(content).encode())
    write(tmp_path / "render.json", b"{}")
    (source,) = find_sources(tmp_path, sha256_of)
    assert source.name == "raw/x.mp4"
    assert source.group == "g1"
    assert source.sidecar.licence == "CC0"
    assert source.truth_path is not None
    assert source.truth_path.samefile(tmp_path / "truth" / "x.mp4")
    assert source.companions_sha256 is not None


def test_of_two_copies_the_described_one_speaks(tmp_path):
    write(tmp_path / "a.mp4", b"same")
    write(tmp_path / "b.mp4", b"same")
    write(tmp_path / "b.json", b'{"licence": "CC0"}')
    (source,) = find_sources(tmp_path, sha256_of)
    assert (source.name, source.also_named, source.sidecar.licence) == ("b.mp4", ("a.mp4",), "CC0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not readable JSON"),
        (b"[1]", "expected an object"),
        (b'{"split": "test"}', "accepted: train, val, bench"),
        (b'{"truth": "gone.mp4"}', "gone.mp4, which does not exist"),
    ],
)
def test_a_sidecar_that_cannot_be_right_is_one_sentence(tmp_path, content, message):
    write(tmp_path / "x.mp4")
    write(tmp_path / "x.json", content)
    with pytest.raises(DataError, match=message):
        find_sources(tmp_path, sha256_of)


def test_missing_and_empty_folders_are_one_sentence(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        find_sources(tmp_path / "gone", sha256_of)
    with pytest.raises(DataError, match="contains no files"):
        find_sources(tmp_path, sha256_of)
    write(tmp_path / ".hidden.mp4")
    with pytest.raises(DataError, match="contains no files"):
        find_sources(tmp_path, sha256_of)
