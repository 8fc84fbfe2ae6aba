"""A scene: everything that decides the numbers of a run, as plain data that fits into a link.

A prompt, the edits in order, and of what to take gradients. Two equal scenes have the same bits, so undoing is nothing
but going back to the scene before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

from byhand.errors import InputError
from byhand.explorer.parameters import Parameters

DTYPES = ("float32", "float64", "bfloat16", "int8")
ACTIONS = ("set", "add", "scale", "zero", "patch")
MOST_EDITS, MOST_TOKENS, MOST_TEXT, MOST_NESTED = 200, 200_000, 1_000_000, 3

Place = tuple[int | tuple[int | None, int | None] | None, ...]


@dataclass(frozen=True)
class Change:
    """One edit: where, what, how much. index: a number, (start, stop) or None (all) for each axis; source: of a patch,
    the scene that the same part is taken from.
    """

    address: str
    index: Place
    action: str
    value: float = 0.0
    source: Scene | None = None

    @property
    def where(self) -> tuple[int | slice, ...]:
        return tuple(
            each if isinstance(each, int) else slice(None) if each is None else slice(*each) for each in self.index
        )

    def plain(self) -> dict[str, Any]:
        made = {"address": self.address, "index": [list(i) if isinstance(i, tuple) else i for i in self.index]}
        value = self.source.plain() if self.source else self.value
        return {**made, "action": self.action, "value": value}


@dataclass(frozen=True)
class Gradient:
    """Of which number gradients are taken: the loss, or one element of a value."""

    of: str
    index: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Scene:
    """text or tokens (ids); source or source_tokens of a translation; dtype; changes in order; gradient or None."""

    text: str | None = None
    tokens: tuple[int, ...] | None = None
    source: str | None = None
    source_tokens: tuple[int, ...] | None = None
    dtype: str = "float32"
    changes: tuple[Change, ...] = ()
    gradient: Gradient | None = None

    @property
    def edits(self) -> int:
        """How many edits there are, those of the scenes that patches come from among them."""
        return sum(1 + (each.source.edits if each.source else 0) for each in self.changes)

    @property
    def before(self) -> Scene:
        """The scene without its last edit."""
        return replace(self, changes=self.changes[:-1], gradient=None)

    @property
    def forward(self) -> Scene:
        return replace(self, gradient=None)

    def plain(self) -> dict[str, Any]:
        """As JSON has it; what is not said is left out."""
        prompt = {
            "text": self.text,
            "tokens": None if self.tokens is None else list(self.tokens),
            "source": self.source,
            "source_tokens": None if self.source_tokens is None else list(self.source_tokens),
            "dtype": None if self.dtype == "float32" else self.dtype,
            "changes": [each.plain() for each in self.changes] or None,
        }
        made = {name: value for name, value in prompt.items() if value is not None}
        if self.gradient:
            index = None if self.gradient.index is None else list(self.gradient.index)
            made["gradient"] = {"of": self.gradient.of, "index": index}
        return made

    @property
    def prompt(self) -> tuple[str | list[int], str | list[int] | None]:
        """The text and the text to translate, each as it is given to a model."""
        text = self.text if self.tokens is None else list(self.tokens)
        assert text is not None
        return text, self.source if self.source_tokens is None else list(self.source_tokens)

    @cached_property
    def key(self) -> str:
        """The same for equal scenes, and for no others."""
        return sha256(json.dumps(self.plain(), sort_keys=True).encode()).hexdigest()[:16]


def read_scene(given: Any, what: str = "scene", deep: int = 0) -> Scene:
    """A scene from a request. Raises InputError."""
    if not isinstance(given, Mapping):
        raise InputError(f"{what} is {given!r:.60}; give an object with a text or tokens")
    if deep > MOST_NESTED:
        raise InputError(f"{what}: patches within patches go at most {MOST_NESTED} deep")
    read = Parameters(given, what)
    changes = read.get("changes", [])
    if not isinstance(changes, list) or len(changes) > MOST_EDITS:
        raise read.refuse("changes", f"a list of at most {MOST_EDITS} edits")
    gradient = read.get("gradient", None)
    made = Scene(
        text=limited(read.text("text", None), f"{what}: text"),
        tokens=ids(read, "tokens"),
        source=limited(read.text("source", None), f"{what}: source"),
        source_tokens=ids(read, "source_tokens"),
        dtype=read.text("dtype", "float32", one_of=DTYPES),
        changes=tuple(read_change(each, f"{what}: edit {i}", deep) for i, each in enumerate(changes)),
        gradient=None if gradient is None else read_gradient(gradient, f"{what}: gradient"),
    )
    read.all_asked()
    if deep == 0 and made.edits > MOST_EDITS:
        raise InputError(f"{what} has {made.edits} edits, with those of its patches; at most {MOST_EDITS} are made")
    if (made.text is None) == (made.tokens is None):
        raise InputError(f"{what} needs a text or tokens, one of the two")
    return made


def ids(read: Parameters, name: str) -> tuple[int, ...] | None:
    found = read.wholes(name, None, most=MOST_TOKENS)
    return None if found is None else tuple(found)


def limited(text: str | None, what: str) -> str | None:
    if text is not None and len(text) > MOST_TEXT:
        raise InputError(f"{what} has {len(text)} characters; at most {MOST_TEXT} are read")
    return text


def read_gradient(given: Any, what: str) -> Gradient:
    if not isinstance(given, Mapping):
        raise InputError(f"{what} is {given!r:.60}; give an object with of and index")
    read = Parameters(given, what)
    index = read.wholes("index", None, most=8)
    made = Gradient(read.text("of"), None if index is None else tuple(index))
    read.all_asked()
    return made


def read_change(given: Any, what: str, deep: int) -> Change:
    if not isinstance(given, Mapping):
        raise InputError(f"{what} is {given!r:.60}; give an object with address, index, action and value")
    read = Parameters(given, what)
    action = read.text("action", one_of=ACTIONS)
    index = read.get("index")
    if not isinstance(index, list) or len(index) > 8:
        raise read.refuse("index", "a list with a place for each axis")
    source = read_scene(read.get("value"), f"{what}: patch", deep + 1) if action == "patch" else None
    value = 0.0 if action in ("zero", "patch") else read.number("value")
    read.asked.add("value")
    made = Change(read.text("address"), tuple(place(each, read) for each in index), action, value, source)
    read.all_asked()
    return made


def place(given: Any, read: Parameters) -> int | tuple[int | None, int | None] | None:
    """A place along one axis: a whole number, null for all, or [start, stop], either of them null for no end."""
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    if isinstance(given, list) and len(given) == 2:
        start, stop = given
        if all(end is None or (isinstance(end, int) and not isinstance(end, bool)) for end in given):
            return start, stop
    raise read.refuse("index", "for each axis a whole number, null for all, or [start, stop]")
