"""Photographs with products become samples of one frame, by the same stages as videos."""

import cv2
import numpy as np
import pytest

from configs.errors import DataError
from curation import run
from curation.benchmark import fit_to_bucket, prepare_video
from curation.image_pairs import pair_jobs
from curation.perception.select import choose_perception
from curation.settings import CurateConfig
from curation.video.canonical import CanonicalConfig
from curation.video.sources import SourcesConfig
from datasets.clips import decode_tracks
from datasets.loading.collate import PackedBatch
from datasets.loading.config import DataConfig
from datasets.loading.datamodule import TryOnData
from datasets.shards import index_split
from datasets.synthetic.dataset import SyntheticConfig, write_dancers
from datasets.tracks import read_frames
from tests.output_fixtures import CONFIG


def deciding(*parts: object) -> str:
    return repr(parts)


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(path).encode())


def test_dresscode_pairs_have_the_category_of_their_folder(tmp_path):
    for name in ("upper_body", "dresses"):
        images = tmp_path / name / "images"
        touch(*(images / f"{n}_{kind}.jpg" for n in ("a", "b") for kind in (0, 1)))
        (tmp_path / name / "train_pairs.txt").write_text("a_0.jpg a_1.jpg\n")
        (tmp_path / name / "test_pairs_unpaired.txt").write_text("b_0.jpg a_1.jpg\n\n")
    config = SourcesConfig(layout="dresscode", licence="ask")
    jobs = {job.name: job for job in pair_jobs(tmp_path, config, deciding)}
    assert {name: (job.category, job.sidecar["split"]) for name, job in jobs.items()} == {
        "upper_body/images/a_0.jpg": ("upper", None),
        "upper_body/images/b_0.jpg": ("upper", "bench"),
        "dresses/images/a_0.jpg": ("overall", None),
        "dresses/images/b_0.jpg": ("overall", "bench"),
    }
    test = jobs["dresses/images/b_0.jpg"]
    assert test.samples[0].own_garment.name == "b_1.jpg"
    assert test.samples[0].target is not None
    assert test.samples[0].target.name == "a_1.jpg"
    assert test.sidecar["licence"] == "ask"


def test_a_test_photograph_that_train_lists_again_is_not_trained_on(tmp_path, caplog):
    for split, worn in (("train", "b"), ("test", "a")):
        touch(*(tmp_path / split / "cloth" / f"{n}.jpg" for n in "abc"))
        touch(tmp_path / split / "image" / "c.jpg")
        (tmp_path / split / "image" / f"{worn}.jpg").write_bytes(b"the same")
        (tmp_path / f"{split}_pairs.txt").write_text(f"{worn}.jpg {worn}.jpg\nc.jpg c.jpg\n")
    jobs = pair_jobs(tmp_path, SourcesConfig(layout="viton_hd"), deciding)
    names = ["test/image/a.jpg", "test/image/c.jpg", "train/image/c.jpg"]
    assert [job.name for job in jobs] == names
    assert "skipped 1 photographs that are listed twice or have the same content" in caplog.text
    assert "such as train/image/b.jpg" in caplog.text


def test_a_list_that_names_nothing_or_too_little_is_one_sentence(tmp_path):
    config = SourcesConfig(layout="viton_hd")
    with pytest.raises(DataError, match="is not in viton_hd layout"):
        pair_jobs(tmp_path, config, deciding)
    (tmp_path / "train_pairs.txt").write_text("x.jpg x.jpg\n")
    with pytest.raises(DataError, match=r"train/image/x\.jpg does not exist, but a list"):
        pair_jobs(tmp_path, config, deciding)
    (tmp_path / "train_pairs.txt").write_text("x.jpg\n")
    with pytest.raises(DataError, match=r"line 1: 'x\.jpg'; expected PERSON"):
        pair_jobs(tmp_path, config, deciding)


def test_a_photograph_is_brought_to_the_nearest_bucket_and_nothing_is_squashed(tmp_path):
    image = np.zeros((1000, 740, 3), np.uint8)
    cv2.circle(image, (370, 500), 200, (255, 255, 255), -1)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    fitted = fit_to_bucket(tmp_path / "a.png", CanonicalConfig())
    assert fitted.shape == (512, 384, 3)
    _, _, wide, high = cv2.boundingRect((fitted[..., 0] > 127).astype(np.uint8))
    assert abs(wide - high) <= 1


