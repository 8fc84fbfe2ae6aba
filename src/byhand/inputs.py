"""The arrays a program reads besides its weights, made from what the caller gives.

Positions, masks and targets are inputs with names, not hidden state: they can be looked at, explained and changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from byhand.changes import Edit
from byhand.errors import InputError
from byhand.program import Program
from byhand.weights import frozen

Array = np.ndarray[Any, Any]
NO_TARGET = -1  # marks a place whose next token is not to be predicted


def array_of(value: Any, name: str) -> Array:
    """A copy of what the caller gave, which nobody can change later. Raises InputError for lists of unequal lengths."""
    try:
        return np.array(value)
    except ValueError:
        raise InputError(
            f"{name}: the lists have different lengths; pad them to one length and give mask=[B, T]"
        ) from None


def token_array(tokens: Any, vocabulary: int, context: float, what: str = "text") -> Array:
    """Token ids as [B, T]; one list of ids becomes a batch of one.

    Raises InputError when they are not whole numbers, none, too many, of unequal lengths or outside the vocabulary.
    """
    array = array_of(tokens, what)
    if array.size == 0:
        raise InputError(f"the {what} is empty; give at least one token")
    if array.dtype.kind not in "iu":
        raise InputError(f"token ids must be whole numbers, got {array.dtype}; encode text with the model's tokenizer")
    if array.ndim not in (1, 2):
        raise InputError(f"token ids need 1 axis (one text) or 2 axes [B, T], got shape {array.shape}")
    array = array.astype(np.int64).reshape(-1, array.shape[-1])
    if array.shape[1] > context:
        raise InputError(f"the {what} has {array.shape[1]} tokens, but the model reads at most {context}; shorten it")
    within(array, 0, vocabulary, f"token id of the {what}", "the vocabulary")
    return array


def next_tokens(tokens_BT: Array, real: Array | None = None) -> Array:
    """What comes after each token; after the last nobody knows, nor what belongs to padding (real [B,T] is False)."""
    next_BT = np.roll(tokens_BT, -1, axis=1)
    next_BT[:, -1] = NO_TARGET
    if real is not None and real.shape == tokens_BT.shape:
        next_BT[~(real.astype(bool) & np.roll(real, -1, axis=1).astype(bool))] = NO_TARGET
    return next_BT


# --- what every input of a program is made of ---------------------------------------------------------------------


def prepare(program: Program, given: Mapping[str, Any]) -> dict[str, Array]:
    """All inputs of a program by address.

    given: "tokens" [B,T]; for translation "source.tokens" [B,S]; optional "positions", "segments", "targets" [B,T] (or
    [T] for one text); "mask", "source.mask" and "cross.mask", True where a token is real ([B,S]) or where position t
    may see position s ([B,T,S]); for a program that reads piece by piece its caches [B,S,G,K]. Raises InputError for
    what is missing, does not fit, or leaves nothing to see.
    """
    unknown = [name for name in given if name not in program.inputs]
    if unknown:
        raise InputError(f"{program.name} has no input {unknown[0]!r}; it reads: {', '.join(program.inputs)}")
    arrays = {name: array_of(value, name) for name, value in given.items()}
    inputs = {address: RULES[each.rule](address, arrays) for address, each in program.inputs.items()}
    for address, array in inputs.items():
        like = inputs[beside(address)]
        if program.inputs[address].rule not in MASKS | {"cache"} and array.shape != like.shape:
            raise InputError(f"{address} has shape {array.shape}, but the tokens have {like.shape}; give one a token")
        if len(array) != len(inputs["tokens"]):
            raise InputError(
                f"{address} has {len(array)} texts, tokens has {len(inputs['tokens'])}; give as many of both"
            )
        check(program, address, array)
    refuse_cache(program, inputs)
    return inputs


def refuse_cache(program: Program, inputs: Mapping[str, Array]) -> None:
    """Raise InputError for caches that do not fit the program, each other or the positions."""
    caches = [address for address, each in program.inputs.items() if each.rule == "cache"]
    first: dict[str, tuple[str, int]] = {}
    for address in caches:
        extent, shape = program.inputs[address].extent, inputs[address].shape
        sizes = [program.sizes.get(letter) for letter in extent[2:]]
        if len(shape) != len(extent) or list(shape[2:]) != sizes:
            raise InputError(f"{address} has shape {shape}; give [texts, places, {', '.join(map(str, sizes))}]")
        other, places = first.setdefault(extent[1], (address, shape[1]))
        if shape[1] != places:
            raise InputError(f"{address} has {shape[1]} places and {other} has {places}; give all as many")
    if "C" in first and (inputs["positions"] >= first["C"][1]).any():
        last = int(inputs["positions"].max())
        raise InputError(f"position {last} has no place in the cache; its places are 0 … {first['C'][1] - 1}")


def beside(address: str) -> str:
    """The tokens that an input stands beside: those of the source for `source.` inputs."""
    return "source.tokens" if address.startswith("source.") else "tokens"


def tokens_of(address: str, given: Mapping[str, Array]) -> Array:
    name = beside(address)
    if name not in given:
        raise InputError(f"this model needs {name}; give source= and the tokens to continue")
    return given[name]


def rows(address: str, given: Mapping[str, Array]) -> Array | None:
    """What the caller gave, one row a text."""
    return given[address][None] if address in given and given[address].ndim == 1 else given.get(address)


def positions(address: str, given: Mapping[str, Array]) -> Array:
    B, T = tokens_of(address, given).shape
    made = rows(address, given)
    return np.tile(np.arange(T), (B, 1)) if made is None else made


def segments(address: str, given: Mapping[str, Array]) -> Array:
    made = rows(address, given)
    return np.zeros_like(tokens_of(address, given)) if made is None else made


def targets(address: str, given: Mapping[str, Array]) -> Array:
    made = rows(address, given)
    return next_tokens(tokens_of(address, given), given.get("mask")) if made is None else made


def causal(address: str, given: Mapping[str, Array]) -> Array:
    T = tokens_of(address, given).shape[1]
    return restricted(np.tri(T, dtype=bool), address, given, address)


def everything(address: str, given: Mapping[str, Array]) -> Array:
    T = tokens_of(address, given).shape[1]
    return restricted(np.ones((T, T), bool), address, given, address)


def reached(address: str, given: Mapping[str, Array]) -> Array:
    """Every place of the cache up to a token's own position: the keys of later places are of no token yet."""
    places = next((array.shape[1] for name, array in given.items() if name.startswith("cache.") and array.ndim == 4), 0)
    visible_BTS = np.arange(places) <= positions("positions", given)[:, :, None]
    return restricted(visible_BTS, address, given, address)


