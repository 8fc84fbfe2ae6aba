"""Pickles read without running anything.

A pickle is a program for a small stack machine, and Python's own reader calls whatever that program names. This reader
knows only the instructions that plain values need. A name in the pickle (GLOBAL) stays a name; calling it (REDUCE) is
left to a table of the reader's, and a name that is not in the table ends the reading. What a pickle makes is counted,
so that a small file cannot fill the memory. Source: the comments of Python's pickletools.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from sys import getsizeof
from typing import Any, NamedTuple

from byhand.errors import InputError

DEEPEST_STACK = 100_000
LARGEST_KEY = 1 << 60  # larger ones can be chosen so that all have the same hash, and a dict of them takes hours
LONGEST_TEXT = 1 << 14  # bytes; names and settings are short
Call = Callable[..., Any]


class Name(NamedTuple):
    """A name that a pickle mentions, such as collections.OrderedDict. It is never imported."""

    text: str


class Mark:
    """Where a list of arguments begins on the stack."""


MARK = Mark()


class Damaged(Exception):
    """The bytes are no pickle that the reader can follow."""


class Unpickler:
    """Reads one pickle out of some bytes.

    data: the bytes; at: where the pickle begins, and after `load` where it ended; where: its file, for messages; calls:
    what to do for each name that the pickle may call; persistent: makes a value of a persistent id; limit: bytes that
    all values together may take.
    """

    def __init__(
        self, data: Any, where: str, calls: Mapping[str, Call], persistent: Call | None = None, *, at: int, limit: int
    ) -> None:
        self.data, self.at, self.where = data, at, where
        self.calls, self.persistent, self.left = calls, persistent, limit
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The value of the pickle. Raises InputError for a name that may not be called and for damaged bytes."""
        try:
            while (code := self.take(1)[0]) != STOP:
                if code not in INSTRUCTIONS:
                    raise Damaged(f"instruction {code:#04x} is not one that weights need")
                INSTRUCTIONS[code](self)
            return self.pop()
        except (Damaged, struct.error, UnicodeDecodeError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{self.where} holds a pickle that cannot be read: {str(error)[:100]} (byte {self.at}); it is damaged, "
                "was cut off, or is no checkpoint"
            ) from None

    # --- bytes, stack ---------------------------------------------------------------------------------------------

    def take(self, length: int) -> bytes:
        """The next bytes."""
        if length < 0 or self.at + length > len(self.data):
            raise Damaged(f"it ends inside a value of {length} bytes")
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        """The text up to the next end of line."""
        end = self.data.find(b"\n", self.at, self.at + 1000)
        if end < 0:
            raise Damaged("a line has no end")
        return self.take(end + 1 - self.at)[:-1].decode()

    def spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise InputError(
                f"{self.where} holds a pickle that would take more memory than a checkpoint's; it was not read on"
            )

    def push(self, value: Any) -> None:
        """Put a new value onto the stack."""
        self.spend(getsizeof(value) + 8)
        self.repeat(value)

    def repeat(self, value: Any) -> None:
        """Put a value onto the stack that is in memory already."""
        if len(self.stack) >= DEEPEST_STACK:
            raise Damaged("its stack is too deep")
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is MARK:
            raise Damaged("it takes a value from an empty stack")
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        """The value on the stack that the next instruction fills."""
        if not self.stack or type(self.stack[-1]) is not kind:
            raise Damaged(f"it fills something that is no {kind.__name__}")
        return self.stack[-1]

    def marked(self) -> list[Any]:
        """The values above the last mark, taken off with it."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is MARK:
                values = self.stack[place + 1 :]
                del self.stack[place:]
                return values
        raise Damaged("it has no mark")

    # --- instructions ---------------------------------------------------------------------------------------------

    def store(self, place: int) -> None:
        if not self.stack:
            raise Damaged("it remembers nothing")
        self.spend(120)
        self.memo[place] = self.stack[-1]

    def fetch(self, place: int) -> None:
        if place not in self.memo:
            raise Damaged(f"it asks for value {place}, which it never made")
        self.spend(8)
        self.repeat(self.memo[place])

    def set_items(self, values: list[Any]) -> None:
        found = self.top(dict)
        if len(values) % 2:
            raise Damaged("a key has no value")
        self.spend(60 * len(values))
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in (str, int, float, bool, bytes, type(None)):
                raise Damaged(f"a key is a {type(key).__name__}")
            if type(key) is int and abs(key) > LARGEST_KEY:
                raise Damaged("a key is a number of more than 60 bits")
            found[key] = value

    def append(self, values: list[Any]) -> None:
        self.spend(16 * len(values))
        self.top(list).extend(values)

    def add_items(self, values: list[Any]) -> None:
        """A set is read as a list: nothing here asks whether something is in it."""
        self.append(values)

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if type(name) is not str or type(module) is not str:
            raise Damaged("a name is no text")
        self.push(Name(f"{module}.{name}"))

    def reduce(self) -> None:
        arguments, name = self.pop(), self.pop()
        if type(name) is not Name:
            raise Damaged("it calls something that is no name")
        if name.text not in self.calls:
            raise InputError(
                f"{self.where} asks to call {name.text!r:.80}, which weights do not need and which could do anything; "
                "nothing of it was run"
            )
        if type(arguments) is not tuple:
            raise Damaged("a call has no arguments")
        self.push(self.calls[name.text](*arguments))

    def build(self) -> None:
        """Attributes of an object; torch gives a state dict its _metadata so, which says nothing about the weights."""
        state = self.pop()
        if type(state) is not dict or state.keys() - {"_metadata"}:
            raise Damaged("it sets attributes of an object")
        self.top(dict)

    def persistent_id(self) -> None:
        if self.persistent is None:
            raise Damaged("it refers to something outside")
        self.push(self.persistent(self.pop()))

    def long(self, length: int) -> None:
        if length > 64:
            raise Damaged(f"a whole number has {length} bytes")
        self.push(int.from_bytes(self.take(length), "little", signed=True))

    def text(self, length: int) -> None:
        self.push(self.cut(length).decode("utf-8", "surrogatepass"))

    def cut(self, length: int) -> bytes:
        """Bytes that become a value, refused before they are copied if they are too many."""
        if length > LONGEST_TEXT:
            raise Damaged(f"a text has {length} bytes")
        self.spend(max(length, 0))
        return self.take(length)


def instruction(form: str, act: Callable[[Unpickler, Any], None]) -> Callable[[Unpickler], None]:
    """An instruction with one number behind it."""
    return lambda reader: act(reader, reader.number(form))


def constant(make: Callable[[], Any]) -> Callable[[Unpickler], None]:
    return lambda reader: reader.push(make())


def several(count: int) -> Callable[[Unpickler], None]:
    """A tuple of the last values."""
    return lambda reader: reader.push(tuple([reader.pop() for _ in range(count)][::-1]))


def protocol(reader: Unpickler, version: int) -> None:
    if version > 5:
        raise Damaged(f"its protocol is {version}")


STOP = ord(".")
INSTRUCTIONS: dict[int, Callable[[Unpickler], Any]] = {
    0x80: instruction("<B", protocol),
    0x95: lambda r: r.take(8),  # FRAME
    ord("("): lambda r: r.repeat(MARK),
    ord("0"): lambda r: r.pop(),
    ord("N"): constant(lambda: None),
    0x88: constant(lambda: True),
    0x89: constant(lambda: False),
    ord("}"): constant(dict),
    ord("]"): constant(list),
    0x8F: constant(list),  # EMPTY_SET
    ord(")"): constant(tuple),
    0x85: several(1),
    0x86: several(2),
    0x87: several(3),
    ord("t"): lambda r: r.push(tuple(r.marked())),
    ord("K"): instruction("<B", Unpickler.push),
    ord("M"): instruction("<H", Unpickler.push),
    ord("J"): instruction("<i", Unpickler.push),
    0x8A: instruction("<B", Unpickler.long),
    ord("G"): instruction(">d", Unpickler.push),
    ord("X"): instruction("<I", Unpickler.text),
    0x8C: instruction("<B", Unpickler.text),
    0x8D: instruction("<Q", Unpickler.text),
    ord("U"): instruction("<B", Unpickler.text),  # SHORT_BINSTRING, of Python 2
    ord("T"): instruction("<i", Unpickler.text),
    ord("B"): instruction("<I", lambda r, n: r.push(r.cut(n))),
    ord("C"): instruction("<B", lambda r, n: r.push(r.cut(n))),
    0x8E: instruction("<Q", lambda r, n: r.push(r.cut(n))),
    ord("q"): instruction("<B", Unpickler.store),
    ord("r"): instruction("<I", Unpickler.store),
    0x94: lambda r: r.store(len(r.memo)),  # MEMOIZE
    ord("h"): instruction("<B", Unpickler.fetch),
    ord("j"): instruction("<I", Unpickler.fetch),
    ord("c"): lambda r: r.push(Name(f"{r.line()}.{r.line()}")),
    0x93: Unpickler.stack_global,
    ord("R"): Unpickler.reduce,
    0x81: Unpickler.reduce,  # NEWOBJ
    ord("b"): Unpickler.build,
    ord("s"): lambda r: r.set_items([r.pop(), r.pop()][::-1]),
    ord("u"): lambda r: r.set_items(r.marked()),
    ord("a"): lambda r: r.append([r.pop()]),
    ord("e"): lambda r: r.append(r.marked()),
    0x90: lambda r: r.add_items(r.marked()),
    ord("Q"): Unpickler.persistent_id,
}
