"""Only the page itself, opened by whoever has the token, may ask the server for anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganzoo.explore.security import MAX_JSON_BYTES
from tests.explore.conftest import ADDRESS, TOKEN, client_of

PATHS = ("/", "/main.js", "/api/home", "/api/runs/0123456789ab", "/nothing/here")


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1]])
@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_shown_without_the_token(path: str, token: str | None, runs: Path) -> None:
    response = client_of(runs, token=token).get(path)
    assert response.status_code == 403
    assert response.json() == {
        "error": "The token is missing or wrong. Open the address that `ganzoo explore` printed."
    }


def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(runs: Path) -> None:
    client = client_of(runs, token=None)
    response = client.get("/", params={"token": TOKEN}, follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=strict"} <= set(response.headers["set-cookie"].split("; "))
    assert client.get("/").text.startswith("<!doctype html>")


def test_a_wrong_token_in_the_address_is_refused_even_with_the_cookie(client) -> None:  # type: ignore[no-untyped-def]
    assert client.get("/", params={"token": "wrong"}).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8642", "127.0.0.1.evil.example", "10.1.2.3:8642", "", "["]
)
def test_another_name_of_the_server_is_refused(host: str, client) -> None:  # type: ignore[no-untyped-def]
    """DNS rebinding: a foreign name that resolves to this machine."""
    response = client.get("/api/home", headers={"Host": host, "Origin": f"http://{host}"})
    assert response.status_code == 403
    assert "does not go by the name" in response.json()["error"]


@pytest.mark.parametrize("host", ["localhost:8642", "127.0.0.1:8642", "[::1]:8642", "LOCALHOST:8642"])
def test_the_names_of_this_machine_are_accepted(host: str, runs: Path) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert client_of(runs).get("/api/home", headers=headers).status_code == 200


def test_a_server_for_others_accepts_its_addresses_and_no_foreign_name(runs: Path) -> None:
    client = client_of(runs, hosts=("0.0.0.0",), any_address=True)
    for host, status in {"10.1.2.3:8642": 200, "evil.example:8642": 403}.items():
        assert client.get("/api/home", headers={"Host": host, "Origin": f"http://{host}"}).status_code == status


@pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1:8642", "http://127.0.0.1:9999", "null"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_of_other_sites_are_refused(method: str, origin: str, client) -> None:  # type: ignore[no-untyped-def]
    response = client.request(method, "/api/training", headers={"Origin": origin}, content="{}")
    assert response.status_code == 403
    assert response.json()["error"] == f"Requests from the site {origin} are refused."


def test_a_change_needs_an_origin(client) -> None:  # type: ignore[no-untyped-def]
    del client.headers["Origin"]
    assert client.get("/api/home").status_code == 200
    response = client.post("/api/training", content="{}")
    assert (response.status_code, response.json()["error"]) == (
        403,
        "A request that changes something needs an Origin header.",
    )


def test_every_answer_forbids_scripts_of_others_and_frames(client) -> None:  # type: ignore[no-untyped-def]
    for path in (*PATHS, "/?token=wrong"):
        headers = client.get(path).headers
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_long_bodies_are_refused_whatever_they_claim(client) -> None:  # type: ignore[no-untyped-def]
    long = b" " * (MAX_JSON_BYTES + 1)
    claims = client.post("/api/training", content=long)
    silent = client.post("/api/training", content=(part for part in [long[:1000], long]))  # sent in chunks, no length
    for response in (claims, silent):
        assert response.status_code == 400


def test_there_are_no_web_sockets(client) -> None:  # type: ignore[no-untyped-def]
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/api/training"):
        pass


def test_files_beside_the_page_are_not_served(client) -> None:  # type: ignore[no-untyped-def]
    for path in ("/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "/static/../../server.py"):
        assert client.get(path).status_code == 404


def test_the_page_asks_nothing_of_other_servers() -> None:
    import ganzoo.explore

    static = Path(ganzoo.explore.__file__).parent / "static"
    for file in (path for path in static.rglob("*") if path.is_file()):
        addresses = set(file.read_text(encoding="utf-8").split("://")[1:])
        assert all(rest.startswith("www.w3.org/2000/svg") for rest in addresses), file
    assert ADDRESS.startswith("http://127.0.0.1")
