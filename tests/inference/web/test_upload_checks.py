import av
import numpy as np
import pytest
from made_videos import RATE, Made, make_video
from PIL import Image
from tryon_fixtures import write_video

from inference.errors import RequestError
from inference.video.source import open_video
from inference.web.settings import AppLimits
from inference.web.upload_checks import check_garment, check_video


def read(path):
    with Image.open(path) as file:
        file.load()
        return file


def look_at_video(path, **limits):
    return check_video(path, path.with_name("poster.jpg"), AppLimits(**limits))


def look_at_garment(path, **limits):
    folder = path.parent
    clean, poster = folder / "clean.png", folder / "poster.jpg"
    return check_garment(path, clean, poster, AppLimits(**limits))


def test_a_video_is_known_by_its_content_whatever_its_name_says(tmp_path):
    write_video(tmp_path / "v.mp4", people=[True] * 5)
    (tmp_path / "v.mp4").rename(tmp_path / "sent.txt")
    facts = look_at_video(tmp_path / "sent.txt")
    assert (facts.height, facts.width, facts.num_frames, facts.fps) == (120, 160, 5, 10.0)
    assert facts.duration_s == pytest.approx(0.5)
    assert read(tmp_path / "poster.jpg").size == (160, 120)


@pytest.mark.parametrize(
    "content",
    [
        b"not a video",
        b"",
        b"\x00" * 5000,
        # playlists would make FFmpeg open other files of this machine
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///dev/zero\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile 'v.mp4'\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
    ],
)
def test_what_is_no_video_gets_one_sentence(tmp_path, content):
    write_video(tmp_path / "v.mp4", people=[True] * 3)
    (tmp_path / "sent").write_bytes(content)
    with pytest.raises(RequestError, match="cannot be read as a video") as refusal:
        look_at_video(tmp_path / "sent")
    assert refusal.value.status == 415
    assert str(tmp_path) not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("v.gif", Made(codec="gif", pixel_format="rgb8", matrix=0)),
        ("v.png", Made(codec="apng", pixel_format="rgb24", matrix=0, container="apng")),
        ("v.h264", Made(container="h264")),
        ("v.avi", Made(codec="mpeg4")),
        ("v.mpg", Made(codec="mpeg2video", container="mpeg")),
        ("v.ts", Made(start=2**33 - 3600 * 6)),  # its clock wraps
        ("v.flv", Made(codec="flv")),
        ("v.wmv", Made(codec="wmv2")),
        ("v.webm", Made(codec="libvpx-vp9")),
        ("v.mov", Made(turn="transpose")),
        ("v.mxf", Made(codec="mpeg2video")),
    ],
)
def test_whatever_try_on_reads_is_accepted(tmp_path, name, made):
    path = make_video(tmp_path / name, made)
    source, facts = open_video(path), look_at_video(path)
    assert (facts.height, facts.width) == (source.height, source.width)
    assert facts.num_frames == len(list(source.frames())) == made.num_frames
    assert facts.duration_s == pytest.approx(made.num_frames / RATE, abs=0.05)


def test_joined_recordings_are_as_long_as_both(tmp_path):
    part = make_video(tmp_path / "v.ts", Made(num_frames=RATE)).read_bytes()
    (tmp_path / "joined").write_bytes(part + part)
    assert look_at_video(tmp_path / "joined").duration_s == pytest.approx(2.0, abs=0.1)
    with pytest.raises(RequestError, match="up to 1 seconds are accepted"):
        look_at_video(tmp_path / "joined", video_s=1.0)


def test_a_damaged_packet_does_not_end_the_count(tmp_path):
    path = make_video(tmp_path / "v.ts", Made(num_frames=60))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path.write_bytes(data)
    assert look_at_video(path).num_frames >= 50


def test_a_picture_and_a_song_are_no_videos(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "sent.png")
    with pytest.raises(RequestError, match="cannot be read as a video"):
        look_at_video(tmp_path / "sent.png")
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), "fltp", "mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(RequestError, match="only sound"):
        look_at_video(tmp_path / "song.mp4")
    write_video(tmp_path / "still.mp4", people=[True])
    with pytest.raises(RequestError, match="single picture"):
        look_at_video(tmp_path / "still.mp4")


def test_too_long_too_large_and_too_many_frames_are_refused_with_the_numbers(tmp_path):
    path = write_video(tmp_path / "v.mp4", people=[True] * 30)
    with pytest.raises(RequestError, match="3 seconds long; up to 1 seconds are accepted"):
        look_at_video(path, video_s=1.0)
    with pytest.raises(RequestError, match="160 x 120 pixels; sides of up to 100"):
        look_at_video(path, video_side=100)
    with pytest.raises(RequestError, match="more than 20 frames"):
        look_at_video(path, video_frames=20)


def test_a_header_that_lies_about_the_length_does_not_help(tmp_path):
    content = bytearray(write_video(tmp_path / "v.mp4", people=[True] * 30).read_bytes())
    for box in (b"mvhd", b"tkhd", b"mdhd"):  # durations, to zero
        at = content.find(box)
        assert at > 0
        duration = at + (24 if box == b"tkhd" else 20)
        content[duration : duration + 4] = bytes(4)
    (tmp_path / "lying").write_bytes(content)
    with pytest.raises(RequestError, match="up to 1 seconds are accepted"):
        look_at_video(tmp_path / "lying", video_s=1.0)


def test_a_garment_is_written_anew_without_where_it_was_taken(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif[0x0112] = 6  # lies on its side
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 0.0)
    Image.new("RGB", (80, 60), (9, 90, 200)).save(tmp_path / "sent", "JPEG", exif=exif)
    facts = look_at_garment(tmp_path / "sent")
    assert (facts.height, facts.width) == (80, 60)
    clean = read(tmp_path / "clean.png")
    assert clean.size == (60, 80)
    assert not dict(clean.getexif())
    assert b"a camera" not in (tmp_path / "clean.png").read_bytes()


def test_transparency_of_a_garment_is_kept(tmp_path):
    picture = Image.new("RGBA", (40, 40), (200, 0, 0, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 20, 40))
    picture.save(tmp_path / "sent", "PNG")
    look_at_garment(tmp_path / "sent")
    alpha = np.asarray(read(tmp_path / "clean.png"))[..., 3]
    assert (alpha[:, :20] == 0).all()
    assert (alpha[:, 20:] == 255).all()
    assert np.asarray(read(tmp_path / "poster.jpg"))[20, 5].min() > 240  # on white


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"plain text " * 50, "cannot be read as a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read as a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot be read as a picture"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 60, "cannot be read as a picture"),
    ],
)
def test_what_is_no_picture_gets_one_sentence(tmp_path, content, sentence):
    (tmp_path / "sent").write_bytes(content)
    with pytest.raises(RequestError, match=sentence):
        look_at_garment(tmp_path / "sent")


def test_a_cut_off_picture_a_bomb_and_a_speck_are_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half").write_bytes(content[: len(content) // 2])
    with pytest.raises(RequestError, match="this one is damaged"):
        look_at_garment(tmp_path / "half")
    Image.new("1", (6000, 6000)).save(tmp_path / "bomb", "PNG")  # 5 kB, 36 megapixels
    with pytest.raises(RequestError, match="36 megapixels; up to 10"):
        look_at_garment(tmp_path / "bomb", garment_megapixels=10)
    Image.new("RGB", (4, 4)).save(tmp_path / "speck", "PNG")
    with pytest.raises(RequestError, match="only 4 x 4 pixels"):
        look_at_garment(tmp_path / "speck")
