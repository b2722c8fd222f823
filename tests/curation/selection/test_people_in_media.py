"""Whom real videos show, by the samples of the one cheap pass: what a person would say."""

from dataclasses import replace
from pathlib import Path

import pytest

from curation.clip import Clip
from curation.first_pass.first_pass import FirstPassConfig, measure_source
from curation.perception.embedded.blazepose import EmbeddedDetector
from curation.pipeline import find_people
from curation.selection.candidates import Candidate, RejectedClip, SelectionConfig, find_candidates
from curation.video.canonical import CanonicalConfig
from curation.video.decode import read_header
from tests.perception_fixtures import media_file


def verdicts(path: Path) -> list[Candidate | RejectedClip]:
    signals, store = measure_source(path, FirstPassConfig(), read_header(path).sample_aspect)
    samples = find_people(store, EmbeddedDetector())
    store.close()
    end_s = signals.end_s
    clip = Clip(
        source=path.name, source_sha256="0" * 64, scene_start_s=0.0, scene_end_s=end_s,
        start_s=0.0, end_s=end_s,
    )  # fmt: skip
    return find_candidates(
        clip, replace(signals, samples=samples), SelectionConfig(), CanonicalConfig()
    )


@pytest.mark.media
@pytest.mark.perception
@pytest.mark.parametrize("name", ["asl_bird.mkv", "asl_hungry.mkv", "pose_squats.mp4"])
def test_one_person_is_kept_whole_though_an_arm_reaches_in(
    name: str, embedded_models: Path
) -> None:
    (outcome,) = verdicts(media_file("single", name))
    assert isinstance(outcome, Candidate)
    clip = outcome.clip
    assert clip.end_s - clip.start_s > 0.95 * (clip.scene_end_s - clip.scene_start_s)


@pytest.mark.media
@pytest.mark.perception
@pytest.mark.parametrize(
    "name",
    [
        "bedroom_two_children.mp4",
        "classroom.mp4",
        "face-demographics-walking.mp4",
        "store-aisle-detection.mp4",
    ],
)
def test_several_people_are_several(name: str, embedded_models: Path) -> None:
    (outcome,) = verdicts(media_file("multi", name))
    assert isinstance(outcome, RejectedClip)
    assert outcome.reject.code == "two_people"
