"""What a checkpoint's files leave open is decided by running the model both ways on eight tokens.

Two models that differ in one setting, such as the rotary layout, both run without an error; only one was trained
that way, and it is less surprised by ordinary text (or, without a tokenizer, surer of what it would say itself).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import log
from typing import Any

import numpy as np

from byhand import inputs
from byhand.checkpoints.record import Checkpoint, Doubt, Finding, in_order
from byhand.engines.reference import precision
from byhand.errors import InputError
from byhand.families import FAMILIES
from byhand.program import Program
from byhand.run import execute
from byhand.weights import Weights, given

LENGTH = 8
SENTENCES = (
    "Once upon a time there was a little girl who lived in a house by the sea",
    "The quick brown fox jumps over the lazy dog and runs into the forest",
    "In the beginning there was nothing but the word, and everybody knew it by heart",
    "She opened the door, looked around and said that it was time to go home",
)
CLEAR, OWN_CLEAR = 0.1, 0.5  # nats a token: less than this between two ways says nothing; of the model's own text


def decided(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with every open setting decided, and a finding for each that says how."""
    for doubt in checkpoint.doubts:
        checkpoint = settle(checkpoint, doubt)
    return replace(checkpoint, doubts=())


def settle(checkpoint: Checkpoint, doubt: Doubt) -> Checkpoint:
    """Run the model each way; the one with the smallest loss is taken, or the usual one where that says nothing."""
    losses = {choice: surprise(checkpoint, doubt.name, choice) for choice in doubt.choices}
    best, second = sorted(losses, key=lambda choice: losses[choice])[:2]
    margin = CLEAR if readable(checkpoint) else OWN_CLEAR
    clear = losses[second] - losses[best] > margin and losses[best] < log(checkpoint.config.vocabulary)
    chosen = best if clear else doubt.choices[0]
    measured = ", ".join(f"{choice} {losses[choice]:.2f}" for choice in doubt.choices)
    text = "of ordinary text" if readable(checkpoint) else "that it continued itself"
    outcome = "so" if clear else f"which is less than {margin} apart or no better than guessing, so the usual one,"
    how = f"{doubt.why}; loss on {LENGTH} tokens {text}: {measured}; {outcome} {chosen} was taken"
    finding = Finding(doubt.what, str(chosen), how)
    return replace(
        checkpoint,
        config=replace(checkpoint.config, **{doubt.name: chosen}),
        findings=in_order([finding, *checkpoint.findings]),
    )


def readable(checkpoint: Checkpoint) -> bool:
    """Whether there is a tokenizer that can read the sentences in at least as many tokens as are run."""
    if checkpoint.tokenizer is None:
        return False
    try:
        found = sentences(checkpoint.tokenizer, checkpoint.config.context)
    except InputError:  # an alphabet without some of their letters
        return False
    return all(len(tokens) == LENGTH for tokens in found)


def sentences(tokenizer: Any, context: int) -> list[list[int]]:
    return [tokenizer.prepared(text)[: min(LENGTH, context)] for text in SENTENCES]


def surprise(checkpoint: Checkpoint, name: str, choice: Any) -> float:
    """The mean loss of the model with one setting chosen."""
    program = FAMILIES[checkpoint.family].program(replace(checkpoint.config, **{name: choice}), targets=True)
    weights = given(program, checkpoint.weights)
    if readable(checkpoint):
        tokens_BT = np.array(sentences(checkpoint.tokenizer, checkpoint.config.context))
    else:
        tokens_BT = said(program, weights, min(LENGTH, checkpoint.config.context))
    return loss(program, weights, tokens_BT)


def loss(program: Program, weights: Weights, tokens_BT: np.ndarray[Any, Any]) -> float:
    """The mean loss; a model that reads both sides is asked for the tokens that it sees."""
    given_ids = {"tokens": tokens_BT}
    if program.inputs["mask"].rule != "causal":
        given_ids["targets"] = tokens_BT
    return float(values(program, weights, given_ids, "loss"))


def said(program: Program, weights: Weights, length: int) -> np.ndarray[Any, Any]:
    """Tokens [4,T] that the model gives itself, one after the other, from four different first ones."""
    V = program.sizes["V"]
    tokens_BT = np.linspace(0, V - 1, len(SENTENCES)).astype(np.int64)[:, None]
    while tokens_BT.shape[1] < length:
        logits_BTV = values(program, weights, {"tokens": tokens_BT, "targets": tokens_BT}, "logits")
        tokens_BT = np.concatenate([tokens_BT, logits_BTV[:, -1:].argmax(-1)], axis=1)
    return tokens_BT


def values(program: Program, weights: Weights, arrays: Mapping[str, Any], address: str) -> np.ndarray[Any, Any]:
    prepared = inputs.prepare(program, arrays)
    return execute(program, weights, prepared, precision("float32"), [address]).look(address)
