import json
import shutil
import socket
from collections import namedtuple

import pytest

from inference.web.settings import AppLimits
from inference.web.uploads import shown_name

Usage = namedtuple("Usage", "total used free")


def items(app_state):
    return [path.name for path in app_state._store.folder.iterdir() if path.is_dir()]


def raw_upload(port, visitor, head, body=b"", kind="video"):
    """An upload as only a program would send it; (status, what the answer says)."""
    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    lines = [
        f"POST /api/uploads?kind={kind}&name=v.mp4 HTTP/1.1",
        f"Host: localhost:{port}",
        f"Cookie: {cookie}",
        "X-Rights-Confirmed: yes",
        *head,
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b""
        while b"}" not in answer:
            part = connection.recv(4096)
            if not part:
                break
            answer += part
    status = int(answer.split()[1])
    return status, json.loads(answer[answer.index(b"{") :])["error"]


@pytest.fixture
def port_and_visitor(open_app, slow_worker, serve):
    """A served app and a visitor with its cookie."""
    import httpx2

    def open_one(**limits):
        app_state = open_app(slow_worker, **limits)
        port = serve(app_state)
        client = httpx2.Client(base_url=f"http://localhost:{port}")
        client.get("/")
        clients.append(client)
        return app_state, port, client

    clients = []
    yield open_one
    for client in clients:
        client.close()


def test_two_gigabytes_are_refused_before_the_first_byte(port_and_visitor):
    app_state, port, visitor = port_and_visitor(video_mb=200)
    status, sentence = raw_upload(port, visitor, [f"Content-Length: {2 * 1024**3}"])
    assert status == 413
    assert sentence == (
        "This file is too large: a video may have up to 200 MB, this one has 2.1 GB."
    )
    assert items(app_state) == []
    assert visitor.get("/api/room").status_code == 200  # the server is up


def test_a_file_that_does_not_say_how_long_it_is_is_counted(port_and_visitor):
    app_state, port, visitor = port_and_visitor(video_mb=1)
    chunk = b"%x\r\n" % 100_000 + b"\x00" * 100_000 + b"\r\n"
    body = chunk * 30  # and no end: three times what is taken
    status, sentence = raw_upload(port, visitor, ["Transfer-Encoding: chunked"], body)
    assert status == 413
    assert "a video may have up to 1 MB" in sentence
    assert items(app_state) == []
    assert visitor.get("/api/room").status_code == 200


def test_a_file_that_stops_coming_and_one_that_breaks_off_leave_nothing(port_and_visitor):
    app_state, port, visitor = port_and_visitor(stalled_s=0.2)
    status, sentence = raw_upload(port, visitor, ["Content-Length: 5000"], b"only this")
    assert (status, sentence) == (408, "The upload stalled; send the file again.")
    assert items(app_state) == []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\n")
    assert visitor.get("/api/room").status_code == 200


def test_a_disk_that_is_nearly_full_takes_nothing(open_app, slow_worker, visit, send, monkeypatch):
    app_state = open_app(slow_worker, free_gb=2.0)
    client = visit(app_state)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**10, 0, 2 * 10**9 + 100_000))
    answer = send(client, "video", b"\x00" * 200_000, name="v.mp4")
    assert (answer.status_code, answer.json()["error"]) == (
        507, "The disk of this server is full; try again later.",
    )  # fmt: skip
    assert (
        send(client, "garment", b"x" * 9, name="g.png").status_code == 415
    )  # there is space for that
    assert items(app_state) == []


@pytest.mark.parametrize(
    ("kind", "content", "status", "sentence"),
    [
        ("garment", "text.jpg", 415, "cannot be read as a picture. Give a jpg, png or webp"),
        ("garment", "video.mp4", 415, "cannot be read as a picture"),
        ("video", "text.jpg", 415, "cannot be read as a video. Give an mp4"),
        ("video", "picture.jpg", 415, "cannot be read as a video"),
        ("video", b"", 415, "This file is empty."),
        ("shoes", "picture.jpg", 400, "The kind must be video or garment."),
        ("", "picture.jpg", 400, "The kind must be video or garment."),
        ("garment", b"\x00" * 1_100_000, 413, "up to 1 MB, this one has 1.1 MB"),
    ],
)
def test_a_wrong_file_gets_a_sentence_and_leaves_nothing(
    open_app, slow_worker, visit, send, kind, content, status, sentence
):
    app_state = open_app(slow_worker)
    client = visit(app_state)
    answer = send(client, kind, content)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    assert str(app_state._store.folder) not in answer.text
    assert items(app_state) == []
    assert send(client, "video", "video.mp4").status_code == 201  # and the next one is taken


def test_one_person_keeps_so_many_files(open_app, slow_worker, visit, send):
    app_state = open_app(slow_worker, uploads_per_person=2)
    anna, bert = visit(app_state), visit(app_state)
    kept = [send(anna, "garment", "picture.jpg").json()["id"] for _ in range(2)]
    answer = send(anna, "garment", "picture.jpg")
    assert (answer.status_code, answer.json()["error"]) == (
        429, "You have 2 files here already; delete one first.",
    )  # fmt: skip
    assert send(bert, "garment", "picture.jpg").status_code == 201
    anna.delete(f"/api/uploads/{kept[0]}")
    assert send(anna, "garment", "picture.jpg").status_code == 201


def test_everybody_may_pick_samples_and_nobody_may_remove_them(
    open_app, slow_worker, visit, media, tmp_path
):
    from inference.web.settings import SamplesConfig

    (tmp_path / "samples").mkdir()
    for name in ("video.mp4", "text.jpg", "picture.jpg"):
        shutil.copy(media / name, tmp_path / "samples")
    app_state = open_app(slow_worker)
    folder = str(tmp_path / "samples")
    refused = app_state.add_samples(SamplesConfig(videos=folder, garments=folder))
    assert len(refused) == 1
    assert "text.jpg: This file cannot be read as a picture" in refused[0]
    assert app_state.add_samples(SamplesConfig(videos="none")) == [
        "samples: the folder none does not exist"
    ]
    anna = visit(app_state)
    samples = {upload["kind"]: upload for upload in anna.get("/api/room").json()["samples"]}
    assert samples["video"]["name"] == "video.mp4"
    assert anna.get(samples["garment"]["poster"]).status_code == 200
    assert anna.delete(f"/api/uploads/{samples['video']['id']}").status_code == 403
    app_state.remove_expired()
    order = {"rights": True, "video": samples["video"]["id"]}
    assert anna.post("/api/jobs", json=order).status_code == 201
    assert (tmp_path / "samples" / "video.mp4").exists()


def test_limits_below_one_are_refused():
    for wrong in ({"video_mb": 0}, {"jobs": -1}, {"keep_minutes": 0.0}, {"free_gb": -1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
            AppLimits(**wrong)


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
