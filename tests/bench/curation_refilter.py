"""How long judging stored clips again takes: ``python -m tests.bench.curation_refilter``.

A folder of 10,000 clips is made by formula (a few minutes and 1.5 GB), one clip of 12 s a source:
the most sources, so the worst case. Then ``python -m curation.refilter`` runs as a user runs it,
once for each kind of threshold with ``dry_run=true``: that is every verdict. The last lines write,
too: then copies are looked for, and ledger, manifest, shards and report follow. Wall time is that
of the whole command with its imports, CPU time that of all its processes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.judged_fixtures import write_judged

CHANGES = {
    "sharpness": ("selection.quality.min_sharpness=21.5",),
    "length of a clip": ("selection.quality.min_duration_s=1.5",),
    "still pictures": ("selection.quality.frozen_s=0.6",),
    "height of a person": ("canonical.min_person_height=200",),
    "area of a mask": ("agnostic.max_area=0.62",),
    "who counts as a person": ("selection.people.min_score=0.6",),
    "how much of a body is seen": ("selection.people.frame_margin=0.03",),
    "cuts": ("selection.shots.min_content=16.0",),
}
WRITTEN = {
    "sharpness, written": ("selection.quality.min_sharpness=21.5",),
    "turned back, written": ("selection.quality.min_sharpness=20.0",),
}


def main(argv: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=12.0, help="of a clip, at 30 fps")
    parser.add_argument("--out", type=Path, help="make the folder here, or take the one there")
    parser.add_argument("--only", help="kinds whose name holds this word")
    options = parser.parse_args(argv)
    out = options.out or Path(tempfile.mkdtemp(prefix="refilter-"))
    try:
        if not (out / "config.yaml").is_file():
            started = time.monotonic()
            shards = ("shards.max_clips=500", "selection.quality.min_sharpness=20.0", "workers=0")
            write_judged(out, options.clips, options.seconds, *shards)
            print(f"made {options.clips} clips in {time.monotonic() - started:.0f} s\n")
        print("| other threshold | wall s | CPU s | said |\n|---|---|---|---|", flush=True)
        tried = {kind: (*words, "dry_run=true") for kind, words in CHANGES.items()}
        for kind, words in (tried | WRITTEN).items():
            if options.only is None or options.only in kind:
                print(f"| {kind} | {' | '.join(measure(out, words))} |", flush=True)
    finally:
        if options.out is None:
            shutil.rmtree(out)


def measure(out: Path, words: tuple[str, ...]) -> tuple[str, str, str]:
    """Wall s, CPU s and the last line of one command."""
    before, started = os.times(), time.monotonic()
    command = [sys.executable, "-m", "curation.refilter", str(out), *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall, after = time.monotonic() - started, os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])
    said = next(line for line in done.stdout.splitlines() if "judged again" in line)
    return f"{wall:.1f}", f"{cpu:.1f}", said


if __name__ == "__main__":
    main(sys.argv[1:])
