from collections.abc import Sequence

import numpy as np

from curation.clip import Clip, Tracks, run_stages
from curation.perception.embedded.densepose import EmbeddedDensePose
from curation.perception.protocols import Person
from curation.stages.densepose import DensePoseConfig, MapSurface

CLIP = Clip(
    source="a.mp4", source_sha256="0" * 64, scene_start_s=0, scene_end_s=1, start_s=0, end_s=1
)


def tracks_of(people: Sequence[Person | None]) -> Tracks:
    return Tracks(frames=np.zeros((len(people), 360, 200, 3), np.uint8), people=list(people))


def stage(min_mapped_share: float = 0.9) -> MapSurface:
    return MapSurface(
        estimator=EmbeddedDensePose(), config=DensePoseConfig(min_mapped_share=min_mapped_share)
    )


def test_every_frame_gets_a_grid_and_a_box_around_the_person(standing_person: Person) -> None:
    done = stage().process(CLIP, tracks_of([standing_person] * 3))
    clip, tracks = done
    assert tracks.iuv is not None
    assert tracks.boxes is not None
    assert tracks.iuv.shape == (3, 112, 112, 3)
    assert tracks.iuv.dtype == np.uint8
    assert tracks.boxes.dtype == np.float32
    assert (tracks.boxes[:, :2] < standing_person.box[:2]).all()
    assert (tracks.boxes[:, 2:] > standing_person.box[2:]).all()
    assert clip.scores["densepose_share"] == 1.0
    assert clip.verdicts["densepose"] == "mapped"


def test_a_missed_frame_has_an_empty_grid(standing_person: Person) -> None:
    people = [standing_person, None, standing_person]
    done = stage(min_mapped_share=0.5).process(CLIP, tracks_of(people))
    assert done[1].iuv is not None
    assert done[1].boxes is not None
    assert not done[1].iuv[1].any()
    assert not done[1].boxes[1].any()


def test_too_many_missed_frames_are_a_reject_with_its_numbers(standing_person: Person) -> None:
    done = run_stages([stage()], CLIP, tracks_of([standing_person, None, None])).reject
    assert done is not None
    assert done.code == "densepose_failed"
    assert done.evidence == {"mapped_share": 0.333, "min_mapped_share": 0.9}
