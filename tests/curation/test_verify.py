"""verify finds what is wrong with a shard, whatever it is."""

import io
import json
import shutil
import sqlite3
import tarfile

import numpy as np
import pytest

from configs.errors import ConfigError, DataError
from curation import verify
from curation.shards.shards import index_path
from curation.verify import check_sample, check_shard
from datasets.tracks import encode_labels
from tests.output_fixtures import write_output
from tests.shard_fixtures import sample_members


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    out = tmp_path_factory.mktemp("verify") / "out"
    write_output(out, num_sources=3)
    return out


@pytest.fixture
def members():
    return sample_members("clip", 6, np.random.default_rng(0))


def test_what_was_written_well_has_no_faults(output, capsys):
    assert verify.main([str(output)]) == 0
    assert "3 samples, 0 faults" in capsys.readouterr().out
    assert verify.main([str(output), "quick=true"]) == 0


def test_one_flipped_byte_is_found(output, tmp_path, capsys):
    shutil.copytree(output, tmp_path / "out")
    shard = tmp_path / "out" / "shards" / "train-000000.tar"
    sample = json.loads(index_path(shard).read_text())["samples"][0]
    offset, size = sample["members"]["garment.png"]
    data = bytearray(shard.read_bytes())
    data[offset + size // 2] ^= 1
    shard.write_bytes(data)
    assert verify.main([str(tmp_path / "out"), "quick=true"]) == verify.EXIT_FAULTS
    assert "has sha256" in capsys.readouterr().out


def test_a_missing_shard_and_a_clip_that_does_not_belong_are_found(output, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(output, out)
    (out / "shards" / "train-000001.tar").unlink()
    database = sqlite3.connect(out / "ledger.sqlite")
    with database:
        database.execute("DELETE FROM packed WHERE shard='train-000000.tar' AND clip_id LIKE '00%'")
    database.close()
    assert verify.main([str(out)]) == verify.EXIT_FAULTS
    text = " ".join(capsys.readouterr().out.split())
    assert "belongs elsewhere according to the ledger" in text
    assert "in the ledger, but missing" in text
    assert "2 faults" in text


def test_a_shard_cut_short_or_without_index_is_found(output, tmp_path):
    shutil.copytree(output / "shards", tmp_path / "shards")
    shard = tmp_path / "shards" / "train-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-30_000])
    whats = {fault.what.split("(")[0].strip() for fault in check_shard(shard, is_quick=True)[0]}
    assert "is not a complete tar file" in whats
    index_path(shard).unlink()
    assert any("has no index" in fault.what for fault in check_shard(shard, is_quick=True)[0])


def test_a_missing_track_is_found(members):
    del members["iuv.mp4"], members["garment_mask.png"]
    assert dict(check_sample(members)) == {
        "iuv.mp4": "is missing",
        "garment_mask.png": "is missing",
    }


def test_unequal_frame_counts_are_found_without_decoding(members):
    members["mask.mp4"] = encode_labels(np.zeros((5, 128, 96), np.uint8), 8.0)
    boxes = io.BytesIO()
    np.save(boxes, np.zeros((7, 4), np.float32))
    members["box.npy"] = boxes.getvalue()
    faults = dict(check_sample(members, is_quick=True))
    assert faults["mask.mp4"] == "has 5 frames, the json says 6"
    assert "(7, 4)" in faults["box.npy"]
    assert len(faults) == 2


def test_label_values_that_mean_nothing_are_found(members):
    parse = np.zeros((6, 128, 96), np.uint8)
    parse[2, :8] = 12
    mask = np.zeros((6, 128, 96), np.uint8)
    mask[0, 0, 0] = 254
    members["parse.mp4"], members["mask.mp4"] = encode_labels(parse, 8.0), encode_labels(mask, 8.0)
    faults = dict(check_sample(members))
    assert faults["parse.mp4"].endswith("invalid values: 12")
    assert faults["mask.mp4"].endswith("invalid values: 254")
    assert dict(check_sample(members, is_quick=True)) == {}


def test_a_track_that_is_no_video_and_a_picture_that_is_none_are_found(members):
    members["mp4"], members["garment.png"] = b"text", b""
    faults = dict(check_sample(members))
    assert "cannot be read" in faults["mp4"]
    assert faults["garment.png"] == "is not a picture"


def test_a_member_that_the_index_misplaces_is_found(output, tmp_path):
    shutil.copytree(output / "shards", tmp_path / "shards")
    shard = tmp_path / "shards" / "train-000000.tar"
    index = json.loads(index_path(shard).read_text())
    index["samples"][0]["members"]["box.npy"][0] += 512
    index_path(shard).write_text(json.dumps(index))
    (fault,) = check_shard(shard)[0]
    assert fault.what == "is not where the index says"
    with tarfile.open(shard) as archive:
        assert fault.where.split()[1] == archive.getnames()[0].split(".")[0]


def test_what_is_asked_wrongly_is_one_sentence(output, tmp_path):
    with pytest.raises(DataError, match="has no ledger"):
        verify.main([str(tmp_path)])
    with pytest.raises(ConfigError, match=r"'fast' is not a setting .*known keys: quick"):
        verify.main([str(output), "fast=true"])
    with pytest.raises(ConfigError, match="is not an argument of this command"):
        verify.main([str(output), "clip"])
