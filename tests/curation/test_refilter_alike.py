"""Other rules on people and cuts, and back: verdicts turn, and come back as they were."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.clip import Clip, first_failed
from curation.clip_maker import fingerprint, rejected_row, with_hashes
from curation.first_pass.signals import Signals, write_signals
from curation.judging import Judge, Judged
from curation.ledger import ClipRow, Ledger, SourceRow
from curation.perception.protocols import Person, named_perception
from curation.pipeline import build_maker
from curation.selection.candidates import RejectedClip, find_candidates
from curation.selection.people import PeopleConfig, collect_samples
from curation.selection.shots import ShotsConfig
from curation.settings import CurateConfig
from curation.stages.people_files import pack_people
from datasets.storage import store_folder, write_file
from tests.judged_fixtures import INFOS, made_row, take_signals
from tests.output_fixtures import config_of

FPS, SECONDS, SOURCE_HEIGHT = 10.0, 6.0, 720
TAKES = (
    "plain", "cut", "doubtful cut", "unsure", "unclear", "beside", "low", "edge", "gone", "late",
    "blinking", "beside between samples", "child between samples", "faint in its frames",
)  # fmt: skip
LOWER = {"low": 0.49, "edge": 0.335}
"""Shares of the height: hips well below the picture, and just below."""
OTHER_PEOPLE: dict[str, list[Any]] = {
    "visible_body": ["full"], "min_score": [0.3, 0.6, 0.92], "min_visibility": [0.4, 0.6],
    "min_other_share": [0.05, 0.9], "min_other_s": [0.2, 5.0], "min_other_motion": [0.0, 0.5],
    "sure_other_motion": [0.0, 0.5], "min_other_change": [1.0, 50.0], "memory_s": [0.3, 4.0],
    "frame_margin": [0.0, 0.05], "max_missed_s": [0.3, 3.0], "others_margin_s": [0.5, 4.0],
    "min_others_s": [0.05, 4.0],
}  # fmt: skip
OTHER_CUTS: dict[str, list[Any]] = {
    "adaptive_ratio": [1.5, 20.0], "adaptive_window": [1, 3], "min_content": [5.0, 16.0, 40.0],
    "max_histogram_correlation": [0.5, 0.995], "min_jump": [1.0, 90.0], "flash_s": [0.0, 0.6],
    "flash_share": [0.1, 0.9], "dissolve_s": [0.3, 1.0], "min_dissolve_change": [4.0, 30.0],
    "max_blend_error": [0.03, 0.4], "max_blank_contrast": [3.0, 55.0],
    "min_cut_probability": [0.3, 0.9], "max_held_motion": [0.0, 3.0], "held_s": [0.05, 1.0],
}  # fmt: skip


def seen_at(kind: str, time_s: float, height: int, width: int) -> list[Person]:
    """Who a detector saw; of whoever is seen, the points move a little."""
    is_middle, is_sampled = 2.0 <= time_s < 4.0, round(time_s * FPS) % 2 == 0
    is_unsure = kind == "unsure" or (kind == "blinking" and not is_sampled)
    main = somebody(
        (0.3, 0.1, 0.7, 0.9), time_s, height, width,
        score=0.55 if is_unsure and is_middle else 0.95,
        visibility=0.55 if kind == "unclear" and is_middle else 1.0,
        lower_by=LOWER.get(kind, 0.0) if is_middle else 0.0,
    )  # fmt: skip
    if kind == "faint in its frames" and height != SOURCE_HEIGHT:
        return [replace(main, score=0.7)]
    if kind == "gone" and is_middle:
        return []
    if kind == "late" and time_s < 1.0:
        return [replace(main, score=0.4)]
    is_beside = kind == "beside" or ("between samples" in kind and not is_sampled)
    if is_beside and time_s >= 4.4:
        box = (0.8, 0.4, 0.9, 0.6) if "child" in kind else (0.75, 0.3, 0.95, 0.8)
        return [main, somebody(box, time_s, height, width)]
    return [main]


def somebody(
    box: tuple[float, ...], time_s: float, height: int, width: int,
    *, score: float = 0.95, visibility: float = 1.0, lower_by: float = 0.0,
) -> Person:  # fmt: skip
    left, top, right, bottom = box
    numbers = np.arange(17)
    keypoints = np.empty((17, 3), np.float32)
    keypoints[:, 0] = (left + right) / 2 + 0.03 * np.sin(3 * time_s + numbers)
    keypoints[:, 1] = np.linspace(top + 0.05, bottom - 0.05, 17) + lower_by
    keypoints[:, 2] = visibility
    keypoints[:, :2] *= [width, height]
    scaled = np.array(box, np.float32) * np.array([width, height, width, height], np.float32)
    return Person(box=scaled, score=score, keypoints=keypoints)


def signals_of(kind: str, number: int) -> Signals:
    signals = take_signals(number, SECONDS, FPS)
    times = signals.times_s[::2]
    people = [seen_at(kind, float(time_s), SOURCE_HEIGHT, 400) for time_s in times]
    signals = replace(signals, samples=collect_samples(times.tolist(), people, SOURCE_HEIGHT, 400))
    if "cut" not in kind:
        return signals
    content, thumbs = signals.content.copy(), signals.thumbs.copy()
    content[30], thumbs[30:, 8:] = 15.5 if "doubtful" in kind else 35.0, 255 - thumbs[30:, 8:]
    return replace(signals, content=content, thumbs=thumbs)


def write_take(config: CurateConfig, ledger: Ledger, number: int, kind: str) -> None:
    """A source with its clips as `make curate` leaves them, but for the pixels of the tracks."""
    out, sha = Path(config.out), f"{number:016x}" * 4
    signals, name = signals_of(kind, number), f"{number}.signals"
    write_file(out / "signals" / name, lambda file: write_signals(signals, file))
    maker = build_maker(config, named_perception(INFOS))
    base = Clip(
        source=f"{kind}.mp4", source_sha256=sha, scene_start_s=0.0, scene_end_s=signals.end_s,
        start_s=0.0, end_s=signals.end_s,
    )  # fmt: skip
    rows: list[ClipRow] = []
    for outcome in find_candidates(base, signals, config.selection, config.canonical):
        if isinstance(outcome, RejectedClip):
            rows.append(rejected_row(outcome))
            continue
        clip = outcome.clip
        height, width, count, fps = clip.height, clip.width, clip.num_frames, clip.fps
        assert height
        assert width
        assert count
        assert fps
        times = [index / fps for index in range(count)]
        found = [seen_at(kind, clip.start_s + time_s, height, width) for time_s in times]
        samples = collect_samples(times, found, height, width)
        followed = maker.follow.follow(clip, samples, width / height)
        beginning = {
            "request": maker.request(outcome, None),
            "people": store_folder(out / "people", pack_people(found, None, fps)),
            "seconds": {},
        }
        reject = first_failed(maker.follow.checks(followed.clip))
        if reject is not None:
            row = rejected_row(RejectedClip(clip=followed.clip, reject=reject))
            rows.append(replace(row, record={**row.record, **beginning, "made": {}}))
            continue
        row = made_row(config, maker, replace(outcome, clip=followed.clip), number)
        row = replace(row, record={**row.record, **beginning})
        rows.append(with_hashes(row, signals, config.duplicates.hash_fps))
    run = fingerprint(config.deciding(), INFOS)
    facts = {"signals": name, "duration_s": signals.end_s}
    source = SourceRow(
        sha256=sha, name=base.source, group=sha, num_bytes=1, fingerprint=f"{run}--False",
        facts=facts,
    )  # fmt: skip
    ledger.record(source, rows)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    out = tmp_path_factory.mktemp("alike") / "out"
    config = config_of(out, "selection.quality.min_sharpness=10", "selection.stretches=all")
    with Ledger(out / "ledger.sqlite") as ledger:
        for number, kind in enumerate(TAKES):
            write_take(config, ledger, number, kind)
    return config


Rows = dict[str, list[ClipRow]]


def judge_all(
    config: CurateConfig, before: Rows | None = None, rules: CurateConfig | None = None
) -> tuple[list[Judged], Rows]:
    """Every source and its clips by these rules; ``before``: clips as other ``rules`` left them."""
    judge, found, after = Judge(config, INFOS, rules), [], {}
    with Ledger(Path(config.out) / "ledger.sqlite") as ledger:
        stored = ledger.clips_by_source("", "~")
        for source in ledger.sources():
            clips = (before or stored).get(source.sha256, [])
            result = judge.judge(source, clips, lambda sha=source.sha256: ledger.made_of(sha))
            found.append(result)
            rows = clips if result.clips is None else result.clips
            after[source.sha256] = sorted(rows, key=lambda row: row.clip_id)
    return found, after


def with_people(config: CurateConfig, **changed: Any) -> CurateConfig:
    people = replace(config.selection.people, **changed)
    return replace(config, selection=replace(config.selection, people=people))


def with_cuts(config: CurateConfig, **changed: Any) -> CurateConfig:
    shots = replace(config.selection.shots, **changed)
    return replace(config, selection=replace(config.selection, shots=shots))


@pytest.fixture(scope="module")
def today(config) -> Rows:
    return judge_all(config)[1]


def turns(config: CurateConfig, today: Rows, other: CurateConfig) -> bool:
    """Whether anything turns; turned back, every row is what it was ``today``."""
    found, rows = judge_all(other, today)
    assert judge_all(other, today, config) == (found, rows), "what is skipped would say the same"
    assert judge_all(config, rows)[1] == today
    return any(result.turned for result in found)


def test_whatever_decides_about_people_and_cuts_is_tried_here():
    assert set(OTHER_PEOPLE) == {field.name for field in fields(PeopleConfig)}
    assert set(OTHER_CUTS) == {field.name for field in fields(ShotsConfig)}


@pytest.mark.parametrize("name", OTHER_PEOPLE)
def test_another_rule_on_people_is_turned_back_at_no_cost(config, today, name):
    for value in OTHER_PEOPLE[name]:
        turns(config, today, with_people(config, **{name: value}))


@pytest.mark.parametrize("name", OTHER_CUTS)
def test_another_rule_on_cuts_is_turned_back_at_no_cost(config, today, name):
    for value in OTHER_CUTS[name]:
        turns(config, today, with_cuts(config, **{name: value}))


@pytest.mark.parametrize("seconds", [0.5, 2.5, 5.5])
def test_another_length_is_turned_back_at_no_cost(config, today, seconds):
    quality = replace(config.selection.quality, min_duration_s=seconds)
    turns(config, today, replace(config, selection=replace(config.selection, quality=quality)))


def test_the_rules_that_are_tried_turn_verdicts(config, today):
    """Otherwise turning them back would prove nothing."""
    turning = [
        with_people(config, min_score=0.6), with_people(config, min_visibility=0.6),
        with_people(config, frame_margin=0.0), with_people(config, min_other_share=0.9),
        with_people(config, min_other_share=0.05), with_people(config, visible_body="full"),
        with_people(config, min_others_s=4.0),
        with_people(config, max_missed_s=3.0), with_cuts(config, min_content=16.0),
        with_cuts(config, min_jump=90.0),
    ]  # fmt: skip
    assert all(turns(config, today, other) for other in turning)
    other_area = replace(turning[0], agnostic=replace(config.agnostic, max_area=0.2))
    assert turns(config, today, other_area)


def test_who_was_refused_after_the_clip_was_made_stays_refused(config):
    strict, stricter = with_people(config, min_score=0.75), with_people(config, min_score=0.8)
    found, rows = judge_all(strict)
    (sha,) = (r.source.sha256 for r in found if r.source.name == "faint in its frames.mp4")
    assert [row.code for row in rows[sha]] == ["no_person"]
    assert rows[sha][0].record["made"]
    _, again = judge_all(stricter, rows)
    assert [row.code for row in again[sha]] == ["no_person"]
