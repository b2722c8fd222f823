"""The loader against bare decoding of the same windows, and its memory over many samples.

    python -m tests.bench.loader ROOT [--samples 200] [--memory-samples 5000] [--workers 2]

ROOT is a curated folder. Bare decoding reads the three tracks of each window with decord in as many
processes and throws the frames away; the loader hands batches to this process. Both take turns and
the median of the rounds counts. CPU seconds are those of all processes.
"""

import argparse
import io
import multiprocessing
import resource
import statistics
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from datasets.loading.config import DataConfig
from datasets.loading.datamodule import TryOnData
from datasets.loading.dataset import ClipDataset
from datasets.loading.sample_order import Ticket

TRACKS = ("mp4", "mask.mp4", "iuv.mp4")
LOOKS = 25


def data_for(options: argparse.Namespace) -> TryOnData:
    config = DataConfig(
        roots=[options.root], num_frames=options.frames, strides=options.strides,
        num_workers=options.workers, num_validation_clips=0,
    )  # fmt: skip
    data = TryOnData(config, options.height, options.width, seed=0)
    data.setup()
    return data


def decode_bare(dataset: ClipDataset, tickets: list[Ticket]) -> int:
    """Decode the windows of these tickets and nothing else; frames decoded."""
    from decord import VideoReader

    torch.set_num_threads(1)
    frames = 0
    for ticket in tickets:
        stream = dataset.streams[ticket.stream]
        order, place = dataset._order(ticket)
        clip = dataset.table.sample(int(stream.rows[order[place]]))
        indices = dataset.draw(ticket.number, stream.kind, clip).window.indices
        files = clip.read(TRACKS).files
        for track in TRACKS:
            reader = VideoReader(io.BytesIO(files[track]), num_threads=1)
            frames += len(reader.get_batch(indices).asnumpy())
    return frames


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, both))


def time_bare(data: TryOnData, count: int, workers: int) -> tuple[float, float]:
    """Wall and CPU seconds for the first ``count`` windows."""
    tickets = [step.tickets[0] for step in islice(data.schedule().steps(), count)]
    dataset = data.dataset()
    wall, cpu = time.perf_counter(), cpu_seconds()
    if workers:
        shares = [tickets[worker::workers] for worker in range(workers)]
        processes = [
            multiprocessing.Process(target=decode_bare, args=(dataset, share)) for share in shares
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
    else:
        decode_bare(dataset, tickets)
    return time.perf_counter() - wall, cpu_seconds() - cpu


def time_loader(data: TryOnData, count: int) -> tuple[float, float]:
    """The same for the loader's batches, the start of its workers included."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    batches = iter(data.loader_from(0))
    for batch in islice(batches, count):
        assert batch.known.shape[0] == 1
    seconds = time.perf_counter() - wall
    batches.close()  # type: ignore[attr-defined]
    return seconds, cpu_seconds() - cpu


def used_mb() -> float:
    """Of this process and its workers, swapped out or not; without pages of files, which the system
    takes back when others need memory."""
    pids = [multiprocessing.current_process().pid, *children()]
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:", "SwapPss:")):
                total += int(line.split()[1])
    return total / 1024


def children() -> list[int]:
    return [process.pid for process in multiprocessing.active_children() if process.pid]


def watch_memory(data: TryOnData, count: int) -> list[tuple[int, float]]:
    """Samples seen and MB in use, sixteen times on the way.

    Each is the median of LOOKS looks, one a sample: a single one would tell how far the workers are
    with the window they are decoding, which is a tenth of all.
    """
    seen: list[tuple[int, float]] = []
    every = max(LOOKS, count // 16)
    looks: list[float] = []
    for number, _ in enumerate(islice(iter(data.loader_from(0)), count), start=1):
        if number % every >= every - LOOKS or number % every == 0:
            looks.append(used_mb())
        if number % every == 0:
            seen.append((number, statistics.median(looks)))
            looks = []
    return seen


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("--samples", type=int, default=200, help="0: memory alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-samples", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--strides", type=int, nargs="+", default=[1, 2, 4, 8])
    options = parser.parse_args(argv)
    data = data_for(options)
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    rounds = [
        (time_bare(data, options.samples, options.workers), time_loader(data, options.samples))
        for _ in range(options.rounds if options.samples else 0)
    ]
    for index, name in enumerate(("wall", "cpu") if rounds else ()):
        bare = statistics.median(bare[index] for bare, _ in rounds)
        ours = statistics.median(loader[index] for _, loader in rounds)
        found[f"{name}_share"] = bare / ours
        print(
            f"{name}: bare {options.samples / bare:.2f} windows/s, loader "
            f"{options.samples / ours:.2f} windows/s: {bare / ours:.0%} of bare decoding"
        )
    if options.memory_samples:
        seen = watch_memory(data, options.memory_samples)
        quarters = [statistics.median(mb for _, mb in part) for part in (seen[:4], seen[-4:])]
        found["memory_growth"] = quarters[1] / quarters[0] - 1
        shown = ", ".join(f"{number}: {mb:.0f}" for number, mb in seen)
        print(
            f"MB after so many samples: {shown}; "
            f"last quarter against the first {found['memory_growth']:+.1%}"
        )
    return found


if __name__ == "__main__":
    main()
