"""Serving one session on this machine until Ctrl-C; nothing of it is left then."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Thread, current_thread, main_thread
from time import sleep

import uvicorn

from byhand.errors import InputError
from byhand.explorer.guard import new_token
from byhand.explorer.server import Server
from byhand.explorer.session import Session

HOST = "127.0.0.1"
MOST_CONNECTIONS = 256
HANGUP = getattr(signal, "SIGHUP", signal.SIGTERM)  # the terminal was closed; Windows has no such signal
PATIENCE = 2  # seconds that answers on their way have at the end


def serve(session: Session, *, port: int = 0, browser: bool = True, ready: Callable[[str], None] = print) -> None:
    """Serve until the process is told to stop. port: 0 for a free one; ready: is given the link once it works.

    Only programs on this machine can connect. Raises InputError when the port is taken.
    """
    with closing(listening(port)) as listener:
        serving = Serving(session, listener)
        if browser and has_window():
            Thread(target=webbrowser.open, args=(serving.once(),), daemon=True).start()
        ready(serving.link)
        asyncio.run(serving.serve([listener]))


def has_window() -> bool:
    """Whether a browser would have a window: one for the terminal would take it over."""
    named = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in named)


@contextmanager
def served(session: Session, port: int = 0) -> Iterator[Serving]:
    """Serve in a thread of this process as long as the context lasts; what it gives has the `link`."""
    with closing(listening(port)) as listener:
        serving = Serving(session, listener)
        thread = Thread(target=lambda: asyncio.run(serving.serve([listener])), daemon=True)
        thread.start()
        try:
            while thread.is_alive() and not serving.started:
                sleep(0.001)
            yield serving
        finally:
            serving.should_exit = True
            thread.join()


def listening(port: int) -> socket.socket:
    """A socket that this machine alone can reach. Raises InputError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(MOST_CONNECTIONS)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"port {port} cannot be used: {reason}; give another, or 0 for any") from None
    return listener


class Serving(uvicorn.Server):
    """uvicorn with a session behind it. It stops what is computed as soon as it is told to end: nobody waits for it."""

    def __init__(self, session: Session, listener: socket.socket) -> None:
        token, self.port = new_token(), listener.getsockname()[1]
        self.behind = Server(session, token, self.port)
        self.link = f"http://{HOST}:{self.port}/{token}/"
        super().__init__(configured(self.behind))

    def once(self) -> str:
        """A link that leads to the page once."""
        start = new_token()
        self.behind.app.starts.add(start)
        return f"http://{HOST}:{self.port}/{start}"

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """What ends the process ends the server first: uvicorn waits for SIGINT and SIGTERM, and here for SIGHUP too.

        Raised in the middle of what asyncio does, a signal could get lost.
        """
        with super().capture_signals():
            before = signal.getsignal(HANGUP)
            if current_thread() is not main_thread() or before == signal.SIG_IGN:
                yield
                return
            signal.signal(HANGUP, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(HANGUP, before)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.behind.stop()
        await super().shutdown(sockets)


def configured(server: Server) -> uvicorn.Config:
    return uvicorn.Config(
        server.app,
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws="none",
        interface="asgi3",
        http="h11",
        loop="asyncio",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=PATIENCE,
    )
