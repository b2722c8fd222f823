from collections.abc import Sequence

import numpy as np

from curation.clip import Clip, Tracks, first_failed, run_stages
from curation.perception.embedded.parser import EmbeddedParser
from curation.perception.protocols import Person
from curation.stages.parsing import ParseClothes, ParsingConfig
from datasets.labels import ParseLabel

CLIP = Clip(
    source="a.mp4", source_sha256="0" * 64, scene_start_s=0, scene_end_s=1, start_s=0, end_s=1
)


def tracks_of(people: Sequence[Person | None]) -> Tracks:
    frames = np.full((len(people), 360, 200, 3), 90, np.uint8)
    frames[:, 90:190] = (40, 150, 70)
    return Tracks(frames=frames, people=list(people))


def test_labels_are_as_large_as_the_frames(standing_person: Person) -> None:
    stage = ParseClothes(parser=EmbeddedParser(), config=ParsingConfig())
    done = stage.process(CLIP, tracks_of([standing_person] * 2))
    clip, tracks = done
    assert tracks.parse is not None
    assert tracks.parse.shape == (2, 360, 200)
    assert (tracks.parse == ParseLabel.UPPER).mean() > 0.05
    assert clip.scores["garment_area"] > 0.05


def test_a_garment_that_is_hardly_seen_is_a_reject_with_its_numbers(
    standing_person: Person,
) -> None:
    stage = ParseClothes(parser=EmbeddedParser(), config=ParsingConfig(min_garment_area=0.5))
    done = run_stages([stage], CLIP, tracks_of([standing_person] * 2)).reject
    assert done is not None
    assert done.code == "garment_too_small"
    assert done.evidence["garment_area"] < done.evidence["min_garment_area"] == 0.5
    assert done.evidence["share_of_frames"] == 0.0


def test_a_garment_seen_in_half_the_frames_is_too_little(standing_person: Person) -> None:
    stage = ParseClothes(parser=EmbeddedParser(), config=ParsingConfig())
    done = run_stages([stage], CLIP, tracks_of([standing_person, None])).reject
    assert done is not None
    assert done.evidence["share_of_frames"] == 0.5


def test_another_threshold_is_asked_of_the_record_alone(standing_person: Person) -> None:
    stage = ParseClothes(parser=EmbeddedParser(), config=ParsingConfig())
    done = stage.process(CLIP, tracks_of([standing_person] * 2))
    assert first_failed(stage.checks(done[0])) is None
    strict = ParseClothes(parser=EmbeddedParser(), config=ParsingConfig(min_garment_area=0.5))
    refused = first_failed(strict.checks(done[0]))
    assert refused is not None
    assert refused.evidence["share_of_frames"] == 0.0
    assert strict.provenance_key() == stage.provenance_key()
