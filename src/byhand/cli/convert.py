"""``byhand convert``: a model from any format into another, and what that did to it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.console import RenderableType
from typer import Argument, Option

import byhand
from byhand.checkpoints.casting import DTYPES
from byhand.checkpoints.files.quantized import BLOCKS
from byhand.cli import show
from byhand.cli.arguments import ENGINE, Output
from byhand.cli.figures import scalar
from byhand.cli.starting import given_text
from byhand.cli.waiting import waiting, writing
from byhand.compare.converted import Conversion, Effect, Weight, conversion
from byhand.engines import engine
from byhand.errors import ByhandError, InputError, one_line
from byhand.memory import size
from byhand.model import Model

EXAMPLES = (
    "convert gpt2_124M.bin gpt2-folder --format hf",
    "convert llama/ llama-q8 --dtype q8 --no-loss",
    "convert llama/ llama-q8_0.gguf --format gguf --dtype q8_0",
    "convert aab-gpt2 aab-folder --format hf",
)

SHORT = {dtype.name: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    model: Annotated[
        str, Argument(metavar="MODEL", help="A folder, a file, a built-in or pulled name.", show_default=False)
    ]
    target: Annotated[str, Argument(metavar="TARGET", help="The folder or file to write.", show_default=False)]
    format: Annotated[str, Option(metavar="NAME", help="byhand, hf, llmc, llama2c or gguf.")] = "byhand"
    dtype: Annotated[
        str | None,
        Option(metavar="NAME", help="f32, f16, bf16; for byhand and gguf q8 and q4. As it is, if not said."),
    ] = None
    force: Annotated[bool, Option("--force", help="Replace what is there.")] = False
    text: Annotated[str | None, Option(metavar="TEXT", help="The text that the loss is of; else the model's own.")] = (
        None
    )
    file: Annotated[str | None, Option(metavar="PATH", help="A file with that text.")] = None
    ids: Annotated[str | None, Option(metavar="1,2,3", help="Token ids instead.")] = None
    engine: Annotated[str | None, Option(metavar="NAME", help=ENGINE, show_default=False)] = None
    no_loss: Annotated[bool, Option("--no-loss", help="Do not run the model.")] = False
    seed: Annotated[int, Option(metavar="N", help="Seed of random weights, and of the text the model writes.")] = 0


def command(asked: Asked) -> None:
    """Write a model in another format, and say what that did to it.

    The target appears whole or not at all. A tokenizer goes with its model. What was written is read again: how far
    each weight moved, and what the loss of a text was before and is now.
    """
    model = byhand.load(asked.model, seed=asked.seed)
    if asked.engine is not None:
        engine(asked.engine, "float32")  # refuses another name before anything is written
    ids = ids_of(model, asked)
    with writing(f"writing {asked.target}") as tick:
        path = model.save(asked.target, format=asked.format, dtype=asked.dtype, force=asked.force, progress=tick)
    written, after = bytes_in(path), byhand.load(path)
    found, trouble = reported(model, after, ids, asked)
    if asked.json:
        about = {"path": str(path), "format": asked.format, "bytes": written, "model": model.name, "dtype": asked.dtype}
        return show.document(about | to_dict(found) | ({"not_run": trouble} if trouble else {}))
    show.write(f"{path}: {size(written)}, {asked.format}. Look at it with: byhand inspect {path}", "")
    show.write(*tables(found))
    if found.effect or trouble:
        show.prose(said(found.effect) if found.effect else f"The loss could not be computed: {trouble}")


def bytes_in(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def ids_of(model: Model, asked: Asked) -> list[int] | None:
    """The text of the loss as ids, None for the model's own. Raises InputError for what cannot have a loss."""
    if asked.file is not None and asked.text is not None:
        raise InputError("got both --text and --file; give one of them")
    word = "--text" if asked.file is None else "--file"
    text = asked.text if asked.file is None else read(Path(asked.file))
    given = given_text(model, text, asked.ids, word, "--ids", needed=False)
    if given is not None and asked.no_loss:
        raise InputError(f"got both {word if asked.ids is None else '--ids'} and --no-loss; give one of them")
    ids = None if given is None else model.token_ids(given, most=float("inf"))[0].tolist()
    if ids is not None and len(ids) < 2:
        raise InputError(f"the text has {len(ids)} tokens; a loss needs two or more")
    return ids


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise InputError(f"cannot read --file {path}: {why}") from None


