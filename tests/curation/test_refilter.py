"""Other thresholds, asked of what is stored: who leaves, who comes back, what has to be made."""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from configs.errors import ConfigError, DataError
from configs.loading import load_config
from curation import refilter
from curation.ledger import Ledger
from curation.settings import CurateConfig
from curation.video.decode import Header
from tests.judged_fixtures import mask_area_of, sharpness_of, write_judged
from tests.output_fixtures import write_output

NUMBERS = range(6)  # sharpness 20, 57, 94, 131, 168, 205; largest mask 0.15, 0.22, ..., 0.50


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("refilter") / "out"
    write_judged(out, len(NUMBERS), 4.0, "selection.quality.min_sharpness=10", fps=10.0)
    return out


@pytest.fixture
def output(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "out"))


def reasons(out: Path) -> dict[str, str]:
    """Source -> "kept", or why its clip is rejected."""
    rows = pq.read_table(out / "manifest.parquet").to_pylist()
    return {row["source"]: row["reason"] or row["status"] for row in rows}


def shards_of(out: Path) -> dict[str, tuple[bytes, int]]:
    paths = sorted((out / "shards").glob("*.tar"))
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def take(number: int) -> str:
    return f"take {number:05d}.mp4"


def test_who_passes_no_more_leaves_and_only_the_touched_shards_are_written_anew(output):
    before = shards_of(output)
    assert len(before) == 3  # of two clips
    refilter.main([str(output), "selection.quality.min_sharpness=50"])
    assert reasons(output) == {
        take(n): "blurred" if sharpness_of(n) < 50 else "kept" for n in NUMBERS
    }
    after = shards_of(output)
    (held,) = (name for name, (data, _) in before.items() if take(0).encode() in data)
    assert {name for name in before if before[name] != after[name]} == {held}
    assert take(0).encode() not in after[held][0]
    index = json.loads((output / "shards" / held).with_suffix(".json").read_text("utf-8"))
    assert index["sha256"] == hashlib.sha256(after[held][0]).hexdigest()
    stored = load_config(CurateConfig, output / "config.yaml")
    assert stored.selection.quality.min_sharpness == 50
    with Ledger(output / "ledger.sqlite") as ledger:
        (clip,) = (clip for clip in ledger.clips() if clip.code == "blurred")
        assert clip.evidence["min_sharpness"] == 50


def test_a_threshold_that_is_turned_back_brings_the_same_clips_back(output):
    before = _samples(output)
    refilter.main([str(output), "selection.quality.min_sharpness=100"])
    refilter.main([str(output), "agnostic.max_area=0.3"])
    assert reasons(output)[take(3)] == "mask_failed"
    assert reasons(output)[take(2)] == "blurred"  # as nothing that was said before is forgotten
    back = ["selection.quality.min_sharpness=10", "agnostic.max_area=0.75"]
    refilter.main([str(output), *back])
    assert _samples(output) == before


def _samples(out: Path) -> list[tuple[str, bytes]]:
    """Every member of every shard, in order of name."""
    found: list[tuple[str, bytes]] = []
    for path in (out / "shards").glob("*.tar"):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                found.append((member.name, file.read()))
    return sorted(found)


def test_thresholds_of_stages_are_asked_of_the_records(output):
    refilter.main([str(output), "agnostic.max_area=0.3"])
    assert reasons(output) == {
        take(n): "mask_failed" if mask_area_of(n) + 0.05 > 0.3 else "kept" for n in NUMBERS
    }


def test_thresholds_on_people_are_asked_of_who_was_seen_and_what_was_said_is_kept(output):
    refilter.main([str(output), "selection.people.min_score=0.92"])  # 0.95 in samples, then 0.9
    assert set(reasons(output).values()) == {"no_person"}
    refilter.main([str(output), "agnostic.max_area=0.3"])
    assert set(reasons(output).values()) == {"no_person"}
    refilter.main([str(output), "selection.people.min_score=0.5"])
    assert reasons(output)[take(0)] == "kept"
    assert reasons(output)[take(5)] == "mask_failed"


def test_the_people_of_kept_clips_are_read_only_for_other_rules_on_people(output):
    for path in output.rglob("take.npz"):
        path.write_bytes(b"")
    refilter.main([str(output), "selection.shots.min_content=8", "agnostic.max_area=0.3"])
    assert reasons(output)[take(0)] == "kept"
    with pytest.raises(zipfile.BadZipFile):
        refilter.main([str(output), "selection.people.min_score=0.6"])


def test_a_dry_run_says_the_same_and_writes_nothing(output, capsys):
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    words = ["selection.quality.min_sharpness=50"]
    for asked in ("dry_run=true", "dry_run=True", "--dry-run"):
        refilter.main([str(output), *words, asked])
        assert "nothing was written" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="'dry_run=yes please' is not accepted"):
        refilter.main([str(output), *words, "dry_run=yes please"])
    after = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
    assert {p: t for p, t in after.items() if "ledger" not in p.name} == {
        p: t for p, t in before.items() if "ledger" not in p.name
    }
    with Ledger(output / "ledger.sqlite") as ledger:
        assert all(clip.status == "kept" for clip in ledger.clips())


