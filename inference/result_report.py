"""What is reported about a result: model, source, settings and the models that looked at it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datasets.storage import settings_sha256, write_file
from inference.conditions.stored import VideoConditions
from inference.conditions.unseen import unseen_frames, unseen_in_words
from inference.sampling.painter import Painter


def describe_result(
    conditions: VideoConditions,
    painter: Painter,
    settings: Mapping[str, Any],
    identity: Mapping[str, Any],
    date: str,
) -> dict[str, Any]:
    """The report without what it says about the model.

    Args:
        conditions: of the video.
        painter: what painted; the report states the sampler that it used.
        settings: seed, garment (a path), garment_remarks, paste_back and label.
        identity: everything that the painted latents depend on.
        date: when the result was begun.
    """
    person = conditions.person
    shown = {**identity, "paste_back": settings["paste_back"], "label": settings["label"]}
    return {
        "date": date,
        "video": conditions.source.path.name,
        "garment": Path(settings["garment"]).name,
        "garment_remarks": settings["garment_remarks"],
        "category": conditions.category,
        "margin": conditions.margin,
        "person": None if person is None else person.id,
        "seed": settings["seed"],
        "num_frames": conditions.num_frames,
        "size": [conditions.source.height, conditions.source.width],
        "fps": conditions.source.fps,
        "num_frames_without_person": conditions.num_without_person,
        "unseen": unseen_in_words(unseen_frames(conditions)),
        "remarks": list(conditions.remarks),
        "perception": conditions.perception,
        "codec": painter.system.codec.name,
        "sampler": painter.sampler.description,
        "long_video": painter.long_video.method,
        "device": str(painter.device),
        "job": settings_sha256(shown)[:16],
    }


def first_date(folder: Path) -> str:
    """The day on which this result was begun: a resumed job states the same as an unbroken one."""
    record = folder / "date.txt"
    if not record.is_file():
        write_file(record, datetime.now(UTC).date().isoformat().encode())
    return record.read_text()
