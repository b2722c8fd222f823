"""Evidence in words, and the clips that a threshold nearly turned."""

from dataclasses import replace

from configs.loading import load_config
from curation.report.evidence import evidence_text, nearly_turned
from curation.settings import CurateConfig
from tests.curation.shards.test_held_out import entry
from tests.output_fixtures import CONFIG


def test_what_was_asked_comes_first_with_its_threshold():
    evidence = {"duration_s": 5.0, "frames": 125.0, "brightness": 8.9962, "min_brightness": 20.0}
    assert evidence_text(evidence, {}) == (
        "brightness 9 (at least 20 is asked), duration 5 s, frames 125"
    )
    assert evidence_text({"height": 42.1, "min_person_height": 128}, {}) == (
        "height 42.1 (at least 128 is asked)"
    )
    told = evidence_text({"duplicate_share": 0.7, "max_duplicate_share": 0.5, "faults": 0}, {})
    assert told == "duplicate share 0.7 (at most 0.5 is asked)"


def test_a_clip_that_is_pointed_at_is_called_by_its_video():
    told = evidence_text({"same_as": "ab_1", "max_distance": 0.025}, {"ab_1": "dance.mp4 at 0.0 s"})
    assert told == "same as dance.mp4 at 0.0 s, max distance 0.025"


def test_kept_clips_near_a_threshold_are_found_the_nearest_first():
    config = load_config(CurateConfig, CONFIG)
    entries = []
    for name, sharpness in (("a", 26.5), ("b", 200.0), ("c", 25.5), ("d", 25.1)):
        one = entry(name)
        scores = {"sharpness": sharpness, "brightness": 100.0, "mask_coverage": 1.0}
        one.clip.record.update(scores=scores)
        entries.append(one)
    entries[3] = replace(entries[3], clip=replace(entries[3].clip, status="rejected", code="dark"))
    near = nearly_turned(entries, config)
    assert [e.clip.clip_id for e, _ in near] == ["c", "a"]
    assert near[0][1] == "sharpness 25.5, at least 25 (selection.quality.min_sharpness)"
