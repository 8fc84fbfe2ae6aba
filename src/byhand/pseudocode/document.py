"""A finished listing: its lines by step, and how it is written as text, Markdown and plain data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from textwrap import wrap
from typing import Any

from byhand.pseudocode.letters import Letter

INDENT, NOTE = "    ", "  # "
GLUE = "\u00a0"  # a space at which no line is broken
PRODUCTS = {"*", "/", "//", "**"}
SIGNS = {"=", "+", "-", *PRODUCTS}
OPEN, CLOSE, COMMENT = re.compile(r"[(\[]"), re.compile(r"[)\]]"), re.compile(r"( *# |)(.*)")
# Where to break a line, best first: inside how many brackets, and whether a product may be torn apart.
BREAKS = [(deepest, products) for deepest in (0, 1, 2, 9) for products in (False, True)]
WHOLE: Any = {"break_long_words": False, "break_on_hyphens": False}


def bracket(places: Iterable[object]) -> str:
    """``[0,1,2]``; nothing where there are no places."""
    inside = ",".join(map(str, places))
    return f"[{inside}]" if inside else ""


@dataclass(frozen=True)
class Line:
    """One line. address: what it defines; left: the same with its index; shape: of a whole array, in brackets."""

    address: str
    left: str
    shape: str
    formula: str

    def __str__(self) -> str:
        return f"{self.left} {self.shape} = {self.formula}" if self.shape else f"{self.left} = {self.formula}"

    def to_dict(self) -> dict[str, Any]:
        return {"address": self.address, "left": self.left, "shape": self.shape, "formula": self.formula}


@dataclass(frozen=True)
class Group:
    """Lines that are alike, so that of many only some need be shown.

    heading: what they say, in names; rows: what is shown instead of lines where several fit on one.
    """

    lines: Sequence[Any]
    heading: tuple[str, ...] = ()
    rows: Sequence[Any] | None = None

    def shown(self, most: int | None) -> Iterator[str]:
        lines = self.lines if self.rows is None else self.rows
        yield from (f"# {line}" for line in self.heading)
        yield from map(str, islice(lines, most))
        if most is not None and len(lines) > most:
            yield f"# ... {len(lines) - most:,} more like this"


@dataclass(frozen=True)
class Section:
    """The lines of one step. operator: its name, or "" where there is none; heading: what they say in short."""

    address: str
    operator: str
    heading: tuple[str, ...]
    groups: tuple[Group, ...]

    def lines(self, most: int | None) -> Iterator[str]:
        for group in self.groups:
            yield from group.shown(most)

    def to_dict(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "operator": self.operator,
            "heading": list(self.heading),
            "lines": [line.to_dict() for group in self.groups for line in group.lines],
        }


@dataclass(frozen=True, repr=False)
class Pseudocode:
    """A listing. part: the addresses it was asked for; depth: vector, operators or numbers; letters: what each means;
    most: lines shown of a group in text and Markdown (None: all). Plain data leaves nothing out.
    """

    title: str
    program: str
    part: str
    depth: str
    direction: str
    letters: Mapping[str, Letter]
    sections: tuple[Section, ...]
    most: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def text(self, width: int = 80, short: bool = False) -> str:
        """For a terminal; longer lines are wrapped. short: without the part's own address before every name."""
        key = ", ".join(self.key("{letter} {meaning}", "{letter}={size} {meaning}"))
        lines = [f"# {self.title}", *([f"# {key}"] if key else []), ""]
        for section in self.sections:
            lines += [f"# {line}" for line in section.heading] + list(section.lines(self.most))
            lines += [""] * (self.depth != "vector")
        return "\n".join(wrapped(self.shortened(line) if short else line, width) for line in lines).rstrip()

    def key(self, unknown: str, known: str) -> Iterator[str]:
        """Every letter with what it means, in one form where its size is open and in another where it is known."""
        for letter, (meaning, size) in self.letters.items():
            yield (known if size else unknown).format(letter=letter, meaning=meaning, size=size)

    def shortened(self, line: str) -> str:
        """The line with names as they are called inside the part."""
        return re.sub(rf"(?<![\w.]){re.escape(self.part)}\.(?=\w)", "", line) if self.part else line

    def markdown(self) -> str:
        """Headings, a list of the letters, and the lines as code."""
        parts = [f"## {self.title}", "\n".join(self.key("- `{letter}` {meaning}", "- `{letter}` = {size} {meaning}"))]
        if self.depth == "vector":
            parts.append(fenced(line for section in self.sections for line in section.lines(self.most)))
        for section in self.sections if self.depth != "vector" else ():
            said = "\n".join(f"`{line}`  " for line in section.heading)
            parts += [f"### {section.address}", said, fenced(section.lines(self.most))]
        return "\n\n".join(part for part in parts if part) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """The whole listing as plain data, for JSON."""
        return {
            "title": self.title,
            "program": self.program,
            "part": self.part,
            "depth": self.depth,
            "direction": self.direction,
            **self.facts,
            "letters": {letter: each._asdict() for letter, each in self.letters.items()},
            "steps": [section.to_dict() for section in self.sections],
        }

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__


def fenced(lines: Iterable[str]) -> str:
    return "\n".join(["```text", *(wrapped(line, 100) for line in lines), "```"])


def wrapped(line: str, width: int) -> str:
    """A line broken where it reads best, what follows indented; a comment stays a comment."""
    if len(line) <= width:
        return line
    body, mark, note = line.partition(NOTE)
    if mark and not line.startswith(" "):
        return f"{wrapped(body, width)}\n{wrapped(INDENT + '# ' + note, width)}"
    start, text = COMMENT.fullmatch(line).groups()  # type: ignore[union-attr]
    indent = start + INDENT[len(start) and 1 :]
    for deepest, products in BREAKS:
        found = wrap(breakable(text, deepest, products), width, initial_indent=start, subsequent_indent=indent, **WHOLE)
        if max(map(len, found)) <= width:
            break
    return "\n".join(found).replace(GLUE, " ")


def breakable(text: str, deepest: int, products: bool) -> str:
    """The text with glue for every space at which it should stay together.

    A line may be broken where few enough brackets are open, but not behind a sign, not inside a product (unless it may
    be torn), and not between the name and the sign of a definition: ``where unit = ...``.
    """
    depth, made, before = 0, [], ""
    for word, following in pairwise([*text.split(" "), ""]):
        depth += len(OPEN.findall(word)) - len(CLOSE.findall(word))
        named = following == "=" and (before == "where" or before.endswith(","))
        torn = (following in PRODUCTS and not products) or word == "..." or following.startswith("more")
        made += [word, GLUE if depth > deepest or word in SIGNS or torn or named else " "]
        before = word
    return "".join(made[:-1])
