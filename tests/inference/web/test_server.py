import json
from types import SimpleNamespace

import pytest
from waiting import until

from inference.web.request_checks import COOKIE, Sessions

OTHERS = 404


@pytest.fixture
def app_state(open_app, slow_worker):
    return open_app(slow_worker)


@pytest.fixture
def anna(visit, app_state):
    return visit(app_state)


@pytest.fixture
def bert(visit, app_state, anna):
    return visit(app_state)


def look(client, upload, **more):
    order = {"rights": True, "video": upload, "category": "upper", **more}
    return client.post("/api/jobs", json=order)


def ended(client, job_id):
    state = client.get(f"/api/jobs/{job_id}").json()
    return state if state["state"] in ("done", "failed", "cancelled") else None


def test_an_upload_is_taken_shown_and_removed(anna, send, app_state):
    answer = send(anna, "video", "video.mp4", name="C:\\me\\dance.mp4")
    assert answer.status_code == 201
    upload = answer.json()
    assert (upload["name"], upload["width"], upload["fps"]) == ("dance.mp4", 160, 10.0)
    poster = anna.get(upload["poster"])
    assert poster.headers["content-type"] == "image/jpeg"
    assert [found["id"] for found in anna.get("/api/room").json()["uploads"]] == [upload["id"]]
    assert anna.delete(f"/api/uploads/{upload['id']}").status_code == 204
    assert anna.get(upload["poster"]).status_code == 404
    assert not app_state._store.path(upload["id"]).exists()


def test_nothing_is_taken_before_the_right_to_use_it_is_confirmed(anna, media, send):
    data = (media / "video.mp4").read_bytes()
    answer = anna.post("/api/uploads", params={"kind": "video", "name": "v"}, content=data)
    assert answer.status_code == 403
    assert "you may use these pictures" in answer.json()["error"]
    video = send(anna, "video", "video.mp4").json()["id"]
    answer = look(anna, video, rights=False)
    assert answer.status_code == 403
    assert look(anna, video, rights="yes").status_code == 403  # true, and nothing else


def test_two_people_share_the_queue_and_see_only_their_own(anna, bert, send, slow_worker):
    hers = send(anna, "video", "video.mp4").json()["id"]
    his = send(bert, "video", "video.mp4").json()["id"]
    first = look(anna, hers).json()["id"]
    until(lambda: anna.get(f"/api/jobs/{first}").json()["state"] == "running")
    second = look(bert, his).json()
    assert (second["state"], second["num_ahead"], second["starts_in_s"]) == ("waiting", 1, 30.0)
    running = anna.get(f"/api/jobs/{first}").json()
    assert (running["stage"], running["fraction"]) == ("Painting", 0.25)
    assert running["seconds_left"] == 30.0

    assert look(bert, hers).status_code == OTHERS
    assert bert.get(f"/files/{hers}/poster.jpg").status_code == OTHERS
    assert bert.delete(f"/api/uploads/{hers}").status_code == OTHERS
    for method, path in (("GET", ""), ("POST", "/cancel"), ("DELETE", "")):
        assert bert.request(method, f"/api/jobs/{first}{path}").status_code == OTHERS
    assert {job["id"] for job in bert.get("/api/room").json()["jobs"]} == {second["id"]}
    assert anna.get(f"/api/jobs/{first}").json()["state"] == "running"

    slow_worker.may_go_on.set()
    until(lambda: ended(bert, second["id"]))
    result = ended(anna, first)["files"]["result.mp4"]
    assert anna.get(result).content == b"what came out"
    assert bert.get(result).status_code == OTHERS
    assert bert.get(f"/files/{second['id']}/result.mp4").status_code == 200


def test_a_cancelled_job_leaves_no_files_and_frees_the_next(anna, send, app_state, slow_worker):
    video = send(anna, "video", "video.mp4").json()["id"]
    first, second = look(anna, video).json()["id"], look(anna, video).json()["id"]
    until(lambda: slow_worker.started == [first])
    assert anna.delete(f"/api/uploads/{video}").status_code == 409  # still needed
    assert anna.post(f"/api/jobs/{first}/cancel").json()["is_ending"]
    until(lambda: ended(anna, first))
    assert ended(anna, first)["state"] == "cancelled"
    assert not app_state._store.path(first).exists()
    until(lambda: second in slow_worker.started)


def test_who_leaves_takes_everything_along(anna, bert, send, app_state, slow_worker):
    theirs = send(bert, "garment", "picture.jpg").json()["id"]
    video = send(anna, "video", "video.mp4").json()["id"]
    job = look(anna, video).json()["id"]
    until(lambda: slow_worker.started == [job])
    assert anna.delete("/api/room").status_code == 204
    until(lambda: ended(anna, job))
    app_state.remove_expired()
    assert [path.name for path in app_state._store.folder.iterdir() if path.is_dir()] == [theirs]
    assert anna.get("/api/room").json()["uploads"] == []


