"""The demo goes on only with what it made itself, and its times are of what is there."""

import itertools
import json
import shutil
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest

from configs.errors import ConfigError, DataError, UserError
from configs.loading import load_config, save_config
from curation.settings import CurateConfig
from datasets.synthetic.dataset import SyntheticConfig
from inference.checkpoint_choice import shipped_model
from inference.tryon_config import read_job
from tests.benchmark_fixtures import HEIGHT, WIDTH, write_bench, write_results
from tests.tryon_fixtures import write_garment, write_video
from training.config import TrainConfig
from training.demo import DemoConfig, demo_steps, main, run_steps
from training.evaluation.config import EvaluationConfig
from training.experiments.chain import ChainStep
from training.experiments.demo_page import STAGES, draw_losses, show_real, show_results

RECIPES = {"demo": "configs/demo/demo.yaml", "small": "configs/small/small.yaml"}
SCHEMAS = {
    "datasets.synthetic": SyntheticConfig,
    "curation.run": CurateConfig,
    "training.fit": TrainConfig,
    "training.evaluate": EvaluationConfig,
}


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Makes a step that adds a line to ``made`` in its folder, or does what it is given."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(title, *words, body="pass"):
        makes = tmp_path / "data" / title
        adds = f"open({str(makes / 'made')!r}, 'a').write('x')"
        (tmp_path / f"{title.lower()}.py").write_text(f"import sys\n{adds}\n{body}\n")
        return ChainStep(words=(title.lower(), *words), title=title, makes=makes)

    return make


def made(step):
    """How often a step has worked on what is in its folder."""
    return len((step.makes / "made").read_text())


def test_times_survive_a_failed_step_and_add_up(step, tmp_path):
    times = tmp_path / "demo" / "steps.json"
    first, second = step("One", "a=b c"), step("Two", body="sys.exit(2)")
    with pytest.raises(UserError, match="exit code 2"):
        run_steps([first, second], times)
    before = json.loads(times.read_text())
    assert [entry["title"] for entry in before] == ["One", "Two"]
    step("Two")
    after = run_steps([first, second], times)
    assert [entry.command for entry in after] == [first.shown, second.shown]
    assert all(a.seconds > b["seconds"] > 0 for a, b in zip(after, before, strict=True))
    assert (made(first), made(second)) == (2, 2)


def test_the_time_of_what_is_gone_is_not_counted(step, tmp_path):
    times = tmp_path / "demo" / "steps.json"
    steps = [step("One"), step("Two")]
    run_steps(steps, times)
    entries = json.loads(times.read_text())
    times.write_text(json.dumps([entry | {"seconds": 1000.0} for entry in entries]))
    shutil.rmtree(steps[1].makes)
    first, second = run_steps(steps, times)
    assert first.seconds > 1000 > 100 > second.seconds


def test_a_changed_step_begins_anew_and_so_does_all_behind_it(step, tmp_path):
    times = tmp_path / "demo" / "steps.json"
    run_steps([step("One"), step("Two", "size=1"), step("Three")], times)
    steps = [step("One"), step("Two", "size=2"), step("Three")]
    run_steps(steps, times)
    assert [made(step) for step in steps] == [2, 1, 1]
    aside = sorted(path.name for path in (tmp_path / "data").glob("*-before-*"))
    assert aside == ["Three-before-1", "Two-before-1"]


def test_runs_of_other_lengths_are_other_runs_that_start_from_each_other(tmp_path):
    chains = [
        demo_steps(DemoConfig(data="d", runs=str(tmp_path), steps=steps)) for steps in (None, 5)
    ]
    folders = [{step.makes for step in steps if tmp_path in step.makes.parents} for steps in chains]
    assert len(folders[0]) == len(folders[1]) == 5
    assert not folders[0] & folders[1]
    for steps in chains:
        trained = [step for step in steps if step.words[0] == "training.fit"]
        for before, after in itertools.pairwise(trained):
            assert f"init_from={before.makes}/checkpoints/last.ckpt" in after.words
        assert f"checkpoint={trained[-1].makes}/checkpoints/last.ckpt" in steps[-1].words
    assert DemoConfig(steps=5).folder != DemoConfig().folder


