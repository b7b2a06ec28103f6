"""The local web server that the fixture `mirror` starts."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Mirror:
    """A local web server: `files` maps paths to (status, body, Content-Length)."""

    url: str
    files: dict[str, tuple[int, bytes, int]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def serve(self, path: str, body: bytes, *, status: int = 200, length: int | None = None) -> None:
        self.files["/" + path] = (status, body, len(body) if length is None else length)
