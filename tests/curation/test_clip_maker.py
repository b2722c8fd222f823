"""What was made is made once: thresholds are asked of records, models redo their own stage."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest

from curation.clip import Clip
from curation.clip_maker import ClipMaker, NeedsDecoding
from curation.perception.protocols import BackendInfo, DensePose, Person
from curation.selection.candidates import Candidate
from curation.selection.people import PeopleConfig, collect_samples
from curation.stages.agnostic import AgnosticConfig, MaskGarment
from curation.stages.check_labels import CheckLabels, LabelsConfig
from curation.stages.clip_files import read_rgb
from curation.stages.densepose import DensePoseConfig, MapSurface
from curation.stages.follow_person import FollowPerson
from curation.stages.garments import CutGarment, GarmentConfig
from curation.stages.parsing import ParseClothes, ParsingConfig
from curation.stages.people_files import pack_people, read_chosen, read_seen, read_take
from curation.step_times import StepTimes
from curation.video.canonical import CropPlan
from datasets.labels import DensePosePart, ParseLabel
from datasets.tracks import read_labels

HEIGHT, WIDTH, COUNT = 128, 96, 10
LENIENT = ParsingConfig(min_garment_share=0.5)


def info(name: str) -> BackendInfo:
    return BackendInfo(name=name, version="1", weights_sha256=None, is_approximate=True)


class Seer:
    """Finds one person in the middle of every frame, and counts how often it is asked."""

    info = info("seer")

    def __init__(self) -> None:
        self.asked = 0

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Person]]:
        self.asked += 1
        return [[person_in(index)] for index in range(len(frames))]


def person_in(index: int) -> Person:
    keypoints = np.ones((17, 3), np.float32)
    keypoints[:, 0], keypoints[:, 1] = 48 + index, np.linspace(20, 110, 17)
    keypoints[[5, 11], 0], keypoints[[6, 12], 0] = 60, 36
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[15:115, 30:66] = 255
    mask[15:20, 30:66] = 7 * index  # soft edges are kept to the bit
    return Person(
        box=np.array([30, 15, 66, 115], np.float32), score=0.9 + index / 1000,
        keypoints=keypoints, mask=mask, landmarks=np.full((33, 5), index / 3), track_id=4,
    )  # fmt: skip


class Surface:
    info = info("surface")

    def estimate(self, frames, people) -> list[DensePose | None]:
        iuv = np.zeros((112, 112, 3), np.uint8)
        iuv[20:90, 20:90] = (DensePosePart.TORSO_FRONT, 9, 9)
        return [DensePose(iuv=iuv, box=people[0].box) for _ in frames]


class Parser:
    """Labels a torso of a given width; remembers the frames and people it was given."""

    def __init__(self, name: str = "parser", half: int = 14) -> None:
        self.info, self.half = info(name), half
        self.frames: list[np.ndarray] = []
        self.people: list[Person | None] = []

    def parse(self, frames, people) -> list[np.ndarray]:
        self.frames, self.people = list(frames), list(people)
        label = np.zeros((HEIGHT, WIDTH), np.uint8)
        label[40:90, 48 - self.half : 48 + self.half] = ParseLabel.UPPER
        return [label] * len(frames)


@pytest.fixture
def frames() -> np.ndarray:
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(0, 255, (8, 6, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    return np.stack([np.roll(ground, index, axis=1) for index in range(COUNT)])


def candidate(**changes: object) -> Candidate:
    clip = Clip(
        source="a.mp4", source_sha256="a" * 64, scene_start_s=0, scene_end_s=2, start_s=0,
        end_s=COUNT / 8, fps=8.0, height=HEIGHT, width=WIDTH, num_frames=COUNT,
    )  # fmt: skip
    plan = CropPlan(
        top=0, left=0, crop_height=HEIGHT, crop_width=WIDTH, height=HEIGHT, width=WIDTH, coverage=1
    )
    return Candidate(clip=replace(clip, **changes), plan=plan)  # pyright: ignore[reportArgumentType]


def maker_of(out, seer: Seer, parser: Parser, people: PeopleConfig | None = None, **more: object):
    stages = (
        MapSurface(estimator=Surface(), config=DensePoseConfig()),
        ParseClothes(parser=parser, config=more.get("parsing", ParsingConfig())),  # pyright: ignore[reportArgumentType]
        MaskGarment(config=more.get("agnostic", AgnosticConfig())),  # pyright: ignore[reportArgumentType]
        CutGarment(config=GarmentConfig()),
    )
    follow = FollowPerson(detector=seer, config=people or PeopleConfig(), min_duration_s=1.0)
    infos = {"detector": {"name": "seer"}, "parser": {"name": parser.info.name}}
    return ClipMaker(out=out, follow=follow, stages=stages, infos=infos, category="upper")


def made(out, frames, seer=None, parser=None):
    maker = maker_of(out, seer or Seer(), parser or Parser())
    return maker.make(candidate(), frames, "request", StepTimes())


def test_a_damaged_file_of_who_was_seen_is_noticed(tmp_path):
    files = pack_people([[person_in(0)], [person_in(2)]], None, 8.0)
    data = bytearray(files["take.npz"])
    with zipfile.ZipFile(io.BytesIO(files["take.npz"])) as stored:
        boxes = stored.getinfo("boxes.npy")
    entry = data.rindex(b"boxes.npy") - 46  # in the table at the end
    assert data[entry + 16 : entry + 20] == boxes.CRC.to_bytes(4, "little")
    data[entry + 16] ^= 1
    (tmp_path / "take.npz").write_bytes(data)
    with pytest.raises(zipfile.BadZipFile, match=r"boxes\.npy"):
        read_seen(tmp_path, 8.0, 64, 48)


def test_who_was_seen_is_read_back_to_the_bit_with_masks_and_landmarks(tmp_path):
    found = [[person_in(0), person_in(3)], [], [person_in(2)]]
    files = pack_people(found, [found[0][0], None, found[2][0]], 8.0)
    assert set(files) == {"take.npz", "chosen.npz", "person.mp4"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    take = read_take(tmp_path)
    assert [len(frame) for frame in take] == [2, 0, 1]
    assert take[0][1].score == found[0][1].score
    np.testing.assert_array_equal(take[2][0].keypoints, found[2][0].keypoints)
    seen, wanted = (
        read_seen(tmp_path, 8.0, 64, 48),
        collect_samples([0, 1 / 8, 2 / 8], take, 64, 48),
    )
    for name, values in vars(wanted).items():
        np.testing.assert_array_equal(getattr(seen, name), values, err_msg=name)
        assert getattr(seen, name).dtype == values.dtype
    first, nobody, last = read_chosen(tmp_path)
    assert nobody is None
    for read, wanted in ((first, found[0][0]), (last, found[2][0])):
        assert read is not None
        assert read.track_id == 4
        np.testing.assert_array_equal(read.mask, wanted.mask)
        np.testing.assert_array_equal(read.landmarks, wanted.landmarks)


def test_a_threshold_is_asked_of_the_record_and_turned_back_at_no_cost(tmp_path, frames):
    seer, parser = Seer(), Parser()
    row = made(tmp_path, frames, seer, parser)
    assert row.status == "kept"
    parser.frames = []
    strict = maker_of(tmp_path, seer, parser, agnostic=AgnosticConfig(max_area=0.01))
    refused = strict.reuse_or_redo(row, candidate())
    assert refused is not None
    assert (refused.status, refused.code) == ("rejected", "mask_failed")
    assert refused.evidence["max_area"] == 0.01
    back = maker_of(tmp_path, seer, parser).reuse_or_redo(refused, candidate())
    assert back == row
    assert seer.asked == 1
    assert parser.frames == []


def test_thresholds_on_people_are_asked_of_who_was_seen(tmp_path, frames):
    seer, parser = Seer(), Parser()
    row = made(tmp_path, frames, seer, parser)
    parser.frames = []
    same = maker_of(tmp_path, seer, parser, people=PeopleConfig(min_score=0.6))
    again = same.reuse_or_redo(row, candidate())
    assert again is not None
    assert again.folder == row.folder
    picky = maker_of(tmp_path, seer, parser, people=PeopleConfig(min_score=0.99))
    refused = picky.reuse_or_redo(row, candidate())
    assert refused is not None
    assert refused.code == "no_person"
    assert maker_of(tmp_path, seer, parser).reuse_or_redo(refused, candidate()) == row
    assert seer.asked == 1
    assert parser.frames == []


def test_another_cut_asks_for_the_raw_video(tmp_path, frames):
    row = made(tmp_path, frames)
    # the first two frames score 0.900 and 0.901: a second of eight frames is left
    shorter = maker_of(
        tmp_path, Seer(), Parser(), people=PeopleConfig(min_score=0.902, max_missed_s=0.1)
    )
    assert shorter.judge(row, candidate()) == NeedsDecoding(reason="its frames changed")
    assert shorter.reuse_or_redo(row, candidate()) is None


def test_a_new_parser_redoes_its_stage_and_what_depends_on_it_from_stored_tracks(tmp_path, frames):
    seer, parser = Seer(), Parser()
    row = made(tmp_path, frames, seer, parser)
    wider = Parser("wider", half=20)
    assert isinstance(maker_of(tmp_path, seer, wider).judge(row, candidate()), NeedsDecoding)
    again = maker_of(tmp_path, seer, wider).reuse_or_redo(row, candidate(scene_end_s=3))
    assert again is not None
    assert again.record["scene_end_s"] == 3  # cuts were found elsewhere, too
    assert again.folder is not None
    assert row.folder is not None
    assert seer.asked == 1
    before, after = tmp_path / "clips" / row.folder, tmp_path / "clips" / again.folder
    assert (before / "mp4").read_bytes() == (after / "mp4").read_bytes()
    assert (before / "iuv.mp4").read_bytes() == (after / "iuv.mp4").read_bytes()
    parse = read_labels((after / "parse.mp4").read_bytes())
    assert (parse[0] == ParseLabel.UPPER).sum() == 50 * 40
    assert again.record["scores"]["mask_area"] > row.record["scores"]["mask_area"]
    np.testing.assert_array_equal(np.stack(wider.frames), np.stack(parser.frames))
    for one, other in zip(wider.people, parser.people, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.mask, other.mask)
    fresh = made(tmp_path / "fresh", frames, parser=Parser("wider", half=20))
    assert again.folder == fresh.folder  # the very bytes of a first run with that parser


def test_a_clip_without_stored_people_is_made_anew(tmp_path, frames):
    row = made(tmp_path, frames)
    older = replace(row, record={**row.record, "people": None})
    assert maker_of(tmp_path, Seer(), Parser()).reuse_or_redo(older, candidate()) is None


def test_the_same_pixels_have_the_same_request_whatever_the_thresholds(tmp_path):
    maker = maker_of(tmp_path, Seer(), Parser())
    strict = maker_of(tmp_path, Seer(), Parser(), people=PeopleConfig(min_score=0.9))
    assert maker.request(candidate(), None) == strict.request(candidate(), None)
    assert maker.request(candidate(end_s=1.0), None) != maker.request(candidate(), None)


class WrongStart(Parser):
    """The first ``wrong`` frames of the whole clip get no labels."""

    def __init__(self, wrong: int, is_wrong_again: bool = False) -> None:
        super().__init__()
        self.wrong, self.is_wrong_again = wrong, is_wrong_again

    def parse(self, frames, people) -> list[np.ndarray]:
        labels = [label.copy() for label in super().parse(frames, people)]
        for label in labels[: self.wrong if len(frames) == COUNT else 0]:
            label[:] = ParseLabel.BACKGROUND
        if self.is_wrong_again and len(frames) == COUNT - self.wrong:
            labels[-1][:] = ParseLabel.BACKGROUND
        return labels


def with_checked_labels(
    maker: ClipMaker, least_s: float = 0.5, max_unmapped: float = 0.5
) -> ClipMaker:
    """The clip's frames are noise, so of the checks only the one on missing labels is made."""
    config = LabelsConfig(
        max_unmapped=max_unmapped, max_head=1, max_hips=1, max_outside=1, max_jump=1
    )
    check = CheckLabels(config=config, category="upper", min_duration_s=least_s)
    others = [stage for stage in maker.stages if not isinstance(stage, CheckLabels)]
    return replace(maker, stages=(*others[:3], check, *others[3:]))


