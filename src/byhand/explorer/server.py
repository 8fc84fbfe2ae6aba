"""The session behind HTTP: the page's files, and POST /api/<operation>. Everything else is refused in one line."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from byhand.errors import ByhandError, InputError
from byhand.explorer.guard import Guard, refused
from byhand.explorer.jobs import Cancelled, Job
from byhand.explorer.session import Session
from byhand.explorer.wire import encoded

MOST_BODY, FAR_TOO_MUCH = 1_000_000, 8_000_000  # bytes of a request
AT_ONCE, WAITING = 48, 256  # requests that are worked on at once, and those that may wait for it
PATIENCE = 20  # seconds that a request may take to arrive
QUICK = ("progress", "cancel")  # never wait behind others
KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "png": "image/png"}
PAGE = "<!doctype html><html lang=en><meta charset=utf-8><title>byhand</title><p>The page has not been built."


class Server:
    """One session's application."""

    def __init__(self, session: Session, token: str, port: int) -> None:
        self.session = session
        self.page = page_files()
        self.jobs: set[Job] = set()
        self.threads, self.quick = ThreadPoolExecutor(AT_ONCE, "answer"), ThreadPoolExecutor(4, "quick")
        routes = [
            Route("/{token}/api/{op}", self.answer, methods=["POST"]),
            Route("/{token}/{name:path}", self.file, methods=["GET"]),
        ]
        errors: Any = {HTTPException: unknown}
        self.app = Guard(Starlette(routes=routes, exception_handlers=errors), token, port)

    # --- the page -------------------------------------------------------------------------------------------------

    async def file(self, request: Request) -> Response:
        """One of the page's files by its exact name: they were all read at the start, so no path leads elsewhere."""
        name = request.path_params["name"] or "index.html"
        if name not in self.page:
            return refused(404, f"there is no page {name!r:.60}")
        return Response(self.page[name], media_type=KINDS[name.rpartition(".")[2]])

    # --- answers --------------------------------------------------------------------------------------------------

    async def answer(self, request: Request) -> Response:
        op = request.path_params["op"]
        try:
            async with asyncio.timeout(PATIENCE):
                params = parameters(await body(request))
            if len(self.jobs) >= WAITING:
                return refused(503, f"{WAITING} requests are waiting already; try again later")
            return Response(await self.worked(request, op, params), media_type="application/octet-stream")
        except TooLarge as error:
            return refused(413, str(error), close=True)
        except Cancelled as error:
            return refused(409, str(error))
        except ClientDisconnect:
            return refused(409, "nobody waits for this any more")
        except ByhandError as error:
            return refused(400, str(error))
        except TimeoutError:
            return refused(408, f"the request did not arrive within {PATIENCE} seconds", close=True)
        except MemoryError:
            return refused(400, f"{op}: there is not enough memory for this")
        except Exception as error:  # a mistake of byhand's own: the page says it, and goes on
            line = f"a mistake of byhand in {op!r:.40}: {type(error).__name__}: {error!s:.200}"
            print(f"byhand: {line}", file=sys.stderr, flush=True)
            return refused(500, line)

    async def worked(self, request: Request, op: str, params: Mapping[str, Any]) -> bytes:
        """The answer, computed in a thread; it stops when whoever asked has gone away."""
        job, threads = Job(), self.quick if op in QUICK else self.threads
        self.jobs.add(job)
        watching = asyncio.create_task(stopping(request, job))
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, self.computed, op, params, job)
        except asyncio.CancelledError:
            job.stop.set()
            raise
        finally:
            watching.cancel()
            self.jobs.discard(job)

    def computed(self, op: str, params: Mapping[str, Any], job: Job) -> bytes:
        job.check()
        return encoded(self.session.handle(op, params, job))

    def stop(self) -> None:
        """Stop all that is computed now, and begin nothing more."""
        for job in list(self.jobs):
            job.stop.set()
        for threads in (self.threads, self.quick):
            threads.shutdown(wait=False, cancel_futures=True)


class TooLarge(InputError):
    """A request has too many bytes."""


async def stopping(request: Request, job: Job) -> None:
    """Stop a request when the page that asked has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    job.stop.set()


async def body(request: Request) -> bytes:
    """What a request sent. Raises TooLarge: after it was read, or at once where it is far too much."""
    parts, size = [], int(request.headers.get("content-length", "0"))
    if size <= FAR_TOO_MUCH:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size <= MOST_BODY:
                parts.append(part)
            elif size > FAR_TOO_MUCH:
                break
    if size > MOST_BODY:
        raise TooLarge(f"the request has more than {MOST_BODY} bytes")
    return b"".join(parts)


def parameters(text: bytes) -> Mapping[str, Any]:
    """The parameters of a request. Raises InputError for what is no object of JSON."""
    try:
        found = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise InputError("the request is no JSON") from None
    if not isinstance(found, dict):
        raise InputError("the request is no object of parameters")
    return found


def no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def page_files() -> dict[str, bytes]:
    """Everything the page is made of, by name."""
    folder = files("byhand.explorer") / "static"
    found = [each for each in folder.iterdir() if each.name.rpartition(".")[2] in KINDS] if folder.is_dir() else []
    return {"index.html": PAGE.encode(), **{each.name: each.read_bytes() for each in found}}


async def unknown(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return refused(status, f"nothing answers {request.method} here")
