"""Who may ask: only a page that this server gave out, on this machine, to somebody who has its link.

Other pages in the same browser can send requests here too, and so can every user of this machine. They are kept out by
the name the server was asked under (a foreign name that was pointed here has another), by the page the request came
from, and by the token. The token is part of the link, as its first folder, so that a copied link works in another
browser of the same person as long as the server runs, and nothing at all is found without it. It stays on this machine:
the page loads nothing from elsewhere and no browser is allowed to tell where it came from. A request for numbers must
also bring it in a header, which no page of another origin can send without being asked first.
"""

from __future__ import annotations

import json
from hmac import compare_digest
from secrets import token_urlsafe

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from byhand.errors import one_line

TOKEN = "X-Byhand-Token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def new_token() -> str:
    """What only those have who were given the link: 256 bits from the system."""
    return token_urlsafe(32)


def refused(status: int, line: str, *, close: bool = False) -> Response:
    """An error as the page expects it: one line. close: nothing more is read from this connection."""
    headers = {"Connection": "close"} if close else {}
    return Response(json.dumps({"error": one_line(line)}), status, headers, media_type="application/json")


class Guard:
    """Lets requests pass that have the link and come from the server's own page; below /api/ they need the header too.

    starts: paths that lead to the page once, for the browser that is opened: others here can read its command line.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token = app, token
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.starts: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] == "http":
            answer = self.refusal(Headers(scope=scope), scope["path"]) or self.app
            await answer(scope, receive, sending)

    def refusal(self, headers: Headers, path: str) -> Response | None:
        """The answer to a request that may not pass; None for one that may."""
        if headers.getlist("host") not in [[host] for host in self.hosts]:
            return refused(403, "this server answers only under the address that it printed")
        origins = headers.getlist("origin")
        if origins and origins != [f"http://{headers['host']}"]:
            return refused(403, "this request comes from another page")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return refused(403, "this request comes from another page")
        first, _, rest = path.removeprefix("/").partition("/")
        if first in self.starts and not rest:
            self.starts.discard(first)
            return RedirectResponse(f"/{self.token}/", 303)
        asks = rest.startswith("api/")
        if not same(first, self.token) or (asks and not same(headers.get(TOKEN, ""), self.token)):
            return refused(403 if asks else 404, "there is nothing here: open the link that byhand explore printed")
        return None


def same(given: str, token: str) -> bool:
    """Whether two texts are the same, in a time that does not say how far."""
    return compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())
