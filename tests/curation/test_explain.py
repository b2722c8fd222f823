"""explain tells every number that decided, and which of them nearly decided otherwise."""

from dataclasses import replace

import pytest

from configs.errors import ConfigError, DataError
from curation import explain
from curation.clip import AT_LEAST, AT_MOST, LESS, MORE, Check
from curation.ledger import Ledger
from tests.output_fixtures import write_output


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    out = tmp_path_factory.mktemp("explain") / "out"
    write_output(out, num_sources=2)
    return out


def check(value: float, rule: str, threshold: float) -> Check:
    return Check(verdict="quality", signal="s", value=value, rule=rule, threshold=threshold)


def test_a_rule_holds_or_not_and_nearly_is_a_tenth_of_the_threshold():
    assert check(25.0, AT_LEAST, 25.0).is_passed is True
    assert check(25.0, MORE, 25.0).is_passed is False
    assert check(0.5, AT_MOST, 0.5).is_passed is True
    assert check(0.5, LESS, 0.5).is_passed is False
    assert check(27.0, AT_LEAST, 25.0).is_near
    assert check(23.0, AT_LEAST, 25.0).is_near
    assert not check(30.0, AT_LEAST, 25.0).is_near
    told = Check(verdict="cuts", signal="s", value="0.000 s, cut")
    assert told.is_passed is None
    assert not told.is_near


def test_a_kept_clip_is_told_signal_by_signal_with_keys(output, capsys):
    explain.main([str(output), f"{'01' * 8}_00000000_00001500"])
    text = capsys.readouterr().out
    assert "dancer 1.mp4" in text
    assert "kept, split train" in text
    rows = {line.split("│")[-1].strip(): line for line in text.splitlines() if "│" in line}
    assert ">= 25" in rows["selection.quality.min_sharpness"]
    assert "yes" in rows["selection.quality.min_sharpness"]
    assert "200" in rows["selection.quality.min_sharpness"]
    assert {
        "selection.shots.max_histogram_correlation", "selection.people.min_other_share",
        "canonical.min_person_height", "duplicates.max_distance",
    } <= set(rows)  # fmt: skip


def test_a_source_is_told_with_all_its_clips_by_name_hash_or_row_of_the_manifest(output, capsys):
    for name in ("dancer 1.mp4", "01" * 8, f"{'01' * 8}_source"):
        explain.main([str(output), name])
        assert f"{'01' * 8}_00000000_00001500" in capsys.readouterr().out
    explain.main([str(output), "page.mp4"])
    assert "rejected: not_a_video" in capsys.readouterr().out


def test_a_clip_whose_measurements_are_gone_is_told_from_the_ledger(output, capsys, tmp_path):
    for path in (output / "signals").glob("00*"):
        path.rename(tmp_path / path.name)
    explain.main([str(output), "dancer 0.mp4"])
    for path in tmp_path.glob("00*"):
        path.rename(output / "signals" / path.name)
    text = capsys.readouterr().out
    assert "its signals file is missing" in text
    assert "selection.quality.min_sharpness" in text


def test_a_name_that_means_nothing_or_several_is_one_sentence(output):
    with pytest.raises(DataError, match=r"similar names: 'dancer 1\.mp4'"):
        explain.main([str(output), "dancer1.mp4"])
    with pytest.raises(DataError, match="no clip or source named"):
        explain.main([str(output), "0" * 5])
    with pytest.raises(ConfigError, match="give one clip_id"):
        explain.main([str(output)])


def test_the_key_that_decided_about_somebody_else_is_named(output, capsys):
    """In samples of a scene min_other_s decides, in the frames of a clip min_others_s."""
    name = f"{'01' * 8}_00000000_00001500"
    numbers = {
        "samples": 12, "passing_samples": 0, "no_person_samples": 0, "two_people_samples": 12,
        "body_hidden_samples": 0, "num_people": 2, "other_share": 0.5, "other_s": 0.3,
        "longest_stretch": 0,
    }  # fmt: skip
    with Ledger(output / "ledger.sqlite") as ledger:
        (clip,) = (clip for clip in ledger.clips() if clip.clip_id == name)
        (source,) = (row for row in ledger.sources() if row.sha256 == clip.source_sha256)
        gone = replace(clip, status="rejected", code="two_people", evidence=numbers)
        ledger.judge_again([(source, [gone])])
        explain.main([str(output), name])
        ledger.judge_again([(source, [clip])])
    text = capsys.readouterr().out
    assert "rejected: two_people (more than one person is visible)" in text
    rows = {line.split("│")[-1].strip(): line for line in text.splitlines() if "│" in line}
    assert "< 0.1" in rows["selection.people.min_others_s"]
    assert "NO" in rows["selection.people.min_others_s"]
    assert "NO" in rows["selection.quality.min_duration_s"]  # the stretch that is left
    assert "selection.people.min_other_s" not in rows
