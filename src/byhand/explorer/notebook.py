"""The page inside a notebook: a frame that talks to this Python over the notebook's own messages."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anywidget
import traitlets

from byhand.errors import ByhandError, one_line
from byhand.explorer.jobs import Cancelled
from byhand.explorer.page import built, page
from byhand.explorer.scene import Scene
from byhand.explorer.session import Session
from byhand.explorer.wire import encoded

AT_ONCE = 4  # requests that are worked on side by side, so that progress and cancel are heard while a run goes on
HEIGHT = 720  # CSS pixels


class Explorer(anywidget.AnyWidget):
    """The explorer as a widget. Every one has a frame of its own, so that several in a notebook do not meet."""

    _esm = built("widget.js")
    page = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(HEIGHT).tag(sync=True)

    def __init__(self, session: Session, scene: Scene, height: int = HEIGHT) -> None:
        session.first = scene
        self.session, self.workers = session, ThreadPoolExecutor(AT_ONCE)
        super().__init__(page=page(session.model.name, {"host": "frame"}), height=height)
        self.on_msg(lambda _, content, buffers: self.workers.submit(self.answer, content))

    def answer(self, content: Any) -> None:
        """Answer one message {id, op, params} with {id} and a buffer, or {id, error, cancelled}."""
        head: dict[str, Any] = {}
        data: list[bytes] = []
        match content:
            case {"id": int(number), "op": str(op), "params": dict(params)}:
                head["id"] = number
                try:
                    data.append(encoded(self.session.handle(op, params)))
                except ByhandError as error:
                    head |= {"error": one_line(str(error)), "cancelled": isinstance(error, Cancelled)}
            case _:
                head["error"] = "a message of the explorer needs an id, an op and params"
        self.send(head, data)
