"""What explain proposes is tried with the real refilter: the verdict turns by what it printed."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from curation import explain, refilter
from curation.clip import AT_LEAST, LESS, Check
from curation.clip_maker import clip_of
from curation.explaining.turning import deciding
from curation.ledger import Ledger
from curation.perception.protocols import Person
from curation.stages.check_labels import FAULTS
from curation.stages.people_files import pack_people
from curation.video.decode import Header
from datasets.storage import store_folder
from tests import judged_fixtures
from tests.judged_fixtures import write_judged

FPS = 10.0
OTHER_SHARE = 0.4  # of the main person's box


def written(out: Path, monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> Path:
    monkeypatch.setattr(judged_fixtures, "FPS", FPS)
    write_judged(out, 1, seconds, "selection.quality.min_sharpness=10", fps=FPS)
    return out


def person(box: tuple[float, float, float, float], seed: int) -> Person:
    """Somebody who moves: another shape in every frame."""
    rng = np.random.default_rng(seed)
    left, top, right, bottom = box
    keypoints = np.ones((17, 3), np.float32)
    keypoints[:, 0] = rng.uniform(left, right, 17)
    keypoints[:, 1] = rng.uniform(top, bottom, 17)
    return Person(box=np.array(box, np.float32), score=0.9, keypoints=keypoints)


def let_somebody_in(out: Path, frames: range, count: int) -> None:
    """Store people of every frame in which a second person is seen in ``frames``."""
    main = [person((96, 51, 288, 460), index) for index in range(count)]
    seen = [[one] for one in main]
    for index in frames:
        seen[index].append(person((290, 51, 290 + 192 * OTHER_SHARE, 460), 1000 + index))
    packed = pack_people(seen, main, FPS)
    with Ledger(out / "ledger.sqlite") as ledger:
        (clip,) = ledger.clips()
        (source,) = ledger.sources()
        people = store_folder(out / "people", packed)
        clip = replace(clip, record={**clip.record, "people": people})
        ledger.record(source, [clip])


def explained(out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    explain.main([str(out), "take 00000.mp4"])
    return capsys.readouterr().out


def typed(text: str) -> list[str]:
    """Arguments of ``curation.refilter`` from the command that explain printed."""
    (command,) = re.findall(r"to turn it +(make curate-refilter [^\n]*?)  \(", text)
    words = shlex.split(command)
    assert words[:2] == ["make", "curate-refilter"]
    given = dict(word.split("=", 1) for word in words[2:])
    return [given["OUT"], *given["ARGS"].split()]


def verdict(out: Path) -> str:
    with Ledger(out / "ledger.sqlite") as ledger:
        (clip,) = ledger.clips()
    return clip.code or clip.status


def test_the_key_that_decided_about_another_person_comes_first_and_its_command_turns_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = written(tmp_path / "an out", monkeypatch, seconds=2.0)
    let_somebody_in(out, range(8, 12), 20)
    refilter.main([str(out), "selection.people.min_others_s=0.15"])
    assert verdict(out) == "two_people"
    text = explained(out, capsys)
    lines = [line.strip() for line in text.splitlines()]
    decided = next(index for index, line in enumerate(lines) if line.startswith("decided by"))
    assert lines[decided].startswith("decided by  selection.people.min_others_s: other_s is 0.4")
    assert "selection.people.min_other_s:" not in text
    (of_clip, _) = (index for index, line in enumerate(lines) if "┃ signal" in line)
    assert decided < of_clip
    refilter.main(typed(text))
    assert verdict(out) == "kept"


def test_counts_of_frames_and_of_samples_stand_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The samples of this clip show one person, its frames two."""
    out = written(tmp_path / "out", monkeypatch, seconds=2.0)
    let_somebody_in(out, range(8, 12), 20)
    refilter.main([str(out), "selection.people.min_others_s=0.15"])
    rows = [
        [cell.strip() for cell in line.split("│")] for line in explained(out, capsys).splitlines()
    ]
    places = {row[0]: index for index, row in enumerate(rows) if row[0].startswith("people")}
    most = {at: row[2] for at, row in enumerate(rows) if row[1:2] == ["most people at once"]}
    samples, frames = places["people in samples"], places["people in frames"]
    assert [n for i, n in most.items() if samples < i < frames] == ["1"]
    assert [n for i, n in most.items() if i >= frames] == ["2"]


