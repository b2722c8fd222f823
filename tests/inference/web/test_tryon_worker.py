import io

import av
import numpy as np
import pytest
from PIL import Image
from tryon_fixtures import write_video
from waiting import until

from inference.video.source import open_video
from inference.web.tryon_worker import download_name


@pytest.fixture
def client(open_app, real_worker, visit):
    return visit(open_app(real_worker))


def state_of(client, job):
    return client.get(f"/api/jobs/{job['id']}").json()["state"]


def run(client, **order):
    job = client.post("/api/jobs", json={"rights": True, **order}).json()
    until(
        lambda: client.get(f"/api/jobs/{job['id']}").json()["state"] not in ("waiting", "running")
    )
    return client.get(f"/api/jobs/{job['id']}").json()


def frames_of(content):
    with av.open(io.BytesIO(content)) as container:
        return container.metadata, [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def test_a_preview_then_the_garment_then_a_video_to_take_home(client, send, tmp_path):
    video = send(client, "video", "video.mp4", name="Dance of Anna.mp4").json()["id"]
    garment = send(client, "garment", "garment.png", name="blue.png").json()["id"]
    look = run(client, video=video, category="upper")
    assert (look["state"], look["error"]) == ("done", None)
    facts = look["facts"]
    assert facts["person"] == 1
    assert facts["people"] == [1]
    assert facts["player"]["panes"] == ["your video", "will be painted", "DensePose"]
    assert client.get(look["files"]["person-1.jpg"]).headers["content-type"] == "image/jpeg"
    preview = client.get(look["files"]["preview.mp4"])
    assert preview.headers["content-type"] == "video/mp4"
    _, shown = frames_of(preview.content)
    assert len(shown) == facts["player"]["num_frames"]
    assert shown[0].shape[:2] == (facts["player"]["height"], 3 * facts["player"]["width"])

    dressed = run(client, preview=look["id"], garment=garment, seed=3, label=True)
    assert (dressed["state"], dressed["error"], dressed["seed"]) == ("done", None, 3)
    answer = client.get(dressed["files"]["result.mp4"])
    disposition = answer.headers["content-disposition"]
    assert disposition == 'attachment; filename="Dance-of-Anna-in-blue.mp4"'
    metadata, frames = frames_of(answer.content)
    assert len(frames) == 6
    assert frames[0].shape == (120, 160, 3)
    assert metadata["comment"].startswith("Synthetic video")
    assert "Dance of Anna.mp4" in metadata["description"]
    (tmp_path / "result.mp4").write_bytes(answer.content)
    assert open_video(tmp_path / "result.mp4").fps == 10.0
    _, compared = frames_of(client.get(dressed["files"]["comparison.mp4"]).content)
    assert len(compared) == 6
    assert compared[0].shape == (120, 320, 3)
    part = client.get(dressed["files"]["result.mp4"], headers={"range": "bytes=0-99"})
    assert (part.status_code, len(part.content)) == (206, 100)  # a player seeks


def test_every_frame_can_be_seen_before_painting(client, send):
    video = send(client, "video", "video.mp4").json()["id"]
    look = run(client, video=video, category="upper", every_frame=True)
    assert look["facts"]["player"]["num_frames"] == 6
    assert look["facts"]["num_without_person"] == 0
    assert "unseen.jpg" not in look["files"]


def test_a_preview_shows_where_in_the_video_nobody_was_found(client, send, tmp_path):
    path = write_video(tmp_path / "v.mp4", people=[True] * 4 + [False] * 8)
    video = send(client, "video", path.read_bytes(), name="v.mp4").json()["id"]
    look = run(client, video=video, category="upper", every_frame=True)
    assert look["facts"]["warns"]
    assert "frames 4-11" in look["facts"]["unseen"]
    answer = client.get(look["files"]["unseen.jpg"])
    assert answer.headers["content-type"] == "image/jpeg"
    strip = np.asarray(Image.open(io.BytesIO(answer.content)), int)
    is_red = strip[5, :, 0] > strip[5, :, 1] + 80
    assert is_red.mean() == pytest.approx(8 / 12, abs=0.02)
    assert not is_red[: len(is_red) // 4].any()


def test_a_video_without_a_person_gets_a_sentence_and_the_server_stays_up(client, send):
    video = send(client, "video", "empty_room.mp4").json()["id"]
    look = run(client, video=video)
    assert look["state"] == "failed"
    assert look["error"].startswith("No person was found in this video.")
    assert look["files"] == {}
    assert run(client, video=send(client, "video", "video.mp4").json()["id"])["state"] == "done"


def test_a_person_who_is_not_there_gets_a_sentence_without_our_paths(client, send):
    video = send(client, "video", "video.mp4").json()["id"]
    look = run(client, video=video, person=7)
    assert look["state"] == "failed"
    assert look["error"] == "Person=7; video.mp4 shows 1"


def test_a_photo_in_which_no_garment_stands_out_gets_a_sentence_that_says_what_to_give(
    client, send, tmp_path
):
    Image.new("RGB", (60, 80), (128, 128, 128)).save(tmp_path / "wall.png")
    video = send(client, "video", "video.mp4").json()["id"]
    look = run(client, video=video, category="upper")
    garment = send(client, "garment", (tmp_path / "wall.png").read_bytes(), name="wall.png").json()[
        "id"
    ]
    dressed = run(client, preview=look["id"], garment=garment)
    assert dressed["state"] == "failed"
    assert dressed["error"].startswith("No garment stands out from the background of this picture")
    assert "PNG that is transparent" in dressed["error"]


def test_a_download_is_named_by_plain_letters():
    assert download_name("Me, dancing.mp4", "Shirt (red).jpg") == "Me-dancing-in-Shirt-red.mp4"
    assert download_name("\u4f60.mp4", "\u597d.png") == "result.mp4"
    assert download_name('a";rm -rf.mp4', "../b.png") == "a-rm-rf-in-b.mp4"
