"""``byhand run``: what a model expects after each position, and what an edit changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from rich.console import Group
from rich.text import Text
from typer import Option

import byhand
from byhand.cli import show
from byhand.cli.answer import goes_on
from byhand.cli.arguments import Start
from byhand.cli.changed import print_diff
from byhand.cli.figures import scalar, summary, token_name
from byhand.cli.starting import edited, start, way_to_a_loss
from byhand.errors import InputError
from byhand.memory import size
from byhand.model import Model
from byhand.predictions import Prediction
from byhand.run import Run

EXAMPLES = (
    "run aab aab --loss",
    'run aab aab --edit "blocks.0.attn.v.weight[5,0,7]=0"',
    'run original-tiny "Hello" --source "Bonjour" --top 5',
)
ANSWERS = ("logits", "probs")
SMALL_VOCABULARY = 4  # up to here every token has its columns
MARGIN = 7  # of a line that has too little room beside the others


@dataclass(frozen=True, kw_only=True)
class Asked(Start):
    loss: Annotated[bool, Option("--loss", help="Also the loss of every position and their mean.")] = False
    top: Annotated[int, Option(metavar="N", help="How many predictions to show.")] = 3
    keep: Annotated[list[str], Option(metavar="PATTERN", help="Values to keep and report. Repeatable.")] = field(
        default_factory=list
    )


def command(asked: Asked) -> None:
    """Show what a model expects after each token of a text.

    With --edit it shows what the change does.
    """
    if asked.top < 1:
        raise InputError(f"--top is {asked.top}; give 1 or more")
    model, run = start(asked, asked.text, kept(asked))
    changed = edited(model, run, asked.edit)
    if asked.loss and "loss" not in run.program:
        raise InputError(f"there is no loss: {way_to_a_loss(run)}")
    more = "" if asked.edit else goes_on(model, asked.text, dtype=asked.dtype, engine=asked.engine)
    if asked.json:
        return show.document(to_dict(asked, model, run, changed) | ({"goes_on": more} if more else {}))
    print_run(asked, model, changed)
    if more:
        show.write("")
        show.prose(f"It goes on: {asked.text}{more}")
    if asked.edit:
        show.write("")
        show.heading("What the edit changed")
        print_diff(run.diff(changed))


def kept(asked: Asked) -> str | list[str]:
    """What to keep: what was asked for, all that an edit could change, or just the answers."""
    if asked.keep or not asked.edit:
        program = byhand.load(asked.model).program_with(targets=True)
        return [*asked.keep, *(address for address in ANSWERS if address in program)] or [program.steps[-1].address]
    return "all"


# --- what comes next --------------------------------------------------------------------------------------------


def predicted(run: Run) -> list[Prediction]:
    """Every position of the one text that was run; none for a model without logits."""
    return run.predictions() if "logits" in run.program else []


def to_dict(asked: Asked, model: Model, run: Run, changed: Run) -> dict[str, Any]:
    """The whole answer as plain data."""
    listed = [position_dict(each, changed, asked.top) for each in predicted(changed)]
    answer = {"model": model.name, "dtype": run.dtype, "engine": run.engine, "positions": listed}
    if not listed:
        address = run.program.steps[-1].address
        answer["output"] = {"address": address, "values": changed.look(address)}
    if asked.loss:
        answer["loss"] = float(changed.look("loss"))
    if asked.keep:
        answer["kept"] = {address: array.nbytes for address, array in changed.kept.items()}
    if asked.edit:
        answer |= {"edits": list(map(str, changed.edits)), "diff": run.diff(changed).to_dict()}
    return answer


def position_dict(each: Prediction, run: Run, most: int) -> dict[str, Any]:
    text = run.setting.tokens.text

    def candidate(token: int) -> dict[str, Any]:
        return {"token": text(token), "id": token, "probability": each.probs_V[token], "logit": each.logits_V[token]}

    return {
        "position": each.position,
        "token": text(each.token),
        "id": each.token,
        "next": None if each.target is None else {"token": text(each.target), "id": each.target},
        "predicted": [candidate(token) for token in each.top(max(most, 1))],
        "right": each.right,
        "loss": each.loss,
    }


def print_run(asked: Asked, model: Model, run: Run) -> None:
    listed = predicted(run)
    T = run.look("tokens").shape[1]
    show.heading(f"{model.name}, {T} token{'s' * (T != 1)}, {run.dtype}")
    for each in run.edits:
        show.write(f"edited: {each}")
    show.write("")
    if listed:
        show.write(table(listed, run, asked), *score(listed, run, asked))
    else:
        address = run.program.steps[-1].address
        facts = summary(run.look(address), first=6)
        first = ", ".join(scalar(value, 4) for value in facts["first"])
        show.prose(f"{model.name} has no logits. Its last value is {address}, {run[address].shape}: {first} ...")
    if asked.keep:
        total = sum(array.nbytes for array in run.kept.values())
        show.write("", f"kept {size(total)}:")
        show.write(show.table({"value": "left", "bytes": "right"}, [(a, size(v.nbytes)) for a, v in run.kept.items()]))


def table(listed: list[Prediction], run: Run, asked: Asked) -> Group:
    """A row a position; a small vocabulary has its probabilities and logits side by side, as far as there is room."""
    few = run.program.sizes["V"] <= SMALL_VOCABULARY
    rows = [cells(each, run, few, asked) for each in listed]
    for left_out in ((), ("logit ",), ("logit ", "p(")):
        shown = {name: side_of(name) for name in rows[0] if not name.startswith(left_out)}
        lines = [[row[name] for name in shown] for row in rows]
        if show.fits(shown, lines):
            return show.table(shown, lines)
    lists = [name for name in shown if name.endswith(" most likely")]
    shown = {name: side for name, side in shown.items() if name not in lists}
    below = [[show.wrapped(str(row[name]), MARGIN, "dim") for name in lists] for row in rows]
    lines = [[[row[name] for name in shown], *more] for row, more in zip(rows, below, strict=True)]
    return show.table(shown, [line for group in lines for line in group])


def side_of(name: str) -> str:
    return "right" if name in ("place", "loss") or name.startswith(("p(", "logit ")) else "left"


def cells(each: Prediction, run: Run, few: bool, asked: Asked) -> dict[str, str | Text]:
    """The cells of a position under the headings of their columns."""
    name = lambda token: token_name(run.setting.tokens.text(token))  # noqa: E731
    causal = run.program.inputs["mask"].rule == "causal"
    style = {True: "green", False: "red", None: ""}[each.right]
    row: dict[str, str | Text] = {
        "place": str(each.position),
        "token": name(each.token),
        "next" if causal else "target": "" if each.target is None else name(each.target),
        "predicted": Text(name(each.best), style=style),
    }
    if few:
        row |= {f"p({name(v)})": percent(p) for v, p in enumerate(each.probs_V)}
        row |= {f"logit {name(v)}": scalar(x, 6) for v, x in enumerate(each.logits_V)}
    else:
        most = (f"{name(token)} {percent(each.probs_V[token])}" for token in each.top(asked.top))
        row[f"the {asked.top} most likely"] = "  ".join(most)
    if asked.loss:
        row["loss"] = "" if each.loss is None else f"{each.loss:.4g}"
    return row


def percent(probability: float) -> str:
    return "nan" if probability != probability else f"{probability:.1%}"


def score(listed: list[Prediction], run: Run, asked: Asked) -> list[str]:
    """How many predictions were right, and the mean loss."""
    known = [each.right for each in listed if each.right is not None]
    causal = run.program.inputs["mask"].rule == "causal"
    right = "what came next" if causal else "the target"
    lines = [f"\n{sum(known)} of {len(known)} predictions are {right}"] if known else []
    if asked.loss:
        loss = float(run.look("loss"))
        lines.append(f"loss {loss:.6g} (mean over {len(known)} positions, in nats)")
    return lines
