from dataclasses import replace

import numpy as np

from curation.perception.embedded.body_parts import build_body, locate_on_body
from curation.perception.embedded.clip_colours import (
    UNKNOWN,
    ColorCounter,
    ColourClass,
    bin_colors,
    color_bins,
    could_be_skin,
)
from curation.perception.embedded.hems import (
    ABOVE_KNEE,
    NUM_BANDS,
    _below_same_cloth,
    band_of,
    find_hem,
    unshaded,
)
from curation.perception.embedded.parser import EmbeddedParser, _far_from_parts
from curation.perception.protocols import Person
from datasets.labels import ParseLabel as P

SKIN, HAIR, GREEN, NAVY = (224, 172, 138), (60, 40, 30), (40, 150, 70), (40, 50, 110)


def painted(person: Person, sleeve_end: float, hem_y: float = 190) -> np.ndarray:
    """A flat dancer: green top with sleeves to a share of the arm, navy trousers."""
    assert person.landmarks is not None
    assert person.mask is not None
    frame = np.full((*person.mask.shape, 3), 128, np.uint8)
    y, x = np.nonzero(person.mask)
    located = locate_on_body(np.stack([x, y], -1).astype(np.float32), build_body(person.landmarks))
    colors = np.zeros((len(x), 3), np.uint8)
    colors[:] = GREEN
    colors[y > hem_y] = NAVY
    is_head, is_neck = located.part == 1, located.part == 2
    colors[is_head | is_neck] = SKIN
    colors[is_head & (y < 40)] = HAIR
    arm_y = np.where((x < 70) | (x > 130), (y - 100) / 80, 0)
    colors[(arm_y > sleeve_end) & (y < 215)] = SKIN
    frame[y, x] = colors
    rng = np.random.default_rng(0)
    noise = rng.integers(-6, 7, frame.shape)
    return np.clip(frame.astype(int) + noise, 0, 255).astype(np.uint8)


def share(labels: np.ndarray, rows: slice, columns: slice, label: P) -> float:
    area = labels[rows, columns]
    return float((area == label).sum() / max((area > 0).sum(), 1))


def test_short_and_long_sleeves_are_told_apart(standing_person: Person) -> None:
    forearm = slice(140, 160), slice(140, 160)  # down to where the wrist begins
    for sleeve_end, label in ((0.45, P.ARMS), (0.95, P.UPPER)):
        frames = [painted(standing_person, sleeve_end)] * 3
        labels = EmbeddedParser().parse(frames, [standing_person] * 3)[1]
        assert share(labels, *forearm, label) > 0.8
        assert share(labels, slice(110, 170), slice(85, 115), P.UPPER) > 0.95
        assert share(labels, slice(220, 300), slice(80, 120), P.LOWER) > 0.9
        assert share(labels, slice(45, 60), slice(92, 108), P.FACE) > 0.8


def test_hands_and_feet_are_named_by_place(standing_person: Person) -> None:
    labels = EmbeddedParser().parse([painted(standing_person, 0.5)], [standing_person])[0]
    assert (labels[185:200, 145:165] == P.HANDS).sum() > 30
    assert (labels[325:345] == P.FEET).sum() > 30


def test_a_long_top_is_followed_below_the_hips(standing_person: Person) -> None:
    labels = EmbeddedParser().parse([painted(standing_person, 0.5, hem_y=215)], [standing_person])[
        0
    ]
    assert share(labels, slice(196, 208), slice(85, 115), P.UPPER) > 0.8
    assert share(labels, slice(235, 300), slice(80, 120), P.LOWER) > 0.9


def seen_from_behind(person: Person) -> Person:
    """The same outline with left and right exchanged."""
    assert person.landmarks is not None
    landmarks = person.landmarks.copy()
    for left, right in ((7, 8), (11, 12), (13, 14), (15, 16), (23, 24), (25, 26), (27, 28)):
        landmarks[[left, right]] = landmarks[[right, left]]
    return replace(person, landmarks=landmarks)


def with_long_hair(person: Person, cloth: tuple[int, int, int]) -> np.ndarray:
    """From behind: dark roots, fair lengths down to the middle of the back."""
    assert person.mask is not None
    frame = painted(person, 0.95)
    green = np.abs(frame.astype(int) - GREEN).max(-1) < 8
    frame[green] = cloth
    y, x = np.indices(person.mask.shape)
    hanging = (person.mask > 0) & (y < 135) & (np.abs(x - 100) < 16)
    frame[hanging & (y < 50)] = HAIR
    frame[hanging & (y >= 50)] = (190, 160, 110)
    noise = np.random.default_rng(1).integers(-4, 5, frame.shape)
    return np.clip(frame.astype(int) + noise, 0, 255).astype(np.uint8)


