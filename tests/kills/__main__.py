"""kill -9 at random moments of curation, training, evaluation, try-on and JOBS.

    python -m tests.kills [--moments 100] [--seed 0] [--commands curation ...] [--out FOLDER]

Each moment: a run is started on small rendered dancers, its whole process group is killed, and the
same command runs to its end. It must end with 0, leave the names and bytes of an undisturbed run,
and make nothing again that was finished. Folders of moments that show a fault are kept.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.kills.harness import Killer

COMMANDS = ("curation", "training", "evaluation", "try-on", "JOBS")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--moments", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    parser.add_argument("--out", type=Path, help="an absent folder; default: a temporary one")
    given = parser.parse_args(argv)
    folder = (given.out or Path(tempfile.mkdtemp(prefix="kills-"))) / "runs"
    start, kills = time.monotonic(), []
    killer = Killer(folder.absolute())
    for kill in killer.moments(list(given.commands), given.moments, given.seed):
        kills.append(kill)
        said = "; ".join(kill.faults) or "nothing lost, the same bytes"
        print(f"{len(kills)}/{given.moments} {kill.command} after {kill.after_s:.2f} s: {said}",
              flush=True)  # fmt: skip
    killer.close()
    good = Counter(kill.command for kill in kills if not kill.faults)
    total = Counter(kill.command for kill in kills)
    for name, count in total.items():
        print(
            f"{name}: {good[name]} of {count}; a whole run takes {killer.whole(name).seconds:.1f} s"
        )
    print(f"{good.total()} of {len(kills)} in {time.monotonic() - start:.0f} s; {folder.parent}")
    (folder.parent / "kills.json").write_text(json.dumps([asdict(k) for k in kills], indent=1))
    return 0 if good.total() == len(kills) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
