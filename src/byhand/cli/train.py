"""``byhand train``: a model from texts, step by step, with everything to see, to stop and to go on with."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from threading import current_thread, main_thread
from typing import Annotated, Any

from typer import Option

from byhand import boxed
from byhand.cli import show
from byhand.cli.arguments import ENGINE, Output
from byhand.cli.training import Screen
from byhand.cli.waiting import waiting
from byhand.memory import size
from byhand.train import Training, begin, pictures, resume, samples, saving
from byhand.train.settings import from_toml, made
from byhand.train.tracing import FOLDER

EXAMPLES = (
    "train --family gpt2 --data stories --out new --examples 60 --steps 4",
    "train --family llama --data notes.txt --out notes --tokenizer bpe:500",
    "train --config notes/settings.toml --out other --rate 0.002",
    "train --from notes/step-00002000 --data diary.txt --out tuned",
    "train --out tuned --resume --steps 4000",
)
SIZES = ("layers", "width", "heads", "hidden", "context")
NOT_SETTINGS = ("out", "config", "resume", "json", "ledger", *SIZES)
PICTURE = "loss.png"
WORDS = 8  # tokens of a text that is suggested


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    out: Annotated[Path, Option(metavar="FOLDER", help="Where all of it goes.", show_default=False)]
    family: Annotated[
        str | None, Option(metavar="NAME", help="Of a new model: gpt2, llama, original or bert.", show_default=False)
    ] = None
    start: Annotated[
        str | None, Option("--from", metavar="MODEL", help="Go on from this model instead.", show_default=False)
    ] = None
    data: Annotated[
        str | None,
        Option(metavar="DATA", help="A file or folder, or stories, sums, reversals: written here.", show_default=False),
    ] = None
    config: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Settings as TOML, or stories, sums ...; options go before.",
            show_default=False,
        ),
    ] = None
    resume: Annotated[bool, Option("--resume", help="Go on where the training in FOLDER was saved last.")] = False
    tokenizer: Annotated[
        str | None, Option(metavar="T", help="characters (if not said), bpe:1000 or the path of one.")
    ] = None
    objective: Annotated[str | None, Option(metavar="O", help="causal, masked or translation.")] = None
    layers: Annotated[int | None, Option(metavar="N", help="Blocks of a new model; 4 if not said.")] = None
    width: Annotated[int | None, Option(metavar="N", help="Numbers of a position; 128.")] = None
    heads: Annotated[int | None, Option(metavar="N", help="Attention heads; 4.")] = None
    hidden: Annotated[int | None, Option(metavar="N", help="Feed-forward width; about 4 x width.")] = None
    context: Annotated[int | None, Option(metavar="N", help="The longest text; the length, or 128.")] = None
    steps: Annotated[int | None, Option(metavar="N", help="How many steps; 2000.")] = None
    batch: Annotated[int | None, Option(metavar="N", help="Texts at a time; 12.")] = None
    length: Annotated[int | None, Option(metavar="N", help="Tokens of each; the context.")] = None
    accumulate: Annotated[int | None, Option(metavar="N", help="Batches that make one step; 1.")] = None
    rate: Annotated[float | None, Option(metavar="X", help="The largest learning rate; 0.001.")] = None
    warmup: Annotated[int | None, Option(metavar="N", help="Steps until it is reached; 100 or fewer.")] = None
    decay: Annotated[str | None, Option(metavar="D", help="cosine (if not said), linear or none.")] = None
    last_rate: Annotated[float | None, Option(metavar="X", help="The share of it that is left at the end; 0.1.")] = None
    weight_decay: Annotated[float | None, Option(metavar="X", help="Of matrices and tables; 0.1.")] = None
    clip: Annotated[float | None, Option(metavar="X", help="The longest gradient; 1, 0 for any.")] = None
    dropout: Annotated[float | None, Option(metavar="X", help="The share of numbers left out; 0.")] = None
    seed: Annotated[int | None, Option(metavar="N", help="Of weights, split, batches and dropout; 0.")] = None
    validation: Annotated[float | None, Option(metavar="X", help="The share of the data held back; 0.1.")] = None
    examples: Annotated[int | None, Option(metavar="N", help="Texts that a generator writes; 20000.")] = None
    evaluate: Annotated[int | None, Option(metavar="N", help="Evaluate every N steps; 100.")] = None
    sample: Annotated[int | None, Option(metavar="N", help="Write a text every N steps; 500, 0 never.")] = None
    prompt: Annotated[str | None, Option(metavar="TEXT", help="What that text begins with.")] = None
    save: Annotated[int | None, Option(metavar="N", help="Save every N steps; 500.")] = None
    keep: Annotated[int | None, Option(metavar="N", help="Of which the last N stay; 3.")] = None
    trace_step: Annotated[int | None, Option(metavar="N", help="Keep every value and gradient of step N.")] = None
    engine: Annotated[str | None, Option(metavar="NAME", help=ENGINE, show_default=False)] = None
    threads: Annotated[int | None, Option(metavar="N", help="One for each core, if not said.")] = None
    recompute: Annotated[
        list[str], Option(metavar="PATTERN", help="Values to compute again for backward, not to hold. Repeatable.")
    ] = field(default_factory=list)
    ledger: Annotated[bool, Option("--ledger", help="Only list what a step holds for its backward run.")] = False


def command(asked: Asked) -> None:
    """Train a model on texts: a new one, or one that you have.

    Ctrl-C ends it after the step it is at, and saves; --resume goes on bit for bit as if it had never stopped.
    """
    given = given_by(asked)
    if not asked.resume:
        made(given)  # before the folder is there
    with saving.alone(asked.out):
        with waiting("reading the data", 1.0) as update:

            def tick(done: int, total: int) -> None:
                update("encoding the data", done / max(total, 1))

            training = resume(asked.out, given, tick, tell) if asked.resume else begin(made(given), asked.out, tick)
        if asked.ledger:
            return print_ledger(asked, training)
        screen = Screen(training, quiet=asked.json)
        with stopped_by(training) as signals:
            screen.begin()
            screen.watch(training.run())
        ended(asked, training)
        if signals:
            raise KeyboardInterrupt if signals[0] == SIGINT else SystemExit(128 + signals[0])


def given_by(asked: Asked) -> dict[str, Any]:
    """The settings of the file, and of the options over them. Raises InputError."""
    given = from_toml(config_of(asked.config)) if asked.config is not None else {}
    options = {name: value for name, value in vars(asked).items() if value is not None and value != []}
    sizes = given.get("sizes", {}) | {name: options[name] for name in SIZES if name in options}
    if "family" in options or "start" in options:
        given = {name: value for name, value in given.items() if name not in ("family", "start")}
    given |= {name: value for name, value in options.items() if name not in NOT_SETTINGS}
    return given | ({"sizes": sizes} if sizes else {})


def config_of(path: Path) -> Path:
    """The file that is named, or the settings of a model in the box that is called so."""
    return boxed.recipe(str(path)) if str(path) in boxed.MODELS and not path.exists() else path


def tell(line: str) -> None:
    print(f"byhand: {line}", file=sys.stderr)


@contextmanager
def stopped_by(training: Training) -> Iterator[list[int]]:
    """The signals that came: the first ends the training after the step it is at, another one at once."""
    came: list[int] = []

    def stop(number: int, frame: object) -> None:
        came.append(number)
        training.stopping = True
        if len(came) > 1:
            raise KeyboardInterrupt
        tell("stopping after this step; once more to stop at once, without saving")

    here = current_thread() is main_thread()
    before = {number: signal(number, stop) for number in (SIGINT, SIGTERM) if here}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal(number, handler)


def print_ledger(asked: Asked, training: Training) -> None:
    """Every saved value, what it takes and who reads it, and what all of them take."""
    held = training.held()
    if asked.json:
        return show.document([each._asdict() for each in held])
    for each in held:
        taken = size(each.bytes) if each.bytes else each.state
        show.write(f"{each.address} {each.axes} {list(each.shape)}, {taken}")
        for line in each.readers:
            show.write(show.dim(f"    {line}"))
    show.write("", f"{sum(each.bytes > 0 for each in held)} values held, {size(sum(each.bytes for each in held))}")


# --- the end ------------------------------------------------------------------------------------------------------


def ended(asked: Asked, training: Training) -> None:
    """The curve, where all of it is, and what can be done with it."""
    curves = {"training": training.log.curve("loss"), "validation": training.log.curve("validation")}
    picture = asked.out / PICTURE
    is_drawn = pictures.png(picture, curves)
    checkpoint = asked.out / f"step-{training.step:08}"
    if asked.json:
        facts = training.facts() | {"loss": curves["training"][-1][1], "parameters": training.plain.parameters}
        files = {"checkpoint": checkpoint, "log": training.log.path, "picture": picture if is_drawn else None}
        return show.document(facts | files | {"next": next_commands(asked, training, checkpoint)})
    show.write("", *pictures.drawn(curves, min(show.console().width, show.WIDEST)), "")
    show.write(f"{checkpoint}: saved at step {training.step}; the log is {training.log.path.name}")
    if is_drawn:
        show.write(f"{picture}: the curve")
    else:
        show.write(show.dim("for the curve as a picture, install matplotlib: pip install 'byhand[plot]'"))
    show.raw("".join(f"\nNext: {line}" for line in next_commands(asked, training, checkpoint)))


def next_commands(asked: Asked, training: Training, checkpoint: Path) -> list[str]:
    """What somebody may want to do now: use the model, look into it, go on."""
    model, out = shlex.quote(str(checkpoint)), shlex.quote(str(asked.out))
    text, start = shlex.quote(beginning(training)), first_id(training)
    most = min(60, training.model.config.context - WORDS)
    lines = {
        "causal": [f"byhand generate {model} {text} --max-tokens {most} --temperature 0.8"],
        "masked": [f"byhand run {model} {text}"],
        "translation": [f"byhand generate {model} --ids {start} --source {text} --max-tokens {most}"],
    }[str(training.settings.objective)]
    if training.model.tokenizer is None:
        lines = [f"byhand inspect {model}"]
    trace = asked.out / FOLDER / checkpoint.with_name(f"step-{training.settings.trace_step or 0:08}").name
    if trace.is_dir():
        lines.append(f"byhand explain {shlex.quote(str(trace))} 'd:blocks.0.mlp.act[0,0,0]'")
    elif training.model.tokenizer is not None and training.settings.objective == "causal":
        lines.append(f"byhand explain {model} {text} 'logits[0,-1,0]' --depth 3")
    done = training.step == training.settings.steps
    return [*lines, f"byhand train --out {out} --resume{f' --steps {2 * training.step}' * done}"]


def beginning(training: Training) -> str:
    """The prompt, or the first words of a text that is held back."""
    corpus = training.corpus
    if training.settings.prompt or corpus is None:
        return training.settings.prompt or ""
    ids = corpus.validation.stretch(0)[: None if corpus.train.pairs else WORDS]
    return samples.text_of(training.model, ids).strip()


def first_id(training: Training) -> int:
    """What a translation begins after."""
    return (*(training.corpus.around.start if training.corpus else ()), 0)[0]
