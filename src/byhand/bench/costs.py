"""What some work takes at least, whoever does it: the bytes of a step of decoding, the operations of products."""

from __future__ import annotations

from math import prod
from typing import Any

from byhand.bench.work import PROMPT, Work
from byhand.checkpoints.files.quantized import Quantized
from byhand.model import Model
from byhand.program import Program
from byhand.weights import Weights


def bytes_of_a_step(work: Work, model: Model) -> int:
    """Bytes that a step of decoding reads: the weights as they are stored, and keys and values in float32.

    A table that tokens are only looked up in counts with one row for each.
    """
    program, weights = model.program, model.weights
    shapes, read = program.shapes(), dict.fromkeys(matrices(program))
    total = 0
    for name in program.weights:
        size = stored_bytes(weights, name)
        looked_up = len(shapes[name]) > 1 and name not in read
        total += size // shapes[name][0] * work.batch if looked_up else size
    keys = [step for step in program if step.operator.name in ("scores", "mix")]
    seen = PROMPT + work.tokens // 2
    return total + sum(4 * work.batch * seen * prod(shapes[str(step.reads[1])][2:]) for step in keys)


def stored_bytes(weights: Weights, name: str) -> int:
    """Bytes of a weight as the model holds it."""
    source: Any = weights.sources[name]
    return source.blocks.nbytes if isinstance(source, Quantized) else prod(source.shape) * weights.dtype(name).itemsize


def operations(work: Work, model: Model) -> float:
    """Operations of the products that reading the texts takes, half of all scores being seen by no query.

    Training takes three times as many: for each product its backward has two, one for each of its factors.
    """
    program, (B, T) = model.program, (work.batch, work.tokens)
    shapes, names = program.shapes(B, T), matrices(program)
    total = sum(2 * B * T * prod(shapes[name]) for name in names)
    if work.what == "prefill":  # the logits of the last token only
        total -= 2 * B * (T - 1) * prod(shapes[names[-1]])
    scores = [step.address for step in program if step.operator.name == "scores"]
    width = getattr(model.config, "head_width", 0) or model.config.width // model.config.heads
    total += sum(2 * prod(shapes[name]) * width for name in scores)
    return 3 * total if work.what == "train" else total


def matrices(program: Program) -> list[str]:
    """The weights that are multiplied with, in the order of the program."""
    found = (read for step in program if step.operator.name != "lookup" for read in step.reads)
    return [name for name in found if name in program.weights and len(program.weights[name]) > 1]
