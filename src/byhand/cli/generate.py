"""``byhand generate``: continue texts, as they come, and look into every choice."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain, islice
from time import perf_counter
from typing import Annotated, Any

from rich.text import Text
from typer import Argument, Option

import byhand
from byhand.cli import show
from byhand.cli.arguments import DTYPE, ENGINE, MODEL, Output, ids
from byhand.cli.figures import token_name
from byhand.cli.starting import changes, given_text, progress
from byhand.errors import InputError
from byhand.generate import Generation
from byhand.model import Model
from byhand.sampling import Candidate, Choice, Settings

EXAMPLES = (
    "generate aab abaab --max-tokens 10",
    "generate gpt2-tiny Hello --temperature 0.8 --top-p 0.9 --watch",
    "generate llama-tiny Hello Bye --temperature 1 --probabilities 3",
    "generate original-tiny A --source Bonjour --stop B",
)
WATCHED = 5  # candidates of a choice that is watched
MARGIN = 7  # of a line that has too little room beside the others
SPEED = 5  # tokens from which a speed says something


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    model: Annotated[str, Argument(metavar="MODEL", help=MODEL, show_default=False)]
    text: Annotated[
        list[str] | None, Argument(metavar="TEXT", help="What to continue, each in quotes.", show_default=False)
    ] = None
    ids: Annotated[list[str], Option(metavar="1,2,3", help="Token ids instead of a TEXT. Repeatable.")] = field(
        default_factory=list
    )
    source: Annotated[list[str], Option(metavar="TEXT", help="What to translate, one for each TEXT. Repeatable.")] = (
        field(default_factory=list)
    )
    source_ids: Annotated[list[str], Option(metavar="1,2,3", help="Its token ids instead. Repeatable.")] = field(
        default_factory=list
    )
    max_tokens: Annotated[int, Option(metavar="N", help="The most tokens for each text.")] = 20
    temperature: Annotated[
        float, Option(metavar="X", help="0 takes the best token; 1 draws as the model says; less is surer.")
    ] = 0.0
    top_k: Annotated[int | None, Option(metavar="N", help="Draw from the N best tokens.")] = None
    top_p: Annotated[
        float | None, Option(metavar="X", help="Draw from the best tokens whose probabilities reach X.")
    ] = None
    min_p: Annotated[
        float | None, Option(metavar="X", help="Draw from tokens at least X times as likely as the best.")
    ] = None
    repetition_penalty: Annotated[
        float, Option(metavar="X", help="Above 1, tokens of the text so far become less likely.")
    ] = 1.0
    seed: Annotated[int, Option(metavar="N", help="Seed of the numbers drawn.")] = 0
    stop: Annotated[list[str], Option(metavar="TEXT", help="End before this text. Repeatable.")] = field(
        default_factory=list
    )
    stop_id: Annotated[list[int], Option(metavar="N", help="End at this token. Repeatable.")] = field(
        default_factory=list
    )
    go_on: Annotated[bool, Option("--go-on", help="Do not end where the model ends the text.")] = False
    probabilities: Annotated[int, Option(metavar="N", help="Also a table: each token and the N most likely.")] = 0
    watch: Annotated[bool, Option("--watch", help="Explain every choice as it is made.")] = False
    edit: Annotated[
        list[str], Option(metavar="CHANGE", help="A change that holds all the time: ADDR[i,j]=1, *=2, +=3. Repeatable.")
    ] = field(default_factory=list)
    dtype: Annotated[str | None, Option(metavar="NAME", help=f"{DTYPE} int8 if weights are in blocks.")] = None
    engine: Annotated[str | None, Option(metavar="NAME", help=ENGINE, show_default=False)] = None
    no_cache: Annotated[bool, Option("--no-cache", help="Run the whole text again for every token.")] = False
    cache_bf16: Annotated[bool, Option("--cache-bf16", help="Keep keys and values in bfloat16: half the memory.")] = (
        False
    )
    weights_seed: Annotated[int, Option(metavar="N", help="Seed of the random weights.")] = 0


def command(asked: Asked) -> None:
    """Continue one or several texts.

    One text is written as it comes, several one after the other.
    """
    model = byhand.load(asked.model, seed=asked.weights_seed)
    generation = started(asked, model)
    if asked.json:
        generation.finish()
        return show.document(to_dict(asked, model, generation))
    start = perf_counter()
    with progress("reading the text"):
        first = list(islice(generation, 1))  # before anything is written, so that an error stands alone
    pieces = chain(first, generation)
    if asked.watch:
        watch(generation, pieces)
    elif generation.alone:
        stream(model, generation, pieces)
    else:
        one_by_one(model, generation, pieces)
    if asked.probabilities:
        table(generation)
    speed(sum(len(each.choices) for each in generation.continuations), perf_counter() - start)


def started(asked: Asked, model: Model) -> Generation:
    """The generation as it was asked for. Raises ByhandError."""
    texts = given(model, asked.text or [], asked.ids, "TEXT", "--ids")
    translates = "source.tokens" in model.program.inputs
    sources = given(model, asked.source, asked.source_ids, "--source", "--source-ids", needed=translates)
    names = [each.name for each in fields(Settings) if hasattr(asked, each.name)]
    chosen = {name: getattr(asked, name) for name in names} | {"stop": [*asked.stop, *asked.stop_id]}
    return model.generate(
        texts[0] if len(texts) == 1 else texts,
        source=sources[0] if len(sources) == 1 else sources or None,
        engine=asked.engine,
        dtype=asked.dtype,
        cached="bfloat16" if asked.cache_bf16 and not asked.no_cache else not asked.no_cache,
        edits=[
            (each.place.address, {"index": each.place.index, **each.place.choice, each.action: each.value})
            for each in changes(model, asked.edit)
        ],
        stop_at_end=not asked.go_on,
        explainable=asked.watch,
        **chosen,
    )


def given(
    model: Model, texts: Sequence[str], listed: Sequence[str], word: str, option: str, needed: bool = True
) -> list[Any]:
    """The texts, or the ids in their place. Raises InputError."""
    if texts and listed:
        raise InputError(f"got both {word} and {option}; give one of them")
    if listed:
        return [ids(each, option) for each in listed]
    found = [given_text(model, each, None, word, option, needed) for each in texts or [None]]
    return [each for each in found if each is not None]


# --- writing ----------------------------------------------------------------------------------------------------


def written(model: Model, prompt: Sequence[int]) -> Text:
    """A prompt as the model reads it, what was put before the text included."""
    tokenizer = model.tokenizer
    text = "".join(f"{token} " for token in prompt) if tokenizer is None else tokenizer.decode(prompt)
    return Text(text, style="dim")


def stream(model: Model, generation: Generation, pieces: Iterator[Any]) -> None:
    """The prompt, and the text as it comes."""
    out = show.console()
    try:
        out.print(written(model, generation.prompts[0]), end="", soft_wrap=True)
        for piece in pieces:
            out.print(Text(piece), end="", soft_wrap=True)
    finally:
        out.print()


def one_by_one(model: Model, generation: Generation, pieces: Iterator[Any]) -> None:
    """Each text on lines of its own, as soon as it and those before it have ended; at Ctrl-C as far as they are."""
    out, waiting = show.console(), list(generation.continuations)

    def write_first() -> None:
        each = waiting.pop(0)
        out.print(Text.assemble(written(model, each.prompt), each.text), soft_wrap=True)

    try:
        for _ in chain(pieces, [None]):
            while waiting and waiting[0].stopped:
                write_first()
    finally:
        while waiting:
            write_first()


def watch(generation: Generation, pieces: Iterator[Any]) -> None:
    """Every choice as it is made."""
    shown = [0] * len(generation.continuations)
    for _ in chain(pieces, [None]):
        for i, each in enumerate(generation.continuations):
            for choice in each.choices[shown[i] :]:
                title = f"{choice.position} {token_name(choice.text)}"
                show.heading(title if generation.alone else f"text {i}, {title}")
                show.prose(choice.explanation)
                show.write(stages(choice), "")
                shown[i] = len(each.choices)
    for i, each in enumerate(generation.continuations):
        show.write(Text.assemble("" if generation.alone else f"text {i}: ", each.text, show.dim(f"  ({each.stopped})")))


def stages(choice: Choice) -> Any:
    """A table of candidates: what the model gives each, what every step of the choice leaves, and its stretch."""
    steps = choice.stages[1:]
    columns = {"": "left", "token": "left", "model": "right"}
    columns |= {step.removeprefix("kept."): "right" for step in steps}
    drawn = choice.uniform is not None
    columns |= {"from": "right", "to": "right"} if drawn else {}
    rows = []
    for each in choice.candidates(WATCHED):
        cells = [percent(each.stages[step]) for step in ("logits", *steps)]
        ends = [f"{each.low:.4f}", f"{each.high:.4f}"] if drawn else []
        rows.append([">" if each.token == choice.token else "", token_name(each.text), *cells, *ends])
    return show.table(columns, rows)


def percent(probability: float) -> str:
    return "-" if probability == 0 else f"{probability:.1%}"


def table(generation: Generation) -> None:
    """A row for every token: its probability, the chance it had, and the most likely tokens."""
    columns = {"place": "right", "token": "left", "model": "right", "chance": "right", "most likely": "left"}
    for i, each in enumerate(generation.continuations):
        show.write("")
        if not generation.alone:
            show.heading(f"text {i}")
        show.write(in_room(columns, [row(choice) for choice in each.choices]))


def in_room(columns: dict[str, str], rows: list[list[str]]) -> Any:
    """The table; where its lines are too long, the last cell of each has lines of its own."""
    if show.fits(columns, rows):
        return show.table(columns, rows)
    *first, _ = columns
    lines = [[cells, show.wrapped(last, MARGIN, "dim")] for *cells, last in rows]
    return show.table({name: columns[name] for name in first}, [line for group in lines for line in group])


def row(choice: Choice) -> list[str]:
    def one(each: Candidate) -> str:
        return f"{token_name(each.text)} {percent(each.probability)}"

    shown = [percent(choice.probability), percent(choice.chance)]
    likely = "  ".join(one(each) for each in choice.most_likely)
    return [str(choice.position), token_name(choice.text), *shown, likely]


def speed(tokens: int, seconds: float) -> None:
    """How fast it was, for somebody who watches."""
    if tokens >= SPEED and sys.stderr.isatty():
        show.console(stderr=True).print(
            show.dim(f"{tokens} tokens in {seconds:.2f} s, {tokens / seconds:.3g} a second")
        )


def to_dict(asked: Asked, model: Model, generation: Generation) -> dict[str, Any]:
    """The whole answer as plain data."""
    begin = len(model.tokenizer.begin) if model.tokenizer and not asked.ids else 0
    texts = [
        {
            "prompt": each.prompt,
            "added": each.prompt[:begin],
            "text": each.text,
            "tokens": each.tokens,
            "stopped": each.stopped,
            "choices": [choice.to_dict(WATCHED if asked.watch else 0) for choice in each.choices],
        }
        for each in generation.continuations
    ]
    settings = {each.name: getattr(generation.settings, each.name) for each in fields(Settings)}
    decoding = generation.decoding
    facts = {"model": model.name, "dtype": decoding.precision.name, "engine": decoding.engine.name}
    return {**facts, "settings": settings, "texts": texts}
