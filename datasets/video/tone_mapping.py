"""High dynamic range (PQ, HLG) to BT.709 pictures, so that nothing looks washed out.

Display light in cd/m2 is compressed from PEAK_NITS to WHITE_NITS by the curve of Report ITU-R
BT.2390 (section 5.4.1), applied to the largest of R, G, B to preserve hues; then BT.2020 colours
are converted to BT.709, clipped to its gamut, and coded for a display of gamma 2.4 (BT.1886).
Anything below 90 cd/m2 keeps its ratio to white; anything above PEAK_NITS is white.
"""

from functools import cache

import cv2
import numpy as np

PQ, HLG = 16, 18
"""AVColorTransferCharacteristic of SMPTE ST 2084 and of ARIB STD-B67."""
PEAK_NITS = 1000.0
"""Peak of consumer HDR mastering; also HLG's nominal peak. A clip's own metadata is not read."""
WHITE_NITS = 203.0
"""Diffuse white of HDR pictures (Report ITU-R BT.2408); mapped to the SDR peak."""
DISPLAY_GAMMA = 2.4
LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
BT709_FROM_BT2020 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    np.float32,
)
"""Linear light, Report ITU-R BT.2407 section 2.2."""
CODES = 65_536
WHITE_CODE = 65_280
"""swscale's white with 16 bits a channel: 255 * 256."""


def tone_map(coded: np.ndarray, transfer: int) -> np.ndarray:
    """Tone-map a picture for an SDR display.

    Args:
        coded: (height, width, 3) uint16 RGB, BT.2020 primaries, white at WHITE_CODE, as swscale
            gives it.
        transfer: PQ or HLG.

    Returns:
        (height, width, 3) uint8 RGB, BT.709.
    """
    light = _light_of_code(transfer)[coded]
    if transfer == HLG:  # the display's share of HLG: BT.2100 table 5, gamma 1.2 at 1000 cd/m2
        luma = np.maximum(light @ LUMA_2020, 1e-6)
        light *= (PEAK_NITS * luma**0.2)[..., None]
    nits, gains = _gain_curve()
    light *= np.interp(light.max(axis=-1), nits, gains).astype(np.float32)[..., None]
    shown = cv2.transform(light, BT709_FROM_BT2020)
    index = np.clip(shown * (CODES - 1), 0, CODES - 1).astype(np.uint16)
    return _sdr_code()[index]


def pq_code(nits: np.ndarray) -> np.ndarray:
    """PQ signal 0..1 of luminance in cd/m2 (SMPTE ST 2084, equation 5)."""
    power = (np.asarray(nits, np.float64) / 10_000) ** (1305 / 8192)
    return ((107 / 128 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def pq_nits(code: np.ndarray) -> np.ndarray:
    """Luminance in cd/m2 of PQ signal 0..1 (SMPTE ST 2084, equation 4)."""
    power = np.asarray(code, np.float64) ** (32 / 2523)
    share = np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)
    return 10_000 * share ** (8192 / 1305)


def hlg_light(code: np.ndarray) -> np.ndarray:
    """Scene light 0..1 of HLG signal 0..1 (BT.2100 table 5)."""
    code = np.asarray(code, np.float64)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def squeeze(nits: np.ndarray) -> np.ndarray:
    """BT.2390's curve: luminance in cd/m2 up to PEAK_NITS to luminance up to WHITE_NITS."""
    peak = float(pq_code(np.array([PEAK_NITS]))[0])
    target = float(pq_code(np.array([WHITE_NITS]))[0]) / peak
    knee = 1.5 * target - 0.5
    code = np.minimum(pq_code(nits) / peak, 1.0)
    t = np.clip((code - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * target
    )
    return pq_nits(np.where(code < knee, code, spline) * peak)


@cache
def _light_of_code(transfer: int) -> np.ndarray:
    """The value of each 16-bit code: cd/m2 (PQ) or scene light (HLG), (65536,) float32."""
    codes = np.minimum(np.arange(CODES) / WHITE_CODE, 1.0)
    return (pq_nits(codes) if transfer == PQ else hlg_light(codes)).astype(np.float32)


@cache
def _gain_curve() -> tuple[np.ndarray, np.ndarray]:
    """Luminance in cd/m2, and the factor that converts it to a share of the SDR peak."""
    nits = pq_nits(np.linspace(0.02, 1, 2048))
    return nits, squeeze(nits) / nits / WHITE_NITS


@cache
def _sdr_code() -> np.ndarray:
    """8-bit codes of linear light in 65536 steps."""
    return np.rint(255 * (np.arange(CODES) / (CODES - 1)) ** (1 / DISPLAY_GAMMA)).astype(np.uint8)
