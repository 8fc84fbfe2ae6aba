"""What a checkpoint's files leave open is decided by running the model both ways on eight tokens.

Two models that differ in one setting, such as the rotary layout, both run without an error; only one was trained
that way, and it is less surprised by ordinary text (or, without a tokenizer, surer of what it would say itself).
"""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import numpy as np

from byhand import inputs
from byhand.checkpoints.record import Checkpoint, Doubt, Finding, in_order
from byhand.decoding import Decoding
from byhand.engines.reference import precision
from byhand.errors import InputError
from byhand.families import FAMILIES
from byhand.run import execute
from byhand.weights import given

LENGTH = 8
FLOAT32 = precision("float32")
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
    """The mean loss of the model with one setting chosen; one that reads both sides is asked for what it sees."""
    family, config = FAMILIES[checkpoint.family], replace(checkpoint.config, **{name: choice})
    program = family.program(config, targets=True)
    weights = given(program, checkpoint.weights)
    causal = program.inputs["mask"].rule == "causal"
    if readable(checkpoint):
        tokens_BT = np.array(sentences(checkpoint.tokenizer, config.context))
    elif causal:
        tokens_BT = said(Decoding(family, config, weights, FLOAT32), program.sizes["V"], min(LENGTH, config.context))
    else:
        tokens_BT = np.linspace(0, program.sizes["V"] - 1, min(LENGTH, config.context)).astype(np.int64)[None]
    prepared = inputs.prepare(program, {"tokens": tokens_BT} if causal else {"tokens": tokens_BT, "targets": tokens_BT})
    return execute(program, weights, prepared, FLOAT32, ["loss"]).look("loss").item()


def said(decoding: Decoding, vocabulary: int, length: int) -> np.ndarray[Any, Any]:
    """Tokens [4,T] that the model gives itself, one after the other, from four different first ones."""
    tokens_BT = np.linspace(0, vocabulary - 1, len(SENTENCES)).astype(np.int64)[:, None]
    while tokens_BT.shape[1] < length:
        next_B = decoding.feed(tokens_BT[:, -1:].tolist()).argmax(-1)
        tokens_BT = np.concatenate([tokens_BT, next_B[:, None]], axis=1)
    return tokens_BT
