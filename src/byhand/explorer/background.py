"""The page served beside a Python that goes on: from a shell or a script."""

from __future__ import annotations

import webbrowser
from contextlib import ExitStack
from types import TracebackType

from byhand.explorer.serving import served
from byhand.explorer.session import Session


class Page:
    """A page that is being served; `link` opens it. It ends with `close`, at the end of a `with`, or with Python."""

    def __init__(self, session: Session, *, port: int = 0, browser: bool = True) -> None:
        self.open = ExitStack()
        serving = self.open.enter_context(served(session, port))
        self.link = serving.link
        if browser:
            webbrowser.open(serving.once())  # what a browser is started with, others on this machine can read

    def __repr__(self) -> str:
        return f"<page at {self.link}>"

    def __enter__(self) -> Page:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving; what is being computed for the page is cancelled."""
        self.open.close()
