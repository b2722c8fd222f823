"""Raw videos that curation must reject or cut, so that its funnel is tested."""

from dataclasses import replace
from itertools import chain

import numpy as np

from datasets.synthetic.cast import ClipSpec, draw_dancer
from datasets.synthetic.clips import render_frames
from datasets.synthetic.render.camera import Camera
from datasets.tracks import encode_video

REJECTS = ("two_dancers", "hard_cut", "empty_room", "truncated", "close_up", "too_short")
"""Names of the unusable videos; ``num_bad`` uses the first ones."""


def render_reject(name: str, spec: ClipSpec) -> tuple[bytes, str]:
    """One unusable video.

    Args:
        name: one of REJECTS.
        spec: an ordinary clip to make unusable.

    Returns:
        The file's bytes and a sentence on what is wrong with it.
    """
    if name == "two_dancers":
        pair = (spec.dancers[0], draw_dancer(np.random.default_rng([*spec.seed, 9])))
        spec = replace(
            spec, dancers=pair, shifts_m=(-0.40, 0.42), camera=_seen_whole(spec, 0.74), energy=0.7
        )
        return _encoded(spec), "two people dance side by side"
    if name == "hard_cut":
        other = draw_dancer(np.random.default_rng([*spec.seed, 9]))
        second = replace(spec, seed=(*spec.seed[:-1], spec.seed[-1] + 1000), dancers=(other,))
        frames = (frame for frame, _ in chain(render_frames(spec), render_frames(second)))
        return encode_video(frames, spec.fps), "a cut in the middle: two clips, one person each"
    if name == "empty_room":
        return _encoded(replace(spec, dancers=(), shifts_m=())), "the room is empty"
    if name == "truncated":
        whole = _encoded(replace(spec, num_frames=min(spec.num_frames, 6)))
        return whole[: len(whole) // 2], "the file ends halfway, before its index"
    if name == "close_up":
        camera = replace(spec.camera, pixels_per_m=spec.camera.pixels_per_m * 5.0)
        head = 0.925 * spec.dancers[0].figure.body.height
        row = 0.55 * spec.height - (camera.eye_height_m - head) * camera.pixels_per_m
        camera = replace(camera, center=(row, 0.5 * spec.width))
        return _encoded(replace(spec, camera=camera, energy=0.12)), "only a face is in view"
    if name == "too_short":
        return _encoded(replace(spec, num_frames=4)), "shorter than any clip, and nearly still"
    raise ValueError(f"unusable video {name!r} is unknown; {', '.join(REJECTS)} are accepted")


def _seen_whole(spec: ClipSpec, share: float) -> Camera:
    camera = spec.camera
    scale = share * spec.height / 1.75
    row = 0.93 * spec.height - camera.eye_height_m * scale
    return replace(camera, pixels_per_m=scale * 0.9, center=(row, camera.center[1]))


def _encoded(spec: ClipSpec) -> bytes:
    return encode_video((frame for frame, _ in render_frames(spec)), spec.fps)
