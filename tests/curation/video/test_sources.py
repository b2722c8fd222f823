import json
import os
import unicodedata

import pytest

from configs.errors import ConfigError, DataError
from curation.run import main
from curation.video.frame_folders import frames_rate
from curation.video.sources import SourcesConfig, find_sources, sha256_of
from tests.output_fixtures import CONFIG


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
        (b"[" * 100_000, "not readable JSON"),
        (b'{"url": %s}' % (b"9" * 5000), "not readable JSON"),
        (b"\xff\xfe{", "not readable JSON"),
        (b'{"licence": "\\ud800"}', "licence is '.ud800'; expected a text"),
        (b'{"truth": "a\\u0000.mp4"}', "truth is .*; expected a text"),
        (b'{"group": ["a"]}', "group is .*; expected a text"),
        (b'{"truth": "%s"}' % (b"x" * 300), "which does not exist"),
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_sidecar_is_read_in_any_unicode_with_or_without_its_mark(tmp_path, encoding):
    write(tmp_path / "x.mp4")
    write(tmp_path / "x.json", '{"licence": "für alle"}'.encode(encoding))
    frames = [write(tmp_path / "y" / f"{n}.png", b"%d" % n) for n in range(8)]
    write(tmp_path / "y.json", '{"licence": "CC0", "fps": 12}'.encode(encoding))
    first, second = find_sources(tmp_path, sha256_of)
    assert (first.sidecar.licence, second.sidecar.licence) == ("für alle", "CC0")
    assert second.num_bytes == len(frames)
    assert frames_rate(tmp_path / "y") == 12


def test_a_name_from_a_mac_has_its_sidecar_and_its_patterns(tmp_path):
    (tmp_path / unicodedata.normalize("NFD", "été.mp4")).write_bytes(b"1")
    (tmp_path / unicodedata.normalize("NFC", "été.json")).write_text('{"group": "g1"}')
    config = SourcesConfig(include=["é*"], splits={"été*": "val"})
    (source,) = find_sources(tmp_path, sha256_of, config=config)
    assert (source.sidecar.group, source.sidecar.split) == ("g1", "val")
    with pytest.raises(DataError, match="contains no video"):
        find_sources(tmp_path, sha256_of, config=SourcesConfig(exclude=["é*"]))


def test_links_to_folders_are_followed_once_each(tmp_path):
    write(tmp_path / "raw" / "a.mp4", b"a")
    write(tmp_path / "raw" / "day 1" / "b.mp4", b"b")
    write(tmp_path / "elsewhere" / "c.mp4", b"c")
    for name, target in (
        ("up", tmp_path / "raw"),
        ("day 1/up", tmp_path / "raw"),
        ("day 1/up too", tmp_path / "raw"),
        ("0", tmp_path / "raw" / "day 1"),
        ("linked", tmp_path / "elsewhere"),
        ("linked too", tmp_path / "elsewhere"),
        ("around", tmp_path / "raw" / "around"),
        ("nowhere", tmp_path / "gone"),
    ):
        (tmp_path / "raw" / name).symlink_to(target)
    found = find_sources(tmp_path / "raw", sha256_of)
    assert [(source.name, source.also_named) for source in found] == [
        ("a.mp4", ()), ("day 1/b.mp4", ()), ("linked/c.mp4", ()),
    ]  # fmt: skip


def test_a_companion_that_links_to_itself_is_one_sentence(tmp_path):
    write(tmp_path / "x.mp4")
    write(tmp_path / "x.json", b'{"truth": "loop.mp4"}')
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    with pytest.raises(DataError, match=r"loop\.mp4, which does not exist"):
        find_sources(tmp_path, sha256_of)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_said(tmp_path, caplog):
    write(tmp_path / "a.mp4")
    write(tmp_path / "closed" / "b.mp4").parent.chmod(0)
    find_sources(tmp_path, sha256_of)
    (tmp_path / "closed").chmod(0o700)
    assert "closed cannot be read and is left out: Permission denied" in caplog.text


OURS = {
    "make curate": {"ledger.sqlite": b"", "clips/ab/mp4": b"x", "x/clip.mp4": b"x"},
    "make curate (a part)": {"ledger-0-of-2.sqlite": b"", "clips/ab/mp4": b"x"},
    "make tryon": {"jobs.json": b'{"/o.mp4": {"request": {}, "report": {}}}', "o.mp4": b"x"},
    "training": {"config.yaml": b"", "checkpoints/last.ckpt": b"", "samples/x.mp4": b"x"},
    "make eval": {"made_by.json": b"{}", "paired/x.mp4": b"x"},
    "make app": {".fitting-room": b"", "abc/result.mp4": b"x"},
}


def test_what_this_project_wrote_below_src_is_left_out_and_said_once(tmp_path, caplog):
    write(tmp_path / "raw.mp4", b"raw")
    write(tmp_path / "a" / "jobs.json", b'{"theirs": 1}')
    write(tmp_path / "a" / "also raw.mp4", b"also raw")
    for number, files in enumerate(OURS.values()):
        for name, content in files.items():
            write(tmp_path / "sub" / str(number) / name, content)
    found = find_sources(tmp_path, sha256_of)
    assert [source.name for source in found] == ["a/also raw.mp4", "raw.mp4"]
    (said,) = [record.getMessage() for record in caplog.records]
    assert "sub/0 (make curate), sub/1 (make curate), sub/2 (make tryon)" in said
    assert said.endswith(" and 1 more")


def test_an_output_is_no_src_and_src_is_no_out(tmp_path):
    write(tmp_path / "out" / "ledger.sqlite")
    write(tmp_path / "out" / "clips" / "x.mp4")
    with pytest.raises(DataError, match="out is the output of make curate; give a folder"):
        find_sources(tmp_path / "out", sha256_of)
    write(tmp_path / "raw" / "x.mp4")
    words = [str(CONFIG), f"src={tmp_path / 'raw'}", f"out={tmp_path / 'raw'}/."]
    for more in ([], ["dry_run=true"]):
        with pytest.raises(ConfigError, match="is the folder with the raw videos itself"):
            main([*words, *more])
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["x.mp4"]