def test_a_kept_clip_is_told_what_would_reject_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = written(tmp_path / "out", monkeypatch, seconds=4.0)
    refilter.main([str(out), "selection.quality.min_sharpness=19"])  # this take has 20
    text = explained(out, capsys)
    assert "nearest     selection.quality.min_sharpness: sharpness is 20" in text
    assert "(rejected: blurred)" in text
    refilter.main(typed(text))
    assert verdict(out) == "blurred"
    text = explained(out, capsys)
    assert "decided by  selection.quality.min_sharpness" in text
    refilter.main(typed(text))
    assert verdict(out) == "kept"


def test_the_picture_exists_and_a_purged_source_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from curation import purge

    out = written(tmp_path / "out", monkeypatch, seconds=4.0)
    (path,) = re.findall(r"picture +(\S+\.jpg)", explained(out, capsys))
    assert cv2.imread(path) is not None
    purge.main([str(out), "take 00000.mp4"])
    assert not Path(path).exists()


def test_a_file_rejected_by_its_header_is_told_the_setting_and_turned_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = written(tmp_path / "out", monkeypatch, seconds=4.0)
    header = Header(
        container="mp4", codec="h264", pixel_format="yuv420p", height=400, width=100,
        sample_aspect=1.0, average_fps=10.0, duration_s=4.0, transfer=None, num_bytes=1000,
    )  # fmt: skip
    with Ledger(out / "ledger.sqlite") as ledger:
        (source,) = ledger.sources()
        facts = {"header": vars(header)}
        ledger.record(replace(source, code="too_small", evidence={"side": 100}, facts=facts), [])
    text = explained(out, capsys)
    assert "decided by  probe.min_side: side is 100, and must be >= 160" in text
    refilter.main(typed(text))
    with Ledger(out / "ledger.sqlite") as ledger:
        (source,) = ledger.sources()
    assert source.fingerprint.startswith("-")  # the next curate reads it