def test_the_demos_words_are_those_that_earlier_demos_were_marked_with():
    steps = demo_steps(load_config(DemoConfig, RECIPES["demo"]))
    assert [" ".join(step.words) for step in steps] == [
        "datasets.synthetic configs/demo/render.yaml out=data/demo/raw",
        "curation.run configs/demo/curate.yaml src=data/demo/raw/train out=data/demo/dance",
        "curation.run configs/demo/curate.yaml src=data/demo/raw/bench/raw out=data/demo/bench",
        "training.fit configs/demo/pretrain.yaml data.roots=[data/demo/dance] runs=runs",
        "training.fit configs/demo/stage1.yaml data.roots=[data/demo/dance] runs=runs "
        "init_from=runs/demo-pretrain/checkpoints/last.ckpt",
        "training.fit configs/demo/stage2.yaml data.roots=[data/demo/dance] runs=runs "
        "init_from=runs/demo-stage1/checkpoints/last.ckpt",
        "training.fit configs/demo/stage3.yaml data.roots=[data/demo/dance] runs=runs "
        "init_from=runs/demo-stage2/checkpoints/last.ckpt",
        "training.evaluate configs/eval/synthetic.yaml name=demo root=data/demo/bench "
        "out=runs/eval checkpoint=runs/demo-stage3/checkpoints/last.ckpt",
    ]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("steps", [None, 3])
def test_every_step_of_a_recipe_is_accepted_and_makes_what_the_next_one_takes(name, steps):
    config = load_config(DemoConfig, RECIPES[name], [] if steps is None else [f"steps={steps}"])
    suffix = "" if steps is None else f"-{steps}"
    assert config.folder.as_posix() == f"runs/{name}{suffix}"
    loaded = []
    for step in demo_steps(config):
        module, path, *overrides = step.words
        assert path.startswith(f"configs/{name}/") or path == "configs/eval/synthetic.yaml"
        loaded.append(load_config(SCHEMAS[module], path, overrides))
    render, train, bench, *runs, evaluation = loaded
    assert render.out == f"data/{name}/raw"
    assert (train.src, train.out) == (f"data/{name}/raw/train", f"data/{name}/dance")
    assert (bench.src, bench.out) == (f"data/{name}/raw/bench/raw", f"data/{name}/bench")
    assert [run.name for run in runs] == [f"{name}-{stage}{suffix}" for stage in STAGES]
    assert [run.stage for run in runs] == list(STAGES)
    assert [run.runs + "/" + run.name for run in runs] == [
        config.run_of(stage).as_posix() for stage in STAGES
    ]
    for before, after in itertools.pairwise(runs):
        assert after.init_from == f"runs/{before.name}/checkpoints/last.ckpt"
    assert all(run.data.roots == [f"data/{name}/dance"] for run in runs)
    assert steps is None or all(run.max_steps == steps for run in runs)
    assert evaluation.root == f"data/{name}/bench"
    assert evaluation.checkpoint == f"runs/{runs[-1].name}/checkpoints/last.ckpt"
    assert evaluation.folder == config.evaluated


@pytest.mark.parametrize(("name", "expected"), [("small", (20, 2.0)), ("demo", (2, 1.0))])
def test_a_recipe_paints_with_the_sampler_its_network_is_made_for(name, expected):
    *_, step = demo_steps(load_config(DemoConfig, RECIPES[name]))
    painting = load_config(EvaluationConfig, step.words[1], step.words[2:]).painting
    assert painting.sampler.given == {}
    trained = load_config(TrainConfig, f"configs/{name}/stage3.yaml").validation.sampler
    assert (trained.num_steps, trained.guidance_scale) == expected


def test_settings_of_a_folder_that_is_not_there_are_one_sentence():
    with pytest.raises(ConfigError, match=r"file configs/none/pretrain.yaml does not exist"):
        demo_steps(DemoConfig(settings="configs/none"))


