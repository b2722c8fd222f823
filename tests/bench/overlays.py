"""Which overlays are found on 20 real videos, what is found on all as they are, and the cost.

    python -m tests.bench.overlays                      # ten minutes of one core
    python -m tests.bench.overlays --scale 0.7 --crf 30 # as a platform would serve them
    python -m tests.bench.overlays --pictures DIR       # a strip of each, what was found outlined

Videos of ../shared/media, at most 400 frames of each. A line a video: what was found, the share of
the person's box that it covers, and the share of the first pass that measuring took.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from configs.loading import load_config
from curation.first_pass import first_pass
from curation.first_pass.signals import Signals
from curation.first_pass.still_edges import StillEdges
from curation.pipeline import chosen_perception, find_people
from curation.report.pictures import people_strip
from curation.selection.candidates import SelectionConfig, reach_of_person
from curation.selection.overlays import overlay_share
from curation.selection.people import PASSES
from curation.selection.scenes import find_seen_scenes, overlays_in
from curation.settings import CurateConfig
from curation.video.decode import decode
from datasets.video.reader import ReadNotes
from datasets.webpage import encode_jpeg
from tests.made_overlays import Overlay

MEDIA = Path("../shared/media")
MAX_FRAMES = 400
DRAWN = (
    ("single/asl_again.mkv", Overlay(kind="caption", y=0.78)),
    ("single/asl_bird.mkv", Overlay(kind="watermark", alpha=0.5, x=0.34, y=0.62, size=0.05)),
    ("single/asl_book.mkv", Overlay(kind="caption_words", y=0.72)),
    ("single/asl_brother.mkv", Overlay(kind="caption_box", y=0.7)),
    ("single/asl_eat.mkv", Overlay(kind="sticker", x=0.33, y=0.55)),
    ("single/asl_help.mkv", Overlay(kind="progress", y=0.9)),
    ("single/asl_hungry.mkv", Overlay(kind="buttons", x=0.72, y=0.55, size=0.06)),
    ("single/asl_learn.mkv", Overlay(kind="caption_words_box", y=0.6)),
    ("single/asl_milk.mkv", Overlay(kind="watermark_large", alpha=0.4, y=0.5)),
    ("single/asl_night.mkv",
     Overlay(kind="watermark_moving", alpha=0.7, x=0.4, y=0.75, size=0.05)),
    ("single/asl_no.mkv", Overlay(kind="caption", y=0.25, x=0.4)),
    ("single/asl_please.mkv", Overlay(kind="caption_words", y=0.6)),
    ("single/juggle.mp4", Overlay(kind="watermark", alpha=0.5, x=0.85, y=0.07, size=0.045)),
    ("single/onebyone_person.mp4", Overlay(kind="caption_box", y=0.6)),
    ("single/pose_squats.mp4", Overlay(kind="buttons", x=0.9, y=0.6, size=0.07)),
    ("cuts/cuts_asl_3persons.mp4", Overlay(kind="caption_words", y=0.8)),
    ("cuts/cuts_dissolve_freeze_empty.mp4",
     Overlay(kind="watermark", alpha=0.6, x=0.2, y=0.9, size=0.06)),
    ("cuts/nasa_13013.mp4", Overlay(kind="sticker", x=0.8, y=0.8)),
    ("multi/bedroom_two_children.mp4", Overlay(kind="progress", y=0.93)),
    ("multi/face-demographics-walking.mp4", Overlay(kind="caption_words_box", y=0.8)),
)  # fmt: skip
"""The same for every threshold: they were drawn before any was chosen."""


@dataclass(kw_only=True)
class Timed:
    """Adds up the CPU seconds of measuring still edges."""

    seconds: float = 0.0

    def measure(self) -> None:
        """From now on, count what the first pass spends on it."""
        add, luma = StillEdges.add, first_pass.luma_of

        def timed(function, *arguments):
            started = time.process_time()
            result = function(*arguments)
            self.seconds += time.process_time() - started
            return result

        StillEdges.add = lambda self, luma: timed(add, self, luma)
        first_pass.luma_of = lambda frame: timed(luma, frame)


def main(argv: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Overlays found on real videos.")
    parser.add_argument("--scale", type=float, default=1.0, help="of a drawn video's sides")
    parser.add_argument("--crf", type=int, default=23)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args(argv)
    if not MEDIA.is_dir():
        print(f"{MEDIA} does not exist; nothing was measured")
        return
    config = load_config(CurateConfig, Path("configs/curate.yaml"), ["perception=embedded"])
    detector = chosen_perception(config).detector
    timed = Timed()
    timed.measure()
    found, wrong, spent = 0, 0, np.zeros(2)
    plain = sorted(p for end in ("*.mp4", "*.mkv") for p in MEDIA.glob(f"*/{end}"))
    with tempfile.TemporaryDirectory() as folder:
        videos = [(MEDIA / name, overlay) for name, overlay in DRAWN]
        for source, overlay in [*videos, *((path, None) for path in plain)]:
            path = source
            if overlay is not None:
                path = Path(folder) / f"{source.stem}.mp4"
                write_drawn(source, overlay, path, options.scale, options.crf)
            before = timed.seconds
            signals, store = first_pass.measure_source(path, config.first_pass, 1.0)
            with closing(store):
                signals = replace(signals, samples=find_people(store, detector))
            cost = timed.seconds - before, signals.seconds["first pass"][0]
            spent += cost
            boxes, covered, strip = judged(signals, config.selection)
            is_found = bool(boxes)
            found += is_found and overlay is not None
            wrong += is_found and overlay is None
            name = "as it is" if overlay is None else overlay.kind
            print(
                f"{source.parent.name}/{source.stem:36s} {name:18s} "
                f"{'found' if is_found else '-':6s} {covered:6.3f} {cost[0] / cost[1]:6.1%}",
                flush=True,
            )
            if options.pictures is not None and strip is not None:
                options.pictures.mkdir(parents=True, exist_ok=True)
                file = options.pictures / f"{source.stem}-{name.replace(' ', '_')}.jpg"
                file.write_bytes(encode_jpeg(strip))
    print(f"found {found} of {len(DRAWN)}; {wrong} false in {len(plain)} videos as they are")
    print(f"{spent[0] / spent[1]:.1%} of the first pass")


def judged(
    signals: Signals, selection: SelectionConfig
) -> tuple[list[tuple[float, ...]], float, np.ndarray | None]:
    """Overlays of all scenes, the largest share of a person's box, and a strip of that scene."""
    found: list[tuple[float, ...]] = []
    most, strip = -1.0, None
    for seen in find_seen_scenes(signals, selection.shots, selection.people, selection.quality):
        boxes = overlays_in(signals, seen.span, seen.people, selection.quality, selection.overlays)
        covered = 0.0
        if (seen.people.codes == PASSES).any():
            covered = overlay_share(boxes, reach_of_person(signals, seen.span, seen.people))
        if covered > most or (boxes and not found):
            strip = people_strip(signals, seen.span, seen.people, boxes)
        most, found = max(most, covered), [*found, *boxes]
    return found, max(most, 0.0), strip


def write_drawn(source: Path, overlay: Overlay, path: Path, scale: float, crf: int) -> None:
    """Write a video with an overlay on it, scaled afterwards, as H.264."""
    frames = [(t, frame.to_ndarray(format="rgb24")) for t, frame in _first(source)]
    times = [time_s for time_s, _ in frames]
    rate = Fraction((len(times) - 1) / (times[-1] - times[0])).limit_denominator(1001)
    height, width = (2 * round(side * scale / 2) for side in frames[0][1].shape[:2])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast"}
        for index, (time_s, image) in enumerate(frames):
            drawn = overlay.draw(image, time_s - times[0], index / len(frames))
            if drawn.shape[:2] != (height, width):
                drawn = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)
            drawn = np.asarray(drawn, np.uint8)
            frame = av.VideoFrame.from_ndarray(drawn, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _first(source: Path) -> Iterator[tuple[float, av.VideoFrame]]:
    for index, item in enumerate(decode(source, ReadNotes())):
        if index == MAX_FRAMES:
            return
        yield item


if __name__ == "__main__":
    main(sys.argv[1:])
