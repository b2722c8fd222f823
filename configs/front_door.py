"""Commands in messages, named as the user calls them: by ``make``, or by ``viton-dit``.

Messages name commands in make's words, such as ``make curate SRC=raw/ OUT=data/dance``. Where the
user called ``viton-dit``, ``as_called`` writes that line as ``viton-dit curate raw/ --out
data/dance``. What is printed passes through it: errors and log lines in ``configs/command.py``,
tables and texts where they are printed.
"""

import os
import re

CALLED_BY = "VITON_DIT_CALLED_BY"
"""Environment variable with the command that was typed; programs that it starts inherit it."""
MAKE, COMMAND_LINE = "make", "viton-dit"
FORMS = {
    "demo": "demo {CONFIG} --real {REAL} {ARGS}",
    "curate": "curate {SRC} --out {OUT} --hold-out {HOLD_OUT} --bench {BENCH} --config {CONFIG} "
    "{dry_run?--dry-run} {ARGS}",
    "curate-explain": "curate-explain {CLIP} --out {OUT}",
    "curate-verify": "curate-verify --out {OUT} {ARGS}",
    "curate-refilter": "curate-refilter --out {OUT} {dry_run?--dry-run} {ARGS}",
    "curate-purge": "curate-purge {SRC} --out {OUT} {ARGS}",
    "render": "render {CONFIG} {ARGS}",
    "setup-densepose": "setup densepose",
    "setup-yolo": "setup yolo",
    "setup-onnx": "setup onnx",
    "setup-text": "setup text",
    "setup-transnet": "setup transnet",
    "setup-lowmem": "setup lowmem",
    "setup-lora": "setup lora",
    "setup-app": "setup app",
    "setup-ray": "setup ray",
    "setup-wandb": "setup wandb",
    "weights": "weights --fetch {FETCH} {ARGS}",
    "caption": "caption {ENCODER} --out {OUT} {ARGS}",
    "latents": "latents {CONFIG} {ARGS}",
    "codec": "codec {CONFIG} --pictures {PICTURES} --out {OUT} {ARGS}",
    "plan": "plan {CONFIG} --gpu {GPU} {ARGS}",
    "pretrain": "train {CONFIG:configs/pretrain.yaml} {ARGS}",
    "train-stage1": "train {CONFIG:configs/stage1.yaml} {ARGS}",
    "train-stage2": "train {CONFIG:configs/stage2.yaml} {ARGS}",
    "train-stage3": "train {CONFIG:configs/stage3.yaml} {ARGS}",
    "export": "export {CHECKPOINT} --out {OUT} {ARGS}",
    "tryon": "tryon {VIDEO} {GARMENT} --jobs {JOBS} --out {OUT} --config {CONFIG} {ARGS}",
    "app": "app {CONFIG} {ARGS}",
    "eval": "eval {BENCH:synthetic} --pred {PRED} {ARGS}",
    "ablate": "ablate {WHAT:fusion} {ARGS}",
    "bench": "bench {ARGS}",
    "profile": "profile {ARGS}",
}
"""The sub-command of each target of make and where its variables go. ``{A:b}`` has a default;
``{A?b}`` is b where A is given."""
_VALUE = r"""(?:"[^"`]*"|'[^'`]*'|<[^>`]*>|[^\s`;)\]]*[^\s`;)\].,:])"""
_GIVEN = re.compile(rf"\[?(\w+)=({_VALUE})\]?")
_LINE = re.compile(
    rf"\bmake (?P<target>{'|'.join(sorted(FORMS, key=len, reverse=True))})(?![\w-])"
    rf"(?P<given>(?: \[?\w+={_VALUE}\]?)*)"
)
_PLACE = re.compile(
    r"(?P<option>(?<= )--[\w-]+ )?\{(?P<name>\w+)(?:(?P<kind>[:?])(?P<text>[^}]*))?\}"
)


def is_called_by_make() -> bool:
    """Whether the user typed make; also where a module is run by hand."""
    return os.environ.get(CALLED_BY, MAKE) == MAKE


def as_called(text: str) -> str:
    """A message with its commands in the words of the program that the user called."""
    return text if is_called_by_make() else _LINE.sub(_sub_command, text)


def _sub_command(line: re.Match[str]) -> str:
    """``make TARGET NAME=value ...`` as the command line's words; [brackets] stay."""
    given: dict[str, tuple[str, bool]] = {}
    for word in _GIVEN.finditer(line["given"]):
        given[word[1]] = (word[2], word[0].startswith("["))
    form = FORMS[line["target"]]
    words = [COMMAND_LINE, re.split(r" --| \{", form, maxsplit=1)[0]]
    for place in _PLACE.finditer(form):
        value, is_optional = given.get(place["name"], ("", False))
        if place["kind"] == "?":
            word = place["text"] if value else ""
        else:
            value = value or (place["text"] if place["kind"] else "") or ""
            if place["name"] == "ARGS":
                value = value[1:-1] if value[:1] in "'\"" else value
            word = f"{place['option'] or ''}{value}" if value else ""
        if word:
            words.append(f"[{word}]" if is_optional else word)
    return " ".join(words)
