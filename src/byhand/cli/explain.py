"""``byhand explain``: one number of a run: its formula, its numbers, its terms, and where each of them comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from rich.console import Group
from rich.text import Text
from typer import Argument, Option

from byhand.cli import show
from byhand.cli.arguments import Place, StartWords, check_digits, how_many
from byhand.cli.figures import scalar, token_name
from byhand.cli.starting import differentiate, edited, placed, progress, read_token, start
from byhand.cli.tree import drawn, grow, largest, shorter
from byhand.contributions import Split
from byhand.errors import InputError
from byhand.explanation import Explanation, Term, axes_of, leaf, place
from byhand.model import Model
from byhand.run import Run
from byhand.shapes import AXES, WORDS

EXAMPLES = (
    'explain aab aab "logits[0,1,1]" --depth 3',
    "explain aab aab blocks.0.attn.weights --query 2 --key 1",
    'explain gpt2-tiny Hello "d:blocks.0.attn.scores[0,1,3,2]"',
    "explain gpt2-tiny Hello logits --position 4 --token o --split",
    'explain gpt2-tiny Hello "blocks.0.attn.out[0,4,7]" --by head',
)

DEEPEST = 100


@dataclass(frozen=True, kw_only=True)
class Asked(StartWords):
    text: Annotated[
        list[str],
        Argument(
            metavar="TEXT ADDR",
            help="The text, then which number: ADDR[0,2,1], or ADDR and the axes by name.",
            show_default=False,
        ),
    ] = field(default_factory=list)
    batch: Annotated[int | None, Option(metavar="N", help="Axis B.")] = None
    head: Annotated[int | None, Option(metavar="N", help="Axis H: attention head.")] = None
    group: Annotated[int | None, Option(metavar="N", help="Axis G: key/value head.")] = None
    query: Annotated[int | None, Option(metavar="N", help="Axis T of attention: the position that asks.")] = None
    key: Annotated[int | None, Option(metavar="N", help="Axis S of attention: the position that is asked.")] = None
    position: Annotated[int | None, Option(metavar="N", help="Axis T (or S): position.")] = None
    dimension: Annotated[int | None, Option(metavar="N", help="Axis D, K or F.")] = None
    token: Annotated[
        str | None, Option(metavar="TOKEN", help="Axis V: a token, or its id; 'a digit in quotes' is text.")
    ] = None
    depth: Annotated[int, Option(metavar="N", help="Follow what it was made from so many steps back.")] = 0
    terms: Annotated[
        str | None,
        Option(metavar="N|all", help="How many terms to show, 8 if not said, and to follow (3).", show_default=False),
    ] = None
    digits: Annotated[int, Option(metavar="N", help="Significant digits; 17 is exact.")] = 6
    split: Annotated[bool, Option("--split", help="A logit as the sum of what every part of the model added.")] = False
    by: Annotated[
        str | None, Option(metavar="AXIS", help="Add its terms up along an axis: head, position, dimension ...")
    ] = None
    of: Annotated[
        str | None, Option(metavar="ADDR[..]", help="For d: addresses, the gradient of this, not of the loss.")
    ] = None


def command(asked: Asked) -> None:
    """Take one number apart, down to weights and tokens.

    Its formula, in names and in numbers; its terms; what they were made from. d:ADDR is a gradient.
    """
    check(asked)
    most, followed = how_many(asked.terms or "8"), how_many(asked.terms or "3")
    model, run = start(asked, asked.first)
    run = edited(model, run, asked.edit)
    at = placed(model, asked.rest[0])
    if at.address.startswith("d:") or asked.of:
        differentiate(run, placed(model, asked.of) if asked.of else None)
    with progress(f"explaining {at.address}"):
        found = explained(model, run, at, asked)
        tree = grow(found, asked.depth, followed) if asked.depth else None
        parts = run.split(found.index[2], found.index[1], found.index[0]) if asked.split else None
    sums = found.by(letter_of(asked.by, found, run)) if asked.by else None
    if asked.json:
        extra = {"tree": tree and tree.to_dict(), "split": parts and parts.to_dict(), "by": sums}
        return show.document(found.to_dict() | {name: value for name, value in extra.items() if value is not None})
    print_explanation(found, run, most, asked.digits)
    if sums is not None:
        print_sums(sums, asked)
    if parts:
        print_split(parts, asked.digits)
    if tree:
        show.write("", drawn(tree, run, asked.digits, show.console().width))


def check(asked: Asked) -> None:
    """Raise InputError for an option outside its range."""
    if not 0 <= asked.depth <= DEEPEST:
        raise InputError(f"--depth is {asked.depth}; give 0 to {DEEPEST}")
    check_digits(asked.digits)
    if len(asked.rest) != 1:
        example = EXAMPLES[0].split(" ", 3)[3].partition(" --")[0]
        raise InputError(f"explain one number, such as {example}; got {len(asked.rest)} addresses")


def explained(model: Model, run: Run, at: Place, asked: Asked) -> Explanation:
    """The explanation of the number that the address, index and axis options name."""
    words = ("batch", "head", "group", "query", "key", "position", "dimension")
    choice: dict[str, Any] = {word: getattr(asked, word) for word in words if getattr(asked, word) is not None}
    if asked.token is not None:
        choice["token"] = read_token(model, asked.token)
    if any(isinstance(i, slice) for i in (*(at.index or ()), *at.choice.values())):
        raise InputError(f"{asked.rest[0]!r} means several numbers; explain one, or print them with byhand trace")
    found = run.explain(at.address, at.index, **at.choice, **choice)  # type: ignore[arg-type]
    if asked.split and found.address != "logits":
        raise InputError(f"--split takes a logit apart, got {found.address}; explain 'logits[...]' --split")
    return found


def letter_of(word: str, found: Explanation, run: Run) -> str:
    """The axis letter that a word means among what the number was made from. Raises InputError."""
    there = "".join(axes_of(run, operand.address) for operand in found.operands)
    letters = [letter for letter in WORDS.get(word, word) if letter in there]
    if not letters:
        usable = ", ".join(f"{letter} ({AXES[letter]})" for letter in dict.fromkeys(there) if letter in AXES)
        raise InputError(
            f"--by {word}: nothing that {found.address} was made from has that axis; there are {usable or 'none'}"
        )
    return letters[0]


# --- printing ---------------------------------------------------------------------------------------------------


def print_explanation(each: Explanation, run: Run, most: int | None, digits: int) -> None:
    """One number, from its name to the check against what is stored."""
    stored = run.look(each.address)[each.index]
    name = Text.assemble((f"{each.address}{place(each.index)} = {stored}", "bold"))
    show.write(name.append(f"  {each.operator or each.kind}, {each.dtype}", style="dim"))
    where = where_is(each, run)
    if where:
        show.write(show.dim(where))
    if each.note:
        show.write(f"edited: {each.note}")
    if each.remark:
        show.write(show.wrapped(f"computed otherwise: {each.remark}", 0))
    if not each.operands and not each.working:
        return show.write("set by an edit" if each.operator == "edit" else leaf(each))
    if each.working:
        section("on the way")
        for way in each.working[:most]:
            show.write(show.wrapped(f"{way.name} = {way.formula} = {scalar(way.value, digits)}", 2))
        left_out(len(each.working), most)
    section("formula")
    show.write(show.wrapped(f"{each.formula}", 2))
    print_terms(each, most, digits)
    section("check")
    show.write(f"  {scalar(each.value, 17)} recomputed in float64: {each.ulp:.3g} ulp from the stored value")


def section(title: str) -> None:
    show.write("", show.dim(title))


def left_out(count: int, most: int | None) -> None:
    if most is not None and count > most:
        show.write(show.dim(f"  ... {count - most} more (--terms all)"))


def where_is(each: Explanation, run: Run) -> str:
    """The index in words: ``query head 0, position that asks 2 b``."""
    labels = run.labels(each.address)
    shape = run.look(each.address).shape
    words = []
    for letter, i, size in zip(each.axes, each.index, shape, strict=True):
        token = run.setting.tokens.text(i) if letter == "V" else token_at(labels.get(letter, []), each, i)
        if size > 1:
            words.append(f"{AXES[letter]} {i}{f' ({token_name(token)})' if token and token != str(i) else ''}")
    return ", ".join(words)


def token_at(labels: list[Any], each: Explanation, i: int) -> str:
    """The token at a position; of several texts, of the one that the number belongs to."""
    several = bool(labels) and isinstance(labels[0], list)
    own = labels[each.index[each.axes.index("B")]] if several else labels
    return own[i] if own else ""


def print_terms(each: Explanation, most: int | None, digits: int) -> None:
    """The terms, largest first, with their numbers and what those are; for a single term, what it was made from."""
    if len(each.terms) == 1:
        section("in numbers")
        show.write(show.wrapped(shorter(each.terms[0].numbers, digits), 2))
        section("made from")
        rows = [[str(operand), scalar(float(operand.value), digits), operand.kind] for operand in each.operands[:most]]
        show.write(show.table({"number": "left", "value": "right", "kind": "left"}, rows, margin=2))
        return left_out(len(each.operands), most)
    section(f"its {len(each.terms)} terms, the largest first")
    terms = largest(each.terms)
    show.write(term_table(terms[:most], digits))
    left_out(len(terms), most)
    if len(terms) < len(each.terms):
        show.write(show.dim(f"  and {len(each.terms) - len(terms)} that are 0"))


def term_table(terms: list[Term], digits: int) -> Group:
    """Terms with their numbers, and what those are beside them, or below where they would not fit."""
    rows: list[Any] = [[scalar(term.value, digits), shorter(term.numbers, digits)] for term in terms]
    made = [", ".join(map(str, term.operands)) for term in terms]
    columns = {"term": "right", "in numbers": "left"}
    used = sum(max(map(len, column)) + 2 for column in zip(*rows, columns, strict=True)) + 2
    if used + max(map(len, made)) <= show.console().width:
        beside = [[*row, show.dim(text)] for row, text in zip(rows, made, strict=True)]
        return show.table(columns | {"made from": "left"}, beside, margin=2)
    below = (show.wrapped(text, 6, "dim") for text in made)
    return show.table(columns, [line for pair in zip(rows, below, strict=True) for line in pair], margin=2)


def print_sums(sums: dict[str, float], asked: Asked) -> None:
    section(f"by {asked.by}")
    rows = [[name, scalar(value, asked.digits)] for name, value in sums.items()]
    show.write(show.table({"part": "left", "sum of its terms": "right"}, rows, margin=2))


def print_split(split: Split, digits: int) -> None:
    """What every part of the model added to a logit."""
    section("what every part of the model added")
    rows = [[name, scalar(value, digits)] for name, value in split.parts.items()]
    rows += [["sum", scalar(split.total, 17)], ["stored", scalar(split.stored, 17)]]
    show.write(show.table({"part": "left", "contribution": "right"}, rows, margin=2))