def test_the_page_names_what_the_networks_predict(tmp_path):
    config = load_config(TrainConfig, "configs/demo/pretrain.yaml")
    for predicted in ("velocity", "noise"):
        diffusion = replace(config.system.diffusion, prediction=predicted)
        system = replace(config.system, diffusion=diffusion)
        save_config(replace(config, system=system), tmp_path / predicted / "config.yaml")
        figure = draw_losses({"Pre-training": tmp_path / predicted})
        assert figure.axes[0].get_ylabel() == f"mean squared error of the {predicted}"
        plt.close(figure)


@pytest.mark.parametrize("pairing", ["paired", "unpaired"])
def test_the_page_shows_what_was_painted_where_a_part_was_asked_for(tmp_path, pairing):
    root, evaluation = write_bench(tmp_path / "bench"), tmp_path / "eval"
    painted = write_results(root, evaluation / "predictions" / pairing, pairing)
    (painted / "a.mp4").unlink()  # c and d stay, and b as a folder, which no checkpoint writes
    metrics = {
        "protocol": "fixed", "resolution": {"height": HEIGHT, "width": WIDTH},
        "pairings": {pairing: {}},
    }  # fmt: skip
    (evaluation / "metrics.json").write_text(json.dumps(metrics))
    shown = show_results(tmp_path, evaluation)
    assert shown.count('class="sync"') == 2
    assert shown.count("ground truth") == 2


def test_a_clip_of_the_users_is_dressed_last_by_the_model_that_ships():
    config = load_config(DemoConfig, RECIPES["demo"], ["real=mine.mp4"])
    *before, step = demo_steps(config)
    assert before == demo_steps(replace(config, real=""))
    module, *words = step.words
    assert module == "inference.tryon"
    job = read_job(words)
    assert (job.video, job.out) == ("mine.mp4", "runs/demo/real.mp4")
    assert job.garment == "data/demo/raw/bench/garments/bench_000.png"
    assert job.checkpoint == str(shipped_model())


def test_a_clip_that_is_not_there_is_refused_before_any_work(tmp_path):
    words = [f"real={tmp_path / 'none.mp4'}", f"data={tmp_path / 'd'}", f"runs={tmp_path / 'r'}"]
    with pytest.raises(DataError, match=r"none\.mp4"):
        main([RECIPES["demo"], *words])
    assert not any(tmp_path.iterdir())


def test_a_clip_without_the_model_that_ships_is_refused_before_any_work(tmp_path, monkeypatch):
    video = write_video(tmp_path / "mine.mp4", people=[True] * 3)
    monkeypatch.setattr("training.demo.shipped_model", lambda: None)
    with pytest.raises(DataError, match=r"models/pretrained/tryon is missing"):
        main([RECIPES["demo"], f"real={video}", f"runs={tmp_path / 'r'}"])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.mp4"]


def test_the_page_shows_the_users_clip_beside_the_dressed_one(tmp_path):
    video, dressed = tmp_path / "mine.mp4", tmp_path / "real.mp4"
    for path in (video, dressed):
        write_video(path, people=[True] * 12)
    write_garment(tmp_path / "g.png")
    shown = show_real(video, tmp_path / "g.png", dressed)
    assert shown.count("<video") == 2
    assert str(dressed) in shown


def test_every_step_says_what_it_does_and_how_long_it_usually_takes(step, tmp_path, capsys):
    steps = [replace(step("One"), about="First this."), step("Two")]
    run_steps(steps, tmp_path / "steps.json", minutes=[1.5])
    said = capsys.readouterr().out
    assert "[1/2] One\nFirst this. Usually 1 min 30 s.\n" in said
    assert "[2/2] Two\npython -m two\n" in said
    assert said.count(": done in ") == 2
    demo = load_config(DemoConfig, RECIPES["demo"])
    assert len(demo.minutes) == len(demo_steps(demo))
    assert all(step.about for step in demo_steps(demo))
