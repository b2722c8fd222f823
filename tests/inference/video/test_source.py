import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from configs.errors import DataError
from datasets.video.orientation import Orientation
from inference.video.source import SourceFrame, open_video
from inference.video.writer import write_result


def picture(index, height=48, width=80):
    rows, columns = np.mgrid[0:height, 0:width]
    image = np.stack([rows * 4 % 256, columns * 3, np.full_like(rows, 90)], -1)
    image[8:24, index * 4 : index * 4 + 16] = (230, 60, 20)
    return image.astype(np.uint8)


def write_video(path, *, num_frames=12, rate=12, times=None, audio_s=0.0, height=48, width=80):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "8"})
        stream.height, stream.width = height, width
        stream.pix_fmt = "yuv420p" if height % 2 == 0 and width % 2 == 0 else "yuv444p"
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream("aac", rate=16000, layout="mono") if audio_s else None
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(index, height, width), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            tone = np.sin(np.arange(int(16000 * audio_s)) / 8).astype(np.float32)[None]
            for start in range(0, tone.shape[1] - 1023, 1024):
                part = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(tone[:, start : start + 1024]),
                    format="fltp",
                    layout="mono",
                )
                part.sample_rate, part.pts = 16000, start
                container.mux(sound.encode(part))
            container.mux(sound.encode(None))
    return path


def rotate_in_header(path, clockwise_quarters):
    """Write a rotation into the track header's matrix, as a phone does."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    matrix = {1: (0, one, -one, 0), 2: (-one, 0, 0, -one), 3: (0, -one, one, 0)}[clockwise_quarters]
    a, b, c, d = matrix
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(content))


def rewrite(source, out, comment="synthetic"):
    write_result(out, source.frames(), source, {"comment": comment})
    return open_video(out)


def test_a_result_has_the_frames_size_rate_and_sound_of_its_source(tmp_path):
    source = open_video(write_video(tmp_path / "v.mp4", num_frames=24, rate=12, audio_s=2.0))
    result = rewrite(source, tmp_path / "out" / "o.mp4", "synthetic: made by a test")
    before, after = list(source.frames()), list(result.frames())
    assert len(after) == len(before) == 24
    assert (result.height, result.width, result.rate) == (48, 80, 12)
    assert [frame.time for frame in after] == [frame.time for frame in before]
    for a, b in zip(before, after, strict=True):
        assert np.abs(a.image.astype(float) - b.image).mean() < 4
    with av.open(str(tmp_path / "out" / "o.mp4")) as container:
        assert container.metadata["comment"] == "synthetic: made by a test"
        copied = sum(packet.size for packet in container.demux(audio=0))
    with av.open(str(source.path)) as container:
        original = sum(packet.size for packet in container.demux(audio=0))
    assert copied == original
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["o.mp4"]


def test_an_uneven_clock_is_kept(tmp_path):
    times = [0, 40, 80, 200, 240, 500, 540, 580, 900, 940]
    source = open_video(write_video(tmp_path / "v.mkv", num_frames=10, times=times))
    result = rewrite(source, tmp_path / "o.mp4")
    shown = [float(frame.time) for frame in result.frames()]
    assert np.allclose(np.array(shown) - shown[0], np.array(times) / 1000, atol=2e-3)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_phone_video_is_turned_upright(tmp_path, quarters):
    path = write_video(tmp_path / "v.mp4")
    stored = [frame.image for frame in open_video(path).frames()]
    rotate_in_header(path, quarters)
    source = open_video(path)
    upright = [frame.image for frame in source.frames()]
    assert np.array_equal(upright[3], np.rot90(stored[3], -quarters))
    assert (source.height, source.width) == upright[0].shape[:2]
    result = rewrite(source, tmp_path / "o.mp4")
    assert result.orientation == Orientation()
    assert (result.height, result.width) == (source.height, source.width)


def test_odd_sides_are_kept(tmp_path):
    source = open_video(write_video(tmp_path / "v.mp4", height=49, width=81))
    result = rewrite(source, tmp_path / "o.mp4")
    assert (result.height, result.width) == (49, 81)


def test_a_broken_tail_does_not_lose_the_frames_before_it(tmp_path, caplog):
    path = write_video(tmp_path / "v.mkv", num_frames=18)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert 0 < len(list(open_video(path).frames())) <= 18


def test_files_that_are_no_videos_get_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.mp4 does not exist"):
        open_video(tmp_path / "nothing.mp4")
    (tmp_path / "text.mp4").write_text("<html>not found</html>")
    with pytest.raises(DataError, match="cannot be read as a video"):
        open_video(tmp_path / "text.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read as a video"):
        open_video(tmp_path / "empty.mp4")


@pytest.mark.parametrize(("now", "told"), [(9, "has 9 now"), (14, "has more now")])
def test_a_file_that_changed_since_its_frames_were_counted_is_one_sentence(tmp_path, now, told):
    path = write_video(tmp_path / "v.mp4", num_frames=12)
    source = open_video(path)
    assert len(list(source.counted_frames(12))) == 12
    write_video(path, num_frames=now)
    with pytest.raises(DataError, match=rf"v\.mp4 had 12 frames .* and {told}; start again"):
        list(source.counted_frames(12))


def test_the_source_is_never_overwritten(tmp_path):
    source = open_video(write_video(tmp_path / "v.mp4"))
    with pytest.raises(DataError, match="is the source video itself"):
        rewrite(source, source.path)


def test_a_write_that_fails_leaves_no_file_behind(tmp_path):
    source = open_video(write_video(tmp_path / "v.mp4"))

    def breaks():
        yield SourceFrame(image=picture(0), time=Fraction(0))
        raise DataError("the painter stopped")

    with pytest.raises(DataError, match="the painter stopped"):
        write_result(tmp_path / "o.mp4", breaks(), source, {})
    assert [file.name for file in tmp_path.iterdir()] == ["v.mp4"]
