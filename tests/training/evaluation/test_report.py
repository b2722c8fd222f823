"""The page of an evaluation: what its tables say, which cases it shows, what can be pasted."""

import base64
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.benchmarks.benchmark import BenchmarkItem
from datasets.tracks import read_frames
from training.evaluation.report import Case, write_report
from training.evaluation.report_player import choose_cases
from training.evaluation.report_tables import (
    gaps,
    paste_blocks,
    published_table,
    score_table,
    video_table,
)

ABSENT = "weights absent: `make weights FETCH=i3d`, or put i3d.pt into weights/"
HEIGHT, WIDTH, FRAMES = 96, 64, 6
SSIM_OF = {"a": 0.9, "b": 0.5, "c": 0.7, "d": 0.6}


def videos(shift: float) -> list[dict[str, Any]]:
    return [
        {
            "id": identity,
            "num_frames": FRAMES,
            "values": {"ssim_masked": value - shift, "colour_delta_e": 10 * value, "seam": None},
            "frames": {"ssim_masked": [None] + [value - shift] * (FRAMES - 1)},
        }
        for identity, value in SSIM_OF.items()
    ]


def row(method: str, shift: float, *, is_baseline: bool) -> dict[str, Any]:
    scores: dict[str, Any] = {
        "vfid_i3d": {"gap": ABSENT},
        "vfid_resnext": {"gap": ABSENT},
        "lpips": {"gap": ABSENT},
        "ssim": {"value": 0.95 - shift, "interval": [0.9 - shift, 0.97 - shift]},
        "ssim_masked": {"value": 0.675 - shift, "interval": None},
        "colour_delta_e": {"value": 3 + shift, "interval": [2, 4], "num_videos": 3},
        "seam": {"gap": "borders of windows are not known"},
    }
    return {
        "method": method, "is_baseline": is_baseline, "scores": scores, "videos": videos(shift),
    }  # fmt: skip


@pytest.fixture
def metrics() -> dict[str, Any]:
    labels = {
        "vfid_i3d": ("VFID-I3D", False), "vfid_resnext": ("VFID-ResNeXt", False),
        "lpips": ("LPIPS", False), "ssim": ("SSIM", True), "ssim_masked": ("SSIM in mask", True),
        "colour_delta_e": ("colour ΔE 2000", False), "seam": ("seam", False),
    }  # fmt: skip
    content = {
        "truth": "the source itself", "has_truth": True, "num_videos": 4, "num_frames": 24,
        "num_clips": 2, "rows": [
            row("ours_1", 0.0, is_baseline=False), row("source copied", -0.05, is_baseline=True),
            row("agnostic", 0.3, is_baseline=True),
        ],
    }  # fmt: skip
    return {
        "benchmark": "vvt",
        "name": "ours_1",
        "resolution": {"height": HEIGHT, "width": WIDTH},
        "protocol": {"name": "fixed", "clip_frames": 10},
        "weights": {
            "i3d": {"absent": ABSENT},
            "alex": {"file": "a.pth", "sha256": "0" * 64, "published": "yes"},
        },
        "made_by": {"pred": "folder"},
        "versions": {"python": "3.11"},
        "metrics": [
            {
                "key": key,
                "label": label,
                "is_higher_better": is_higher,
                "definition": f"what {key} is",
            }
            for key, (label, is_higher) in labels.items()
        ],
        "pairings": {"paired": content},
    }  # fmt: skip


def load_case(identity: str, pairing: str) -> Case:
    shade = np.uint8(100 * SSIM_OF[identity])
    video = np.full((FRAMES, HEIGHT, WIDTH, 3), shade, np.uint8)
    garment = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    item = BenchmarkItem(
        id=identity,
        fps=8.0,
        video=video,
        mask=np.full(video.shape[:3], 255, np.uint8),
        iuv=video,
        garment_region=np.ones(video.shape[:3], dtype=bool),
        own_garment=garment,
        target_garment=garment,
        unpaired_truth=video // 2,
    )
    return Case(item=item, pairing=pairing, result=video + np.uint8(50))


def written(
    metrics: dict[str, Any], folder: Path, num_shown: int = 1
) -> tuple[str, dict[str, Any]]:
    """The page, and the data of its player."""
    write_report(folder / "report.html", metrics, load_case, num_shown)
    page = (folder / "report.html").read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="cases">(.*?)</script>', page)
    assert found is not None
    return page, json.loads(found[1])


def cells_of(table: str) -> list[list[str]]:
    return [
        [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)]
        for line in table.split("<tr>")[1:]
    ]


def test_metrics_without_weights_stand_last_and_the_source_is_never_the_best(
    metrics: dict[str, Any],
) -> None:
    table = score_table(metrics, metrics["pairings"]["paired"])
    header, *rows = cells_of(table)
    assert header == ["metric", "ours_1", "source copied", "agnostic"]
    assert [line[0].split("\u00a0")[0] for line in rows] == [
        "SSIM", "SSIM in mask", "colour ΔE 2000", "VFID-I3D", "VFID-ResNeXt", "LPIPS", "seam",
    ]  # fmt: skip
    assert rows[0][1] == "0.950.9–0.97"
    assert rows[2][1] == "32–43 of 4 videos"
    assert [line[1] for line in rows[3:]] == ["weights absent"] * 3 + ["–"]
    bold = re.findall("<b>(.*?)</b>", table)
    assert bold == ["0.95", "0.675", "3"]  # of ours, though the copied source has better ones


