"""`ganzoo explore`: what it refuses, and how it ends. The page itself is tested in tests/explore."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command

pytest.importorskip("starlette", reason="starlette is not installed, so ganzoo explore is not tested")


def test_a_missing_extra_names_the_line_that_installs_it(ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name))
    result = ganzoo_cli("explore")
    assert result.code != 0
    assert result.err == (
        'Error: The page needs uvicorn, which is not installed. Install it: pip install "ganzoo-core[explore]"\n'
    )


def test_a_port_in_use_is_one_message(ganzoo_cli: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = ganzoo_cli("explore", tmp_path, "--port", port)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"Error: Port {port} is in use. Choose another with --port")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "There is no directory nowhere."),
        ((), "Train something first: ganzoo train cgan --dataset digits"),
        ((".", "--dataset", "ring"), "--dataset, --set and --seed need --train ARCH."),
        ((".", "--set", "width=8"), "--dataset, --set and --seed need --train ARCH."),
        ((".", "--train", "nothing"), "nothing"),
        ((".", "--train", "dcgan"), "dcgan is for images, but ring has points."),
        ((".", "--train", "wgan", "--set", "penalty=none"), "Choose penalty=gradient"),
        ((".", "--host", "no such host"), "Cannot listen on no such host"),
        ((".", "--port", "70000"), "70000"),
    ],
)
def test_bad_arguments_are_one_message(
    arguments: tuple[str, ...], message: str, ganzoo_cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = ganzoo_cli("explore", *arguments)
    assert result.code == 2
    assert message in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_prints_an_address_serves_it_and_ends_at_a_signal(number: int, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ganzoo", "explore", str(tmp_path), "--port", "0"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    handled = {
        "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    }  # a shell's background jobs ignore it
    with subprocess.Popen(command, text=True, **pipes, **handled) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[1]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
        with opener.open(address) as page:
            assert b"<title>ganzoo explore</title>" in page.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address.partition("?")[0])
        server.send_signal(number)
        _, errors = server.communicate(timeout=60)
    assert (server.returncode, errors.strip()) == (code, "")
    assert list(tmp_path.iterdir()) == []
