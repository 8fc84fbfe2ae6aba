"""``byhand models``: the built-in models, and any of them as the table of its steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from math import prod
from typing import Annotated, Any

from rich.table import Table
from rich.text import Text
from typer import Argument, Option

import byhand
from byhand.cli import show
from byhand.cli.arguments import Output
from byhand.cli.figures import count
from byhand.engines.reference import precision
from byhand.errors import InputError
from byhand.memory import size
from byhand.model import Model
from byhand.program import BackwardStep, Program, Shape

EXAMPLES = ("models", "models gpt2-124m --tokens 64 --batch 4", "models aab --tokens 3 --backward")


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    model: Annotated[str | None, Argument(metavar="MODEL", help="Show the steps of this one.", show_default=False)] = None
    batch: Annotated[int, Option(metavar="B", help="How many texts.")] = 1
    tokens: Annotated[int, Option(metavar="T", help="Tokens in each.")] = 8
    source_tokens: Annotated[int | None, Option(metavar="S", help="Tokens to translate, for an encoder-decoder.")] = None
    dtype: Annotated[str, Option(metavar="NAME", help="float64, float32 or bfloat16, for the bytes.")] = "float32"
    backward: Annotated[bool, Option("--backward", help="The steps that compute the gradients.")] = False
    all: Annotated[bool, Option("--all", help="Every block, also those that repeat the one before.")] = False


def command(asked: Asked) -> None:
    """List the models, or print one as a table of its steps."""
    if asked.model is None:
        listed = [facts(byhand.load(name)) for name in byhand.names()]
        return show.document(listed) if asked.json else print_models(listed)
    steps = Steps.of(byhand.load(asked.model), asked)
    return show.document(steps.to_dict()) if asked.json else steps.print(asked.all)


# --- all models -------------------------------------------------------------------------------------------------


def facts(model: Model) -> dict[str, Any]:
    """A model's sizes, without making its weights."""
    config = model.config
    return {
        "name": model.name,
        "family": byhand.names()[model.name],
        "parameters": model.parameters,
        "layers": config.layers,
        "width": config.width,
        "heads": config.heads,
        "key_value_heads": getattr(config, "groups", config.heads),
        "vocabulary": config.vocabulary,
        "context": config.context,
        "weights": "made by hand" if model.name.startswith("aab") else "random",
        "text": model.tokenizer is not None,
    }


def print_models(listed: list[dict[str, Any]]) -> None:
    columns = dict.fromkeys(("name", "family"), "left")
    columns |= dict.fromkeys(("parameters", "layers", "width", "heads", "vocabulary", "context"), "right")
    table = show.table(columns, [])
    for before, each in zip([None, *listed], listed, strict=False):
        if before and before["family"] != each["family"]:
            table.add_section()
        table.add_row(*cells(each))
    show.write(table)
    show.prose(
        "\naab and aab-gpt2 are made by hand; all others have random weights (--seed). Those with a vocabulary of 96 take "
        "text, larger ones take --ids. Heads 32/8: 32 query heads share 8 key/value heads.",
        "dim",
    )


def cells(each: dict[str, Any]) -> list[str]:
    heads = f"{each['heads']}" + (f"/{each['key_value_heads']}" if each["key_value_heads"] != each["heads"] else "")
    sizes = (each["vocabulary"], each["context"])
    return [each["name"], each["family"], count(each["parameters"]), str(each["layers"]), str(each["width"]), heads, *map(str, sizes)]


# --- one model --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One step of the table, forward or backward. parameters: those first read here; saved: bytes kept for backward."""

    address: str
    operator: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    shape: Shape
    parameters: int
    flops: int
    saved: int

    @property
    def block(self) -> str:
        """``blocks.3`` for a step inside it, else ""."""
        return block_of(self.address)

    def inside(self, address: str) -> str:
        """An address as it is written inside this step's block."""
        start = f"{self.block}."
        return address.replace(start, "") if self.block else address

    def pattern(self) -> tuple[Any, ...]:
        """What makes a block look like another one: its own layer's number, and those beside it, taken out."""
        layer = int(self.block.rpartition(".")[2]) if self.block else 0
        names = [relative(name, layer) for name in (self.address, *self.reads)]
        return (*names, self.operator, self.shape, self.parameters, self.flops, self.saved)


def block_of(address: str) -> str:
    parts = address.removeprefix("d:").partition("@")[0].split(".")
    if "blocks" not in parts:
        return ""
    return ".".join(parts[: parts.index("blocks") + 2])


def relative(address: str, layer: int) -> str:
    """The address with the numbers of blocks counted from this layer."""
    parts = address.replace("@", ".@.").split(".")
    return ".".join(
        str(int(part) - layer) if i and parts[i - 1] == "blocks" else part for i, part in enumerate(parts)
    )


