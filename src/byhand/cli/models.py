"""``byhand models``: the built-in models, and any of them as the table of its steps."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from math import prod
from typing import Annotated, Any

from rich.console import Group
from rich.text import Text
from typer import Argument, Option

import byhand
from byhand import boxed
from byhand.boxed import wired
from byhand.cli import show
from byhand.cli.arguments import Output, positive
from byhand.cli.figures import count
from byhand.engines.reference import precision
from byhand.errors import InputError
from byhand.memory import size
from byhand.model import Model
from byhand.program import BackwardStep, Program, Row, Shape

EXAMPLES = ("models", "models gpt2-124m --tokens 64 --batch 4", "models aab --tokens 3 --backward")

USUAL_TOKENS = 8


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    model: Annotated[
        str | None,
        Argument(metavar="MODEL", help="Show the steps of this one, built in or on disk.", show_default=False),
    ] = None
    batch: Annotated[int, Option(metavar="B", help="How many texts.")] = 1
    tokens: Annotated[int | None, Option(metavar="T", help="Tokens in each; 8 if not said.", show_default=False)] = None
    source_tokens: Annotated[int | None, Option(metavar="S", help="Tokens to translate, for an encoder-decoder.")] = (
        None
    )
    dtype: Annotated[str, Option(metavar="NAME", help="float64, float32 or bfloat16, for the bytes.")] = "float32"
    backward: Annotated[bool, Option("--backward", help="The steps that compute the gradients.")] = False
    all: Annotated[bool, Option("--all", help="Every block, also those that repeat the one before.")] = False


def command(asked: Asked) -> None:
    """List the built-in models, or show a model's steps as a table."""
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
        "weights": weights(model.name),
        "text": model.tokenizer is not None,
    }


def weights(name: str) -> str:
    """Where the weights of a built-in model come from."""
    if name in boxed.MODELS:
        return "trained"
    return "made by hand" if name.startswith(("aab", wired.PREFIX)) else "random"


def print_models(listed: list[dict[str, Any]]) -> None:
    columns = {"name": "left"} | dict.fromkeys(
        ("parameters", "layers", "width", "heads", "vocabulary", "context"), "right"
    )
    rows: list[Any] = []
    programs = sorted({each["name"].removesuffix(f"-{each['family']}") for each in listed if of_the_zoo(each)})
    for title, group in grouped([each for each in listed if not of_the_zoo(each)]).items():
        rows += [Text(""), Text(title, style="bold"), *map(cells, group)]
    show.write(show.table(columns, rows))
    show.write("")
    show.prose(f"Wired by hand, as gpt2 and as llama (such as {programs[0]}-gpt2): {', '.join(programs)}.", "dim")
    show.prose(
        "Models below the name of a family have random weights (--seed); with a vocabulary of 96 they take text, with "
        "a larger one --ids. Heads 32/8: 32 query heads share 8 key/value heads. Every command takes "
        "the path of a model on disk as well (byhand inspect PATH).",
        "dim",
    )


def of_the_zoo(each: dict[str, Any]) -> bool:
    """Whether it is one of the many programs that are wired, whose sizes `byhand wire` shows."""
    return each["name"].startswith(wired.PREFIX)