def test_long_hair_from_behind_is_hair_though_its_lengths_are_fair(
    standing_person: Person,
) -> None:
    person = seen_from_behind(standing_person)
    frames = [with_long_hair(person, (40, 40, 45))] * 2
    labels = EmbeddedParser().parse(frames, [person] * 2)[0]
    assert share(labels, slice(90, 125), slice(92, 108), P.HAIR) > 0.8
    assert share(labels, slice(145, 175), slice(85, 115), P.UPPER) > 0.95


def test_black_cloth_under_black_hair_is_painted_rather_than_kept(standing_person: Person) -> None:
    person = seen_from_behind(standing_person)
    frame = painted(person, 0.95)
    assert person.mask is not None
    y, _ = np.indices(person.mask.shape)
    noise = np.random.default_rng(1).integers(0, 9, frame.shape)
    frame = np.where(((person.mask > 0) & (y < 190))[..., None], 20 + noise, frame)
    labels = EmbeddedParser().parse([frame.astype(np.uint8)], [person])[0]
    assert share(labels, slice(110, 175), slice(85, 115), P.UPPER) > 0.95


def test_a_tunic_is_followed_to_the_knees(standing_person: Person) -> None:
    labels = EmbeddedParser().parse([painted(standing_person, 0.5, hem_y=245)], [standing_person])[
        0
    ]
    assert share(labels, slice(196, 236), slice(85, 115), P.UPPER) > 0.9
    assert share(labels, slice(262, 300), slice(80, 120), P.LOWER) > 0.9


def test_a_badge_on_the_chest_makes_no_hem_of_the_cloth_below_it(standing_person: Person) -> None:
    assert standing_person.landmarks is not None
    assert standing_person.mask is not None
    frame = painted(standing_person, 0.95, hem_y=400)
    frame[130:155, 88:112] = np.random.default_rng(2).integers(0, 256, (25, 24, 3))
    y, x = np.nonzero(standing_person.mask)
    points = np.stack([x, y], -1).astype(np.float32)
    located = locate_on_body(points, build_body(standing_person.landmarks))
    hem = find_hem([(located, color_bins(frame)[y, x])], ColorCounter().colors())
    assert hem.first_lower_band is None


def test_beside_a_badge_the_hem_is_still_where_new_colours_begin(standing_person: Person) -> None:
    assert standing_person.landmarks is not None
    assert standing_person.mask is not None
    frame = painted(standing_person, 0.95, hem_y=245)
    frame[130:160, 80:120] = np.random.default_rng(2).integers(0, 256, frame[130:160, 80:120].shape)
    y, x = np.nonzero(standing_person.mask)
    points = np.stack([x, y], -1).astype(np.float32)
    located = locate_on_body(points, build_body(standing_person.landmarks))
    hem = find_hem([(located, color_bins(frame)[y, x])], ColorCounter().colors())
    assert hem.first_lower_band is not None
    rows = y[band_of(located) == hem.first_lower_band]
    assert abs(rows.mean() - 245) < 20


def test_shade_is_taken_out_of_saturated_colours_and_grays_keep_their_lightness() -> None:
    lab = np.array([[160, 150, 190], [80, 139, 159], [160, 128, 130], [80, 128, 130]], np.float32)
    flat = unshaded(lab)
    np.testing.assert_allclose(flat[0], flat[1], atol=2)
    np.testing.assert_array_equal(flat[2:], lab[2:])


def test_nobody_is_all_background(standing_person: Person) -> None:
    frame = painted(standing_person, 0.5)
    labels = EmbeddedParser().parse([frame, frame], [None, standing_person])
    assert not labels[0].any()
    assert labels[1].any()
    assert labels[1].dtype == np.uint8
    np.testing.assert_array_equal(labels[1] > 0, standing_person.mask > 0)  # type: ignore[operator]


def test_a_mask_without_a_pixel_is_nobody(standing_person: Person) -> None:
    frame = painted(standing_person, 0.95)
    for level in (0, 100):  # of 255: less than half
        unseen = replace(standing_person, mask=np.full(frame.shape[:2], level, np.uint8))
        found = EmbeddedParser().parse([frame] * 2, [standing_person, unseen])
        assert found[0].any()
        assert not found[1].any()


