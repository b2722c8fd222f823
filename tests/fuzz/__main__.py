"""Fuzz what this project reads by itself with atheris, which follows what the readers execute.

    python -m tests.fuzz [--seconds 1800] [--seed 0] [--kinds jobs ...] --out FOLDER

atheris is no requirement of this project: it is taken from PYTHONPATH. Inputs that raise anything
but a ``UserError`` are kept in FOLDER/faults, each kind of error once, and fuzzing continues.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

KINDS = (
    "sidecar", "jobs", "override", "settings", "eevee", "vivid", "record", "matrix", "stamps",
    "parts", "given",
)  # fmt: skip
LIMIT_S = 10


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=int, default=1800, help="all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(argv)
    if len(given.kinds) == 1:
        fuzz(given.kinds[0], given.seconds, given.seed, given.out)
    ended = [
        subprocess.run(
            [sys.executable, "-m", "tests.fuzz", "--kinds", kind, "--seed", str(given.seed),
             "--seconds", str(given.seconds // len(given.kinds)), "--out", str(given.out)],
            check=False,
        ).returncode  # libFuzzer ends its process
        for kind in given.kinds
    ]  # fmt: skip
    faults = sorted((given.out / "faults").glob("*.txt"))
    print(f"{len(faults)} kinds of faults; exit codes {ended}")
    return 1 if faults or any(ended) else 0


def fuzz(kind: str, seconds: int, seed: int, out: Path) -> None:
    """One kind; does not return."""
    atheris: Any = importlib.import_module("atheris")

    with atheris.instrument_imports(
        include=["configs", "curation.video", "datasets", "inference", "yaml", "csv", "omegaconf"]
    ):
        from configs.errors import UserError
        from tests.fuzz.parsers import PARSERS, TOKENS, make_place
    parser, place = PARSERS[kind], make_place(Path(tempfile.mkdtemp()))
    corpus, faults = out / kind, out / "faults"
    for folder in (corpus, faults):
        folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(parser.seeds):
        (corpus / f"seed-{number}").write_bytes(data)
    words = ["".join(f"\\x{byte:02x}" for byte in token[:60]) for token in TOKENS]
    (out / "tokens.txt").write_text("".join(f'"{word}"\n' for word in words))

    def one(data: bytes) -> None:
        try:
            parser.read(data, place)
        except UserError:
            pass
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            name = f"{kind}-{type(error).__name__}-{Path(at.filename).stem}-{at.lineno}"
            if not (faults / name).exists():
                (faults / name).write_bytes(data)
                (faults / f"{name}.txt").write_text(traceback.format_exc())

    words = [
        sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-seed={seed + 1}",
        f"-dict={out / 'tokens.txt'}", "-max_len=6000", "-print_final_stats=1",
        f"-artifact_prefix={faults}/", f"-timeout={LIMIT_S}",
    ]  # fmt: skip
    atheris.Setup(words, one)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
