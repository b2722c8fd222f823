import logging
from dataclasses import asdict

import pytest

from configs.errors import ConfigError
from configs.loading import load_config
from inference.sampling.sampler_choice import SamplerChoice, choose_sampler
from inference.sampling.solvers import SamplerConfig
from inference.tryon_config import TryOnConfig
from training.evaluation.predictions import CheckpointConfig
from training.experiments.judge import JudgeConfig

OWN = SamplerConfig(num_steps=2, guidance_scale=1.0, clip=3.0)


def test_what_is_not_overridden_is_the_checkpoints():
    assert choose_sampler(asdict(OWN), None, "x.ckpt") == OWN
    assert choose_sampler(asdict(OWN), SamplerChoice(), "x.ckpt") == OWN
    taken = choose_sampler(asdict(OWN), SamplerChoice(num_steps=5, solver="ddim"), "x.ckpt")
    assert taken == SamplerConfig(solver="ddim", num_steps=5, guidance_scale=1.0, clip=3.0)
    assert SamplerChoice(clip=0).over(OWN).clip is None


def test_a_whole_sampler_replaces_the_checkpoints():
    whole = SamplerConfig(solver="ancestral", num_steps=100)
    assert choose_sampler(asdict(OWN), whole, "x.ckpt") == whole


def test_an_older_checkpoint_gets_the_defaults_and_the_log_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        taken = choose_sampler(None, SamplerChoice(guidance_scale=1.0), "old.ckpt")
    assert taken == SamplerConfig(guidance_scale=1.0)
    assert "old.ckpt does not say which sampler" in caplog.text
    assert "dpm++, 20 steps, guidance 2" in caplog.text
    caplog.clear()
    choose_sampler(asdict(OWN), None, "x.ckpt")
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("schema", "section", "words"),
    [
        (TryOnConfig, "sampler", []),
        (CheckpointConfig, "sampler", []),
        (JudgeConfig, "sampler", ["checkpoint=x"]),
    ],
)
def test_an_override_is_checked_when_the_settings_are_read(schema, section, words):
    good = [f"{section}.num_steps=5", f"{section}.clip=null", f"{section}.eta=0.5"]
    assert load_config(schema, None, [*words, *good]).sampler.given == {"num_steps": 5, "eta": 0.5}
    for word, message in (
        ("num_steps=0", "num_steps is 0; at least 1"),
        ("solver=euler", "one of dpm"),
        ("guidance_interval=[0.5]", "two shares"),
        ("eta=2", "0 to 1"),
        ("clip=-1", "clip is -1"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(schema, None, [*words, f"{section}.{word}"])
    with pytest.raises(ConfigError, match=r"solver 'dpm\+\+' has none"):
        load_config(schema, None, [*words, f"{section}.eta=0.5", f"{section}.solver=dpm++"])


def test_an_override_that_does_not_go_with_the_checkpoints_sampler_is_one_sentence():
    with pytest.raises(ConfigError, match=r"use ddim or eta=0 \(over that of x\.ckpt: dpm\+\+, 2"):
        choose_sampler(asdict(OWN), SamplerChoice(eta=0.5), "x.ckpt")
    with pytest.raises(ConfigError, match=r"the sampler of x\.ckpt"):
        choose_sampler({"stepps": 1}, None, "x.ckpt")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_steps": 1, "guidance_scale": 1.0}, "dpm++, 1 step, no guidance"),
        ({"reuse": "blocks"}, "dpm++, 20 steps, guidance 2, reuse of blocks"),
    ],
)
def test_a_sampler_in_words(settings, words):
    assert SamplerConfig(**settings).description == words
