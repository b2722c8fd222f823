import json
import shutil
import socket
from collections import namedtuple

import pytest

from inference.web.settings import LimitsConfig

Usage = namedtuple("Usage", "total used free")


def items(room):
    return [path.name for path in room._store.folder.iterdir() if path.is_dir()]


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
def port_and_visitor(open_room, tailor, serve):
    """A served room and a visitor with its cookie."""
    import httpx2

    def open_one(**limits):
        room = open_room(tailor, **limits)
        port = serve(room)
        client = httpx2.Client(base_url=f"http://localhost:{port}")
        client.get("/")
        clients.append(client)
        return room, port, client

    clients = []
    yield open_one
    for client in clients:
        client.close()


def test_two_gigabytes_are_refused_before_the_first_byte(port_and_visitor):
    room, port, visitor = port_and_visitor(video_mb=200)
    status, sentence = raw_upload(port, visitor, [f"Content-Length: {2 * 1024**3}"])
    assert status == 413
    assert sentence == (
        "This file is too large: a video may have up to 200 MB, this one has 2.1 GB."
    )
    assert items(room) == []
    assert visitor.get("/api/room").status_code == 200  # the server is up


def test_a_file_that_does_not_say_how_long_it_is_is_counted(port_and_visitor):
    room, port, visitor = port_and_visitor(video_mb=1)
    chunk = b"%x\r\n" % 100_000 + b"\x00" * 100_000 + b"\r\n"
    body = chunk * 30  # and no end: three times what is taken
    status, sentence = raw_upload(port, visitor, ["Transfer-Encoding: chunked"], body)
    assert status == 413
    assert "a video may have up to 1 MB" in sentence
    assert items(room) == []
    assert visitor.get("/api/room").status_code == 200


def test_a_file_that_stops_coming_and_one_that_breaks_off_leave_nothing(port_and_visitor):
    room, port, visitor = port_and_visitor(stalled_s=0.2)
    status, sentence = raw_upload(port, visitor, ["Content-Length: 5000"], b"only this")
    assert (status, sentence) == (408, "The file stopped coming; send it again.")
    assert items(room) == []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\n")
    assert visitor.get("/api/room").status_code == 200


def test_a_disk_that_is_nearly_full_takes_nothing(open_room, tailor, visit, send, monkeypatch):
    room = open_room(tailor, free_gb=2.0)
    client = visit(room)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**10, 0, 2 * 10**9 + 100_000))
    answer = send(client, "video", b"\x00" * 200_000, name="v.mp4")
    assert (answer.status_code, answer.json()["error"]) == (
        507, "The disk of this server is full; try again later.",
    )  # fmt: skip
    assert send(client, "garment", b"x" * 9, name="g.png").status_code == 415  # that has room
    assert items(room) == []


@pytest.mark.parametrize(
    ("kind", "content", "status", "sentence"),
    [
        ("garment", "text.jpg", 415, "no picture that can be read. Give a jpg, png or webp"),
        ("garment", "video.mp4", 415, "no picture that can be read"),
        ("video", "text.jpg", 415, "no video that can be read. Give an mp4"),
        ("video", "picture.jpg", 415, "no video that can be read"),
        ("video", b"", 415, "This file is empty."),
        ("shoes", "picture.jpg", 400, "A video or a garment is expected."),
        ("", "picture.jpg", 400, "A video or a garment is expected."),
        ("garment", b"\x00" * 1_100_000, 413, "up to 1 MB, this one has 1.1 MB"),
    ],
)
def test_a_wrong_file_gets_a_sentence_and_leaves_nothing(
    open_room, tailor, visit, send, kind, content, status, sentence
):
    room = open_room(tailor)
    client = visit(room)
    answer = send(client, kind, content)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]
    assert str(room._store.folder) not in answer.text
    assert items(room) == []
    assert send(client, "video", "video.mp4").status_code == 201  # and the next one is taken


def test_one_person_keeps_so_many_files(open_room, tailor, visit, send):
    room = open_room(tailor, uploads_per_person=2)
    anna, bert = visit(room), visit(room)
    kept = [send(anna, "garment", "picture.jpg").json()["id"] for _ in range(2)]
    answer = send(anna, "garment", "picture.jpg")
    assert (answer.status_code, answer.json()["error"]) == (
        429, "You have 2 files here already; delete one first.",
    )  # fmt: skip
    assert send(bert, "garment", "picture.jpg").status_code == 201
    anna.delete(f"/api/uploads/{kept[0]}")
    assert send(anna, "garment", "picture.jpg").status_code == 201


def test_everybody_may_pick_samples_and_nobody_may_remove_them(
    open_room, tailor, visit, media, tmp_path
):
    from inference.web.settings import SamplesConfig

    (tmp_path / "samples").mkdir()
    for name in ("video.mp4", "text.jpg", "picture.jpg"):
        shutil.copy(media / name, tmp_path / "samples")
    room = open_room(tailor)
    folder = str(tmp_path / "samples")
    refused = room.add_samples(SamplesConfig(videos=folder, garments=folder))
    assert len(refused) == 1
    assert "text.jpg: This file is no picture" in refused[0]
    assert room.add_samples(SamplesConfig(videos="none")) == [
        "samples: the folder none does not exist"
    ]
    anna = visit(room)
    samples = {upload["kind"]: upload for upload in anna.get("/api/room").json()["samples"]}
    assert samples["video"]["name"] == "video.mp4"
    assert anna.get(samples["garment"]["poster"]).status_code == 200
    assert anna.delete(f"/api/uploads/{samples['video']['id']}").status_code == 403
    room.remove_expired()
    order = {"rights": True, "video": samples["video"]["id"]}
    assert anna.post("/api/jobs", json=order).status_code == 201
    assert (tmp_path / "samples" / "video.mp4").exists()


def test_limits_below_one_are_refused():
    for wrong in ({"video_mb": 0}, {"jobs": -1}, {"keep_minutes": 0.0}, {"free_gb": -1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
            LimitsConfig(**wrong)
