"""A value for a text or path field is a string as it stands, whatever YAML would make of it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.loading import from_plain, load_config, save_config, split_arguments, to_plain

ODD = [
    "dances #2", "exp #2", "007", "2024.10", "12:30", "2024-10-01", "[a]", "{a: b}", "~", "null ",
    "${X}", "a\\${X}", "\\\\${a.b}", "cost$10", "Anna's", 'say "hi"', "a=b", "a: b", "- x", "-x",
    "true", "on", "1e5", "0x10", "&a", "*a", "!x", "%x", "@x", "`x`", "| x", "> x", "été 夏", " x ",
    "C:\\new\\", "?", ",", "", "yes", "\\",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class InnerTexts:
    name: str = ""
    many: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class OuterTexts:
    splits: dict[str, str] = field(default_factory=dict)
    src: str = ""
    mask: str | None = "x"
    count: int = 0
    inner: InnerTexts = field(default_factory=InnerTexts)


@pytest.mark.parametrize("text", ODD)
def test_an_override_of_a_text_field_stays_as_it_stands_and_is_saved_so(
    text: str, tmp_path: Path
) -> None:
    words = [f"src={text}", f"mask={text}", f"inner.name={text}", "count=7"]
    config = load_config(OuterTexts, None, words)
    assert config == OuterTexts(src=text, mask=text, count=7, inner=InnerTexts(name=text))
    save_config(config, tmp_path / "saved.yaml")
    assert load_config(OuterTexts, tmp_path / "saved.yaml") == config
    assert from_plain(OuterTexts, to_plain(config), "a checkpoint") == config


def test_null_is_none_where_a_field_may_be_none() -> None:
    config = load_config(OuterTexts, None, ["mask=null", "src=null"])
    assert (config.mask, config.src) == (None, "null")


def test_texts_of_a_list_and_of_a_yaml_file_are_as_written(tmp_path: Path) -> None:
    file = tmp_path / "odd=name.yaml"
    file.write_text("src: 2024.10\nmask: ~\ninner: {name: 007, many: [1.10, on, a]}\n")
    path, words = split_arguments([str(file), "count=1"], "usage")
    config = load_config(OuterTexts, path, words)
    inner = InnerTexts(name="007", many=["1.10", "on", "a"])
    assert config == OuterTexts(src="2024.10", mask=None, count=1, inner=inner)
    many = load_config(OuterTexts, None, ["inner.many=[007, 1.10]"]).inner.many
    assert many == ["007", "1.10"]


PLAIN_KEYS = [
    "12:30", "2024.10", "007", "0x10", "1e3", "1_000", "2024-10-01", "true", "on", "null", "~",
    "a.b", "été 夏", "x" * 200,
]  # fmt: skip
QUOTED_KEYS = ["a[0]", "*.mp4", "dances #2", "a: b", "${x}", "=", "<<", ""]


@pytest.mark.parametrize("key", [*PLAIN_KEYS, *QUOTED_KEYS])
def test_a_key_of_a_map_is_what_was_typed(key: str, tmp_path: Path) -> None:
    expected = OuterTexts(splits={key: "2024.10", "x": "007"})
    written = f"'{key}'" if key in QUOTED_KEYS else key
    file = tmp_path / "a.yaml"
    file.write_text(f"splits:\n  {written}: 2024.10\n  x: 007\n", encoding="utf-8")
    assert load_config(OuterTexts, file) == expected
    assert load_config(OuterTexts, None, [f"splits={{{written}: 2024.10, x: 007}}"]) == expected
    if key not in {"=", ""}:
        words = [f"splits.{key}=2024.10", "splits.x=007"]
        assert load_config(OuterTexts, None, words) == expected
    save_config(expected, tmp_path / "saved.yaml")
    assert load_config(OuterTexts, tmp_path / "saved.yaml") == expected
    assert from_plain(OuterTexts, to_plain(expected), "a checkpoint") == expected


def test_keys_that_yaml_takes_for_one_number_are_two(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("splits: {7: a, 007: b, 7.0: c}\n")
    assert load_config(OuterTexts, tmp_path / "a.yaml").splits == {"7": "a", "007": "b", "7.0": "c"}
    (tmp_path / "a.yaml").write_text("splits: {007: a, 007: b}\n")
    with pytest.raises(ConfigError, match="duplicate key 007"):
        load_config(OuterTexts, tmp_path / "a.yaml")


def test_a_pattern_that_yaml_cannot_hold_without_quotes_names_the_way_to_write_it() -> None:
    with pytest.raises(ConfigError, match=r"splits\.NAME=VALUE takes any name"):
        load_config(OuterTexts, None, ["splits={*: a}"])


def test_a_yaml_file_may_still_read_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DANCES", "here")
    (tmp_path / "a.yaml").write_text("src: ${oc.env:DANCES}/x\n")
    assert load_config(OuterTexts, tmp_path / "a.yaml").src == "here/x"


def test_a_section_given_a_text_and_an_unknown_key_are_still_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'src'"):
        load_config(OuterTexts, None, ["srcc=a"])
    with pytest.raises(ConfigError):
        load_config(OuterTexts, None, ["inner=x"])


def test_what_is_no_yaml_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="count=") as refused:
        load_config(OuterTexts, None, ["count=[1"])
    assert "\n" not in str(refused.value)