@dataclass(frozen=True)
class Steps:
    """A program, or its reverse, as lines with their totals."""

    model: str
    sizes: dict[str, int]
    dtype: str
    lines: list[Line]
    parameters: int
    direction: str

    @classmethod
    def of(cls, model: Model, asked: Asked) -> Steps:
        """Raises InputError for sizes that the model cannot take."""
        sizes = extent(model, asked)
        itemsize = precision(asked.dtype).kept.itemsize
        if asked.backward:
            lines = backward_lines(model, sizes)
        else:
            rows = model.program.table(**sizes, itemsize=itemsize)
            lines = [Line(r.address, r.operator, r.reads, r.writes, r.shape, r.parameters, r.flops, r.saved) for r in rows]
        return cls(model.name, sizes, asked.dtype, lines, model.parameters, "backward" if asked.backward else "forward")

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "flops": self.flops, "saved": self.saved}

    @property
    def flops(self) -> int:
        return sum(line.flops for line in self.lines)

    @property
    def saved(self) -> int:
        return sum(line.saved for line in self.lines)

    def print(self, everything: bool) -> None:
        extent = ", ".join(f"{letter} = {size}" for letter, size in self.sizes.items())
        show.heading(f"{self.model}, {self.direction}: {len(self.lines)} steps for {extent}")
        show.write("", self.table(everything))
        words = [f"{self.parameters:,} parameters", f"{count(self.flops)} operations"]
        if self.direction == "forward":
            words.append(f"{size(self.saved)} kept for backward ({self.dtype})")
        show.write("", ", ".join(words))

    def table(self, everything: bool) -> Table:
        backward = self.direction == "backward"
        last = "operations" if backward else "saved"
        columns = {"address": "left", "operator, and what it reads": "left", "shape": "left"}
        columns |= {} if backward else {"parameters": "right"}
        table = show.table(columns | {"operations": "right"} | ({} if backward else {"saved": "right"}), [])
        assert table.columns[-1].header == last
        for title, lines in sections(self.lines, everything):
            if title:
                table.add_section()
                table.add_row(Text(title, style="bold"))
            for line in lines:
                table.add_row(*cells_of(line, backward))
        return table


def cells_of(line: Line, backward: bool) -> list[Any]:
    reads = ", ".join(map(line.inside, line.reads))
    what = Text.assemble(line.operator, "\n", (reads, "dim"))
    numbers = [count(line.flops)] if backward else [blank(line.parameters, count), blank(line.flops, count), blank(line.saved, size)]
    return [line.inside(line.address), what, " ".join(map(str, line.shape)) or "1", *numbers]


def blank(number: int, write: Any) -> str:
    return write(number) if number else ""


def extent(model: Model, asked: Asked) -> dict[str, int]:
    """B, T and, for an encoder-decoder, S."""
    sizes = {"B": asked.batch, "T": asked.tokens}
    if "source.tokens" in model.program.inputs:
        sizes["S"] = asked.source_tokens if asked.source_tokens is not None else asked.tokens
    elif asked.source_tokens is not None:
        raise InputError(f"{model.name} translates nothing; leave out --source-tokens")
    options = {"B": "--batch", "T": "--tokens", "S": "--source-tokens"}
    for letter, number in sizes.items():
        if number < 1:
            raise InputError(f"{options[letter]} is {number}; give 1 or more")
        if letter != "B" and number > model.config.context:
            raise InputError(f"{options[letter]} is {number}, but {model.name} reads at most {model.config.context}")
    return sizes


def backward_lines(model: Model, sizes: dict[str, int]) -> list[Line]:
    """The reversed program: from the loss, or from the last value of a model that has none."""
    program = model.program_with(targets="logits" in model.program)
    shapes = program.shapes(**sizes)
    of = "loss" if "loss" in program else program.steps[-1].address
    return [backward_line(program, each, shapes) for each in program.reverse(of)]


def backward_line(program: Program, each: BackwardStep, shapes: dict[str, Shape]) -> Line:
    first, *_ = each.writes.values()
    address = first.removeprefix("d:").partition("@")[0]
    if each.step is None:
        flops = (len(each.reads) - 1) * prod(shapes[address])
    else:
        flops = each.step.operator.operations(each.step.sizes(shapes), "backward", each.step.absent)
    return Line(first, each.name, each.reads, tuple(each.writes.values()), shapes[address], 0, flops, 0)


def sections(lines: list[Line], everything: bool) -> list[tuple[str, list[Line]]]:
    """Consecutive lines of one block together; a block like the one before is only counted."""
    found: list[tuple[str, list[Line]]] = []
    for line in lines:
        if not found or found[-1][0] != line.block:
            found.append((line.block, []))
        found[-1][1].append(line)
    if everything:
        return found
    kept: list[tuple[str, list[Line]]] = []
    same: Counter[int] = Counter()
    for block, own in found:
        before = kept[-1][1] if kept else []
        if block and before and [each.pattern() for each in own] == [each.pattern() for each in before]:
            same[len(kept) - 1] += 1
        else:
            kept.append((block, own))
    return [(title(block, same[i]), own) for i, (block, own) in enumerate(kept)]


def title(block: str, more: int) -> str:
    return f"{block} and {more} more like it" if more else block