def test_frames_with_wrong_labels_are_cut_off_and_the_rest_is_made_again(tmp_path, frames):
    seer, parser = Seer(), WrongStart(3)
    maker = with_checked_labels(maker_of(tmp_path, seer, parser, parsing=LENIENT))
    calls: list[Clip] = []

    def extra(clip: Clip) -> dict[str, bytes]:
        calls.append(clip)
        return {}

    row = maker.make(candidate(), frames, "request", StepTimes(), extra)
    assert row.status == "kept"
    record = row.record
    assert (record["start_s"], record["end_s"], record["num_frames"]) == (3 / 8, 10 / 8, 7)
    assert record["uncut"] == {"start_s": 0, "end_s": 10 / 8, "num_frames": 10}
    assert record["verdicts"]["labels_cut"] == "no labels or no body in 3 of 10 frames"
    assert record["verdicts"]["labels"] == "right"
    assert row.clip_id.endswith("_00000375_00001250")
    assert [clip.num_frames for clip in calls] == [7]
    assert row.folder is not None
    video = read_rgb((tmp_path / "clips" / row.folder / "mp4").read_bytes())
    assert np.abs(video.astype(int) - frames[3:]).mean() < 4
    labels = read_labels((tmp_path / "clips" / row.folder / "parse.mp4").read_bytes())
    assert len(labels) == 7
    # judged again as it is; made again from the video when a stage has changed
    assert maker.judge(row, candidate()) == row
    assert maker.reuse_or_redo(row, candidate()) == row
    assert with_checked_labels(maker, least_s=0.75).judge(row, candidate()) == row
    assert isinstance(
        with_checked_labels(maker, max_unmapped=0.6).judge(row, candidate()), NeedsDecoding
    )
    changed = with_checked_labels(maker_of(tmp_path, seer, Parser("other"), parsing=LENIENT))
    assert isinstance(changed.judge(row, candidate()), NeedsDecoding)
    assert changed.reuse_or_redo(row, candidate()) is None


