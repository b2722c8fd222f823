import pytest

from inference.web.names import download_name, shown_name


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("me.mp4", "me.mp4"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("/etc/shadow", "shadow"),
        ("a\x00b.mp4", "ab.mp4"),
        ("..", "unnamed"),
        ("", "unnamed"),
        (".bashrc", "bashrc"),
        ("gpj.\u202e4pm", "gpj.4pm"),  # turns the reading direction
        ("\u0442\u0430\u043d\u0435\u0446.mp4", "\u0442\u0430\u043d\u0435\u0446.mp4"),
        ("two\nlines\r.mp4", "twolines.mp4"),
        ("bad\udcff.mp4", "bad.mp4"),  # a lone surrogate
    ],
)
def test_only_a_name_is_left_of_what_is_sent(sent, shown):
    assert shown_name(sent) == shown


def test_a_long_name_is_cut_in_the_middle_and_keeps_its_ending():
    name = shown_name("x" * 5000 + ".mp4")
    assert len(name) <= 60
    assert name.endswith(".mp4")


def test_a_download_is_named_by_plain_letters():
    assert download_name("Me, dancing.mp4", "Shirt (red).jpg") == "Me-dancing-in-Shirt-red.mp4"
    assert download_name("\u4f60.mp4", "\u597d.png") == "result.mp4"
    assert download_name('a";rm -rf.mp4', "../b.png") == "a-rm-rf-in-b.mp4"