def test_a_limit_on_wrong_labels_decided_and_its_command_needs_that_clip_alone_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the frames are a little over one limit, one frame is far over another."""
    monkeypatch.setattr(judged_fixtures, "FPS", FPS)
    out = tmp_path / "out"
    write_judged(out, 2, 4.0, "selection.quality.min_sharpness=10", fps=FPS)
    shares = {f"label_{name}": np.zeros(40) for name in FAULTS}
    with Ledger(out / "ledger.sqlite") as ledger:
        clips = {clip.source_sha256: clip for clip in ledger.clips()}
        for source in ledger.sources():
            if source.name == "take 00000.mp4":
                shares["label_hips"][::2], shares["label_head"][0] = 0.29, 0.9
            clip = clips[source.sha256]
            record = clip_of(clip.record).with_shares(**shares).as_record()
            ledger.record(source, [replace(clip, record={**clip.record, **record})])
            shares = {name: np.zeros(40) for name in shares}
    refilter.main([str(out), "selection.quality.min_duration_s=1.5"])  # the other stays as it is
    with Ledger(out / "ledger.sqlite") as ledger:
        assert [clip.code for clip in ledger.clips()] in (
            ["wrong_labels", None],
            [None, "wrong_labels"],
        )
    text = explained(out, capsys)
    assert "decided by  labels.max_hips: share of one garment's colours under the other's" in text
    assert "label is 0.29, and must be <= 0.1" in text
    refilter.main(typed(text))
    with Ledger(out / "ledger.sqlite") as ledger:
        assert {clip.code for clip in ledger.clips()} == {"to_be_made", None}


def test_what_no_setting_turns_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = written(tmp_path / "out", monkeypatch, seconds=4.0)
    with Ledger(out / "ledger.sqlite") as ledger:
        (clip,) = ledger.clips()
        (source,) = ledger.sources()
        evidence = {"no_person_samples": 10, "samples": 10, "longest_stretch_s": 0.0}
        gone = replace(clip, status="rejected", code="no_person", evidence=evidence)
        empty = replace(source, code="not_a_video", evidence={"detail": "text"})
        ledger.judge_again([(empty, [gone])])
    text = explained(out, capsys)
    assert "no setting that make curate-refilter accepts turns this verdict" in text
    assert "ARGS=" not in text


def test_a_stretch_at_the_end_that_was_cut_off_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the samples of a source, and in the frames of the stretch that was decoded."""
    alone = judged_fixtures.take_signals

    def joined(number: int, seconds: float, fps: float):
        signals = alone(number, seconds, fps)
        samples = signals.samples
        assert samples is not None
        late = samples.times_s >= 6.4
        rows = np.repeat(np.arange(len(late)), 1 + late)
        is_other = np.flatnonzero(np.diff(rows, prepend=-1) == 0)
        boxes, keypoints = samples.boxes[rows].copy(), samples.keypoints[rows].copy()
        boxes[is_other] = (0.72, 0.1, 0.95, 0.9)
        rng = np.random.default_rng(1)
        keypoints[:, 7:11, 1] += rng.uniform(-0.3, 0.3, (len(rows), 4))  # who is still is a picture
        keypoints[is_other, :, 0] = rng.uniform(0.72, 0.95, (len(is_other), 17))
        keypoints[is_other, :, 1] = rng.uniform(0.1, 0.9, (len(is_other), 17))
        return replace(signals, samples=replace(
            samples, num_people=(1 + late).astype(np.int32), boxes=boxes, keypoints=keypoints,
            scores=samples.scores[rows], track_ids=samples.track_ids[rows],
            changes=samples.changes[rows],
        ))  # fmt: skip

    monkeypatch.setattr(judged_fixtures, "take_signals", joined)
    out = written(tmp_path / "out", monkeypatch, seconds=8.0)
    text = explained(out, capsys)
    (span, why, key) = re.findall(r"cut off +(\S+ s) of the scene: (.*) \((.*)\)", text)[0]
    assert span == "3.600-8.000 s"
    assert why == "two_people: more than one person is visible in 4 of 11 samples"
    assert key == "selection.people.min_other_s"

    monkeypatch.setattr(judged_fixtures, "take_signals", alone)
    out = written(tmp_path / "cut", monkeypatch, seconds=4.0)
    let_somebody_in(out, range(30, 40), 40)
    with Ledger(out / "ledger.sqlite") as ledger:
        (clip,) = ledger.clips()
        (source,) = ledger.sources()
        record = {**clip.record, "end_s": 3.0, "num_frames": 30}
        ledger.record(source, [replace(clip, record=record)])
    text = explained(out, capsys)
    assert (
        "cut off     3.000-4.000 s of the scene: two_people: more than one person is visible in "
        "10 of 10 frames (selection.people.min_others_s)"
    ) in text


def test_of_several_limits_the_nearest_decided() -> None:
    def limit(signal: str, value: float, threshold: float) -> Check:
        return Check(verdict="people", signal=signal, value=value, rule=LESS, threshold=threshold,
                     key=f"selection.people.{signal}")  # fmt: skip

    left = Check(verdict="people", signal="longest_stretch", value=3, rule=AT_LEAST,
                 threshold=36, key="quality.min_duration_s", code="two_people")  # fmt: skip
    share, lasting = limit("other_share", 0.5, 0.12), limit("other_s", 0.3, 0.2)
    small = limit("other_motion", 0.01, 0.02)  # holds: it did not decide
    assert deciding([left, share, small, lasting], "two_people") == [lasting, share, left]
    assert deciding([left, share], "no_person") == []