def test_what_is_left_is_checked_again_and_each_cut_is_told(tmp_path, frames):
    parser = WrongStart(3, is_wrong_again=True)
    maker = with_checked_labels(maker_of(tmp_path, Seer(), parser, parsing=LENIENT))
    record = maker.make(candidate(), frames, "request", StepTimes()).record
    assert (record["start_s"], record["end_s"], record["num_frames"]) == (3 / 8, 9 / 8, 6)
    assert record["uncut"]["num_frames"] == 10
    told = "no labels or no body in 3 of 10 frames; then no labels or no body in 1 of 7 frames"
    assert record["verdicts"]["labels_cut"] == told


def test_too_few_frames_with_right_labels_reject_a_clip(tmp_path, frames):
    parser = WrongStart(3)
    maker = with_checked_labels(maker_of(tmp_path, Seer(), parser, parsing=LENIENT), least_s=1.0)
    row = maker.make(candidate(), frames, "request", StepTimes())
    assert (row.status, row.code) == ("rejected", "wrong_labels")
    assert row.evidence == {"longest_right_labels": 7.0, "num_frames": 10, "unmapped": 3}
    lenient = with_checked_labels(
        maker_of(tmp_path, Seer(), parser, parsing=LENIENT), least_s=1.0, max_unmapped=1.0
    )
    assert isinstance(lenient.judge(row, candidate()), NeedsDecoding)


def test_stored_tracks_that_need_a_cut_are_made_again_from_the_video(tmp_path, frames):
    seer, parser = Seer(), WrongStart(3)
    plain = maker_of(tmp_path, seer, parser, parsing=LENIENT)
    row = plain.make(candidate(), frames, "request", StepTimes())
    assert (row.status, row.record["num_frames"]) == ("kept", 10)
    assert with_checked_labels(plain).reuse_or_redo(row, candidate()) is None