def cache(address: str, given: Mapping[str, Array]) -> Array:
    """The keys or values of tokens that were read before; zeros before the first."""
    if address not in given or given[address].ndim != 4:
        raise InputError(f"this program reads piece by piece: {address} must be an array [B,S,G,K], zeros at first")
    return given[address]


def source(address: str, given: Mapping[str, Array]) -> Array:
    """What the encoder (``source.mask``) and the decoder (``cross.mask``) may see of the source text."""
    crossing = (array.shape[1] for name, array in given.items() if name.endswith(".cross.k"))
    S = next(crossing, None) or tokens_of("source.tokens", given).shape[1]
    visible_TS = np.ones((tokens_of(address, given).shape[1], S), bool)
    padding = "source.mask" if given.get("source.mask", visible_TS).ndim == 2 else address
    return restricted(visible_TS, address, given, address if address in given else padding)


def restricted(visible: Array, address: str, given: Mapping[str, Array], name: str) -> Array:
    """The rule's mask, [T,S] or [B,T,S], for every text, without what the caller's mask of this name hides."""
    (T, S), B = visible.shape[-2:], len(tokens_of(address, given))
    real = given.get(name)
    if real is None:
        return np.broadcast_to(visible, (B, T, S)).copy()
    if B == 1 and real.shape == (T, S) != (B, S):
        real = real[None]
    if real.shape not in ((B, S), (B, T, S)):
        raise InputError(f"{name} has shape {real.shape}; give [B,S] = {(B, S)} or [B,T,S] = {(B, T, S)}")
    if not ((real == 0) | (real == 1)).all():
        raise InputError(
            f"{name} holds {real.dtype} numbers; give True (or 1) where a token may be seen, else False (or 0)"
        )
    visible_BTS = visible & real.astype(bool).reshape(B, -1, S)
    if real.ndim == visible.ndim == 2 and not address.startswith("cross."):
        # padding on the left would see nothing, which has no softmax: it sees itself, and nobody sees it
        visible_BTS |= ~visible_BTS.any(-1, keepdims=True) & np.eye(T, dtype=bool)
    return visible_BTS


MASKS = {"causal", "everything", "reached", "source"}
RULES: dict[str, Callable[[str, Mapping[str, Array]], Array]] = {
    "tokens": tokens_of,
    "positions": positions,
    "segments": segments,
    "targets": targets,
    "causal": causal,
    "everything": everything,
    "reached": reached,
    "cache": cache,
    "source": source,
}


# --- what an input may hold ---------------------------------------------------------------------------------------


def check(program: Program, address: str, array: Array) -> None:
    """Raise InputError if an input, given or edited, holds what the program cannot read."""
    rule = program.inputs[address].rule
    if rule in MASKS:
        blind = ~array.any(-1)
        if blind.any():
            b, t = map(int, np.argwhere(blind)[0])
            raise InputError(
                f"{address} leaves position {t} of text {b} with nothing to see; let every position see one"
            )
        return
    if rule not in LIMITS:
        return  # numbers, such as the logits that a choice is made from
    if array.dtype.kind not in "iu":
        raise InputError(f"{address} holds {array.dtype}; give whole numbers")
    letter, table = LIMITS[rule]
    within(array, -np.inf if rule == "targets" else 0, program.sizes.get(letter, np.inf), address, table)
    if rule == "targets" and (array < 0).all():
        raise InputError(f"{address}: every place says that there is none; give at least one token id to predict")


LIMITS = {
    "tokens": ("V", "the vocabulary"),
    "targets": ("V", "the vocabulary"),
    "positions": ("P", "the table of positions"),
    "segments": ("Y", "the table of segments"),
}


def within(array: Array, low: float, high: float, what: str, table: str) -> None:
    """Raise InputError naming the first number that is not low … high-1."""
    outside = (array < low) | (array >= high)
    if outside.any():
        place = tuple(map(int, np.argwhere(outside)[0]))
        fix = f"{table} has 0 … {high - 1}" if high < np.inf else "they count from 0"
        raise InputError(f"{what} is {array[place]} at {list(place)}; {fix}")


def changed_input(each: Edit, before: Array, program: Program) -> Array:
    """An edited input; it keeps its type. Raises InputError for what the program could not read."""
    exact = each.apply(before.astype(np.float64))
    after = exact.astype(before.dtype)
    if (after != exact).any():
        raise InputError(f"{each.address} holds {before.dtype.name} values, so this cannot be done: {each}")
    check(program, each.address, after)
    return frozen(after)