def test_the_hem_is_where_colours_change_and_nowhere_on_one_colour(
    standing_person: Person,
) -> None:
    assert standing_person.landmarks is not None
    assert standing_person.mask is not None
    y, x = np.nonzero(standing_person.mask)
    points = np.stack([x, y], -1).astype(np.float32)
    located = locate_on_body(points, build_body(standing_person.landmarks))
    nobody = ColorCounter().colors()
    bins = color_bins(painted(standing_person, 0.5))[y, x]
    hem = find_hem([(located, bins)], nobody).first_lower_band
    assert hem is not None
    rows_below = y[band_of(located) == hem]
    assert abs(rows_below.mean() - 195) < 25
    one_color = np.full_like(bins, bins[0])
    assert find_hem([(located, one_color)], nobody).first_lower_band is None
    cut_off = band_of(located) < ABOVE_KNEE
    shown = replace(
        located, part=located.part[cut_off], along=located.along[cut_off],
        across=located.across[cut_off], radii=located.radii[cut_off],
    )  # fmt: skip
    assert find_hem([(shown, one_color[cut_off])], nobody).first_lower_band == NUM_BANDS


def test_a_band_of_the_same_cloth_is_above_the_hem() -> None:
    shares = np.zeros((9, 4))
    shares[:6, 0], shares[6, :2] = 1, (0.8, 0.2)
    shares[7:] = (0.1, 0.1, 0.4, 0.4)
    assert _below_same_cloth(shares, 6) == 7
    assert _below_same_cloth(shares, 7) == 7


def test_unseen_materials_take_what_nothing_known_explains() -> None:
    counter = ColorCounter()
    green = color_bins(np.full((20, 20, 3), GREEN, np.uint8))
    counter.add(ColourClass.UPPER, green)
    colors = counter.colors()
    assert list(colors.is_known) == [False, False, True, False]
    navy = color_bins(np.full((1, 1, 3), NAVY, np.uint8))
    evidence = colors.evidence(np.concatenate([green[:1, :1], navy]))
    assert evidence[ColourClass.UPPER, 0, 0] > UNKNOWN > evidence[ColourClass.UPPER, 1, 0]
    assert (evidence[ColourClass.LOWER] == np.float32(UNKNOWN)).all()


def test_bins_know_their_colour() -> None:
    bins = color_bins(np.array([[GREEN, NAVY, SKIN]], np.uint8))
    import cv2

    lab = cv2.cvtColor(np.array([[GREEN, NAVY, SKIN]], np.uint8), cv2.COLOR_RGB2Lab)
    assert np.abs(bin_colors(bins[0]) - lab[0]).max() <= 8


def test_skin_of_all_tones_could_be_skin_and_cloth_of_other_hues_not() -> None:
    tones = np.array([[(255, 219, 190), (224, 172, 138), (141, 85, 54), (82, 48, 34)]], np.uint8)
    assert could_be_skin(tones).all()
    assert not could_be_skin(
        np.array([[GREEN, NAVY, (128, 128, 128), (90, 160, 210)]], np.uint8)
    ).any()


BELT = (120, 60, 30)


def with_belt(person: Person, has_cuffs: bool) -> np.ndarray:
    """A top that ends in a band of another colour, which cuffs have, too, or nothing else."""
    assert person.mask is not None
    frame = painted(person, 0.95, hem_y=186)
    y, x = np.indices(person.mask.shape)
    is_band = (person.mask > 0) & (y > 176) & (y <= 188) & (np.abs(x - 100) < 32)
    if has_cuffs:
        is_band |= (person.mask > 0) & (np.abs(x - 100) > 32) & (y > 140) & (y <= 165)
    frame[is_band] = BELT
    return frame


def test_a_belt_belongs_to_the_trousers_and_a_band_like_the_cuffs_to_the_top(
    standing_person: Person,
) -> None:
    band = slice(179, 186), slice(85, 115)
    for has_cuffs, label in ((False, P.LOWER), (True, P.UPPER)):
        frames = [with_belt(standing_person, has_cuffs)] * 3
        labels = EmbeddedParser().parse(frames, [standing_person] * 3)[0]
        assert share(labels, *band, label) > 0.8
        assert share(labels, slice(120, 170), slice(85, 115), P.UPPER) > 0.95
        assert share(labels, slice(220, 300), slice(80, 120), P.LOWER) > 0.9


def test_far_from_the_body_cloth_is_known_by_colour_and_the_rest_is_other() -> None:
    unseen = float(np.log(1e-5))
    evidence = np.full((4, 4), unseen, np.float32)  # materials, pixels
    evidence[ColourClass.UPPER, 0] = evidence[ColourClass.LOWER, 1] = -3
    evidence[ColourClass.SKIN, 2] = -3  # it may be a hand
    wanted = [P.UPPER, P.LOWER, P.OTHER, P.OTHER]
    np.testing.assert_array_equal(_far_from_parts(evidence.T), wanted)
