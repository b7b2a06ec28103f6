"""What the tests know of the web server on this machine; the fixture `mirror` starts it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Mirror:
    """A web server on this machine: `files` maps paths to (status, body, announced length)."""

    url: str
    files: dict[str, tuple[int, bytes, int]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def serve(self, path: str, body: bytes, *, status: int = 200, length: int | None = None) -> None:
        self.files["/" + path] = (status, body, len(body) if length is None else length)