def test_files_and_results_are_removed_after_their_time_unless_a_job_needs_them(
    open_app, slow_worker, visit, send, monkeypatch
):
    now = [1e9]
    for module in ("app_state", "queue", "uploads"):
        clock = SimpleNamespace(time=lambda: now[0])
        monkeypatch.setattr(f"inference.web.{module}.time", clock)
    app_state = open_app(slow_worker, folder="clocked", keep_minutes=10.0)
    client = visit(app_state)
    video = send(client, "video", "video.mp4").json()["id"]
    garment = send(client, "garment", "picture.jpg").json()["id"]
    job = look(client, video).json()["id"]
    until(lambda: slow_worker.started == [job])
    now[0] += 601
    app_state.remove_expired()
    kept = [upload["id"] for upload in client.get("/api/room").json()["uploads"]]
    assert kept == [video], "the garment is old; the video is being worked on"
    assert not app_state._store.path(garment).exists()
    slow_worker.may_go_on.set()
    until(lambda: ended(client, job))
    assert ended(client, job)["removed_in_s"] == 600
    now[0] += 599
    app_state.remove_expired()
    assert client.get(f"/files/{job}/result.mp4").status_code == 200
    now[0] += 2
    app_state.remove_expired()
    assert client.get(f"/files/{job}/result.mp4").status_code == 404
    assert "deleted after a while" in client.get(f"/api/jobs/{job}").json()["error"]
    assert client.get("/api/room").json()["uploads"] == []
    assert not app_state._store.path(video).exists()
    assert not app_state._store.path(job).exists()


@pytest.mark.parametrize(
    "path",
    [
        "/files/../../etc/passwd", "/files/%2e%2e/%2e%2e/etc/passwd", "/files/..%2f..%2fetc/passwd",
        "/files//etc/passwd", "/files/{id}/sent", "/files/{id}/..%2fposter.jpg", "/files/{id}/",
        "/files/{id}/poster.jpg%00.txt", "/files/{id}", "/files/", "/assets/../server.py",
        "/assets/%2e%2e%2fserver.py", "/assets/index.html", "/assets/", "/.fitting-room",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_what_is_meant_to_be_seen(anna, send, path):
    upload = send(anna, "garment", "picture.jpg").json()["id"]
    answer = anna.get(path.format(id=upload))
    assert answer.status_code == 404
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "name",
    ["../../../tmp/x.mp4", "/etc/cron.d/x", "..\\x", "a\x00.mp4", "\u202egpj.4pm", "x" * 3000, "..",
     "<img src=x onerror=alert(1)>.mp4", "con", "\ud800".encode("utf-8", "surrogatepass")],
)  # fmt: skip
def test_a_name_of_a_file_names_no_place(anna, send, app_state, name):
    before = {path for path in app_state._store.folder.parent.rglob("*")}
    upload = send(anna, "video", "video.mp4", name=name).json()
    new = {path for path in app_state._store.folder.parent.rglob("*")} - before
    item = app_state._store.path(upload["id"])
    assert new == {item, item / "sent", item / "poster.jpg"}
    assert "/" not in upload["name"]
    assert len(upload["name"]) <= 60


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"[1]", 400), (b"null", 400), (b"[" * 9000, 400),
        (b"{" + b" " * 20_000 + b"}", 413), (b"\xff\xfe", 400), (b"NaN", 400),
    ],
)  # fmt: skip
def test_an_order_that_is_none_gets_a_sentence(anna, body, status):
    answer = anna.post("/api/jobs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")


def test_wrong_values_in_an_order_get_a_sentence(anna, send):
    video = send(anna, "video", "video.mp4").json()["id"]
    garment = send(anna, "garment", "picture.jpg").json()["id"]
    for more, status in (
        ({"category": "hat"}, 400), ({"category": None}, 400), ({"category": ["upper"]}, 400),
        ({"person": "1"}, 400), ({"person": -1}, 400), ({"person": True}, 400),
        ({"video": garment}, 404), ({"video": "../x"}, 404), ({"video": {}}, 404),
        ({"garment": garment}, 404), ({"garment": garment, "preview": "x"}, 404),
        ({"garment": garment, "seed": -1}, 400), ({"garment": garment, "seed": 1e3}, 400),
        ({"garment": garment, "seed": 2**40}, 400),
    ):  # fmt: skip
        answer = look(anna, video, **more)
        assert answer.status_code == status, more
        assert answer.json()["error"]
    assert anna.post("/api/jobs", data={"video": video}).status_code == 415  # a form of any site
    assert anna.request("PUT", "/api/jobs").status_code == 405


def test_a_garment_is_put_on_only_in_what_was_seen(anna, send, slow_worker):
    video = send(anna, "video", "video.mp4").json()["id"]
    garment = send(anna, "garment", "picture.jpg").json()["id"]
    preview = look(anna, video).json()["id"]
    order = {"rights": True, "garment": garment, "preview": preview}
    answer = anna.post("/api/jobs", json=order)
    assert (answer.status_code, answer.json()["error"]) == (409, "Make a preview first.")
    slow_worker.may_go_on.set()
    until(lambda: ended(anna, preview))
    dressed = anna.post("/api/jobs", json=order).json()
    assert (dressed["kind"], dressed["preview"], dressed["video"]) == ("dress", preview, video)
    until(lambda: ended(anna, dressed["id"]))
    assert ended(anna, dressed["id"])["state"] == "done"


def test_only_cookies_of_this_server_count(anna, bert, visit, app_state):
    for value in ("", "x", "x.y", Sessions().new(), "\u00e9.x", "." * 9):
        headers = {"cookie": f"{COOKIE}={value}".encode("latin-1", "replace")}
        bert.cookies.clear()
        assert bert.get("/api/room", headers=headers).status_code == 401
    mine = anna.cookies[COOKIE]
    assert Sessions().owner(mine) is None
    assert json.loads(anna.get("/api/room").content)["uploads"] == []
