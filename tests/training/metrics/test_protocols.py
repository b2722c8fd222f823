"""What each protocol lets the video networks see: the pitfalls of metrics.md, by name."""

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from training.evaluation.clips import ClipSelector, to_network_input
from training.metrics.protocols import PROTOCOLS, Protocol, get_protocol


def video(number: int, num_frames: int) -> np.ndarray:
    """Frames that know themselves: red holds the video's number, green the frame's, blue 200."""
    frames = np.full((num_frames, 8, 6, 3), 200, np.uint8)
    frames[..., 0] = number
    frames[..., 1] = np.arange(num_frames)[:, None, None]
    return frames


def seen(protocol: Protocol, lengths: list[int]) -> list[np.ndarray]:
    selector = ClipSelector(protocol)
    return [clip for i, length in enumerate(lengths) for clip in selector.push(video(i, length))]


def test_catv2ton_mp4_sees_the_first_ten_frames_in_bgr() -> None:
    clips = seen(get_protocol("catv2ton-mp4"), [25, 9, 31])
    assert len(clips) == 2
    assert [int(clip[0, 0, 0, 2]) for clip in clips] == [0, 2]
    assert all(clip[:, 0, 0, 1].tolist() == list(range(10)) for clip in clips)
    assert all((clip[..., 0] == 200).all() for clip in clips)


def test_fixed_sees_every_whole_clip_in_rgb() -> None:
    clips = seen(get_protocol("fixed"), [25, 9, 31])
    found = [(int(clip[0, 0, 0, 0]), clip[:, 0, 0, 1].tolist()) for clip in clips]
    assert found == [
        (number, list(range(start, start + 10)))
        for number, start in [(0, 0), (0, 10), (2, 0), (2, 10), (2, 20)]
    ]
    assert all((clip[..., 2] == 200).all() for clip in clips)


def test_clips_of_fixed_never_straddle_two_videos_and_those_of_catv2ton_frames_do() -> None:
    lengths = [14, 14, 14]
    fixed = [set(clip[..., 0].ravel().tolist()) for clip in seen(get_protocol("fixed"), lengths)]
    public = [
        set(clip[..., 0].ravel().tolist())
        for clip in seen(get_protocol("catv2ton-frames"), lengths)
    ]
    assert fixed == [{0}, {1}, {2}]
    assert public == [{0}, {0, 1}, {1, 2}, {2}]


def test_fwgan_first10_sees_the_first_ten_frames_in_rgb() -> None:
    clips = seen(get_protocol("fwgan-first10"), [25, 12])
    assert [int(clip[0, 0, 0, 0]) for clip in clips] == [0, 1]
    assert all((clip[..., 2] == 200).all() for clip in clips)


def test_every_record_states_colour_order_selection_lpips_net_and_ssim() -> None:
    assert set(PROTOCOLS) == {"fixed", "catv2ton-frames", "catv2ton-mp4", "fwgan-first10"}
    for protocol in PROTOCOLS.values():
        plain = protocol.to_plain()
        stated = ("clip_colour_order", "clip_selection", "lpips_net", "ssim_colour", "ssim_window")
        assert all(plain[key] for key in stated)
    assert get_protocol("fixed").lpips_net == "alex"
    assert get_protocol("catv2ton-frames").lpips_net == "squeeze"


def test_an_unknown_protocol_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="catv2ton-mp4"):
        get_protocol("fvd")


def test_network_input_is_square_and_lies_in_minus_one_to_one() -> None:
    clip = np.zeros((10, 8, 6, 3), np.uint8)
    clip[..., 0] = 255
    batch = to_network_input([clip, clip], get_protocol("fixed"))
    assert batch.shape == (2, 3, 10, 224, 224)
    torch.testing.assert_close(batch[:, 0], torch.ones(2, 10, 224, 224))
    torch.testing.assert_close(batch[:, 1:], -torch.ones(2, 2, 10, 224, 224))
