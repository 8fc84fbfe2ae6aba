"""Other projects' names for byhand's values: llm.c's, TransformerLens' and Hugging Face's.

A name stands for a view: the values it reads, its axes, and how it is built from them. The three tables beside this
file say which names there are; a name whose values a program does not have is no name there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from byhand.aliases import hugging_face, llmc, transformer_lens
from byhand.aliases.recipe import Recipe, Table, same
from byhand.layouts import Layout, Row, joined, rows_for
from byhand.layouts.hugging_face import LAYOUTS
from byhand.layouts.layout import changes
from byhand.layouts.llmc import GPT2
from byhand.program import Program

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class View:
    """What another project's name means here.

    addresses: every value it reads, layer by layer; axes: of what `build` returns, with L first where all layers are
    stacked; computed: whether it holds other numbers than those values (so it has no gradient by rearranging theirs).
    """

    addresses: tuple[str, ...]
    axes: str
    recipe: Recipe
    stacked: bool = False

    @property
    def computed(self) -> bool:
        return self.recipe.computed

    def build(self, look: Callable[[str], Array]) -> Array:
        """The array, from a function that gives the array at an address (values, or gradients)."""
        width = len(self.recipe.reads)
        layers = [self.addresses[i : i + width] for i in range(0, len(self.addresses), width)]
        parts = [self.recipe.make(*(look(address) for address in layer)) for layer in layers]
        return np.stack(parts) if self.stacked else parts[0]


def find(program: Program, name: str) -> View | None:
    """What a name means in a program; None if it is no other project's name for anything there."""
    return views(program).get(name)


def names(program: Program, address: str) -> list[str]:
    """The names under which other projects know a value, alone or as a part: llm.c, TransformerLens, Hugging Face."""
    return by_address(program).get(address, [])


@lru_cache(maxsize=16)
def views(program: Program) -> dict[str, View]:
    """Every name there is in a program, also without Hugging Face's prefix.

    Where two projects use one name for different things (`wte`), llm.c comes first and TransformerLens second.
    """
    of_llmc, of_lens, of_hugging_face = projects(program)
    short = {hugging_face.short(name): each for name, each in of_hugging_face.items()}
    return {**short, **of_hugging_face, **of_lens, **of_llmc}


@lru_cache(maxsize=16)
def by_address(program: Program) -> dict[str, list[str]]:
    """The names of every value, without those that are computed from it and those that equal the address."""
    found: dict[str, list[str]] = {}
    for project in projects(program):
        for name, view in project.items():
            for address in view.addresses if not view.computed else ():
                if name != address:
                    found.setdefault(address, []).append(name)
    return found


def projects(program: Program) -> list[dict[str, View]]:
    """The names of each project: llm.c, TransformerLens, Hugging Face."""
    family = program.name.partition(" ")[0]
    files = (GPT2, None, LAYOUTS.get(family))
    if any(step.operator.name == "rotary_pairs" for step in program):
        family = f"{family}, pairs"
    found = [expanded(program, project.TABLES.get(family, ())) for project in (llmc, transformer_lens, hugging_face)]
    return [of | (parameters(program, layout) if layout else {}) for of, layout in zip(found, files, strict=True)]


def parameters(program: Program, layout: Layout) -> dict[str, View]:
    """The names that a project's files have for the weights."""
    rows = {row.name: row for row in rows_for(layout, program)}
    same_again = {name: rows[of] for name, of in layout.copies.items() if of in rows and name not in rows}
    return {name: of_row(row, program) for name, row in (rows | same_again).items()}


def of_row(row: Row, program: Program) -> View:
    def make(*arrays: Array) -> Array:
        return joined(row, dict(zip(row.weights, arrays, strict=True)).__getitem__, program)

    plain = len(row.weights) == 1 and changes(row, program) == "as it is"
    merged = ("D" if len(group) > 1 else group.upper() for group in row.stored.groups)
    return View(
        tuple(row.weights),
        "L" * row.stored.stacked + "".join(merged),
        Recipe(same if plain else make, "", tuple(row.weights)),
    )


def expanded(program: Program, tables: Sequence[Table]) -> dict[str, View]:
    """The views of all rows whose values the program has; of two rows with one name the later.

    A name with {l} is one view a block. A name without it whose values have it is stacked over the blocks.
    """
    blocks = blocks_of(program)
    found: dict[str, View] = {}
    for name, entry in (row for table in tables for row in table.items()):
        recipe = entry if isinstance(entry, Recipe) else Recipe(same, "", (entry,))
        if "{l}" in name:
            made = {name.format(**block): view(program, recipe, [block]) for block in blocks}
        elif "{l}" in recipe.reads[0]:
            made = {name: view(program, recipe, blocks, stacked=True)}
        else:
            made = {name: view(program, recipe, blocks[-1:])}
        found |= {name: each for name, each in made.items() if each}
    return found


def blocks_of(program: Program) -> list[dict[str, str]]:
    """What the braces in a table mean for every block: its number, where its input comes from, the last block."""
    count = 0
    while f"blocks.{count}.out" in program:
        count += 1
    last = f"blocks.{count - 1}"
    return [{"l": str(i), "before": f"blocks.{i - 1}" if i else "embed", "last": last} for i in range(count)]


def view(program: Program, recipe: Recipe, blocks: Sequence[dict[str, str]], stacked: bool = False) -> View | None:
    """The view that a recipe gives for these blocks; None where the program lacks a value."""
    addresses = tuple(read.format(**block) for block in blocks for read in recipe.reads)
    if not addresses or any(address not in program for address in addresses):
        return None
    return View(addresses, "L" * stacked + (recipe.axes or program.axes(addresses[0])), recipe, stacked)
