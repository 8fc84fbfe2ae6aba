"""From a file's arrays, a table of names and a config to a Checkpoint; the same for every format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from byhand.checkpoints.record import Checkpoint, Doubt, Finding, in_order
from byhand.errors import ByhandError, InputError
from byhand.families import FAMILIES
from byhand.layouts import Layout, Source, match, rows_for
from byhand.layouts.layout import changes
from byhand.program import Program


@dataclass(frozen=True)
class Found:
    """What a reader found out before the arrays are held against the table.

    words: what the file's config calls the size of a letter, {"D": "n_embd"}; see Checkpoint for the others.
    """

    path: Path
    format: str
    description: str
    family: str
    config: Any
    layout: Layout
    words: Mapping[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    tokenizer: Any = None


def checkpoint(found: Found, arrays: Mapping[str, Source]) -> Checkpoint:
    """Hold a file's arrays against its table, both ways. Raises InputError and ShapeError naming the file."""
    program = program_of(found)
    for name, array in arrays.items():
        if array.dtype.kind not in "fVbiu":
            raise InputError(f"{found.path}: {name} holds {array.dtype}, which is no kind of weight")
    matched = match(found.layout, program, arrays, str(found.path), found.words)
    rows = rows_for(found.layout, program)
    for row in rows:
        if arrays[row.name].dtype.kind not in "fV":  # V: bfloat16
            kind = arrays[row.name].dtype
            raise InputError(
                f"{found.path}: {row.name} holds {kind}; a weight is float64, float32, float16 or bfloat16"
            )
    findings = [*found.findings, *turned(found), of_dtypes([arrays[row.name] for row in rows])]
    findings += [Finding("copy", f"{copy} = {of}", "compared byte by byte") for copy, of in matched.copies.items()]
    return Checkpoint(
        path=found.path,
        format=found.format,
        description=found.description,
        family=found.family,
        config=found.config,
        weights=matched.weights,
        tokenizer=found.tokenizer,
        findings=in_order(findings),
        doubts=found.doubts,
        rows=tuple((row.name, tuple(row.weights), changes(row, program)) for row in rows),
        ignored=matched.ignored,
    )


def program_of(found: Found) -> Program:
    """The model's steps. Raises InputError naming the file for sizes that do not go together."""
    try:
        program = FAMILIES[found.family].program(found.config)
        program.shapes(T=2, S=3)
        return program
    except ByhandError as error:
        raise InputError(f"{found.path}: {error}") from None


def of_dtypes(arrays: Sequence[Source]) -> Finding:
    counts = Counter(getattr(array, "kind", array.dtype.name) for array in arrays)  # of blocks, GGUF's name
    value = ", ".join(f"{name} ({count} arrays)" if len(counts) > 1 else name for name, count in counts.most_common())
    return Finding("dtype", value, "as stored")


def turned(found: Found) -> list[Finding]:
    """How the matrices lie, seen from the feed-forward's row of the table."""
    ways = {"D F": "input first", "F D": "output first"}
    for name, row in found.layout.rows.items():
        axes = row.axes.removeprefix("L ")
        if row.weights[0].endswith("mlp.up.weight") and axes in ways:
            return [
                Finding(
                    "matrices",
                    ways[axes],
                    f"{found.layout.title}'s table; the shape of {name.replace('{l}', '0')} fits",
                )
            ]
    return []