def test_a_clip_that_passes_and_was_never_made_is_named_and_left_to_the_next_curate(output, capsys):
    with Ledger(output / "ledger.sqlite") as ledger:
        source = ledger.sources()[0]
        was = ledger.fingerprint_of(source.sha256)
    # nothing was ever made of other stretches than these
    refilter.main([str(output), "selection.quality.max_duration_s=2.5"])
    assert set(reasons(output).values()) == {"to_be_made"}
    said = capsys.readouterr().out
    assert "12 clips pass without tracks yet" in said
    assert take(0) in said
    assert not list((output / "shards").glob("*.tar"))
    with Ledger(output / "ledger.sqlite") as ledger:
        assert ledger.fingerprint_of(source.sha256) == "--False"  # curate looks at it
    refilter.main([str(output), "selection.quality.max_duration_s=20"])
    assert set(reasons(output).values()) == {"kept"}
    with Ledger(output / "ledger.sqlite") as ledger:
        assert ledger.fingerprint_of(source.sha256) == was


def test_thresholds_that_turn_nothing_are_said_to_turn_nothing(output, capsys):
    refilter.main([str(output), "dry_run=true"])
    assert "No verdict turns." in capsys.readouterr().out


def test_what_the_header_alone_decides_is_decided_again(output):
    with Ledger(output / "ledger.sqlite") as ledger:
        source = next(s for s in ledger.sources() if s.name == take(1))
        header = {
            "height": 720, "width": 400, "duration_s": 4.0, "transfer": "bt709", "codec": "h264",
        }  # fmt: skip
        known = {name: header.get(name) for name in Header.__dataclass_fields__}
        facts = {**source.facts, "header": known}
        ledger.judge_again([(replace(source, facts=facts), None)])
    refilter.main([str(output), "probe.min_side=500"])
    assert reasons(output)[take(1)] == "too_small"
    assert reasons(output)[take(0)] == "kept"
    refilter.main([str(output), "probe.min_side=160"])
    assert set(reasons(output).values()) == {"kept"}


def test_a_clip_without_hashes_gets_them_when_it_comes_back(output):
    with Ledger(output / "ledger.sqlite") as ledger:
        clips = ledger.clips()
        wanted = {clip.clip_id: clip.record["hashes"] for clip in clips}
        for clip in clips:
            source = next(s for s in ledger.sources() if s.sha256 == clip.source_sha256)
            record = {k: v for k, v in clip.record.items() if k != "hashes"}
            row = replace(clip, status="rejected", code="mask_failed", record=record)
            ledger.judge_again([(source, [row])])
    refilter.main([str(output)])
    with Ledger(output / "ledger.sqlite") as ledger:
        assert {clip.clip_id: clip.record["hashes"] for clip in ledger.clips()} == wanted


def test_many_sources_are_judged_in_several_processes_alike(output, monkeypatch):
    single = Path(shutil.copytree(output, output.parent / "single"))
    words = ["selection.quality.min_sharpness=100"]
    refilter.main([str(single), *words, "workers=1"])
    monkeypatch.setattr(refilter, "MIN_SOURCES", 2)
    monkeypatch.setattr(refilter, "cpu_count", lambda: 2)
    refilter.main([str(output), *words, "workers=2"])
    assert reasons(output) == reasons(single)
    assert _samples(output) == _samples(single)


def test_a_process_that_judges_imports_neither_models_nor_what_only_writes():
    """Every worker process begins with this import: it is a third of a second, not one."""
    heavy = {"torch", "scenedetect", "pyarrow", "matplotlib", "omegaconf", "rich", "PIL"}
    code = "import sys, curation.refilter; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "curation.judging" in done.stdout.split()
    assert not heavy & set(done.stdout.split())


def test_settings_that_judge_nothing_stored_are_refused_in_one_sentence(output, tmp_path):
    with pytest.raises(ConfigError, match=r"first_pass is changed.*make curate"):
        refilter.main([str(output), "first_pass.sample_fps=5"])
    with pytest.raises(ConfigError, match="perception is changed, and it cannot be applied"):
        refilter.main([str(output), "perception=installed"])
    with pytest.raises(ConfigError, match="bench is 'vvt'; only a number of clips"):
        refilter.main([str(output), "bench=vvt"])
    with pytest.raises(ConfigError, match="the folder of a `make curate` is missing"):
        refilter.main(["selection.quality.min_sharpness=50"])
    older = tmp_path / "older"
    write_output(older, num_sources=1)
    with pytest.raises(DataError, match="run `make curate` on it once"):
        refilter.main([str(older), "selection.quality.min_sharpness=50"])
