"""``byhand trace``: the values of a run by address, summed up or in full, with their gradients, and into a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from rich.console import Group
from rich.text import Text
from typer import Argument, Option

from byhand.addresses import base, known, unknown
from byhand.cli import show
from byhand.cli.arguments import StartWords
from byhand.cli.figures import scalar, sizes, summary
from byhand.cli.matrix import grids, names
from byhand.cli.saving import check_target, save_arrays
from byhand.cli.starting import differentiate, edited, part_of, placed, start
from byhand.memory import size
from byhand.model import Model
from byhand.run import Run
from byhand.tensor import Tensor

EXAMPLES = (
    "trace aab aab",
    "trace aab aab blocks.0.attn.weights",
    'trace gpt2-tiny Hello "blocks.*.attn.weights" --backward',
    'trace gpt2-tiny Hello "blocks.1.attn.weights[0,2]" --out head.npz',
)

COLUMNS = ("address", "shape", "min", "max", "mean")


@dataclass(frozen=True, kw_only=True)
class Asked(StartWords):
    text: Annotated[
        list[str],
        Argument(
            metavar="TEXT [ADDR]", help="The text, then addresses, patterns or slices: ADDR[0,:,2].", show_default=False
        ),
    ] = field(default_factory=list)
    backward: Annotated[bool, Option("--backward", help="Also the gradients (at d:ADDR).")] = False
    of: Annotated[str | None, Option(metavar="ADDR[..]", help="Gradients of this number instead of the loss.")] = None
    out: Annotated[Path | None, Option(metavar="FILE.npz", help="Write the arrays to a file.")] = None
    force: Annotated[bool, Option("--force", help="Overwrite the file.")] = False


class Value(NamedTuple):
    """A value to show: summed up in a line, or number by number."""

    name: str
    tensor: Tensor
    whole: bool
    places: list[range] | None = None


def command(asked: Asked) -> None:
    """Show the values of a run, in the order they are computed.

    Without addresses: every value in one line. An address: its numbers. A pattern (blocks.*.attn.weights): a line each.
    d:ADDR is a gradient; it is computed without --backward too.
    """
    if asked.out:
        check_target(asked.out, asked.force)
    model, run = start(asked, asked.first, kept(asked))
    run = edited(model, run, asked.edit)
    if asked.backward or asked.of or any(word.startswith("d:") for word in asked.rest):
        differentiate(run, placed(model, asked.of) if asked.of else None)
    values = chosen(model, run, asked.rest)
    if asked.backward or asked.of:
        values += gradients(run, values, every=not asked.rest)
    written = save_arrays(asked.out, {each.name: each.tensor.array for each in values}) if asked.out else 0
    if asked.json:
        answer = {"model": model.name, "dtype": run.dtype, "values": list(map(to_dict, values))}
        return show.document(answer | ({"out": str(asked.out), "bytes": written} if asked.out else {}))
    print_values(run, values)
    if asked.out:
        show.write("", f"wrote {asked.out}: {len(values)} arrays, {size(written)}")


def kept(asked: Asked) -> str | list[str]:
    """What the run must keep: everything, or only what was asked for."""
    names = [base(word.partition("[")[0]) for word in asked.rest]
    return names if names and not asked.edit else "all"


def chosen(model: Model, run: Run, words: list[str]) -> list[Value]:
    """The values that the words mean, or every value of the program."""
    if not words:
        return [Value(address, run[address], False) for address in run.program.producer]
    return [value for word in words for value in meant(model, run, word)]


def meant(model: Model, run: Run, word: str) -> list[Value]:
    """The values that one address, alias, pattern or slice means. Raises AddressError for none."""
    if "[" in word:
        tensor, places = part_of(run, placed(model, word))
        return [Value(tensor.address, tensor, True, places)]
    if "*" not in word and "?" not in word:
        return [Value(word, run[word], True)]
    addresses = [f"d:{a}" for a in run.grad] if word.startswith("d:") else run.program.addresses
    found = [Value(address, run[address], False) for address in addresses if fnmatchcase(address, word)]
    if not found:
        raise unknown(run.program, word)
    return found


def gradients(run: Run, values: list[Value], every: bool) -> list[Value]:
    """The gradients of the shown values that have one; when every value is shown, of all weights and inputs too."""
    if every:
        return [Value(f"d:{address}", run.grad[address], False) for address in run.grad]
    shown_ones = [each for each in values if known(run.program, each.name) and not each.name.startswith("d:")]
    return [
        Value(f"d:{each.name}", run.grad[each.name], each.whole) for each in shown_ones if each.name in run.grad.arrays
    ]


def to_dict(each: Value) -> dict[str, Any]:
    """A value as plain data, its numbers too when they were asked for."""
    tensor = each.tensor
    labels = {letter: names for letter, names in tensor.labels.items() if letter in tensor.axes}
    facts = {
        "address": each.name,
        "axes": tensor.axes,
        "shape": tensor.shape,
        "dtype": tensor.dtype.name,
        "tokens": labels,
    }
    numbers = {"values": show.numbers(tensor.array)} if each.whole else {}
    return facts | summary(tensor.array) | numbers


def print_values(run: Run, values: list[Value]) -> None:
    """A table of what is summed up, then the numbers of the others."""
    lines = [each for each in values if not each.whole]
    if lines:
        show.write(summed_up(lines))
    for i, each in enumerate(values):
        if each.whole:
            if i:
                show.write("")
            print_numbers(run, each)


def summed_up(values: list[Value]) -> Group:
    """A table of a line each."""
    rows = [line(each) for each in values]
    columns = dict.fromkeys(COLUMNS, "right") | {"address": "left", "shape": "left"}
    room = show.console().width - sum(max(map(len, column)) + 2 for column in zip(*rows, COLUMNS, strict=True))
    first = first_numbers(values, room)
    if first:
        return show.table(columns | {"first": "left"}, [[*row, text] for row, text in zip(rows, first, strict=True)])
    return show.table(columns, rows)


def line(each: Value) -> list[str]:
    facts = summary(each.tensor.array)
    shape = " ".join(map(str, each.tensor.shape)) or "1"
    return [each.name, shape, *(scalar(facts[name], 3) for name in ("min", "max", "mean"))]


def first_numbers(values: list[Value], room: int) -> list[str]:
    """As many of each value's first numbers as there is room for, or nothing where it is too little for one."""
    made = []
    for each in values:
        first = [scalar(value, 3) for value in summary(each.tensor.array)["first"]]
        while len(first) > 1 and len(" ".join(first)) + 4 > room:
            first.pop()
        made.append(" ".join(first) + (" ..." if each.tensor.array.size > len(first) else ""))
    return made if max(map(len, made)) <= room else []


def print_numbers(run: Run, each: Value) -> None:
    tensor = each.tensor
    labels = names(tensor, vocabulary(run), each.places)
    heading = Text.assemble((each.name, "bold"), (f"  {sizes(tensor.axes, tensor.shape)}  {tensor.dtype.name}", "dim"))
    show.write(heading, *grids(tensor, labels, show.console().width, whole="[" in each.name))


def vocabulary(run: Run) -> dict[str, tuple[str, ...]]:
    """The tokens as labels of the vocabulary's axis, where there are few."""
    labels = run.setting.tokens.labels(run.program.sizes.get("V", 0))
    return {"V": labels} if labels else {}
