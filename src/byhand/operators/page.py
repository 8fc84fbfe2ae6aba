"""The documentation of the operators, written from their records.

The whole page is ``docs/operators.md``; one operator's section is what ``section`` gives, or on the command line::

    python -m byhand.operators.page > docs/operators.md
    python -m byhand.operators.page softmax
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from inspect import Parameter, cleandoc

from byhand.errors import InputError
from byhand.operators import REGISTRY, find
from byhand.operators.record import Operand, Operator
from byhand.shapes import AXES

# The order in which a model computes; a module that is not listed comes last.
ORDER = ("embedding", "linear", "normalization", "rotary", "attention", "activation", "loss", "sampling")
SIZES = {"B": 1, "T": 8, "S": 8, "D": 16, "H": 4, "G": 2, "K": 4, "J": 2, "F": 64, "V": 100}

INTRODUCTION = """
# The operators

Every model here is a list of steps, and every step is one of these operators. This page is made from their records in
`src/byhand/operators`, where the functions that compute them stand beside the same words.

How to read an entry:

- **Shapes** names what goes in and what comes out. A name ends in its axes, so `x_BTD` has a batch, a position and a
  width axis; `?` marks an input that may be absent. What stands after the first output is made on the way and can be
  looked at too.
- **Equation** and **gradient** are about whole arrays. `d_x` is the gradient of `x`: how much the loss changes when `x`
  does.
- **One element** is the same in plain arithmetic. A small letter is a place along the axis of its capital, so
  `sum(d, x[b,t,d] * weight[d,f])` adds up D products. A capital is the axis' size.
- **Kept for backward** is what a training step has to hold until the gradient comes back.
- **Operations** counts additions, subtractions, multiplications, divisions, powers and functions of one call on a small
  example, the maximum of n numbers as n; conditions and look-ups are free.
"""


def page() -> str:
    """The whole page: how to read it, the axes, a list by module, and a section for every operator."""
    modules: dict[str, list[Operator]] = {}
    for record in REGISTRY.values():
        modules.setdefault(record.forward.__module__, []).append(record)
    chapters = [(heading(name), opening(name), modules[name]) for name in sorted(modules, key=place)]
    contents = [line for title, _, records in chapters for line in (f"\n**{title}**\n", *map(entry, records))]
    parts = [INTRODUCTION.strip(), axes(REGISTRY.values()), "## Contents\n" + "\n".join(contents)]
    for title, text, records in chapters:
        parts += [f"## {title}\n\n{text}", *map(section, records)]
    return "\n\n".join(parts) + "\n"


def place(module: str) -> tuple[int, str]:
    """Where a module's chapter stands."""
    name = module.rpartition(".")[2]
    return ORDER.index(name) if name in ORDER else len(ORDER), name


def heading(module: str) -> str:
    return module.rpartition(".")[2].capitalize()


def opening(module: str) -> str:
    """What the module says of itself."""
    return cleandoc(sys.modules[module].__doc__ or "")


def entry(record: Operator) -> str:
    return f"- [`{record.name}`](#{record.name}): {record.summary}"


def axes(records: Iterable[Operator]) -> str:
    """A table of the letters that the operators use."""
    used = {letter for record in records for letter in letters(record)}
    rows = [f"| `{letter}` | {meaning} |" for letter, meaning in AXES.items() if letter in used]
    return "\n".join(["| axis | meaning |", "|---|---|", *rows])


def letters(record: Operator) -> list[str]:
    """The axes of an operator, in the order of the page's example, with those that only a setting names."""
    named = {letter for operand in (*record.inputs, *record.outputs) for letter in operand.axes}
    return [letter for letter in (*SIZES, "1") if letter in named | set(record.settings)]


def section(record: Operator) -> str:
    """One operator: everything its record says, in Markdown."""
    forward, _, backward = record.arithmetic.partition("---")
    parts = [f"### {record.name}", record.summary, record.source, f"**Shapes** `{record.shapes}`"]
    parts += titled("Equation", record.equation) + titled("Gradient", record.gradient)
    parts += titled("One element, forward", forward) + titled("One element, backward", backward)
    return "\n\n".join([part for part in parts if part] + ["\n".join(facts(record))])


def titled(title: str, text: str) -> list[str]:
    """A heading and a block of code, or nothing when there is nothing to show."""
    return [f"**{title}**", f"```text\n{cleandoc(text)}\n```"] if text.strip() else []


def facts(record: Operator) -> list[str]:
    """What one line says: kept for backward, without gradient, settings, precision, operations."""
    written = {operand.name: spelled(operand) for operand in (*record.inputs, *record.outputs)}
    without = [written[operand.name] for operand in record.inputs if operand.name not in record.differentiable]
    lines = [f"- **Kept for backward**: {', '.join(written[name] for name in record.saved) or 'nothing'}"]
    lines += [f"- **No gradient** for {', '.join(without)}"] if without else []
    given = ", ".join(setting(name, default) for name, default in record.settings.items())
    lines += [f"- **Settings**: {given}"] if given else []
    lines += ["- **Precision**: its result stays float32 in a run that rounds to bfloat16"] if record.wide else []
    return [*lines, f"- **Operations**: {operations(record)}"]


def spelled(operand: Operand) -> str:
    return f"`{operand.name}_{operand.axes}`" if operand.axes else f"`{operand.name}`"


def setting(name: str, default: object) -> str:
    return f"`{name}` (to be given)" if default is Parameter.empty else f"`{name}` = {default}"


def operations(record: Operator) -> str:
    """How many of them one call on the page's example takes."""
    example = ", ".join(f"{letter} = {SIZES[letter]}" for letter in letters(record) if letter in SIZES)
    forward = f"{record.operations(SIZES, 'forward'):,} forward"
    backward = f", {record.operations(SIZES, 'backward'):,} backward" if record.differentiable else ""
    return f"{forward}{backward}, where {example}"


def main(names: list[str]) -> int:
    """Print the page, or the sections of the operators named."""
    try:
        print("\n\n".join(section(find(name)) for name in names) if names else page().rstrip("\n"))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
