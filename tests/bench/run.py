"""``make bench``: ours against the plain reading of the method, in one run and one table.

    python -m tests.bench.run [--quick] [--out FILE] [--device cpu|cuda] [--size toy|small|xl]
                              [--parts networks places clip step sampling] [--resume] [--no-compile]

What is compared, and how to read it: docs/performance.md.
"""

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from tests.bench.cases import SIZES, Size, describe_machine, describe_size
from tests.bench.clip import QUICK, Steps, run_clip
from tests.bench.device import run_sampling, run_steps
from tests.bench.networks import run_networks
from tests.bench.places import run_places
from tests.bench.table import Book, show
from tests.bench.timing import Clock, matmul_rate

PARTS = ("networks", "places", "clip", "step", "sampling")
SAME = ("size", "dtype", "quick", "clock")
"""What a resumed run must share with its file."""


def arguments(argv: list[str]) -> argparse.Namespace:
    """What was typed; exits with 2 if it is not understood."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="few repeats and steps, extrapolated")
    parser.add_argument(
        "--out", type=Path, help="the JSON; default runs/bench/DATE/SIZE-DEVICE.json"
    )
    parser.add_argument("--device", help="cpu or cuda; default: cuda where there is one")
    parser.add_argument("--size", choices=sorted(SIZES), help="default: xl on cuda, small on cpu")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        help="default: networks places clip on cpu, networks places step sampling on cuda",
    )
    parser.add_argument("--resume", action="store_true", help="keep the rows that OUT has already")
    parser.add_argument("--no-compile", action="store_true", help="eager rows alone")
    parser.add_argument("--fit-steps", type=int, default=100, help="before sampling; 0: random")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="on a machine in use: one thread, seconds of processor time (CPU alone)",
    )
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    given = arguments(argv)
    cuda = torch.cuda.is_available()
    device = torch.device(given.device or ("cuda" if cuda else "cpu"))
    if device.type == "cuda" and not cuda:
        print("error: --device cuda, but torch finds no CUDA device here", file=sys.stderr)
        return 2
    if given.processor_time:
        if device.type == "cuda":
            print("error: --processor-time measures CPUs, not CUDA devices", file=sys.stderr)
            return 2
        Clock.take_processor_time()
    size = SIZES[given.size or ("xl" if device.type == "cuda" else "small")]
    rest = ["step", "sampling"] if device.type == "cuda" else ["clip"]
    default = ["networks", "places", *rest]
    try:
        result = measure(
            size, device, given.parts or default, given.out, quick=given.quick,
            resume=given.resume, compiled=not given.no_compile, fit_steps=given.fit_steps,
        )  # fmt: skip
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    show(result)
    return 0


def measure(
    size: Size, device: torch.device, parts: list[str], out: Path | None, *, quick: bool,
    resume: bool, compiled: bool, fit_steps: int,
) -> dict[str, Any]:  # fmt: skip
    """Run the parts and write the result after each row.

    Raises:
        ValueError: the file to go on with is of another run.
    """
    date = datetime.now(UTC).date().isoformat()
    path = out or Path("runs/bench") / date / f"{size.name}-{device.type}.json"
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    side = 8192 if device.type == "cuda" else (256 if size.name == "toy" else 2048)
    rate = matmul_rate(device, dtype, side, repeats=3 if quick else 7)
    result: dict[str, Any] = {
        "date": date,
        "machine": describe_machine(device),
        "size": describe_size(size),
        "dtype": "bfloat16 autocast" if dtype == torch.bfloat16 else "float32",
        "quick": quick,
        "clock": "wall" if Clock.now is time.perf_counter else "processor time",
        "matmul_flops_per_s": rate,
        "matmul_side": side,
        "rows": [],
    }
    if resume and path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        same = json.loads(json.dumps({name: result[name] for name in SAME}))
        if any(old.get(name, "wall") != same[name] for name in SAME) or (
            old["machine"]["device"] != result["machine"]["device"]
        ):
            raise ValueError(f"{path} was measured at another size, precision or machine")
        result["rows"] = old["rows"]
    print(f"{size.name} on {result['machine']['device']}, {result['dtype']}: matrix product"
          f" {rate / 1e9:.0f} GFLOP/s; rows go to {path}", flush=True)  # fmt: skip
    book = Book(result, path)
    repeats = 1 if quick else 5
    if "networks" in parts:
        run_networks(book, size, device, rate, repeats)
    if "places" in parts:
        run_places(book, size, device, repeats)
    if "clip" in parts:
        run_clip(book, size, device, QUICK if quick else Steps(), 2 if quick else fit_steps)
    if "step" in parts:
        run_steps(book, size, device, rate, repeats, compiled)
    if "sampling" in parts:
        run_sampling(book, size, device, rate, min(repeats, 2), compiled)
    return book.result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
