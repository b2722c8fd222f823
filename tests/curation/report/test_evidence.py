"""Evidence in words, and the clips that a threshold nearly turned."""

from collections.abc import Sequence
from dataclasses import replace

from configs.loading import load_config
from curation.checks import Checker, rejecting
from curation.clip import Check, first_failed
from curation.report.evidence import evidence_text, nearly_turned
from curation.selection.quality import QualityConfig, span_checks
from curation.settings import CurateConfig
from curation.shards.duplicates import DuplicatesConfig, copy_check
from curation.video.canonical import CanonicalConfig, height_check
from tests.curation.shards.test_held_out import entry
from tests.output_fixtures import CONFIG

QUALITY = QualityConfig()


def told(checks: Sequence[Check], sources: dict[str, str] | None = None) -> str:
    """What the report says of a rejection by the first of these checks that fails."""
    reject = first_failed(checks)
    assert reject is not None
    return evidence_text(rejecting(checks, reject.code), reject.evidence, sources or {})


def test_what_was_asked_comes_first_with_its_threshold():
    measured = {"duration_s": 5.0, "frames": 125.0, "brightness": 8.9962}
    assert told(span_checks(measured, QUALITY)) == (
        "brightness 9 (at least 20 is required), duration 5 s, frames 125"
    )
    assert told([height_check(42.1, CanonicalConfig())]) == "height 42.1 (at least 128 is required)"
    measured = {"duplicate_share": 0.7, "motion": 0.0}
    assert told(span_checks(measured, QUALITY)) == "duplicate share 0.7 (at most 0.5 is required)"


def test_a_clip_that_is_pointed_at_is_called_by_its_video():
    check = copy_check(None, DuplicatesConfig(), "ab_1")
    said = evidence_text(check, check.reject.evidence, {"ab_1": "dance.mp4 at 0.0 s"})
    assert said == "distance (more than 0.025 is required), same as dance.mp4 at 0.0 s"


def test_kept_clips_near_a_threshold_are_found_the_nearest_first():
    checker = Checker(load_config(CurateConfig, CONFIG))
    entries = []
    for name, sharpness in (("a", 26.5), ("b", 200.0), ("c", 25.5), ("d", 25.1)):
        one = entry(name)
        scores = {"sharpness": sharpness, "brightness": 100.0, "mask_coverage": 1.0}
        one.clip.record.update(scores=scores)
        entries.append(one)
    entries[3] = replace(entries[3], clip=replace(entries[3].clip, status="rejected", code="dark"))
    near = nearly_turned([(one, checker.clip_checks(one)) for one in entries])
    assert [e.clip.clip_id for e, _ in near] == ["c", "a"]
    assert near[0][1] == "sharpness 25.5, at least 25 (selection.quality.min_sharpness)"
