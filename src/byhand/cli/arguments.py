"""What the commands take, and how a number, a place or an edit is written on the command line.

A command is a function of one frozen dataclass; its fields are the command's arguments and options, so that commands
share them by inheritance and stay functions of one thing.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from typer import Argument, BadParameter, Option, Typer

from byhand.errors import InputError
from byhand.train import tracing

DTYPE = "float64, float32, bfloat16 or int8 (float32, but products with weights in blocks round what they read)."
ENGINE = "cpu or reference; cpu where it has the dtype, if not said."
MODEL = "A built-in name, a folder, a file, or a pulled model."
HELP = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True, kw_only=True)
class Output:
    """How the answer is written."""

    json: Annotated[bool, Option("--json", help="One JSON document, nothing else; NaN and infinities as text.")] = False


@dataclass(frozen=True, kw_only=True)
class Start(Output):
    """What to run: a model, a text or ids, how, and what to change on the way."""

    model: Annotated[str, Argument(metavar="MODEL", help=MODEL, show_default=False)]
    text: Annotated[str | None, Argument(metavar="TEXT", help="The text to run, in quotes.", show_default=False)] = None
    ids: Annotated[str | None, Option(metavar="1,2,3", help="Token ids instead of TEXT.")] = None
    source: Annotated[str | None, Option(metavar="TEXT", help="The text to translate (encoder-decoder).")] = None
    source_ids: Annotated[str | None, Option(metavar="1,2,3", help="Its token ids instead.")] = None
    targets: Annotated[str | None, Option(metavar="1,2,-1", help="The ids that should come; -1 where none.")] = None
    edit: Annotated[
        list[str], Option(metavar="CHANGE", help="Change a weight, input or value: ADDR[i,j]=1, *=2, +=3. Repeatable.")
    ] = field(default_factory=list)
    dtype: Annotated[str, Option(metavar="NAME", help=DTYPE)] = "float32"
    engine: Annotated[str | None, Option(metavar="NAME", help=ENGINE, show_default=False)] = None
    seed: Annotated[int, Option(metavar="N", help="Seed of the random weights.")] = 0
    part: Annotated[int, Option(metavar="N", help="Of a step that `byhand train` kept whole: which part of it.")] = 0

    @property
    def traced(self) -> bool:
        """Whether the model is a step of a training, which has its own text."""
        return tracing.is_trace(Path(self.model))


@dataclass(frozen=True, kw_only=True)
class StartWords(Start):
    """A start whose text is followed by more words; with --ids, or a traced step, all of them are those words."""

    text: list[str] = field(default_factory=list)  # type: ignore[assignment]

    @property
    def first(self) -> str | None:
        """The text."""
        return self.text[0] if self.text and self.ids is None and not self.traced else None

    @property
    def rest(self) -> list[str]:
        """The words after the text."""
        return self.text if self.ids is not None or self.traced else self.text[1:]


def enter(app: Typer, name: str, function: Callable[[Any], None], examples: Sequence[str]) -> None:
    """Make a function of a dataclass a command; its help ends with the examples."""
    (asked,) = (kind for word, kind in get_type_hints(function).items() if word != "return")

    def called(**given: Any) -> None:
        function(asked(**given))

    ordered = sorted(fields(asked), key=lambda each: each.name == "json")  # the shared option comes last in the help
    called.__doc__ = function.__doc__
    kinds = get_type_hints(asked, include_extras=True)
    called.__signature__ = inspect.Signature([parameter(each, kinds[each.name]) for each in ordered])  # type: ignore[attr-defined]
    lines = ["\b", "Examples:", *(f"  byhand {example}" for example in examples)]
    app.command(name, epilog="\n".join(lines), context_settings=HELP)(called)


def parameter(each: Field[Any], kind: Any) -> inspect.Parameter:
    """A dataclass field as the parameter that typer reads."""
    default = each.default if each.default_factory is MISSING else each.default_factory()
    default = inspect.Parameter.empty if default is MISSING else default
    named, about = get_args(kind)
    for number in NUMBERS:
        if number in (named, *get_args(named)):
            about = copy(about)
            about.parser = partial(read_number, number)
    kind = Annotated[named, about]
    return inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


NUMBERS: dict[type, str] = {int: "a whole number", float: "a number"}


def read_number(number: type, text: str) -> Any:
    try:
        return number(text)
    except ValueError:
        raise BadParameter(f"got {text!r}; give {NUMBERS[number]}") from None


# --- reading what was typed -------------------------------------------------------------------------------------

Token = Callable[[str], int]
Part = int | slice


@dataclass(frozen=True)
class Place:
    """An address and a part of it: by index, by named axes, or (neither) all of it."""

    address: str
    index: tuple[Part, ...] | None
    choice: dict[str, Part]


@dataclass(frozen=True)
class Change:
    """One --edit: where, what (set, add or scale) and the number."""

    place: Place
    action: str
    value: float


PLACE = re.compile(r"(?P<address>[\w.:@]+)(?:\[(?P<inside>[^\[\]]*)\])?")
EDIT = re.compile(rf"(?P<place>{PLACE.pattern})\s*(?P<sign>[*+]?)=\s*(?P<value>.+)")
SLICE = re.compile(r"(-?\d+)?:(-?\d+)?(?::(-?\d+))?")
ACTIONS = {"": "set", "*": "scale", "+": "add"}


def ids(text: str, option: str) -> list[int]:
    """Whole numbers between commas. Raises InputError."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"cannot read {option} {text!r}; write whole numbers with commas, such as {option} 1,2,3"
        ) from None


