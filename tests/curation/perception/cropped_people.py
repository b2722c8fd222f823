"""Clips whose frame cuts the person off, made from ../shared/media by cropping and whitening.

``CLIPS``: 12 clips of 6 people cut off at neck, eyes, waist and knees, two of them white on white.
A waist is always the lower edge: the hips are then out of view, which has a verdict of its own.
"""

from dataclasses import dataclass

import av
import cv2
import numpy as np

from curation.perception.embedded.blazepose import EmbeddedDetector
from curation.perception.protocols import Person
from curation.selection.people import PeopleConfig, PeopleVerdicts, collect_samples, judge_samples
from curation.selection.stillness import looks_apart, with_changes
from tests.perception_fixtures import media_file

LONG_SIDE = 512  # of the uncut frames, like a canonical clip
FPS = 10.0
WHITENED = 0.25  # contrast that is left
COLOUR_LEFT = 0.3  # of its saturation


@dataclass(frozen=True, kw_only=True)
class CroppedClip:
    """A stretch of a video, and the part of its frames that is kept, as shares of their sides."""

    name: str
    file: str  # below ../shared/media/single
    step: int  # every how many frames
    top: float = 0.0
    bottom: float = 1.0
    left: float = 0.0
    right: float = 1.0
    is_whitened: bool = False
    frames: int = 20

    def uncut(self) -> list[np.ndarray]:
        """The whole frames, (height, width, 3) uint8 RGB."""
        shown: list[np.ndarray] = []
        with av.open(str(media_file("single", self.file))) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index % self.step == 0:
                    image = frame.to_ndarray(format="rgb24")
                    scale = LONG_SIDE / max(image.shape[:2])
                    shown.append(
                        cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                    )
                if len(shown) == self.frames:
                    break
        return shown

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The kept part of a whole frame or of its mask."""
        height, width = image.shape[:2]
        rows = slice(round(self.top * height), round(self.bottom * height))
        return np.ascontiguousarray(
            image[rows, round(self.left * width) : round(self.right * width)]
        )

    def cropped(self, uncut: list[np.ndarray]) -> list[np.ndarray]:
        """The clip: whole frames cut, and whitened if it says so."""
        shown = [self.cut(image) for image in uncut]
        return [whiten(image) for image in shown] if self.is_whitened else shown


def whiten(image: np.ndarray) -> np.ndarray:
    """White on white: little colour and a quarter of the contrast, next to white."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    pale = COLOUR_LEFT * image + (1 - COLOUR_LEFT) * gray
    return np.rint(255 - WHITENED * (255 - pale)).astype(np.uint8)


CLIPS = (
    CroppedClip(name="brother-neck", file="asl_brother.mkv", step=3, top=0.35),
    CroppedClip(name="brother-waist", file="asl_brother.mkv", step=3, bottom=0.79),
    CroppedClip(name="eat-eyes", file="asl_eat.mkv", step=2, top=0.28),
    CroppedClip(name="eat-neck-waist", file="asl_eat.mkv", step=2, top=0.42, bottom=0.85),
    CroppedClip(name="learn-neck-white", file="asl_learn.mkv", step=3, top=0.39, is_whitened=True),
    CroppedClip(name="learn-eyes", file="asl_learn.mkv", step=3, top=0.255),
    CroppedClip(
        name="milk-neck-white", file="asl_milk.mkv", step=2,
        top=0.32, left=0.22, right=0.75, is_whitened=True,
    ),
    CroppedClip(name="milk-waist", file="asl_milk.mkv", step=2, bottom=0.78),
    CroppedClip(
        name="juggle-neck-knees", file="juggle.mp4", step=4,
        top=0.235, bottom=0.69, left=0.4, right=0.76,
    ),
    CroppedClip(
        name="juggle-knees", file="juggle.mp4", step=4, bottom=0.69, left=0.4, right=0.76
    ),
    CroppedClip(
        name="squats-eyes-knees", file="pose_squats.mp4", step=2,
        top=0.185, bottom=0.61, left=0.1, right=0.95,
    ),
    CroppedClip(
        name="squats-neck", file="pose_squats.mp4", step=2,
        top=0.235, bottom=0.9, left=0.1, right=0.95,
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the embedded detector makes of a cropped clip, beside the uncut one."""

    frames: list[np.ndarray]
    people: list[list[Person]]
    uncut_masks: list[np.ndarray]  # bool, of the main person, cut like the frames
    verdicts: PeopleVerdicts

    @property
    def found_share(self) -> float:
        """Frames in which the main person has a pose, mask and score that count."""
        return float((self.verdicts.main_rows >= 0).mean())

    @property
    def overlaps(self) -> np.ndarray:
        """Of the main person's mask with the uncut one, frame by frame; 0 where not found."""
        flat = [person for sample in self.people for person in sample]
        shares = []
        for row, truth in zip(self.verdicts.main_rows, self.uncut_masks, strict=True):
            mask = None if row < 0 else flat[row].mask
            if mask is None:
                shares.append(0.0)
            else:
                shares.append((truth & (mask > 0)).sum() / max((truth | (mask > 0)).sum(), 1))
        return np.array(shares)


def look(clip: CroppedClip) -> Seen:
    """Both versions of a clip through the detector, and the people rules on the cropped one."""
    uncut = clip.uncut()
    frames = clip.cropped(uncut)
    found = EmbeddedDetector().detect(frames)
    people = with_changes(frames, found, looks_apart(FPS), is_whole=True)
    height, width = frames[0].shape[:2]
    samples = collect_samples([i / FPS for i in range(len(frames))], people, height, width)
    config = PeopleConfig()
    masks = []
    for seen in EmbeddedDetector().detect(uncut):
        assert seen, f"nobody in an uncut frame of {clip.file}"
        assert seen[0].mask is not None
        masks.append(clip.cut(seen[0].mask) > 0)
    return Seen(
        frames=frames,
        people=people,
        uncut_masks=masks,
        verdicts=judge_samples(
            samples, config, aspect=width / height, min_other_s=config.min_others_s
        ),
    )
