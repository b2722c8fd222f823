"""Chains of commands, what is done only once, and the tables that are built from the JSONs."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from configs.command import run_command
from configs.errors import ConfigError, UserError
from configs.loading import load_config
from datasets.locks import one_at_a_time
from tests.training.experiments.results import result
from training.experiments.ablate import main
from training.experiments.ablation import AblationConfig, plan_chains, run_chains
from training.experiments.tables import find_place, insert_table, read_results, table

FUSION, CONFIGS = Path(__file__).with_name("ablation.yaml"), Path("configs/experiments")


@pytest.fixture
def config(tmp_path) -> AblationConfig:
    found = load_config(AblationConfig, FUSION)
    three = [replace(v, seeds=None) for v in found.variants if v.name != "concatenation"]
    return replace(
        found, variants=three, runs=str(tmp_path / "runs"), data=str(tmp_path / "data"),
        results=str(tmp_path / "results"),
    )  # fmt: skip


def test_an_unknown_key_of_a_variant_lists_the_keys_of_variants(tmp_path: Path) -> None:
    file = tmp_path / "old.yaml"
    file.write_text("variants: [{name: none, fit: training.experiments.fusion_variants}]")
    with pytest.raises(ConfigError, match=r"key 'fit' does not exist; known keys: .*, seeds, text"):
        load_config(AblationConfig, file)


class FakeCommands:
    """Stands in for the processes: a judge writes its JSON, the others do nothing."""

    def __init__(self, monkeypatch):
        self.words: list[list[str]] = []
        self.fails_at = ""
        monkeypatch.setattr("training.experiments.chain._run", self.run)

    def run(self, words):
        assert words[:2] == [sys.executable, "-m"]
        self.words.append(words[2:])
        if self.fails_at and any(self.fails_at in word for word in words):
            return 2, False
        if words[2] == "training.experiments.judge":
            out = Path(next(w for w in words if w.startswith("out="))[4:])
            out.parent.mkdir(parents=True, exist_ok=True)
            variant = out.stem.rpartition("-s")[0]
            right = {"attention": 12, "concatenation": 9, "embedding": 6, "none": 0}[variant]
            out.write_text(json.dumps(result(variant, right)))
        return 0, False


def trained(commands: FakeCommands, name: str) -> list[str]:
    """The training command of the run whose name begins so."""
    return next(words for words in commands.words if words[-1].startswith(f"name={name}-"))


@pytest.fixture
def commands(monkeypatch):
    return FakeCommands(monkeypatch)


def test_shared_stages_are_trained_once_a_seed_and_the_rest_once_a_variant(config, commands):
    assert run_chains(plan_chains(config)) == 6
    modules = [words[0] for words in commands.words]
    assert modules.count("datasets.synthetic") == modules.count("curation.run") == 1
    assert modules.count("training.experiments.judge") == 6
    names = [w for words in commands.words for w in words if w.startswith("name=")]
    assert len(names) == len(set(names)) == 2 * (1 + 3 * 2)
    none = trained(commands, "fusion-none-stage2-s1")
    assert "system.network.fusion=none" in none
    assert "seed=1" in none
    assert any("/fusion-none-stage1-s1-" in word for word in none if word.startswith("init_from="))
    for name in ("shared-pretrain-s0", "shared-stage1-s0"):
        assert trained(commands, name)[0] == "training.fit"
    shared = trained(commands, "shared-pretrain-s0")
    assert not any("fusion=" in word for word in shared)


def test_a_variant_with_data_of_its_own_is_judged_on_the_same_clips(config, commands):
    sizes = [
        replace(config.variants[0], name=name, render=[f"num_train={number}"])
        for name, number in (("attention", 15), ("none", 60))
    ]
    stages = [replace(stage, shared=False) for stage in config.stages]
    chains = plan_chains(replace(config, variants=sizes, stages=stages, seeds=[0]))
    rendered, folders, benches = [], set(), set()
    for chain in chains:
        own = [s.words for s in chain.steps if s.words[0] == "datasets.synthetic"][1]
        rendered.append(own[-3:-1])
        folders |= {w for s in chain.steps for w in s.words if w.startswith("data.roots=")}
        benches |= {w for s in chain.steps for w in s.words if w.startswith("bench=")}
    assert rendered == [("num_bench=0", "num_train=15"), ("num_bench=0", "num_train=60")]
    assert len(folders) == 2
    assert len(benches) == 1
    with pytest.raises(ValueError, match="no stage can be shared"):
        replace(config, variants=sizes)


def test_test_videos_of_its_own_change_nothing_that_is_trained(config, commands):
    own = plan_chains(replace(config, bench=["bench_duration_s=20", "num_bench=3"]))
    for chain, common in zip(own, plan_chains(config), strict=True):
        trained = [
            [step.words for step in steps if step.words[0] == "training.fit"]
            for steps in (chain.steps, common.steps)
        ]
        assert trained[0] == trained[1]
        rendered = chain.steps[-2].words
        assert {"num_train=0", "num_val=0", "num_bench=3"} < set(rendered)
        folder = rendered[-1].partition("=")[2]
        assert f"bench={folder}/bench" in chain.steps[-1].words
        assert chain.result == common.result


def test_variants_of_the_same_videos_share_them_and_are_curated_each_in_its_own_way(
    config, commands
):
    spoilt = [
        replace(config.variants[0], name=name, render=["cut_share=0.5"], curate=words)
        for name, words in (("cleaned", []), ("noisy", ["selection.enabled=false"]))
    ]
    stages = [replace(stage, shared=False) for stage in config.stages]
    chains = plan_chains(replace(config, variants=spoilt, stages=stages, seeds=[0]))
    curated = [next(s.words for s in c.steps if s.words[0] == "curation.run") for c in chains]
    sources = [next(w for w in words if w.startswith("src=")) for words in curated]
    folders = [next(w for w in words if w.startswith("out=")) for words in curated]
    assert len(set(sources)) == 1
    assert len(set(folders)) == 2
    assert "selection.enabled=false" in curated[1]


def test_a_variant_may_have_fewer_seeds_than_the_others(config):
    variants = [config.variants[0], replace(config.variants[1], seeds=[1])]
    chains = plan_chains(replace(config, variants=variants, seeds=[0, 1]))
    found = [(chain.variant, chain.seed) for chain in chains]
    assert found == [("attention", 0), ("attention", 1), ("embedding", 1)]


def test_a_variant_may_end_with_an_earlier_stage(config, commands):
    early = replace(config.variants[0], name="early", until="stage1")
    chain = plan_chains(replace(config, variants=[early, config.variants[1]]))[0]
    trains = [step.words for step in chain.steps if step.words[0] == "training.fit"]
    assert len(trains) == 2
    judge = chain.steps[-1].words
    name = trains[-1][-1].partition("=")[2]
    assert any(word == f"checkpoint={config.runs}/{name}/checkpoints/last.ckpt" for word in judge)
    with pytest.raises(ValueError, match="ends with 'stage9'; stages are pretrain, stage1, stage2"):
        replace(config, variants=[replace(early, until="stage9"), config.variants[1]])


def test_a_second_run_does_nothing_and_a_changed_one_what_changed(config, commands):
    run_chains(plan_chains(config))
    commands.words.clear()
    assert run_chains(plan_chains(config)) == 0
    assert commands.words == []
    longer = [replace(v, judge=["max_clips=5"]) if v.name == "none" else v for v in config.variants]
    assert run_chains(plan_chains(replace(config, variants=longer))) == 2
    judged = [words for words in commands.words if words[0] == "training.experiments.judge"]
    assert all("none" in " ".join(words) for words in judged)


def test_a_changed_yaml_is_another_fingerprint(config, tmp_path):
    stage = tmp_path / "stage.yaml"
    stage.write_text("max_steps: 1\n")
    stages = [replace(config.stages[0], config=str(stage)), *config.stages[1:]]
    before = plan_chains(replace(config, stages=stages))[0]
    stage.write_text("max_steps: 2\n")
    after = plan_chains(replace(config, stages=stages))[0]
    assert after.fingerprint() != before.fingerprint()
    first, second = (
        {s.words[-1] for s in chain.steps if s.words[0] == "training.fit"}
        for chain in (before, after)
    )
    assert not first & second, "a run of other settings is another run"


@pytest.mark.parametrize("changed", ["renderer_sources", "CURATION"])
def test_another_renderer_or_curation_trains_on_clips_of_its_own(
    config, changed, tmp_path, monkeypatch
):
    """A curated folder keeps the clips of renders that are gone: it must not be gone on with."""
    code = tmp_path / "versions.py"
    source = code if changed == "CURATION" else lambda: [code]
    monkeypatch.setattr(f"training.experiments.fingerprints.{changed}", source)
    found = []
    for version in (1, 2):
        code.write_text(f"VERSION = {version}\n")
        chain = plan_chains(config)[0]
        folders = {
            word.partition("=")[2].strip("[]")
            for step in chain.steps
            for word in step.words
            if word.startswith("data.roots=")
            or (step.words[0] == "curation.run" and word.startswith("out="))
        }
        assert len(folders) == 1, "what is curated is what is trained on"
        runs = {word for step in chain.steps for word in step.words if word.startswith("name=")}
        found.append((folders | runs, chain.fingerprint()))
    assert not found[0][0] & found[1][0]
    assert found[0][1] != found[1][1]


def test_two_ablations_side_by_side_take_turns_where_they_make_the_same(config, commands, caplog):
    caplog.set_level("INFO")
    chains = plan_chains(config)[:1]
    shared = next(s for s in chains[0].steps if s.words[-1].startswith("name=shared-pretrain"))
    lock = Path(config.runs, ".locks", f"{shared.words[-1].partition('=')[2]}.lock")
    with ThreadPoolExecutor(1) as pool:
        with one_at_a_time(lock, "the other ablation's"):
            other = pool.submit(run_chains, chains)
            while "is making python -m training.fit" not in caplog.text:
                assert not other.done()
                time.sleep(0.01)
            assert [words[0] for words in commands.words] == ["datasets.synthetic", "curation.run"]
        assert other.result(timeout=60) == 1


def test_a_failed_command_stops_the_chain_in_one_sentence(config, commands):
    commands.fails_at = "fusion-embedding-stage1-s0"
    with pytest.raises(UserError, match=r"stage1-s0-.* ended with exit code 2"):
        run_chains(plan_chains(config))
    commands.fails_at = ""
    assert run_chains(plan_chains(config)) == 5


def test_results_carry_their_commands(config, commands):
    run_chains(plan_chains(config))
    content = json.loads(Path(config.results, "fusion", "none-s0.json").read_text())
    assert content["variant"] == "none"
    assert [c.split()[2] for c in content["commands"]][:2] == ["datasets.synthetic", "curation.run"]
    assert content["commands"][-1].startswith("python -m training.experiments.judge checkpoint=")


def test_the_table_says_what_is_decided_and_what_is_not(config, commands, tmp_path):
    chains = plan_chains(config)
    run_chains(chains)
    found = read_results([chain.result for chain in chains])
    found["twin"] = [result("twin", 12), result("twin", 12, seed=1)]
    text = table(found, "attention")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[1].startswith("| attention | 2 |")
    assert "| twin | 2 |" in text
    assert "right class +1.000 [+1.000, +1.000], better" in text
    twin = next(line for line in text.splitlines() if "against twin" in line)
    assert "right class +0.000 [+0.000, +0.000], undecided" in twin
    assert "Delta E -0.500 [-0.500, -0.500], better" in twin
    assert "right on 97% of 100 true ones; commit 0123456789ab; cpu; 2 threads." in text
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- fusion -->\nold\n<!-- end fusion -->\nb\n")
    insert_table(page, "fusion", text)
    assert page.read_text() == f"a\n<!-- fusion -->\n{text}<!-- end fusion -->\nb\n"
    with pytest.raises(ValueError, match="no place for the table"):
        insert_table(page, "known", text)
    with pytest.raises(ValueError, match="no place for the table"):
        insert_table(tmp_path / "absent.md", "fusion", text)


def test_the_table_is_of_the_asked_seeds_and_variants_in_words(config, commands, capsys):
    words = [f"{key}={getattr(config, key)}" for key in ("runs", "data", "results")]
    page = Path(config.results).parent / "page.md"
    page.write_text("<!-- fusion --><!-- end fusion -->")
    main([str(FUSION), *words, f"page={page}"])
    assert "![fusion](results/fusion.svg)" in page.read_text()
    assert "embedding" in Path(config.results, "fusion.svg").read_text()
    assert "no longer under nowhere/raw" in Path(config.runs, "fusion.html").read_text()
    capsys.readouterr()
    main([str(FUSION), *words, "seeds=[0]"])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:5]
    assert [row.split(" | ")[:2] for row in rows] == [
        ["| attention: every place of the garment (ours)", "1"],
        ["| concatenation: the garment's same place", "1"],
        ["| embedding: one vector", "1"],
        ["| none: no garment", "1"],
    ]


def test_a_page_without_a_place_is_said_before_anything_is_trained(config, commands, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- fusion -->")
    words = [f"{key}={getattr(config, key)}" for key in ("runs", "data", "results")]
    with pytest.raises(ConfigError, match="no place for the table: <!-- fusion -->"):
        main([str(FUSION), *words, f"page={page}"])
    assert commands.words == []


@pytest.mark.parametrize("what", sorted(p.stem for p in CONFIGS.glob("*.yaml")))
def test_the_page_of_experiments_has_a_place_for_every_table(what):
    if what != "render":
        find_place(Path("docs/notes/ablations.md"), what)


def test_a_result_of_another_commit_is_said_to_be_so(config, commands, caplog):
    chains = plan_chains(config)
    run_chains(chains)
    assert "was made at commit" not in caplog.text
    run_chains(chains)
    assert caplog.text.count("was made at commit 0123456789ab, the code is now at ") == len(chains)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": []}, "two variants"),
        ({"seeds": []}, "one seed"),
    ],
)
def test_an_ablation_that_compares_nothing_is_refused(config, change, message):
    with pytest.raises(ValueError, match=message):
        replace(config, **change)


def test_shared_stages_come_first_and_are_not_changed_by_variants(config):
    with pytest.raises(ValueError, match="shared stages come before"):
        replace(config, stages=config.stages[::-1])
    with pytest.raises(ValueError, match="all stages are shared"):
        replace(config, stages=config.stages[:1])


def test_an_ablation_that_does_not_exist_is_one_sentence(capsys):
    with pytest.raises(SystemExit) as stop:
        run_command(main, ["configs/experiments/colours.yaml"])
    assert stop.value.code == 2
    assert (
        "colours.yaml does not exist; there are data, freeze, fusion, " in capsys.readouterr().err
    )


def test_a_result_that_is_no_json_is_named(config, commands):
    chains = plan_chains(config)
    chains[0].result.parent.mkdir(parents=True)
    chains[0].result.write_text("{")
    with pytest.raises(ConfigError, match=r"attention-s0\.json is not JSON"):
        run_chains(chains)
