"""The plan of a run: what it prints, what it advises, which recipes it confirms."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from configs.console import duration_in_words
from configs.errors import ConfigError
from configs.loading import load_config
from tests.bench.recipes import RECIPES as RECIPE_FOLDER
from tests.bench.recipes import recipe_table, with_table
from tests.warm import AS_MODULE, WarmPython
from training.config import TrainConfig
from training.plan import (
    PlanConfig,
    cache_ratio,
    main,
    num_decoded_images,
    num_encoded_images,
    parameter_table,
    places_line,
    print_plan,
    recipe_for,
    step_flops,
    time_line,
    verdict,
)
from training.planning.flops import Flops
from training.planning.memory import Memory, estimate_memory
from training.planning.suggestions import find_fit, with_changes, words

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "configs" / "demo" / "stage3.yaml"
STAGE3 = ROOT / "configs" / "stage3.yaml"
RECIPES = {"16gb_lora": 16, "24gb_stage1": 24, "24gb_stage2": 24, "24gb": 24, "80gb": 80,
           "8x80gb": 80}  # fmt: skip
SMALL = ["system.network.trunk.depth=2"]
PLAIN = ["system.network.fusion=attention", "system.network.warped_garment=false"]


def stated_needs(path: Path) -> tuple[float, float]:
    """GB without and with the margin that a recipe's comment gives."""
    comment = path.read_text(encoding="utf-8").split("extends:")[0]
    stated = re.search(r"([\d.]+) GB(?: a card)?, ([\d.]+) GB with the margin", comment)
    assert stated is not None
    return float(stated[1]), float(stated[2])


def printed(config: TrainConfig, settings: PlanConfig) -> str:
    text = io.StringIO()
    print_plan(Console(file=text, width=110), config, settings, DEMO)
    return text.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_fits_the_cards_in_its_name(recipe: str) -> None:
    path = ROOT / "configs" / "recipes" / f"{recipe}.yaml"
    config = load_config(TrainConfig, path)
    memory = estimate_memory(config)
    assert memory.needed <= RECIPES[recipe] * 1e9
    total, needed = stated_needs(path)
    assert total == pytest.approx(memory.total / 1e9, abs=0.1)
    assert needed == pytest.approx(memory.needed / 1e9, abs=0.1)


def test_the_plan_shows_every_table_without_weights_or_gpu() -> None:
    text = printed(load_config(TrainConfig, DEMO, SMALL), PlanConfig(gpu_gb=24))
    for title in ("Parameters", "One micro-batch", "An optimizer step", "A sampled window",
                  "Memory of each device", "trainer.strategy=fsdp2", "fits: needs"):  # fmt: skip
        assert title in text, title


def test_a_run_of_minutes_is_planned_in_minutes() -> None:
    config = load_config(TrainConfig, ROOT / "configs" / "small" / "stage2.yaml")
    flops = step_flops(config)
    seconds = sum(flops.values(), Flops()).total / (0.11 * 989e12)
    line = time_line(config, PlanConfig(mfu=0.11), flops)
    spent = duration_in_words(config.max_steps * seconds)
    assert " min " in spent
    assert line.endswith(f"{config.max_steps:,} steps: {spent}.")
    full = load_config(TrainConfig, STAGE3)
    assert time_line(full, PlanConfig(), step_flops(full)).endswith(" days.")


def test_the_full_model_has_the_parameters_that_the_design_counts() -> None:
    text = io.StringIO()
    Console(file=text, width=110).print(parameter_table(load_config(TrainConfig, STAGE3)))
    total = text.getvalue().splitlines()[-2].split()
    assert total[:3] == ["all", "1,948.6", "1,799.8"]


def test_a_stage_counts_only_what_it_uses_and_encodes() -> None:
    flops = step_flops(load_config(TrainConfig, ROOT / "configs" / "stage1.yaml"))
    assert flops.keys() == {"denoiser", "garment", "codec"}
    assert num_encoded_images(load_config(TrainConfig, STAGE3)) == 49
    clips = step_flops(load_config(TrainConfig, STAGE3))["codec"].forward
    assert clips == pytest.approx(49 * 1.12e12 * 384 / 512, rel=0.02)


def test_frames_of_a_clip_share_its_garment_and_the_warped_one_is_encoded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    demo = load_config(TrainConfig, DEMO.parent / "stage2.yaml", SMALL)  # 2 clips of 4 frames
    assert demo.system.network.warped_garment
    assert num_encoded_images(demo) == 5 * 8 + 2 * 4
    assert num_decoded_images(demo) == 8 + 2 * 4
    assert num_decoded_images(load_config(TrainConfig, STAGE3)) == 0
    assert places_line(demo).startswith("Reading the garment at places takes ")
    monkeypatch.setattr("training.plan.memory_table", lambda *_, **__: "")  # three estimates
    assert "Reading the garment" in printed(demo, PlanConfig())
    plain = load_config(TrainConfig, DEMO, [*SMALL, *PLAIN])
    assert "Reading the garment" not in printed(plain, PlanConfig())


def test_a_latent_cache_takes_the_autoencoder_out_of_step_and_memory() -> None:
    pixels, cached = (
        load_config(TrainConfig, STAGE3, ["system.network.trunk.depth=2", *words])
        for words in ([], ["data.latents=cache", "validation.every_steps=0"])
    )
    assert "codec" not in step_flops(cached)
    assert cache_ratio(cached) == cache_ratio(pixels)
    every = sum(flops.total for flops in step_flops(pixels).values())
    network = sum(flops.total for flops in step_flops(cached).values())
    assert cache_ratio(pixels) == pytest.approx(every / network)
    assert cache_ratio(load_config(TrainConfig, STAGE3)) == pytest.approx(1.32, abs=0.01)
    assert estimate_memory(cached).codec < estimate_memory(pixels).codec / 10


