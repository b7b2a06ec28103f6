"""Directories and a local web server for the data tests, which use neither the user's cache nor the network."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganzoo.core.spec import DataLocation
from tests.data.mirror import Mirror


@pytest.fixture
def where(tmp_path: Path) -> DataLocation:
    """An empty data directory and an empty cache."""
    given = tmp_path / "given"
    given.mkdir()
    return DataLocation(given, tmp_path / "cache")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder for pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.requests.append(self.path)
            status, body, length = site.files.get(self.path, (404, b"", 0))
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Mirror(f"http://127.0.0.1:{server.server_address[1]}/")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()
