"""Histograms and strips of the report, made without a plotting library, torch or decord."""

import base64
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from curation.clip import AT_LEAST, Check
from curation.report.charts import histograms
from curation.stages.clip_files import read_some
from datasets.tracks import GOP_FRAMES, encode_labels

SVG = "{http://www.w3.org/2000/svg}"


def entry(name: str, value: float, *, is_kept: bool, threshold: float = 2.0) -> tuple[Any, Any]:
    check = Check(
        verdict="quality", signal="length", value=value, rule=AT_LEAST, threshold=threshold,
        key="selection.length", code="short",
    )  # fmt: skip
    return SimpleNamespace(is_kept=is_kept, clip=SimpleNamespace(clip_id=name)), [check]


def charts(*entries: tuple[Any, Any]) -> list[ElementTree.Element]:
    found = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", histograms(entries))
    return [ElementTree.fromstring(base64.b64decode(one)) for one in found]


def heights(chart: ElementTree.Element, colour: str) -> float:
    bars = [bar for bar in chart.iter(f"{SVG}rect") if bar.get("fill") == colour]
    return sum(float(bar.get("height") or 0) for bar in bars[:-1])  # the last is the legend's


def test_bars_are_as_high_as_there_are_clips_and_the_threshold_is_drawn() -> None:
    entries = [entry(str(i), 3.0 + i % 3, is_kept=True) for i in range(6)]
    (chart,) = charts(*entries, entry("a", 1.0, is_kept=False))
    assert heights(chart, "#4477aa") == pytest.approx(6 * heights(chart, "#cc6677"), abs=0.5)
    assert sum(line.get("stroke-dasharray") is not None for line in chart.iter(f"{SVG}path")) == 1
    words = [text.text for text in chart.iter(f"{SVG}text")]
    assert words[:5] == ["1", "2", "3", "4", "5"]  # of the axis
    assert {"length", "clips", "kept", "rejected", "0", "2"} <= set(words)


def test_values_over_several_powers_of_ten_get_a_logarithmic_axis() -> None:
    (chart,) = charts(*[entry(str(i), 10.0**i, is_kept=True) for i in range(4)])
    words = [text.text for text in chart.iter(f"{SVG}text")]
    assert words[:4] == ["1", "10", "100", "1000"]


def test_a_signal_that_never_varies_has_no_chart() -> None:
    assert charts(entry("a", 3.0, is_kept=True), entry("b", 3.0, is_kept=True)) == []


def test_frames_of_a_track_are_found_by_their_place() -> None:
    frames = np.arange(3 * GOP_FRAMES + 5, dtype=np.uint8)[:, None, None].repeat(64, 1)
    track = encode_labels(frames.repeat(64, 2), 30.0)
    read = read_some(track, "gray", (0.0, 0.3, 0.5, 0.99, 1.0))[:, 0, 0]
    assert read.tolist() == [0, int(0.3 * 29), 14, 28, 28]


def test_the_report_starts_without_torch_and_matplotlib() -> None:
    code = "import sys, curation.report.report; print({'torch', 'matplotlib'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