def test_what_does_not_fit_is_told_settings_with_which_it_does() -> None:
    words_given = ["trainer.precision=bf16-mixed", "optimizer.states=8bit", "data.num_frames=4"]
    config = load_config(TrainConfig, DEMO, [*SMALL, *words_given])
    needed = estimate_memory(config).needed
    changes, memory = find_fit(config, needed - 5e6)
    assert changes
    assert memory.needed <= needed - 5e6
    again = load_config(TrainConfig, DEMO, [*SMALL, *words_given, *words(changes)])
    assert estimate_memory(again) == memory
    assert again == with_changes(config, changes)
    for key in changes:  # nothing superfluous
        fewer = {name: value for name, value in changes.items() if name != key}
        assert estimate_memory(with_changes(config, fewer)).needed > needed - 5e6


def test_what_fits_is_left_alone_and_what_cannot_fit_is_said() -> None:
    config = load_config(TrainConfig, DEMO, [*SMALL, "data.num_frames=4", "data.batch_size=1"])
    assert find_fit(config, 24e9)[0] == {}
    assert verdict(config, 24, DEMO).startswith("[bold]fits")
    hopeless = verdict(config, 0.5, DEMO)  # less than CUDA itself takes
    assert "does not fit" in hopeless
    assert "with all savings" in hopeless


def test_what_does_not_fit_is_told_the_recipe_for_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = Memory(weights=int(50e9), gradients=0, states=0, average=0, activations=0, working=0,
                   codec=0, moment="training")  # fmt: skip
    monkeypatch.setattr("training.plan.estimate_memory", lambda _: needs)
    stage3 = load_config(TrainConfig, STAGE3)
    told = verdict(stage3, 24, STAGE3)
    assert "needs 53.5 of 24 GB" in told
    assert "make plan CONFIG=configs/recipes/24gb.yaml GPU=24" in told
    assert recipe_for(stage3, 40) == Path("configs/recipes/24gb.yaml")
    assert recipe_for(stage3, 80) == Path("configs/recipes/80gb.yaml")  # not 8x80gb
    assert recipe_for(load_config(TrainConfig, DEMO), 80) is None  # another network


def test_a_step_of_next_to_nothing_has_no_time() -> None:
    demo = load_config(TrainConfig, DEMO)
    line = time_line(demo, PlanConfig(), step_flops(demo))
    assert "a day" not in line
    assert "too little to tell its time from" in line


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_its_stage_at_full_size_and_says_what_it_needs(recipe: str) -> None:
    path = ROOT / "configs" / "recipes" / f"{recipe}.yaml"
    config = load_config(TrainConfig, path)
    preset = load_config(TrainConfig, ROOT / "configs" / f"{config.stage}.yaml")
    assert (config.system, config.data) == (preset.system, preset.data)
    effective = [run.trainer.accumulate * run.trainer.devices for run in (config, preset)]
    assert effective[0] == effective[1] or config.lora.rank
    needed = stated_needs(path)[1]
    assert needed <= RECIPES[recipe]


def table_rows(page: Path) -> dict[str, list[str]]:
    """Cells of a page's table rows by the recipe that they name."""
    found = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        recipe = re.search(r"configs/recipes/[\w.]+", line)
        if line.startswith("|") and recipe is not None:
            found[recipe[0]] = [cell.strip() for cell in line.strip("|").split("|")]
    return found


def test_the_table_of_recipes_has_every_recipe_and_what_each_says() -> None:
    found = table_rows(ROOT / "docs" / "training.md")
    there = {f"configs/recipes/{path.name}" for path in RECIPE_FOLDER.glob("*.yaml")}
    assert found.keys() == there
    assert {Path(recipe).stem for recipe in there} == RECIPES.keys()
    for recipe, cells in found.items():
        assert float(cells[4]) == pytest.approx(stated_needs(ROOT / recipe)[1], abs=0.11)
        assert f"{RECIPES[Path(recipe).stem]} GB" in cells[0]
    for recipe, cells in table_rows(ROOT / "README.md").items():
        assert f"{found[recipe][4]} GB" in cells[4], recipe
        assert cells[3] == found[recipe][5], recipe


@pytest.mark.slow
def test_the_table_of_recipes_is_what_the_command_writes() -> None:
    page = ROOT / "docs" / "training.md"
    assert with_table(page, recipe_table()) == page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["mfu=2"], "mfu is 2; accepted: above 0 and at most 1"),
        (["gpu_gb=many"], "gpu_gb"),
        (["peak_tflops=0"], "peak_tflops is 0; accepted: above 0"),
        (["trainer.activation_checkpointing=always"], "none, blocks or every_<n>"),
        (["trainer.frozen_dtype=bfloat16"], "needs precision bf16-mixed"),
        (["ema.device=disk"], "device is 'disk'; accepted: auto, cpu"),
    ],
)
def test_bad_input_is_refused_by_name(given: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        main([str(DEMO), *given])


def test_the_command_ends_bad_input_with_one_line_and_exit_code_2(
    tmp_path: Path, warm_python: WarmPython
) -> None:
    run = warm_python.run(AS_MODULE, ["training.plan", "configs/none.yaml"], tmp_path)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith("error: configuration file configs/none.yaml does not exist; ")
    assert run.stderr.count("\n") == 1
