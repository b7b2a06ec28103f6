"""The server's socket and process."""

from __future__ import annotations

import errno
import importlib.util
import ipaddress
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from ganzoo.core.errors import PluginError, UsageError
from ganzoo.training.session import Session

FIRST_PORT, PORTS = 8642, 20
"""Without --port, the first free one of these is used."""
EXTRA = 'pip install "ganzoo-core[explore]"'


def require_extra() -> None:
    """PluginError, with the command to install them, if the libraries of the page are missing."""
    for name in ("starlette", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise PluginError(f"The page needs {name}, which is not installed. Install it: {EXTRA}")


def serve(
    root: Path,
    session: Session | None,
    host: str,
    port: int | None,
    announce: Callable[[str], None],
    device: str | None = None,
) -> None:
    """Serve the page until a signal arrives. `announce` is called with its address once it can be opened."""
    require_extra()
    import torch
    import uvicorn

    from ganzoo.explore.live import LiveTraining
    from ganzoo.explore.run_folder import RunFolder
    from ganzoo.explore.security import LOOPBACK
    from ganzoo.explore.server import application

    # A core for the browser: threads that wait for one that it has taken slow down every step.
    torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    listener = open_socket(host, port)
    token = secrets.token_urlsafe(24)
    live = None if session is None else LiveTraining(session)

    def ending() -> bool:
        return server.should_exit

    app = application(
        RunFolder(root), live, token, device, ending, hosts=(*LOOPBACK, host), any_address=not is_loopback(host)
    )
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=3, ws="none"
    )
    server = uvicorn.Server(config)
    name = f"[{host}]" if ":" in host else host
    announce(f"http://{name}:{listener.getsockname()[1]}/?token={token}")
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
        if live is not None:
            live.close()


def open_socket(host: str, port: int | None) -> socket.socket:
    """A socket that listens. UsageError if the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else [port]:
        try:
            listener = socket.create_server((host, candidate), family=family, backlog=128)
        except OSError as failure:
            if failure.errno != errno.EADDRINUSE:
                raise UsageError(f"Cannot listen on {host}: {failure.strerror or failure}.") from None
            continue
        # Its connections inherit this, which asyncio sets only on sockets that name their protocol. Without it the body
        # of an answer waits 40 ms until its head is acknowledged.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    if port is None:
        raise UsageError(f"The ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are all in use. Choose one: --port N.")
    raise UsageError(f"Port {port} is in use. Choose another with --port, or leave it out for the first free one.")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
