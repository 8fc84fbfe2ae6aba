"""One HTML file of chosen values and numbers, for those who have neither Python nor the model.

It holds the page with the answers to all that the page will ask about them, and, in its place where JavaScript is off,
tables and pictures. What the page asks is repeated here; a test opens reports and looks that nothing is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from byhand import listing
from byhand.addresses import resolve
from byhand.checkpoints.files.saving import beside
from byhand.errors import InputError
from byhand.explanation import Explanation
from byhand.explorer.page import page
from byhand.explorer.recording import Ask, recording
from byhand.explorer.runs import session_of
from byhand.run import Run
from byhand.shapes import Index, Shape

View = str | tuple[str, Sequence[int]]

MOST_NUMBERS = 65_536  # of a value that is kept whole; of a larger one its overview
MOST_SLICES = 64  # heads, texts, … of one value
WHOLE, DIGITS = 256, 64  # cells along the side of a window, see web/src/tiles.ts
TERMS, TERMS_AT_ONCE = 12, 256  # see web/src/terms.tsx
DEEP, WIDE = 2, 8  # how far and how broadly the operands of a number are followed


def report(run: Run, path: str | Path, views: Sequence[View] | None = None, *, force: bool = False) -> Path:
    """Write a report.

    views: addresses of values, all of whose numbers are kept (of very large ones an overview), and pairs of an address
    and an index, numbers that are explained two levels down; None for attention, the stream and the best next token.
    Raises AddressError and InputError, among them for a run that no link can describe, see `runs.scene_of`.
    """
    session, scene = session_of(run)
    values, numbers = chosen(run, usual(run) if views is None else views)
    given = {"scene": scene.plain()}
    explained = [each for address, index in numbers for each in followed(run.explain(address, index))]
    asked = [
        *(("model", {}), ("run", given), ("outline", given)),
        *(("stats", {**given, "addresses": [address]}) for address in run.program.addresses if address in run.kept),
        *(ask for address in values for ask in of_value(run, address, given)),
        *(ask for each in explained for ask in of_number(each, given)),
        *of_attention(run, values, given),
    ]
    setting = {"host": "recorded", "recording": recording(session, asked)}
    plain = [listing.html(run), *(run[address]._repr_html_() for address in values)]
    plain += [run.explain(address, index)._repr_html_() for address, index in numbers]
    with beside(path, force) as new:
        new.write_text(page(f"{session.model.name}: a report", setting, "<hr>".join(plain)), encoding="utf-8")
    return Path(path)


def usual(run: Run) -> list[View]:
    """What a report has if nothing is said."""
    attention = [step.address for step in run.program if step.operator.name == "softmax"]
    stream = [
        address for address in run.program.producer if address.endswith((".out", ".mid")) and address.count(".") == 2
    ]
    last: list[View] = []
    if "logits" in run.program:
        at = run.shape("logits")[1] - 1
        last = ["logits", ("logits", (0, at, run.predictions()[-1].best)), ("logits", (0, at, 0))]
    return [*attention, *stream, *last]


def chosen(run: Run, views: Sequence[View]) -> tuple[list[str], list[tuple[str, Index]]]:
    """The values and the numbers that were asked for, under their own addresses. Raises AddressError, InputError."""
    values: list[str] = []
    numbers: list[tuple[str, Index]] = []
    for view in views:
        match view:
            case str():
                values.append(resolve(run.program, view))
            case (str(address), tuple() | list() as index):
                found = run.explain(address, index)
                numbers.append((found.address, found.index))
            case _:
                raise InputError(f"a report shows addresses and pairs of address and index; got {view!r:.60}")
    return list(dict.fromkeys(values)), numbers


# --- what the page will ask -------------------------------------------------------------------------------------------


def of_value(run: Run, address: str, given: dict[str, Any]) -> Iterator[Ask]:
    """All windows that the screen of one value asks for; the page takes its cells out of them."""
    shape = run.shape(address)
    for places in slices(run.program.axes(address), shape):
        for name, index in [(address, places), *masking(run, address, places)]:
            yield from windows(run.shape(name), {**given, "address": name, "index": list(index)})


def slices(axes: str, shape: Shape) -> list[tuple[int | None, ...]]:
    """The indices that leave open what is shown: the last two axes that are no heads and no texts, see slicing.ts."""
    rank = {i: 0 if letter in "HGB" and len(shape) > 2 else 1 for i, letter in enumerate(axes)}
    shown = sorted(rank, key=lambda i: (-rank[i], -i))[:2]
    others = product(*([None] if i in shown else range(size) for i, size in enumerate(shape)))
    return [index for index, _ in zip(others, range(MOST_SLICES), strict=False)]


def masking(run: Run, address: str, places: tuple[int | None, ...]) -> list[tuple[str, tuple[int | None, ...]]]:
    """Where it says what of a slice is hidden, see windowed.ts."""
    step = run.program.producer.get(address)
    if step and step.operator.name == "softmax":
        step = run.program.producer.get(step.reads[0] or "")
    if step is None or step.operator.name != "mask" or step.reads[1] is None:
        return []
    axes = run.program.axes(address)
    found = tuple(places[axes.index(letter)] if letter in axes else None for letter in run.program.axes(step.reads[1]))
    return [(step.reads[1], found)]


def windows(shape: Shape, given: dict[str, Any]) -> Iterator[Ask]:
    """The overview; of what is not too large also every part by itself, and with its digits, see tiles.ts."""
    sizes = [size for size, place in zip(shape, given["index"], strict=True) if place is None]
    rows, columns = ([1] * 2 + sizes)[-2:]
    top = tuple(1 << max(0, -(-size // WHOLE) - 1).bit_length() for size in (rows, columns))
    tiles = [(WHOLE, *top)]
    if rows * columns <= MOST_NUMBERS:
        tiles += product((WHOLE,), powers(top[0]), powers(top[1]))
        tiles += [(DIGITS, 1, 1)] * (rows * columns > DIGITS * DIGITS)
    for side, down, across in dict.fromkeys(tiles):
        for first, left in product(range(0, rows, side * down), range(0, columns, side * across)):
            ends = min(rows, first + side * down), min(columns, left + side * across)
            size = {"height": -(-(ends[0] - first) // down), "width": -(-(ends[1] - left) // across)}
            seen = {"rows": [first, ends[0]]} if len(sizes) == 2 else {}
            seen |= {"columns": [left, ends[1]]} if sizes else {}
            yield "window", {**given, **seen, **size}


def powers(most: int) -> list[int]:
    return [1 << i for i in range(most.bit_length())]


def followed(start: Explanation) -> list[Explanation]:
    """A number and those it was made from, some levels down."""
    return [each for _, each in start.tree(DEEP, WIDE)]


def of_number(each: Explanation, given: dict[str, Any]) -> Iterator[Ask]:
    at = {**given, "address": each.address, "index": list(each.index)}
    yield "cell", at
    for order in ("size", "place"):
        yield "number", {**at, "first": TERMS, "order": order}
        if len(each.terms) > TERMS:
            to = min(len(each.terms), TERMS_AT_ONCE)
            yield "terms", {**at, "from": 0, "to": to, "order": order}


def of_attention(run: Run, values: Sequence[str], given: dict[str, Any]) -> Iterator[Ask]:
    """The screen of all heads, and of each whose weights are in the report."""
    weights = (
        [address for address in values if run.program.producer[address].operator.name == "softmax"] if values else []
    )
    if weights and not any(address.startswith("source.") or ".cross." in address for address in weights):
        yield "heads", {**given, "kind": "self"}
        for address in weights:
            layer = sum(step.operator.name == "softmax" for step in run.program.steps[: place(run, address)])
            yield "stages", {**given, "kind": "self", "layer": layer}
            stages = (address.removesuffix("weights") + name for name in ("scores", "masked"))
            yield from (ask for stage in stages if stage in run.program for ask in of_value(run, stage, given))
            _, H, T, _ = run.shape(address)
            for head, query in product(range(min(H, MOST_SLICES)), range(T)):
                index = [0, head, query, None]
                yield "window", {**given, "address": address, "index": index, "height": 1, "width": 4096}


def place(run: Run, address: str) -> int:
    return next(i for i, step in enumerate(run.program) if step.address == address)