def grouped(listed: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for each in listed:
        title = each["family"] if each["weights"] == "random" else each["weights"]
        groups.setdefault(title, []).append(each)
    return groups


def cells(each: dict[str, Any]) -> list[str]:
    shared = each["key_value_heads"] != each["heads"]
    heads = f"{each['heads']}/{each['key_value_heads']}" if shared else f"{each['heads']}"
    sizes = (each["layers"], each["width"], heads, each["vocabulary"], each["context"])
    return [f"  {each['name']}", count(each["parameters"], "B"), *map(str, sizes)]


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
    block: str

    def inside(self, address: str) -> str:
        """An address as it is written inside this step's block."""
        return re.sub(rf"(^|d:|@){re.escape(self.block)}\.", r"\1", address) if self.block else address


def block_of(address: str) -> str:
    """``blocks.3`` for an address inside that block, else ""."""
    parts = address.removeprefix("d:").split(".")
    return ".".join(parts[: parts.index("blocks") + 2]) if "blocks" in parts else ""


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
            lines = [forward_line(row) for row in rows]
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

    def table(self, everything: bool) -> Group:
        columns = {"address": "left", "operator": "left", "shape": "left", "operations": "right"}
        if self.direction == "forward":
            columns |= {"parameters": "right", "kept": "right"}
        rows: list[Any] = []
        for title, lines in sections(self.lines, everything):
            rows += [Text(""), Text(title, style="bold")] if title else [Text("")]
            for line in lines:
                cells = [line.inside(line.address), line.operator, shape(line), blank(line.flops, count)]
                rows.append(
                    cells + [blank(line.parameters, count), blank(line.saved, size)] * (self.direction == "forward")
                )
                rows.append(show.wrapped(f"reads {', '.join(map(line.inside, line.reads))}", 4, "dim"))
                if line.writes[1:] and self.direction == "backward":
                    rows.append(show.wrapped(f"also writes {', '.join(map(line.inside, line.writes[1:]))}", 4, "dim"))
        return show.table(columns, rows)


def shape(line: Line) -> str:
    return " ".join(map(str, line.shape)) or "1"


def blank(number: int, write: Any) -> str:
    return write(number) if number else ""


def extent(model: Model, asked: Asked) -> dict[str, int]:
    """B, T and, for an encoder-decoder, S."""
    usual = min(USUAL_TOKENS, model.config.context)
    sizes = {"B": asked.batch, "T": usual if asked.tokens is None else asked.tokens}
    if "source.tokens" in model.program.inputs:
        sizes["S"] = sizes["T"] if asked.source_tokens is None else asked.source_tokens
    elif asked.source_tokens is not None:
        raise InputError(f"{model.name} translates nothing; leave out --source-tokens")
    options = {"B": "--batch", "T": "--tokens", "S": "--source-tokens"}
    for letter, number in sizes.items():
        positive(number, options[letter])
        if letter != "B" and number > model.config.context:
            raise InputError(f"{options[letter]} is {number}, but {model.name} reads at most {model.config.context}")
    return sizes


def forward_line(row: Row) -> Line:
    sizes = (row.shape, row.parameters, row.flops, row.saved)
    return Line(row.address, row.operator, row.reads, row.writes, *sizes, block_of(row.address))


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
    block = block_of(each.step.address if each.step else each.address)
    return Line(first, each.name, each.reads, tuple(each.writes.values()), shapes[address], 0, flops, 0, block)


Section = tuple[str, list[Line]]


def sections(lines: list[Line], everything: bool) -> list[Section]:
    """Consecutive lines of one block together, with a title; blocks that are like the one before are only named."""
    found: list[Section] = []
    for line in lines:
        if not found or found[-1][0] != line.block:
            found.append((line.block, []))
        found[-1][1].append(line)
    if everything:
        return found
    kept: list[tuple[list[str], list[Line]]] = []
    for block, own in found:
        if block and kept and pattern(own) == pattern(kept[-1][1]):
            kept[-1][0].append(block)
        else:
            kept.append(([block], own))
    return [(title(blocks), own) for blocks, own in kept]


def title(blocks: list[str]) -> str:
    if len(blocks) == 1:
        return blocks[0]
    rest = blocks[1] if len(blocks) == 2 else f"{blocks[1]} to {blocks[-1]}"
    return f"{blocks[0]}, and the same in {rest}"


def pattern(lines: list[Line]) -> list[Any]:
    """What makes two blocks alike: their steps, with names from outside the block only told apart, not compared."""
    outside: dict[str, int] = {}

    def name(address: str) -> str | int:
        inside = lines[0].inside(address)
        return outside.setdefault(address, len(outside)) if inside == address or "blocks." in inside else inside

    return [
        ([name(address) for address in (line.address, *line.reads)], line.operator, line.shape, line.flops)
        for line in lines
    ]
