"""Who may ask the server for something: a guard around the whole application.

The page can load trained networks and start computations, so a page of another site that is open in the same browser
must not be able to use it. The token keeps out other users of the machine, the Host header DNS rebinding, and the
Origin header requests that another site makes the browser send.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from ganzoo.core.errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
MAX_JSON_BYTES = 1 << 20


class Guard:
    """Passes requests to `app` that carry the token, are addressed to this server and come from its own page.

    The token is accepted in the address, `?token=...`, and from then on as a cookie that scripts cannot read and that
    browsers send to this server only. `hosts` are the names that the server goes by; with `any_address` also every
    literal IP address, which no DNS answer can stand in for.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Collection[str] = LOOPBACK, any_address: bool = False):
        self.app = app
        self.token = token
        self.hosts = {host.lower() for host in hosts}
        self.any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request
        from starlette.responses import JSONResponse, RedirectResponse

        if scope["type"] == "websocket":  # there are none
            return await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *ours]
            await send(message)

        request = Request(scope)
        given = request.query_params.get("token")
        reason = self._refusal(request, given)
        if reason is not None:
            response = JSONResponse({"error": reason}, 403)
            return await response(scope, receive, send_with_headers)
        if given is not None and request.method == "GET":  # keep the token out of the history and of bookmarks
            rest = urlencode([(name, value) for name, value in parse_qsl(request.url.query) if name != "token"])
            redirect = RedirectResponse(request.url.path + (f"?{rest}" if rest else ""), 303)
            redirect.set_cookie(self._cookie(request), self.token, httponly=True, samesite="strict")
            return await redirect(scope, receive, send_with_headers)
        await self.app(scope, receive, send_with_headers)

    def _refusal(self, request: Request, given: str | None) -> str | None:
        """Why this request is refused; None if it is not."""
        host = request.headers.get("host", "")
        if not self._is_ours(host):
            return f"This server does not go by the name {host!r}."
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return f"Requests from the site {origin} are refused."
        if origin is None and request.method not in ("GET", "HEAD"):
            return "A request that changes something needs an Origin header."
        token = self._token_in_cookie(request) if given is None else given
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return "The token is missing or wrong. Open the address that `ganzoo explore` printed."
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self.hosts:
                return True
            return self.any_address and bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def _cookie(self, request: Request) -> str:
        """The cookie's name: browsers do not tell servers on different ports of a machine apart."""
        return f"ganzoo-explore-{request.url.port or 80}"

    def _token_in_cookie(self, request: Request) -> str:
        try:
            found = SimpleCookie(request.headers.get("cookie", "")).get(self._cookie(request))
        except CookieError:
            return ""
        return "" if found is None else found.value


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request. UsageError if it is longer than `limit` bytes, as soon as that is known."""
    too_long = UsageError(f"At most {limit / 2**20:.0f} MiB can be sent.")
    if int(request.headers.get("content-length") or 0) > limit:
        raise too_long
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_long
    return bytes(body)
