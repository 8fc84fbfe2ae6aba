"""The arrays a program reads besides its weights, made from what the caller gives.

Positions, masks and targets are inputs with names, not hidden state, so that they can be looked at, explained and changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from byhand.errors import InputError
from byhand.program import Program

Array = np.ndarray[Any, Any]
NO_TARGET = -1  # marks a place whose next token is not to be predicted


def token_array(tokens: Any, vocabulary: int, context: int, what: str = "text") -> Array:
    """Token ids as [B, T]; one list of ids becomes a batch of one.

    Raises InputError when they are not whole numbers, none, too many, of unequal lengths or outside the vocabulary.
    """
    try:
        array = np.asarray(tokens)
    except ValueError:
        raise InputError(f"the texts have different lengths; pad them to one length and give mask=[B, T]") from None
    if array.size == 0:
        raise InputError(f"the {what} is empty; give at least one token")
    if array.dtype.kind not in "iu":
        raise InputError(f"token ids must be whole numbers, got {array.dtype}; encode text with the model's tokenizer")
    if array.ndim not in (1, 2):
        raise InputError(f"token ids need 1 axis (one text) or 2 axes [B, T], got shape {array.shape}")
    array = array.astype(np.int64).reshape(-1, array.shape[-1])
    if array.shape[1] > context:
        raise InputError(f"the {what} has {array.shape[1]} tokens, but the model reads at most {context}; shorten it")
    outside = (array < 0) | (array >= vocabulary)
    if outside.any():
        place = tuple(map(int, np.argwhere(outside)[0]))
        raise InputError(f"token id {array[place]} at {list(place)} is outside the vocabulary 0 … {vocabulary - 1}")
    return array


def next_tokens(tokens_BT: Array) -> Array:
    """What comes after each token; after the last nobody knows."""
    unknown_B1 = np.full((len(tokens_BT), 1), NO_TARGET)
    return np.concatenate([tokens_BT[:, 1:], unknown_B1], axis=1)


def prepare(program: Program, given: Mapping[str, Array]) -> dict[str, Array]:
    """All inputs of a program by address.

    given: "tokens" [B,T]; for translation "source.tokens" [B,S]; optional "positions", "segments", "targets" [B,T];
    "mask" and "source.mask", True where a token is real ([B,S]) or where position t may see position s ([B,T,S]).
    Raises InputError for what is missing, does not fit, or leaves a position with nothing to see.
    """
    unknown = [name for name in given if name not in program.inputs]
    if unknown:
        raise InputError(f"{program.name} has no input {unknown[0]!r}; it reads: {', '.join(program.inputs)}")
    inputs = {address: RULES[each.rule](address, given) for address, each in program.inputs.items()}
    for address, each in program.inputs.items():
        if address in given and each.rule not in MASKS:
            like = inputs[address.replace(address.split(".")[-1], "tokens")]
            if inputs[address].shape != like.shape:
                raise InputError(f"{address} has shape {inputs[address].shape}, but the tokens have {like.shape}")
    return inputs


def tokens_of(address: str, given: Mapping[str, Array]) -> Array:
    """The tokens that an input stands beside: those of the source for `source.` inputs."""
    name = "source.tokens" if address.startswith("source.") else "tokens"
    if name not in given:
        raise InputError(f"this model needs {name}; give source= and the tokens to continue")
    return given[name]


def positions(address: str, given: Mapping[str, Array]) -> Array:
    tokens_BT = tokens_of(address, given)
    return given.get(address, np.broadcast_to(np.arange(tokens_BT.shape[1]), tokens_BT.shape))


def segments(address: str, given: Mapping[str, Array]) -> Array:
    return given.get(address, np.zeros_like(tokens_of(address, given)))


def targets(address: str, given: Mapping[str, Array]) -> Array:
    return given.get(address, next_tokens(tokens_of(address, given)))


def causal(address: str, given: Mapping[str, Array]) -> Array:
    T = tokens_of(address, given).shape[1]
    return restricted(np.tri(T, dtype=bool), tokens_of(address, given), given.get(address))


def everything(address: str, given: Mapping[str, Array]) -> Array:
    T = tokens_of(address, given).shape[1]
    return restricted(np.ones((T, T), bool), tokens_of(address, given), given.get(address))


def source(address: str, given: Mapping[str, Array]) -> Array:
    """What the encoder (``source.mask``) and the decoder (``cross.mask``) may see of the source text."""
    asking, asked = tokens_of(address, given), tokens_of("source.tokens", given)
    visible_TS = np.ones((asking.shape[1], asked.shape[1]), bool)
    return restricted(visible_TS, asking, given.get(address, given.get("source.mask")), asked.shape[1])


def restricted(visible_TS: Array, tokens_BT: Array, real: Array | None, asked: int | None = None) -> Array:
    """The rule's mask for every text, without what the caller's mask hides, as [B,T,S]."""
    B, T, S = *tokens_BT.shape, asked or tokens_BT.shape[1]
    visible_BTS = np.broadcast_to(visible_TS, (B, T, S))
    if real is not None:
        if real.shape not in ((B, S), (B, T, S)):
            raise InputError(f"mask has shape {real.shape}; give [B,S] = {(B, S)} or [B,T,S] = {(B, T, S)}")
        visible_BTS = visible_BTS & real.astype(bool).reshape(B, -1, S)
    blind = ~visible_BTS.any(-1)
    if blind.any():
        b, t = map(int, np.argwhere(blind)[0])
        raise InputError(f"the mask leaves position {t} of text {b} with nothing to see; let every position see one")
    return visible_BTS


MASKS = {"causal", "everything", "source"}
RULES: dict[str, Callable[[str, Mapping[str, Array]], Array]] = {
    "tokens": tokens_of,
    "positions": positions,
    "segments": segments,
    "targets": targets,
    "causal": causal,
    "everything": everything,
    "source": source,
}
