"""A plan as the weights of an unmodified GPT-2 or Llama."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

import numpy as np

from byhand.families import gpt2, llama
from byhand.loading import make
from byhand.model import Model
from byhand.tokenizer.letters import letters
from byhand.wiring.deciding import Unit, ratio, read_numbers
from byhand.wiring.heads import Design, power, unit_row
from byhand.wiring.layout import LOUD, Slot
from byhand.wiring.matching import Affine
from byhand.wiring.moments import moments
from byhand.wiring.planning import Plan, widened
from byhand.wiring.refusals import refuse
from byhand.wiring.variables import Number

Array = np.ndarray[Any, Any]
SURE = 32.0  # the gap of two logits: exp(-32) is what all other tokens get together
OPEN = 128.0  # a unit that is always on: every activation passes this on as it is


def assemble(made: Plan, head_width: int | None) -> tuple[Plan, Model]:
    """The model, and the plan as wide as it. Raises WiringError for a head that is too narrow."""
    heads = max([1, *map(len, made.heads)])
    needed = max([1, *(design.width for some in made.heads for design in some)])
    if made.rotary is not None:
        width, head_width = ceil(made.layout.used() / heads) * heads, made.rotary.head_width
    else:
        if head_width is not None and head_width < needed:
            wide = max((design for some in made.heads for design in some), key=lambda design: design.width)
            refuse(
                f"head {wide.name!r}", f"it needs {needed} features for its table and values, and may have {head_width}"
            )
        heads, head_width = split(made.layout.used(), heads, needed, head_width)
        width = heads * head_width
    made = widened(made, width)
    hidden = max([1, *(len(units_of(made, layer)[0]) for layer in range(len(made.parts)))])
    config = config_of(made, heads, head_width, hidden)
    weights = {"token.weight": token_table(made)}
    for layer in range(len(made.heads)):
        weights |= norm(made, f"blocks.{layer}.norm1", 2 * layer, config.eps)
        weights |= attention(made, layer, heads, head_width)
        weights |= norm(made, f"blocks.{layer}.norm2", 2 * layer + 1, config.eps)
        weights |= feed_forward(made, layer, hidden)
    weights |= ending(made, config.eps)
    if made.name == "gpt2":
        weights |= {"position.weight": position_table(made, config.context)}
    stored = {address: np.ascontiguousarray(array, np.float32) for address, array in weights.items()}
    return made, make(
        made.family,
        config,
        stored,
        tokenizer=letters(made.wiring.tokens.domain, made.wiring.name),
        name=made.wiring.name,
    )


def split(used: int, heads: int, needed: int, head_width: int | None) -> tuple[int, int]:
    """Heads and their width, whose product is a GPT-2's width: the smallest that holds the stream."""
    choices = []
    for count in range(heads, used + heads + 1):
        width = max(needed, ceil(used / count)) if head_width is None else head_width
        if count * width >= used:
            choices.append((count * width, count, width))
    _, count, width = min(choices)
    return count, width


def config_of(made: Plan, heads: int, head_width: int, hidden: int) -> Any:
    common = {
        "layers": len(made.heads),
        "width": made.layout.width,
        "heads": heads,
        "hidden": hidden,
        "vocabulary": len(made.wiring.tokens.domain),
        "context": made.wiring.context,
        "tied": made.tied,
    }
    if made.rotary is None:
        return gpt2.Config(**common, activation=made.activation.name)
    return llama.Config(**common, groups=heads, head_width=head_width, theta=made.rotary.theta, rotary="halves")


def table_of(slot: Slot, width: int) -> Array:
    made = np.zeros((len(slot.codes), width))
    made[:, slot.dims] = slot.codes
    return made


def token_table(made: Plan) -> Array:
    return table_of(made.layout.slots["tokens"], made.layout.width)


def position_table(made: Plan, context: int) -> Array:
    slot = made.layout.slots.get("position")
    return np.zeros((context, made.layout.width)) if slot is None else table_of(slot, made.layout.width)


def norm(made: Plan, at: str, when: int, eps: float, loud: float = 1.0) -> dict[str, Array]:
    """Gain and shift that give back what a norm gets, times `loud`: the inverse of what the norm does."""
    width = made.layout.width
    mean, square = (sum(each) / 2 for each in moments(made.layout.live(when), width))
    if made.name == "llama":
        return {f"{at}.gain": np.full(width, loud * sqrt(square + eps))}
    gain = loud * sqrt(square - mean**2 + eps)
    return {f"{at}.gain": np.full(width, gain), f"{at}.shift": np.full(width, loud * mean)}


def folded(made: Plan, affine: Affine) -> tuple[Array, Array]:
    """Weights and biases; a Llama has no biases, so there every token adds the constant."""
    if made.name == "gpt2":
        return affine.weights, affine.constant
    weights = affine.weights.copy()
    weights[made.layout.slots["tokens"].dims] += affine.constant
    return weights, np.zeros(affine.count)


