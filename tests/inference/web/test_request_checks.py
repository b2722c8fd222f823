import socket

import pytest
from starlette.testclient import TestClient

from inference.web.request_checks import is_loopback, own_names
from inference.web.server import build_app


@pytest.fixture
def ask(slow_worker, open_app):
    app_state = open_app(slow_worker)

    def ask_one(method="GET", path="/", is_open=False, hosts=("localhost",), **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        client = TestClient(
            build_app(app_state, hosts, allow_addresses=is_open), base_url="http://localhost"
        )
        return client.request(method, path, headers=named)

    return ask_one


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:7860", "LOCALHOST.", "127.0.0.1:80", "[::1]:7860", "127.9.9.9"]
)
def test_this_machine_is_answered(ask, host):
    assert ask(host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "10.0.0.7", "", "[", "localhost@evil.example"],
)
def test_a_name_that_was_made_to_point_here_is_refused(ask, host):
    answer = ask(host=host)
    assert answer.status_code == 403
    assert "does not answer to the name" in answer.json()["error"]
    assert "set-cookie" not in answer.headers


def test_a_server_of_a_network_answers_to_addresses_and_to_names_it_was_given(ask):
    assert ask(host="10.0.0.7:7860", is_open=True).status_code == 200
    assert ask(host="fitting.example", hosts=("fitting.example",)).status_code == 200
    assert ask(host="evil.example", is_open=True).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:8000"}, 403),  # another server of this machine
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"origin": "http://localhost:7860", "sec_fetch_site": "same-origin"}, 401),
        ({}, 401),  # no browser: no cookie either, so it stops one step later
    ],
)
@pytest.mark.parametrize("path", ["/api/uploads", "/api/jobs"])
def test_other_sites_cannot_act_through_a_visitors_browser(ask, headers, status, path):
    assert ask("POST", path, host="localhost:7860", **headers).status_code == status


def test_every_answer_tells_the_browser_to_be_careful(ask):
    for path in ("/", "/assets/page.js", "/api/room", "/nothing"):
        headers = ask(path=path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
    assert ask(host="evil.example").headers["x-content-type-options"] == "nosniff"


def test_the_cookie_is_kept_from_scripts_and_other_sites(ask):
    cookie = ask().headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_loopback_is_told_from_the_rest():
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("fitting.example")
    assert own_names("127.0.0.1", ["proxy.example"]) == {"localhost", "proxy.example"}
    assert socket.gethostname() in own_names("0.0.0.0", [])