def place(text: str, token: Token) -> Place:
    """Read ``ADDR``, ``ADDR[0,2:5,-1]`` or ``ADDR[head=3,query=4]``. Raises InputError."""
    found = PLACE.fullmatch(text)
    if not found:
        raise InputError(
            f"cannot read the place {text!r}; write ADDR, ADDR[0,2,1], ADDR[0,:,1:3] or ADDR[head=0,query=2]"
        )
    inside = found["inside"]
    if inside is None:
        return Place(found["address"], None, {})
    parts = [part.strip() for part in inside.split(",")] if inside.strip() else []
    named = [part.partition("=") for part in parts if "=" in part]
    if named and len(named) < len(parts):
        raise InputError(f"{text!r} mixes places by number and by name; use one of the two")
    if named:
        return Place(
            found["address"], None, {word.strip(): one(value.strip(), text, token) for word, _, value in named}
        )
    return Place(found["address"], tuple(one(part, text, token) for part in parts), {})


def one(part: str, text: str, token: Token) -> Part:
    """One index: a whole number, a slice, or a token in quotes."""
    if re.fullmatch(r"-?\d+", part):
        return int(part)
    found = SLICE.fullmatch(part)
    if found:
        return slice(*(None if end is None else int(end) for end in found.groups()))
    if len(part) > 2 and part[0] == part[-1] and part[0] in "'\"":
        return token(part[1:-1])
    raise InputError(
        f"cannot read the index {part!r} in {text!r}; use a whole number, a slice such as 1:3, or a 'token'"
    )


def token_id(text: str, token: Token) -> int:
    """A token named by its id, or by its text; a digit in quotes is text."""
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    quoted = len(text) > 2 and text[0] == text[-1] and text[0] in "'\""
    return token(text[1:-1] if quoted else text)


def change(text: str, token: Token) -> Change:
    """Read ``ADDR[0,2]=1.5``, ``*=`` or ``+=``; an edit of token ids may name the token. Raises InputError."""
    found = EDIT.fullmatch(text.strip())
    if not found:
        raise InputError(
            f"cannot read the edit {text!r}; write ADDR[0,2]=1.5, ADDR[0,2]*=2 or ADDR[0,2]+=1 (no index: all of it)"
        )
    where = place(found["place"].strip(), token)
    return Change(where, ACTIONS[found["sign"]], value(found["value"].strip(), text, where.address, token))


def value(written: str, text: str, address: str, token: Token) -> float:
    try:
        return float(written)
    except ValueError:
        if address.endswith("tokens"):
            return token_id(written, token)
        raise InputError(
            f"cannot read the value {written!r} in the edit {text!r}; write a number, such as 0 or 1e-3"
        ) from None


def positive(number: int | None, option: str) -> int | None:
    """A size that was given, or None. Raises InputError below one."""
    if number is not None and number < 1:
        raise InputError(f"{option} is {number}; give 1 or more")
    return number


def how_many(terms: str) -> int | None:
    """A number of terms; None for "all". Raises InputError."""
    if terms == "all":
        return None
    if not (terms.isdecimal() and int(terms)):
        raise InputError(f"--terms is {terms!r}; give 1 or more, or all")
    return int(terms)


def check_digits(digits: int) -> None:
    if not 1 <= digits <= 17:
        raise InputError(f"--digits is {digits}; give 1 to 17")