def test_what_was_not_measured_is_named_with_how_to_get_it(metrics: dict[str, Any]) -> None:
    metrics["pairings"]["paired"]["missing"] = [
        {"id": "d_9", "source": "d_9.mp4", "reason": "mask_failed"}
    ]
    text = gaps(metrics)
    assert "<b>VFID-I3D, VFID-ResNeXt, LPIPS</b>: weights absent" in text
    assert "<code>make weights FETCH=i3d</code>" in text
    assert "d_9 (mask_failed)" in text
    for content in metrics["pairings"].values():
        content["missing"] = []
        for one in content["rows"]:
            one["scores"] = {key: {"value": 1.0} for key in one["scores"]}
    assert gaps(metrics) == ""
    metrics["weights"]["alex"]["published"] = "no"
    assert "not the published file" in gaps(metrics)


def test_the_two_scales_of_resnext_never_share_a_column(metrics: dict[str, Any]) -> None:
    rows = {line[0]: line for line in cells_of(published_table(metrics))}
    assert rows["ClothFormer"][4:6] == ["5.048", ""]
    assert rows["VITON-DiT"][4:6] == ["", "0.187"]
    assert rows["ours_1"][4:6] == ["", "weights absent"]
    assert all(not (line[4] and line[5]) for name, line in rows.items() if name != "method")


def test_the_worst_and_the_best_videos_are_shown_in_one_player(
    metrics: dict[str, Any], tmp_path: Path
) -> None:
    page, data = written(metrics, tmp_path)
    assert [(case["group"], case["id"]) for case in data["cases"]] == [
        ("Worst, paired", "b"), ("Best, paired", "a"),
    ]  # fmt: skip
    assert page.count("<video") == 1
    worst = data["cases"][0]
    assert worst["panes"] == ["source = truth", "result"]
    frames = read_frames(base64.b64decode(worst["video"].partition(",")[2]))
    assert frames.shape == (FRAMES, HEIGHT, 2 * WIDTH, 3)
    assert (worst["height"], worst["width"]) == (HEIGHT, WIDTH)
    source, result = frames[:, :, : WIDTH - 8].mean(), frames[:, :, WIDTH + 8 :].mean()
    assert source == pytest.approx(50, abs=3)
    assert result == pytest.approx(100, abs=3)
    series = worst["series"]["ssim_masked"]
    assert series["ours"] == [None] + [0.5] * (FRAMES - 1)
    assert series["other"][1] == pytest.approx(0.2)


def test_unpaired_cases_show_the_truth_where_it_is_known(
    metrics: dict[str, Any], tmp_path: Path
) -> None:
    metrics["pairings"] = {"unpaired": metrics["pairings"]["paired"]}
    _, data = written(metrics, tmp_path, num_shown=2)
    assert [case["id"] for case in data["cases"]] == ["b", "d", "a", "c"]
    assert data["cases"][0]["panes"] == ["source", "result", "truth"]


def test_cases_are_ranked_by_colour_where_nothing_better_is_known(metrics: dict[str, Any]) -> None:
    for video in metrics["pairings"]["paired"]["rows"][0]["videos"]:
        del video["values"]["ssim_masked"]
    chosen = choose_cases(metrics, 1)
    assert [(one.group, one.video["id"]) for one in chosen] == [
        ("Worst, paired", "a"), ("Best, paired", "b"),
    ]  # fmt: skip
    assert choose_cases(metrics, 0) == []


def test_a_page_without_cases_has_no_player(metrics: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", metrics, load_case, 0)
    assert "<video" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_every_video_has_a_row_that_sorts_and_the_shown_ones_open_the_player(
    metrics: dict[str, Any],
) -> None:
    table = video_table(metrics, metrics["pairings"]["paired"], ["paired/b"])
    header, *rows = cells_of(table)
    assert 'class="sortable"' in table
    assert [name.split("\u00a0")[0] for name in header] == [
        "video", "frames", "SSIM in mask", "colour ΔE 2000",
    ]  # fmt: skip
    assert [line[0] for line in rows] == list(SSIM_OF)
    assert 'data-value="0.5"' in table
    assert re.findall('data-open="(.*?)"', table) == ["paired/b"]


def test_rows_to_paste_say_their_setting_and_hold_what_was_measured(
    metrics: dict[str, Any],
) -> None:
    markdown, latex = (
        [html.unescape(line) for line in block.splitlines()]
        for block in re.findall("<pre>(.*?)</pre>", paste_blocks(metrics), re.DOTALL)
    )
    assert markdown[0] == "vvt, paired: 4 videos, 2 clips, 96x64, protocol fixed"
    assert markdown[2] == "| method | SSIM ↑ | SSIM in mask ↑ | colour ΔE 2000 ↓ |"
    assert markdown[4] == "| ours_1 | 0.95 | 0.675 | 3 |"
    assert "| VITON-DiT | 0.896 | 0.080 | 2.498 | – | 0.187 |" in markdown
    assert "| ViViD | 0.949 | 0.068 | 3.405 | 5.074 | – |" in markdown
    assert "| ours_1 | 0.95 | – | – | – | – |" in markdown
    assert latex[0].startswith("% vvt, paired")
    assert latex[1].endswith(r"colour $\Delta$E 2000 $\downarrow$ \\")
    assert latex[2] == r"ours\_1 & 0.95 & 0.675 & 3 \\"
    metrics["benchmark"] = "dance"
    assert "VITON-DiT" not in paste_blocks(metrics)


def test_the_page_needs_no_network_and_states_how_it_was_measured(
    metrics: dict[str, Any], tmp_path: Path
) -> None:
    metrics["name"] = "</script><b>x"
    page, _ = written(metrics, tmp_path)
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a namespace's name
    assert "</script><b>x" not in page
    for stated in ("protocol: name", "0" * 64, "96x64", "24 frames", "3.11", "what ssim is"):
        assert stated in page
