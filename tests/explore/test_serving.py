"""The socket of the page's server. What goes wrong with addresses is tested through the command, in tests/cli."""

from __future__ import annotations

import socket

from ganzoo.explore.serving import open_socket


def test_answers_are_sent_at_once() -> None:
    """Head and body of an answer are two packets: without TCP_NODELAY the second one waits 40 ms."""
    with open_socket("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection = listener.accept()[0]
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
