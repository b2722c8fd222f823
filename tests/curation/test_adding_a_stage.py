"""CONTRIBUTING's recipe for a new stage, taken: a file, its settings, its place in STAGES.

The stage is defined here and put last. Its code and its meaning are then found in the report, by
``explain`` and by ``refilter``, and no other line of curation knows of it.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import curation.curated_folder
import tests.output_fixtures
from curation import benchmark, explain, pipeline, refilter
from curation.clip import AT_LEAST, Check, Clip, Tracks, run_stages
from curation.ledger import Ledger
from curation.perception.protocols import named_perception
from curation.settings import CurateConfig
from tests.judged_fixtures import write_judged

CODE, MEANING = "hat_worn", "a hat hides the hair"


# step 1: curation/stages/<noun>.py, what it measures and what it asks
@dataclass(frozen=True, kw_only=True)
class HatConfig:
    """How much hair must be seen."""

    min_hair: float = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class FindHats:
    """A toy: the brightness of the frames stands for the hair."""

    config: HatConfig
    name: str = "hats"
    reads: tuple[str, ...] = ()

    def process(self, clip: Clip, tracks: Tracks) -> tuple[Clip, Tracks]:
        """Measures."""
        return clip.with_scores(hair=float(tracks.frames.mean() / 255)), tracks

    def checks(self, clip: Clip) -> list[Check]:
        """States."""
        return [
            Check(
                verdict=self.name, signal="hair", value=clip.scores.get("hair"), rule=AT_LEAST,
                threshold=self.config.min_hair, key="hats.min_hair", code=CODE, meaning=MEANING,
            )
        ]  # fmt: skip

    def provenance_key(self) -> dict[str, Any]:
        """Nothing decides what it measures."""
        return {}


@dataclass(frozen=True, kw_only=True)
class WithHats(CurateConfig):
    """Step 2: a section of its own in the settings."""

    hats: HatConfig = HatConfig()


@pytest.fixture
def hats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step 3: its place in STAGES."""
    for module in (tests.output_fixtures, curation.curated_folder, refilter):
        monkeypatch.setattr(module, "CurateConfig", WithHats)
    build = lambda config, models: FindHats(config=config.hats)  # noqa: E731
    monkeypatch.setattr(pipeline, "STAGES", (*pipeline.STAGES, build))


def rows_of(out: Path) -> dict[str, str]:
    rows = pq.read_table(out / "manifest.parquet").to_pylist()
    return {row["source"]: row["reason"] or "kept" for row in rows}


def test_a_stage_of_three_steps_is_found_in_report_explain_and_refilter(hats, tmp_path, capsys):
    out = tmp_path / "out"
    write_judged(out, 2, 4.0, "selection.quality.min_sharpness=10", fps=10.0)
    with Ledger(out / "ledger.sqlite") as ledger:  # as `make curate` leaves what it measured
        for number, clip in enumerate(ledger.clips()):
            source = next(s for s in ledger.sources() if s.sha256 == clip.source_sha256)
            scores = {**clip.record["scores"], "hair": 0.4 + 0.5 * number}
            row = replace(clip, record={**clip.record, "scores": scores})
            ledger.judge_again([(source, [row])])
    refilter.main([str(out), "hats.min_hair=0.3"])
    assert set(rows_of(out).values()) == {"kept"}
    refilter.main([str(out), "hats.min_hair=0.5"])
    assert sorted(rows_of(out).values()) == [CODE, "kept"]
    assert CODE in capsys.readouterr().out
    page = (out / "report.html").read_text("utf-8")
    assert MEANING in page
    assert "hair 0.4 (at least 0.5 is required)" in page
    (name,) = (name for name, reason in rows_of(out).items() if reason == CODE)
    explain.main([str(out), name])
    said = capsys.readouterr().out
    assert f"rejected: {CODE} ({MEANING})" in said
    assert 'ARGS="hats.min_hair=0.39"  (kept)' in said
    (line,) = (line for line in said.splitlines() if "hats.min_hair" in line and "│" in line)
    assert ">= 0.5" in line
    assert "NO" in line
    refilter.main([str(out), "hats.min_hair=0.3"])
    assert set(rows_of(out).values()) == {"kept"}


def test_it_runs_where_it_stands_for_videos_photographs_and_benchmarks(hats):
    config, perception = WithHats(), named_perception({})
    names = [stage.name for stage in pipeline.build_stages(config, perception)]
    assert names == ["people", "densepose", "parsing", "agnostic", "labels", "garments", "hats"]
    photograph = benchmark.FramesJob(
        name="a", pictures=[], frame_range=None, fps=30.0, category="upper", samples=[], ids={},
        sha256="", fingerprint="", is_filtered=True,
    )  # fmt: skip
    for job in (photograph, replace(photograph, is_filtered=False)):
        stages = benchmark.stages_of(job, config, perception)
        assert [stage.name for stage in stages] == ["densepose", "parsing", "agnostic", "hats"]
    clip = Clip(
        source="a", source_sha256="0" * 64, scene_start_s=0, scene_end_s=1, start_s=0, end_s=1
    )
    dark = Tracks(frames=np.zeros((2, 8, 8, 3), np.uint8))
    run = run_stages([FindHats(config=HatConfig())], clip, dark)
    assert run.reject is not None
    assert (run.reject.code, run.reject.evidence) == (CODE, {"hair": 0.0, "min_hair": 0.5})
    assert run.ran == ("hats",)
