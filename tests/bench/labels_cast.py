"""Dancers who wear and hold what clothes labels find difficult; their truth is known.

Kinds take turns: shorts, skirts, two-coloured tops, belts, bags in a hand, and plain outfits that a
frame cuts off at the neck (``HEADLESS``, cut by who uses them). Nothing is trained on them.
"""

from dataclasses import replace

import numpy as np

from datasets.synthetic.cast import SPLITS, ClipSpec, draw_camera, draw_dancer, draw_light
from datasets.synthetic.garments import MORE_PATTERNS, SLEEVES
from datasets.synthetic.motion import Liveliness
from datasets.synthetic.render.limbs import BAGS

HEADLESS = "headless"
KINDS = ("shorts", "skirt", "two_colours", "belt", "bag", HEADLESS)
_TWO_COLOURS = (*MORE_PATTERNS, "halves")
_LEATHER = ((0.13, 0.10, 0.09), (0.36, 0.22, 0.13), (0.62, 0.42, 0.24), (0.9, 0.88, 0.84))
_BAG_COLOURS = (*_LEATHER, (0.65, 0.13, 0.15), (0.12, 0.3, 0.24), (0.85, 0.7, 0.2))


def draw_labels_clip(
    seed: int, split: str, index: int, *, height: int, width: int, num_frames: int, fps: float
) -> ClipSpec:
    """Draw clip ``index`` of a split, of the kind ``KINDS[index % len(KINDS)]``.

    Arguments as for ``cast.draw_clip``.
    """
    key = (seed, SPLITS.index(split), index, 2)
    rng = np.random.default_rng([*key, 0])
    kind = KINDS[index % len(KINDS)]
    dancer = draw_dancer(rng)
    figure, garment = dancer.figure, dancer.figure.garment
    garment = replace(garment, sleeves=str(rng.choice(list(SLEEVES))))
    if kind in ("shorts", "skirt"):
        figure = replace(figure, lower=kind)
    if kind == "two_colours":
        garment = replace(garment, pattern=str(rng.choice(_TWO_COLOURS)))
    if kind == "belt":  # a top that is tucked in
        garment = replace(garment, length_m=float(rng.uniform(0.42, 0.45)), fit=0.0)
        lower = figure.lower if figure.lower != "skirt" else "straight"
        figure = replace(figure, belt=True, lower=lower)
    if kind == "bag":
        side = str(rng.choice(["left", "right"]))
        figure = replace(figure, bag=str(rng.choice(BAGS[1:])), bag_side=side)
    dancer = replace(
        dancer,
        figure=replace(figure, garment=garment),
        denim=dancer.denim and figure.lower != "skirt",
        belt=_LEATHER[rng.integers(len(_LEATHER))],
        bag=_BAG_COLOURS[rng.integers(len(_BAG_COLOURS))],
    )
    return ClipSpec(
        seed=key,
        height=height,
        width=width,
        num_frames=num_frames,
        fps=fps,
        dancers=(dancer,),
        camera=draw_camera(rng, height, width, dancer.figure.body.height),
        light=draw_light(rng),
        pan_m=(float(rng.uniform(-0.06, 0.06)), float(rng.uniform(-0.03, 0.03))),
        zoom=float(rng.uniform(-0.04, 0.07)),
        energy=float(rng.uniform(0.5, 1.0)),
        liveliness=Liveliness(crossing=float(rng.uniform(0.0, 0.3)), turning=0.0),
    )