def attention(made: Plan, layer: int, heads: int, head_width: int) -> dict[str, Array]:
    at, width = f"blocks.{layer}.attn", made.layout.width
    arrays = {f"{name}.weight": np.zeros((width, heads, head_width)) for name in "qkv"}
    arrays |= {f"{name}.bias": np.zeros((heads, head_width)) for name in "qkv"}
    arrays |= {"out.weight": np.zeros((heads, head_width, width)), "out.bias": np.zeros(width)}
    for place, design in enumerate(made.heads[layer]):
        for name, affine in (("q", louder(design, head_width)), ("k", design.key), ("v", design.value)):
            weights, biases = folded(made, affine)
            arrays[f"{name}.weight"][:, place, : affine.count] = weights
            arrays[f"{name}.bias"][place, : affine.count] = biases
        arrays["out.weight"][place, : len(design.output)] = design.output
    kept = {name: array for name, array in arrays.items() if made.name == "gpt2" or not name.endswith("bias")}
    return {f"{at}.{name}": array for name, array in kept.items()}


def louder(design: Design, head_width: int) -> Affine:
    """Queries that are still as strong after the division by the root of the head's width."""
    return design.query.scaled(sqrt(head_width) if design.averages else power(sqrt(head_width)))


def units_of(made: Plan, layer: int) -> tuple[list[Unit], Array]:
    """All hidden units of a layer and the constant it writes."""
    units = [unit for part in made.parts[layer] for unit in part.units]
    constant = sum((part.base for part in made.parts[layer]), np.zeros(made.layout.width))
    for slot in made.layout.slots.values():
        if slot.erased == 2 * layer + 2:
            unit, rest = erasing(made, slot)
            units, constant = [*units, unit], constant + rest
    if made.name == "llama" and constant.any():
        units = [*units, Unit(np.zeros(len(constant)), OPEN, constant / OPEN)]
        constant = np.zeros(len(constant))
    return units, constant


def erasing(made: Plan, slot: Slot) -> tuple[Unit, Array]:
    """A unit that takes a number out of the stream again, and the constant that goes with it."""
    number = made.wiring.variables[slot.name]
    assert isinstance(number, Number)
    row = np.zeros(made.layout.width)
    row[slot.dims] = unit_row(slot.codes, slot.values)
    column = read_numbers(number, number.values, made.layout, slot.name) * ratio(number.values, number.values)
    nothing = np.zeros(made.layout.width)
    if made.name == "llama":
        return Unit(nothing, OPEN, -row / OPEN, column), nothing
    largest = max(abs(float(value)) for value in number.values)
    factor = 1 / power(max(largest, 2.0**-10)) * 8
    return Unit(factor * column, 16.0, -row / factor), 16.0 / factor * row


def feed_forward(made: Plan, layer: int, hidden: int) -> dict[str, Array]:
    at, width = f"blocks.{layer}.mlp", made.layout.width
    units, constant = units_of(made, layer)
    reads = Affine(columns([unit.reads for unit in units], width, hidden), padded([u.constant for u in units], hidden))
    down = columns([unit.writes for unit in units], width, hidden).T
    gate, bias = folded(made, reads)
    if made.name == "gpt2":
        return {f"{at}.up.weight": gate, f"{at}.up.bias": bias, f"{at}.down.weight": down, f"{at}.down.bias": constant}
    nothing = np.zeros(width)
    times = columns([nothing if unit.times is None else unit.times for unit in units], width, hidden)
    up, _ = folded(made, Affine(times, padded([float(unit.times is None) for unit in units], hidden)))
    return {f"{at}.gate.weight": gate, f"{at}.up.weight": up, f"{at}.down.weight": down}


def columns(given: list[Array], width: int, count: int) -> Array:
    made = np.zeros((width, count))
    for place, column in enumerate(given):
        made[:, place] = column
    return made


def padded(given: list[float], count: int) -> Array:
    return np.array([*given, *[0.0] * (count - len(given))])


def ending(made: Plan, eps: float) -> dict[str, Array]:
    """The final norm, which makes logits clear, and where it is not tied the table that reads the prediction."""
    predicted = made.wiring.predicted
    assert predicted is not None
    when = 2 * len(made.heads)
    if made.tied:
        return norm(made, "final_norm", when, eps, power(SURE / (LOUD - 1)))
    slot = made.layout.slots[predicted.name]
    against = slot.codes @ slot.codes.T
    others = against - np.diag(np.full(len(against), np.inf))
    gap = (np.diag(against) - others.max(1)).min() if len(against) > 1 else 1.0
    if gap <= 0:
        refuse(f"predict {predicted.name!r}", "its code does not tell its values apart by a product; write it one-hot")
    table_VD = np.zeros((len(made.wiring.tokens.domain), made.layout.width))
    for value, code in zip(predicted.domain, slot.codes, strict=True):
        table_VD[made.wiring.tokens.domain.index(value), slot.dims] = code
    return {"unembed.weight": table_VD, **norm(made, "final_norm", when, eps, power(SURE / gap))}