def reported(model: Model, after: Model, ids: list[int] | None, asked: Asked) -> tuple[Conversion, str]:
    """What the conversion did, and why the model could not be run, if so; a model whose numbers all stayed is not."""
    with waiting("comparing", 1.0) as update:
        found = conversion(model, after, effect=False, progress=update)
        if asked.no_loss or (found.exact and ids is None):
            return found, ""
        try:
            given = {"seed": asked.seed, "engine": asked.engine}
            return conversion(model, after, ids, **given, known=found, progress=update), ""
        except ByhandError as error:  # the file is written all the same
            return found, one_line(str(error))


# --- in words -------------------------------------------------------------------------------------------------------


def to_dict(found: Conversion) -> dict[str, Any]:
    effect = found.effect
    answer: dict[str, Any] = {"weights": [each._asdict() for each in found.weights], "exact": found.exact}
    if effect is not None:
        answer["loss" if effect.what == "loss" else "answer"] = effect._asdict() | {"relative": effect.relative}
    return answer


def tables(found: Conversion) -> Iterator[RenderableType]:
    """A row for the weights of one kind, and a line for those that stayed as they were."""
    if found.exact:
        yield stayed(found.weights, "")
        return
    moved = [each for each in found.weights if each.largest or each.stored in BLOCKS]
    kinds: dict[tuple[str, str], list[Weight]] = {}
    for each in moved:
        kinds.setdefault((re.sub(r"\.\d+\.", ".*.", each.address), each.stored), []).append(each)
    rows = [row(name, stored, same) for (name, stored), same in kinds.items()]
    columns = {name: "left" if name in ("weight", "as") else "right" for name in rows[0]}
    if not show.fits(columns, [list(each.values()) for each in rows]):
        del columns["mean"]
    yield show.table(columns, [[each[name] for name in columns] for each in rows])
    yield show.dim("error: rms of the change over the rms of the weight; of several the worst")
    yield ""
    others = [each for each in found.weights if each not in moved]
    for why in dict.fromkeys(each.why for each in others):
        yield stayed([each for each in others if each.why == why], why)


def stayed(same: Sequence[Weight], why: str) -> RenderableType:
    names = same[0].address if len(same) == 1 else f"{len(same)} weights"
    total = size(sum(each.after for each in same))
    return show.wrapped(f"{names}, {total}: every number as it was{f', for {why}' if why else ''}.")


def row(name: str, stored: str, same: Sequence[Weight]) -> dict[str, str]:
    errors = [each.relative for each in same]
    return {
        "weight": name,
        "as": SHORT.get(stored, stored),
        "before": size(sum(each.before for each in same)),
        "after": size(sum(each.after for each in same)),
        "error": percent(max(errors)),
        "mean": percent(sum(errors) / len(errors)),
        "largest": scalar(max(each.largest for each in same), 3),
    }


def percent(share: float) -> str:
    return "0" if share == 0 else f"{100 * share:.3g} %"


def said(effect: Effect) -> str:
    """The effect in a sentence."""
    about = f"over {effect.tokens} tokens {effect.text}"
    if effect.what == "loss":
        return f"loss {effect.before:.6g} → {effect.after:.6g} ({100 * effect.relative:+.3g} %), {about}"
    return (
        f"{effect.what} moved by at most {effect.after:.3g}, {percent(effect.relative)} of its largest number "
        f"{effect.before:.4g}, {about}"
    )