@pytest.mark.perception
@pytest.mark.timeout(120)
def test_viton_hd_becomes_samples_that_stages_1_and_2_read(tmp_path):
    write_dancers(
        SyntheticConfig(
            out=str(tmp_path / "raw"), num_train=1, num_val=0, num_bench=0, num_bad=0,
            duration_s=0.5, height=256, width=192, fps=4.0, workers=1,
        )
    )  # fmt: skip
    (video,) = (tmp_path / "raw" / "train").glob("*.mp4")
    frame = read_frames(video.read_bytes(), [0])[0]
    product = np.full((512, 384, 3), 250, np.uint8)
    product[120:400, 80:300] = (40, 90, 160)
    root = tmp_path / "viton"
    for split in ("train", "test"):
        for kind, picture in (("image", frame), ("cloth", product)):
            (root / split / kind).mkdir(parents=True)
            shade = picture if split == "train" else picture // 2 + 60
            for name in ("00001_00.jpg", "00002_00.jpg")[: 1 if kind == "image" else 2]:
                cv2.imwrite(str(root / split / kind / name), shade[..., ::-1])
    (root / "train_pairs.txt").write_text("00001_00.jpg 00001_00.jpg\n")
    (root / "test_pairs.txt").write_text("00001_00.jpg 00002_00.jpg\n")
    out = tmp_path / "out"
    preset = CONFIG.parent / "sources" / "viton_hd.yaml"
    words = [f"src={root}", f"out={out}", "perception=embedded", "workers=1"]
    assert run.main([str(preset), *words, "shards.val_share=0.0"]) == 0
    (sample,) = index_split(out, "train")
    (test,) = index_split(out, "bench")
    assert sample.num_frames == test.num_frames == 1
    tracks = decode_tracks(sample.read(), None, 256, 192)
    assert tracks.video.shape == (1, 256, 192, 3)
    assert (tracks.mask > 127).mean() > 0.03
    assert np.abs(tracks.garment[128, 96].astype(int) - (40, 90, 160)).max() < 30
    data = TryOnData(
        DataConfig(
            roots=[str(out)], num_frames=1, strides=[1], batch_size=2, num_workers=0,
            num_validation_clips=0,
        ),
        256, 192, seed=0,
    )  # fmt: skip
    data.setup()
    packed = next(iter(data.loader_from(0)))
    assert isinstance(packed, PackedBatch)
    batch = packed.unpack()
    assert batch.video.shape == (2, 1, 3, 256, 192)
    assert batch.mask.shape == (2, 1, 1, 256, 192)
    assert 0.03 < batch.mask.mean() < 0.9
    assert "target.png" in test.members
    assert "CC BY-NC" in sample.record["licence"]
    asked = ["shards.val_share=0.0", "sources.licence=asked for"]
    assert run.main([str(preset), *words, *asked]) == 0  # nothing is made anew
    assert index_split(out, "train")[0].record["licence"] == "asked for"
    assert index_split(out, "train")[0].key == sample.key


def test_a_pair_whose_product_cannot_be_cut_out_is_not_trained_on(tmp_path):
    for kind, level in (("image", 90), ("cloth", 128)):
        (tmp_path / "train" / kind).mkdir(parents=True)
        picture = np.full((256, 192, 3), level, np.uint8)
        cv2.imwrite(str(tmp_path / "train" / kind / "00001_00.jpg"), picture)
    (tmp_path / "train_pairs.txt").write_text("00001_00.jpg 00001_00.jpg\n")
    (job,) = pair_jobs(tmp_path, SourcesConfig(layout="viton_hd"), deciding)
    config = CurateConfig(out=str(tmp_path / "out"))
    result = prepare_video(config, choose_perception(), job, lambda _: None)
    assert result.row.code == "garment_not_cut"
    assert result.row.evidence == {"photo": "00001_00.jpg"}
    assert result.clips == []
