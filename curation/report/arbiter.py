"""The arbiter's answers in the report: pictures of each doubtful stretch, with its probability."""

from collections.abc import Sequence
from pathlib import Path

from configs.console import counted
from curation.first_pass.signals import read_signals
from curation.ledger import SourceRow
from curation.report.pictures import preview_strip
from curation.selection.shots import answers_in
from curation.settings import CurateConfig
from datasets.webpage import captioned, grid, jpeg_image

MAX_SOURCES, MAX_ANSWERS = 200, 24
AROUND_S = 0.4


def arbiter_sheet(sources: Sequence[SourceRow], config: CurateConfig, folder: Path) -> str:
    """Transitions first, then the other stretches; empty without an arbiter."""
    if config.first_pass.arbiter == "none":
        return ""
    found: list[tuple[bool, str]] = []
    num_sources = num_answers = 0
    for source in sorted(sources, key=lambda row: row.name):
        path = folder / str(source.facts.get("signals"))
        if num_sources == MAX_SOURCES or not path.is_file():
            continue
        signals = read_signals(path)
        answers = answers_in(signals, config.selection.shots)
        num_sources += bool(answers)
        num_answers += len(answers)
        for answer in answers[: max(0, MAX_ANSWERS - len(found))]:
            span = answer.start_s - AROUND_S, answer.end_s + AROUND_S
            strip = preview_strip(signals, span)
            caption = f"{source.name}, {answer.start_s:.2f}-{answer.end_s:.2f} s: {answer.in_words}"
            if strip is not None:
                picture = captioned(jpeg_image(strip, source.name), caption)
                found.append((answer.is_transition, picture))
    if not num_answers:
        return "<p>No cut was doubtful.</p>"
    found.sort(key=lambda each: not each[0])
    lead = (
        f"<p>{len(found)} of {num_answers} slow changes in {counted(num_sources, 'video')}, each "
        "with the highest probability of a transition in it; the threshold is "
        f"{config.selection.shots.min_cut_probability:g}.</p>"
    )
    return lead + grid([picture for _, picture in found], 360)
