"""Eevee's lists and folders: read with their garments, or refused with what is missing."""

import shutil
from pathlib import Path

import pytest

from configs.errors import DataError
from datasets.benchmarks.eevee import read_eevee
from datasets.benchmarks.origins import LINE, ORIGINS, check_is_here

PEOPLE = {"dresses": ["00030", "00137"], "lower_body": ["00003"], "upper_bdoy": ["00000"]}
LISTS = {
    "dresses_test.csv": "Person,Garment\n00030,00137\n00030,00137\n00137,00030\n",
    "lower_test.csv": "Person,Garment\n00003,00003\n",
    "upper_test.csv": "Person\n00000\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of the published layout; its files are empty."""
    root = tmp_path / "eevee"
    for folder, people in PEOPLE.items():
        for person in people:
            place = root / folder / person
            place.mkdir(parents=True)
            for name in ("garment.png", "garment_detail.png", "person.png"):
                (place / name).touch()
            for shot in ("video_0", "video_1"):
                for what in ("", "_mask", "_agnostic", "_densepose"):
                    (place / f"{shot}{what}.mp4").touch()
    for name, text in LISTS.items():
        (root / name).write_text(text)
    return root


def test_a_person_has_two_shots_the_own_garment_and_those_of_the_list(root: Path) -> None:
    clips = {clip.id: clip for clip in read_eevee(root)}
    assert list(clips) == [
        "dresses-00030-video_0", "dresses-00030-video_1", "dresses-00137-video_0",
        "dresses-00137-video_1", "lower_body-00003-video_0", "lower_body-00003-video_1",
        "upper_body-00000-video_0", "upper_body-00000-video_1",
    ]  # fmt: skip
    dress = clips["dresses-00030-video_1"]
    assert (dress.category, dress.subset, dress.shot) == ("overall", "dresses", "video_1")
    folder = root / "dresses" / "00030"
    assert dress.video_path == folder / "video_1.mp4"
    assert dress.mask_path == folder / "video_1_mask.mp4"
    assert dress.own_garment_path == folder / "garment.png"
    assert dress.other_garments == {"00137": root / "dresses" / "00137" / "garment.png"}
    assert clips["lower_body-00003-video_0"].other_garments == {}  # the own one is no other
    top = clips["upper_body-00000-video_0"]
    assert (top.category, top.video_path.parts[-3]) == ("upper", "upper_bdoy")


def test_a_list_without_garments_gives_paired_items_and_says_so(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clips = read_eevee(root)
    assert clips[-1].other_garments == {}
    assert "upper_test.csv has no column but Person: it gives no unpaired items" in caplog.text


def test_the_first_releases_names_the_right_spelling_and_short_ids_are_taken(root: Path) -> None:
    (root / "upper_bdoy").rename(root / "upper_body")
    place = root / "dresses" / "00030"
    (place / "garment.png").rename(place / "in.png")
    (place / "video_0_mask.mp4").rename(place / "video_0_agnostic_mask.mp4")
    (root / "dresses_test.csv").write_text("\ufeffperson, cloth\r\n30,137\r\n\r\n", newline="")
    clips = read_eevee(root)
    assert clips[0].id == "dresses-00030-video_0"
    assert clips[0].own_garment_path.name == "in.png"
    assert clips[0].mask_path.name == "video_0_agnostic_mask.mp4"
    assert list(clips[0].other_garments) == ["00137"]
    assert clips[-1].video_path.parts[-3] == "upper_body"


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("lower_test.csv", r"lower_test\.csv is missing$"),
        ("upper_bdoy", r"upper_bdoy/ is missing \(or upper_body\)"),
        ("dresses/00137", r"dresses_test\.csv names '00137', and .*dresses/00137/ is missing"),
        ("dresses/00137/garment.png", r"00137/garment\.png is missing \(or in\.png\)"),
        ("lower_body/00003/video_1.mp4", r"00003/video_1\.mp4 is missing"),
        ("lower_body/00003/video_0_mask.mp4", r"video_0_mask\.mp4 is missing \(or video_0_agno"),
    ],
)
def test_what_is_missing_is_named(root: Path, missing: str, message: str) -> None:
    path = root / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=rf"Eevee folder .*eevee is incomplete: .*{message}"):
        read_eevee(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,Garment\n1,2\n", "has no column Person: its first line is id, Garment"),
        (b"", "has no column Person: its first line is empty"),
        (b"Person,Garment\n", "names no person"),
        (b"Person,Garment\n,00137\n", "row 2: Person is empty"),
        (b"Person,one,two\n00030,a,b\n", "which column is the garment's is not clear from Person"),
        (b"Person,Garment\n../../etc,00030\n", r"names '\.\./\.\./etc'"),
        (b"\xff\xfe\x00", "is not a CSV file in UTF-8"),
    ],
)
def test_a_wrong_list_is_refused_in_one_sentence(root: Path, content: bytes, message: str) -> None:
    (root / "dresses_test.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_eevee(root)
    assert "\n" not in str(caught.value)


def test_a_folder_one_level_too_high_is_told_the_right_one(root: Path) -> None:
    with pytest.raises(DataError, match=r"it is in .*/eevee, so give root=.*/eevee$"):
        read_eevee(root.parent)


@pytest.mark.parametrize("name", ["vvt", "vivid_s", "eevee"])
def test_a_benchmark_that_is_not_there_says_from_where_on_which_terms_and_how_it_lies(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        check_is_here(name, tmp_path / "nowhere")
    told = str(caught.value)
    for part in ("does not exist", "From: ", "Terms: ", "Layout:", f"make curate BENCH={name}"):
        assert part in told
    assert f"{tmp_path}/nowhere/{ORIGINS[name].layout[0]}" in told
    plain = [line for line in told.splitlines() if not line.startswith("  ")]
    assert max(map(len, plain[1:])) <= LINE  # the first holds the folder
    check_is_here(name, tmp_path)
    check_is_here("dance", tmp_path / "nowhere")
