"""``byhand bench``: how fast byhand is beside the machine's own limits and other programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

from rich.text import Text
from typer import Argument, Exit, Option

from byhand.bench import Failed, Measuring, Row, Work, results, suites
from byhand.bench.entries import BYHAND
from byhand.bench.material import described, made
from byhand.bench.planned import Line, lines, timed_plan
from byhand.bench.work import KINDS
from byhand.cli import show
from byhand.cli.arguments import Output, positive
from byhand.cli.waiting import waiting, writing
from byhand.engines import ENGINES
from byhand.errors import InputError
from byhand.memory import size

EXAMPLES = (
    "bench decode --quick",
    "bench forward --model gpt2-tiny --tokens 8",
    "bench decode prefill --model llama-1.1b --dtype q8,q4,bf16",
    "bench targets --out bench.json",
    "bench --table bench.json",
    "bench plan gpt2-124m",
    "bench plan gpt2-0.8m --train",
    "bench warm",
)
WRONG = 1
RATIO, LIMIT = "byhand is", "limit"  # columns
SUMS = ("calls", "bytes", "flops", "seconds", "allowed")
WORDS = f"{', '.join(suites.USUAL)}; or targets, plan MODEL, warm."


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    words: Annotated[list[str], Argument(metavar="[WORK...]", help=WORDS, show_default=False)] = field(
        default_factory=list
    )
    model: Annotated[str | None, Option(metavar="NAME", help="A shape's name, or a file with weights.")] = None
    dtype: Annotated[str | None, Option(metavar="q8,f32", help=f"Weights: {', '.join(KINDS)}.")] = None
    tokens: Annotated[int | None, Option(metavar="N", help="To decode, or in each text.")] = None
    batch: Annotated[int | None, Option(metavar="N", help="How many texts at once.")] = None
    repeat: Annotated[int | None, Option(metavar="N", help="Turns that everybody has.")] = None
    train: Annotated[bool, Option("--train", help="With plan: of a step of training.")] = False
    quick: Annotated[bool, Option("--quick", help="A smaller model, fewer turns.")] = False
    peers: Annotated[bool, Option("--peers/--no-peers", help="Other programs too, those installed.")] = True
    engine: Annotated[str, Option(metavar="NAME", help="What computes byhand's part.")] = ENGINES[0]
    out: Annotated[str | None, Option(metavar="FILE", help="Write the results too, as JSON.")] = None
    table: Annotated[str | None, Option(metavar="FILE", help="Only print results that were written, as Markdown.")] = (
        None
    )


def command(asked: Asked) -> None:
    """Measure byhand, the machine's limits and other programs, in turn.

    All answers are compared first; where one is wrong, nothing is measured and the exit code is 1. The weights are
    random and lie in byhand's cache.
    """
    if asked.table is not None:
        return show.raw(results.page(read(asked.table)))
    match asked.words:
        case ["plan", *rest]:
            return plan(asked, rest)
        case ["warm"]:
            return warm()
    works = wanted(asked)
    about = results.machine(works[0].threads, limits(works[0].threads))
    if not asked.json:
        print_machine(about)
    rows, wrong = measured(asked, works)
    document = {"machine": about, "rows": [row.to_dict() for row in rows], "wrong": wrong}
    if asked.out is not None:
        write(asked.out, document)
    if asked.json:
        show.document(document)
    if wrong:
        raise Exit(WRONG)


def wanted(asked: Asked) -> list[Work]:
    """What is to be measured. Raises InputError."""
    positive(asked.tokens, "--tokens")
    positive(asked.batch, "--batch")
    positive(asked.repeat, "--repeat")
    if asked.engine not in ENGINES:
        raise InputError(f"no engine {asked.engine!r}; there are: {', '.join(ENGINES)}")
    kinds = asked.dtype.split(",") if asked.dtype is not None else None
    given = suites.Given(asked.model, kinds, asked.tokens, asked.batch, asked.engine, asked.quick)
    return suites.works(asked.words, given)


def measured(asked: Asked, works: list[Work]) -> tuple[list[Row], list[str]]:
    """The rows, printed as they come, and what was wrong."""
    rows: list[Row] = []
    wrong: list[str] = []
    for work in works:
        try:
            with waiting(str(work)) as update:
                tick = lambda what, work=work: update(f"{work}: {what}", 0)  # noqa: E731
                rounds = asked.repeat or (suites.QUICK_ROUNDS if asked.quick else suites.ROUNDS)
                rows.append(Measuring(rounds, asked.peers, tick, making).row(work))
        except Failed as error:
            wrong.append(f"{work}: {error}")
            show.write(Text.assemble(("wrong", "bold red"), f" {wrong[-1]}")) if not asked.json else None
        else:
            print_row(rows[-1]) if not asked.json else None
    return rows, wrong


@contextmanager
def making(what: str) -> Iterator[Any]:
    with writing(what) as tick:
        yield tick


def limits(threads: int) -> dict[str, float]:
    """What the machine can do, measured in a process of its own."""
    from byhand.bench.contest import Worker

    with waiting("measuring the machine"), Worker("machine", threads) as worker:
        return worker.ask("limits")["limits"]


# --- printing -------------------------------------------------------------------------------------------------------


def print_machine(about: dict[str, Any]) -> None:
    """The machine and its limits in two lines."""
    can = {name: results.written(value / 1e9) for name, value in about["limits"].items()}
    show.write(Text(f"{about['processor']}, {about['threads']} threads", style="bold"))
    read, floats, in_bytes = can.values()
    show.write(show.wrapped(f"reads {read} GB/s, multiplies {floats} GFLOP/s in float32, {in_bytes} GOP/s in int8"))
    show.write("")


def print_row(row: Row) -> None:
    """A heading, a line for everybody, and why the answers are right."""
    show.heading(str(row.work))
    cells = {name: cells_of(row, name) for name in row.timings}
    used = [column for column in cells[BYHAND] if any(each[column] for each in cells.values()) or column == RATIO]
    columns = {column: "left" if column in ("", LIMIT) else "right" for column in used}
    show.write(show.table(columns, [[each[column] for column in used] for each in cells.values()], margin=2))
    show.write(show.wrapped(f"answers checked: {row.checked}", 2, "dim"))
    for note in notes(row):
        show.write(show.wrapped(note, 2, "dim"))
    show.write("")


def cells_of(row: Row, name: str) -> dict[str, str]:
    """What is said of one contestant, by column."""
    cells = {"": name, row.unit: results.written(row.figure(name))}
    if row.work.what == "train":
        cells["tok/s"] = results.written(row.tokens_a_second(name))
        cells["GFLOP/s"] = results.written(row.operations_a_second(name) / 1e9)
        cells["memory"] = row.memory(name)
    ratio = f"{row.ratio(name):.2f}×" if name in row.others else ""
    return cells | {RATIO: ratio, LIMIT: results.limit_of(row) if name == BYHAND else ""}


def notes(row: Row) -> Iterator[str]:
    """What else there is to say about a row."""
    own = row.facts.get(BYHAND, {})
    if "beyond reading" in own:
        yield f"{own['beyond reading']:.2f} s beyond reading the file"
    if "of the file" in own:
        yield f"{own['of the file']:.2f} times the file's {size(own['bytes of the file'])}"
    for name, facts in row.facts.items():
        if row.work.what == "capture":
            yield f"{name}: {facts['values kept']} values kept"
    for name, why in row.left.items():
        yield f"{name} is left out: {why}"


# --- the plan, and compiling ----------------------------------------------------------------------------------------


def plan(asked: Asked, rest: list[str]) -> None:
    """Print what the cpu engine makes of a model: of a step of decoding, with --tokens of reading so many, or with
    --train of a step of training.
    """
    if len(rest) != 1:
        raise InputError("say which model: byhand bench plan MODEL")
    what = "train" if asked.train else "forward" if asked.tokens is not None else "decode"
    tokens = asked.tokens or (None if asked.train else 8)
    (work,) = wanted(replace(asked, words=[what], model=rest[0], tokens=tokens))
    work = made(described(replace(work, engine="cpu")), False, making)
    machine = limits(work.threads)
    found = lines(timed_plan(work), machine)
    if asked.json:
        return show.document({"work": work.to_dict(), "limits": machine, "groups": [asdict(each) for each in found]})
    show.heading(f"{work.model} {work.kind}, one token" if what == "decode" else str(work))
    columns = {
        "steps": "left",
        **dict.fromkeys(("", "moves", *(("GFLOP", "ms") if asked.train else ("MFLOP", "µs")), "share"), "right"),
    }
    total = Line("all", 1, *(sum(getattr(each, name) for each in found) for name in SUMS))
    show.write(show.table(columns, [plan_row(each, 1e9 if asked.train else 1e6) for each in (*found, total)]))
    can = [f"{machine['bytes a second'] / 1e9:.3g} GB/s", f"{machine['float32 operations a second'] / 1e9:.3g} GFLOP/s"]
    show.write(show.wrapped(f"share: of what {' and '.join(can)} would allow, both measured just now", 0, "dim"))
    if what == "train":
        show.write(show.wrapped(f"all {results.written(total.flops / total.seconds / 1e9)} GFLOP/s", 0, "dim"))


def plan_row(each: Line, unit: float) -> list[str]:
    """unit: 1e6 for millions of operations and millionths of seconds, 1e9 for billions and thousandths."""
    times = f"{each.count}×" if each.count > 1 else ""
    figures = (each.flops / unit, each.seconds * 1e12 / unit)
    share = f"{each.allowed / each.seconds:.0%}" if each.seconds else ""
    return [each.name, times, size(each.bytes), *map(results.written, figures), share]


def warm() -> None:
    """Compile every kernel."""
    from byhand.bench.warming import warm as kernels

    start, count = perf_counter(), 0
    with waiting("compiling kernels", 1.0) as update:
        for name, done, count in kernels():
            update(f"compiling {name}, {done} of {count}", done / count)
    show.write(f"{count} kernels are ready after {perf_counter() - start:.1f} s")


# --- files ----------------------------------------------------------------------------------------------------------


def read(path: str) -> Any:
    """The results in a file. Raises InputError."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is no JSON'}") from None


def write(path: str, document: Any) -> None:
    """Write the results. Raises InputError."""
    try:
        Path(path).write_text(json.dumps(show.plain(document), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
