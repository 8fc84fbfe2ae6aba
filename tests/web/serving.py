"""The explorer served in this process, so that what the page shows can be compared with the arrays it was made from."""

from __future__ import annotations

import json
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from functools import cache
from threading import Event, Thread
from typing import Any

import numpy as np

import byhand
from byhand.explorer import Session
from byhand.explorer.digits import bits
from byhand.explorer.scene import Scene, read_scene
from byhand.explorer.serving import serve
from byhand.run import Run

Array = np.ndarray[Any, Any]
State = dict[str, Any]

STORY = "Once upon a time there was a dog"
PROMPTS: dict[str, State] = {
    "aab": {"text": "abaab"},
    "stories": {"text": STORY},
    "stories-llama": {"text": STORY},
    "reversals": {"text": "", "source": "abcde"},
}


@dataclass
class Explored:
    """A model that is served: its session, the link to it, and the scene that it begins with."""

    session: Session
    link: str
    first: State
    made: dict[str, Run] = field(default_factory=dict)

    def state(self, screen: str = "flow", *, b: State | None = None, a: State | None = None, **view: Any) -> State:
        """What a link to a screen says."""
        return {"a": a or self.first, "b": b, "view": {"screen": screen, **view}}

    def to(self, state: State | None) -> str:
        """The link to a state."""
        return self.link + (f"#{packed(state)}" if state else "")

    def scene(self, given: State | None = None) -> Scene:
        return read_scene(given or self.first)

    def run(self, given: State | None = None) -> Run:
        """The run of a scene, as the session makes it."""
        return self.session.run(self.scene(given))

    def array(self, address: str, given: State | None = None) -> Array:
        return self.session.look(self.scene(given), address)

    def bits(self, address: str, index: tuple[int, ...], given: State | None = None) -> str:
        """The bits of one number as the page should show them."""
        return bits(np.asarray(self.array(address, given)[index]))


def packed(state: State) -> str:
    """A state as the page writes it behind the # of a link."""
    letters = urlsafe_b64encode(zlib.compress(json.dumps(state).encode())).decode()
    return f"v1.{letters.rstrip('=')}"


def unpacked(link: str) -> State:
    """The state that a link of the page holds."""
    letters = link.partition("#v1.")[2]
    return json.loads(zlib.decompress(urlsafe_b64decode(letters + "=" * (-len(letters) % 4))))


def served(session: Session, first: State) -> Explored:
    """Serve a session until this process ends."""
    links: list[str] = []
    ready = Event()

    def told(link: str) -> None:
        links.append(link)
        ready.set()

    Thread(target=serve, args=(session,), kwargs={"browser": False, "ready": told}, daemon=True).start()
    assert ready.wait(30)
    return Explored(session, links[0], first)


@cache
def explored(name: str) -> Explored:
    """A model that comes with the package, served with its prompt."""
    first = PROMPTS[name]
    return served(Session(byhand.load(name), first=read_scene(first)), first)


__all__ = ["PROMPTS", "STORY", "Explored", "State", "explored", "packed", "served", "unpacked"]
