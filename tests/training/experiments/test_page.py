"""The page and the plot of an ablation, made from results and the films that lie beside them."""

import json
from pathlib import Path

import pytest

from configs.loading import load_config
from datasets.synthetic.dataset import SyntheticConfig, write_dancers
from training.experiments.page import write_page
from training.experiments.plots import plot_intervals, save_svg

SIZE = ["height=96", "width=64", "duration_s=0.5", "fps=8", "num_train=0", "num_val=0"]


def result(variant: str, ssim: float, bench: Path, seed: int = 0) -> dict:
    """Of two clips, whose films are the truth."""
    scores = [
        {"clip": f"bench_00{i}", "delta_e": 5.0 + i, "ssim": ssim + 0.1 * i, "last_ssim": ssim,
         "said": "dots", "true": "dots"}
        for i in range(2)
    ]  # fmt: skip
    films = {f"bench_00{i}": str(bench / f"truth/bench_00{i}.mp4") for i in range(2)}
    methods = ("painted", "agnostic", "mean colour", "truth")
    return {
        "variant": variant, "seed": seed, "settings": {"bench": str(bench)}, "films": films,
        "methods": {m: {"clips": 2, "scores": scores} for m in methods},
        "classifier": {"by_clip": 0.97, "test_clips": 100}, "code": {"commit": "0123456789abcdef"},
    }  # fmt: skip


@pytest.fixture
def results(tmp_path) -> dict[str, list[dict]]:
    words = [*SIZE, "num_bench=2", "num_bad=0", "workers=1", f"out={tmp_path}"]
    write_dancers(load_config(SyntheticConfig, None, words))
    bench = tmp_path / "bench"
    return {
        "ours": [result("ours", 0.6, bench), result("ours", 0.7, bench, seed=1)],
        "theirs": [result("theirs", 0.4, bench)],
    }


def test_the_page_shows_every_variants_film_beside_source_garment_and_truth(results, tmp_path):
    page = write_page(tmp_path / "page.html", "Is it?", results, "ours", {"ours": "the one"})
    text = page.read_text()
    assert text.index("bench_001: masked SSIM of ours 0.70") < text.index("bench_000: masked SSIM")
    assert text.count("<video") == 2 * 4
    for caption in ("source", "garment", "ours", "theirs", "ground truth"):
        assert text.count(f"<figcaption>{caption}</figcaption>") == 2
    assert "ours: the one" in text
    assert "ours against theirs: " in text


def test_a_film_that_is_gone_is_left_out(results, tmp_path):
    results["theirs"][0]["films"] = {}
    text = write_page(tmp_path / "page.html", "Is it?", results, "ours", {}).read_text()
    assert text.count("<video") == 2 * 3


def test_the_plot_has_a_panel_a_known_number_and_the_same_bytes_again(results, tmp_path):
    figure = plot_intervals(results, "ours")
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [
        "Delta E, lower is better", "right colour", "right class", "masked SSIM", "last quarter's",
    ]  # fmt: skip
    means = [line.get_xdata() for line in figure.axes[3].lines if line.get_markersize() == 5]
    assert means == [pytest.approx([0.7]), pytest.approx([0.45])]
    save_svg(figure, tmp_path / "a.svg")
    save_svg(plot_intervals(results, "ours"), tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert json.dumps(str(tmp_path)) not in (tmp_path / "a.svg").read_text()
