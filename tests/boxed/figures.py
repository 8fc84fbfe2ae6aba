"""The figures of the models in the box, measured anew: ``python -m tests.boxed.figures`` writes boxed/figures.toml."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import byhand
from byhand import boxed
from byhand.model import Model
from byhand.texts import GENERATORS
from byhand.train import Stepped, begin
from byhand.train.settings import from_toml, made

FIGURES = boxed.HERE / "figures.toml"
FRESH = 12345  # a seed that nothing was trained with
STORIES, LINES = 40, 200
EARLY = {
    "examples": 300,
    "validation": 0.2,
    "steps": 20,
    "warmup": 5,
    "sample": 0,
    "evaluate": 20,
    "batches": 1,
    "save": 20,
    "keep": 1,
}
ANSWERS = "=~#"


def figures(name: str) -> dict[str, float]:
    """What a model does on texts that it has not seen, and how its training begins."""
    model, recipe = byhand.load(name), from_toml(boxed.recipe(name))
    kind = str(recipe["data"])
    fresh = {"stories": surprise, "sums": right_lines, "reversals": right_pairs}[kind](model)
    return {"parameters": model.parameters, **fresh, "early_loss": early(recipe)}


def surprise(model: Model) -> dict[str, float]:
    """The mean loss of a token, in nats, over fresh stories."""
    total, count = 0.0, 0
    for story in islice(GENERATORS["stories"](FRESH), STORIES):
        ids = [*model.tokenizer.begin, *model.tokenizer.encode(story)][: model.config.context]
        loss = model.run(ids, keep=["loss"]).look("loss")
        total, count = total + float(loss) * (len(ids) - 1), count + len(ids) - 1
    return {"loss": round(total / count, 4)}


def right_lines(model: Model) -> dict[str, float]:
    """The share of fresh lines that end as they should."""
    lines = list(islice(GENERATORS["sums"](FRESH), LINES))
    starts = [line[: 1 + min(line.index(mark) for mark in ANSWERS if mark in line)] for line in lines]
    made = model.generate(starts, max_tokens=20).finish()
    right = [start + each.text == line for start, each, line in zip(starts, made.continuations, lines, strict=True)]
    return {"right": round(sum(right) / LINES, 3)}


def right_pairs(model: Model) -> dict[str, float]:
    """The share of fresh words that are turned around or sorted as they should be."""
    pairs = list(islice(GENERATORS["reversals"](FRESH), LINES))
    made = model.generate([""] * LINES, source=[source for source, _ in pairs], max_tokens=14).finish()
    right = [each.text == target for each, (_, target) in zip(made.continuations, pairs, strict=True)]
    return {"right": round(sum(right) / LINES, 3)}


def early(recipe: dict[str, Any]) -> float:
    """The loss of the last of a few steps, with few texts."""
    with TemporaryDirectory() as folder:
        training = begin(made(recipe | EARLY), Path(folder))
        return round([each.loss for each in training.run() if isinstance(each, Stepped)][-1], 4)


def trained(log: Path) -> dict[str, float]:
    """How long a training took, and the loss that it ended with on what was held back."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    ends = [line["validation"] for line in lines if "validation" in line]
    return {"steps": max(line["step"] for line in lines), "validation": round(ends[-1], 4)}


if __name__ == "__main__":  # python -m tests.boxed.figures stories=/tmp/stories ...: the folders of the trainings
    parts = []
    for word in sys.argv[1:]:
        name, _, folder = word.partition("=")
        found = trained(Path(folder) / "log.jsonl") | figures(name)
        parts.append(f"[{name}]\n" + "".join(f"{what} = {value}\n" for what, value in found.items()))
    FIGURES.write_text("\n".join(parts))
