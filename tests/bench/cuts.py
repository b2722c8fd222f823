"""Which cuts are found, with and without the arbiter, and what asking it costs.

    python -m tests.bench.cuts                 # all groups; five minutes of one core
    python -m tests.bench.cuts --only dissolve

Videos of ../shared/media, and takes of it joined or disturbed (``cut_videos.py``). A row a group:
transitions that are there, found and missed; transitions that are none; frames of dissolves, fades
and inserts that are left inside scenes (two frames are trimmed at each end of one); CPU time.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from curation.first_pass.first_pass import FirstPassConfig, measure_source
from curation.first_pass.signals import Signals
from curation.perception.transnet_arbiter import choose_arbiter
from curation.selection.quality import QualityConfig
from curation.selection.shots import ShotsConfig, find_transitions
from curation.video.decode import read_header
from tests.bench.cut_videos import CutVideo, Truth, cut_videos
from tests.curation import hostile

TOLERANCE = 2
"""Frames that a transition may be found beside its place."""
FPS = 25.0


@dataclass(kw_only=True)
class Score:
    """Sums over the videos of a group."""

    found: int = 0
    wrong: int = 0
    left: int = 0  # frames of transitions that lie in scenes

    def add(self, truth: Truth, signals: Signals, shots: ShotsConfig) -> None:
        """Judge one video."""
        found = [(t.leave, t.enter) for t in find_transitions(signals, shots)]
        is_right = [
            any(leave <= end + TOLERANCE and enter >= start - TOLERANCE for start, end in truth)
            for leave, enter in found
        ]
        self.wrong += is_right.count(False)
        self.found += sum(
            any(leave <= end + TOLERANCE and enter >= start - TOLERANCE for leave, enter in found)
            for start, end in truth
        )
        trim = QualityConfig().trim_frames
        is_left = np.zeros(signals.num_frames, bool)
        for start, end in truth:
            is_left[start:end] = True
        for leave, enter in found:
            is_left[max(leave - trim, 0) : enter + trim] = False
        self.left += int(is_left.sum())


@dataclass(kw_only=True)
class Group:
    """One row."""

    videos: int = 0
    frames: int = 0
    truth: int = 0
    asked: int = 0
    pass_s: float = 0.0
    arbiter_s: float = 0.0

    def __post_init__(self) -> None:
        self.rules, self.arbiter = Score(), Score()

    def add(self, video: CutVideo, signals: Signals, shots: ShotsConfig) -> None:
        """Judge one video both ways."""
        said = signals.cut_probability
        assert said is not None
        self.videos += 1
        self.frames += signals.num_frames
        self.truth += len(video.truth)
        self.asked += int((~np.isnan(said)).sum())
        self.pass_s += signals.seconds["first pass"][0]
        self.arbiter_s += signals.seconds["arbiter"][0]
        self.arbiter.add(video.truth, signals, shots)
        self.rules.add(video.truth, replace(signals, cut_probability=None), shots)

    def row(self, name: str) -> str:
        """As a line of Markdown."""
        one, two = self.rules, self.arbiter
        cells = [
            name, f"{self.videos}, {self.frames}", self.truth, one.found, two.found, one.wrong,
            two.wrong, one.left, two.left, self.asked, f"{1000 * self.pass_s / self.frames:.1f}",
            f"{1000 * self.arbiter_s / self.frames:.1f}",
        ]  # fmt: skip
        return f"| {' | '.join(map(str, cells))} |"


def main(argv: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="groups whose name holds this word")
    parser.add_argument("--probability", type=float, default=ShotsConfig().min_cut_probability)
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    shots = ShotsConfig(min_cut_probability=options.probability)
    arbiter, groups = choose_arbiter("transnet"), dict[str, Group]()
    with tempfile.TemporaryDirectory() as folder:
        for video in cut_videos(options.only):
            path = video.path
            if path is None:
                path = Path(folder) / "video.mp4"
                hostile.write(path, video.frames, fps=FPS, options=video.options)
            aspect = read_header(path).sample_aspect
            signals, store = measure_source(path, FirstPassConfig(), aspect, arbiter)
            store.close()
            groups.setdefault(video.group, Group()).add(video, signals, shots)
    print("| videos | number, frames | transitions | found | with | false | with | left | with | "
          "asked frames | pass, CPU ms a frame | arbiter |")  # fmt: skip
    print("|---" * 12 + "|")
    for name, group in groups.items():
        print(group.row(name))


if __name__ == "__main__":
    main(sys.argv[1:])
