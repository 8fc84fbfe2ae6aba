"""From a wiring to a plan: where everything lies, how wide heads are, and every part as matrices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from byhand.families import FAMILIES
from byhand.wiring import learned, turning
from byhand.wiring.codes import matrix
from byhand.wiring.deciding import ACTIVATIONS, Activation, Decided, decided
from byhand.wiring.heads import STRONGEST, Design, Start
from byhand.wiring.interpreter import interpret, predicted_name
from byhand.wiring.layout import NEXT, POSITION, Layout, lay_out, shares
from byhand.wiring.parts import ONLY, Deciding, Head, Offset, Rule, Table
from byhand.wiring.placing import alone
from byhand.wiring.positions import Circles, Rotary
from byhand.wiring.refusals import refuse
from byhand.wiring.variables import FEED_FORWARD, Variable
from byhand.wiring.wiring import Wiring

Array = np.ndarray[Any, Any]
# How a number 1 is written for the feed-forward of its layer. Layer norm subtracts the mean, so there it is written
# twice with both signs; and small, since numbers change the size of the stream, by which a norm divides.
SCRATCH = {"gpt2": np.array([[1.0, -1.0]]) / 2**7, "llama": np.array([[1.0]]) / 2**8}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What may be chosen about the model; None is found.

    tied: whether logits come from the token table; activation: of GPT-2, gelu_tanh or gelu_erf; head_width: features
    of a head; periods: of GPT-2's position circles; theta: of Llama's rotary pairs; strongest: how large the scores
    of a Llama's head may become, before heads are made wider instead.
    """

    tied: bool | None = None
    activation: str = "gelu_tanh"
    head_width: int | None = None
    periods: tuple[float, ...] | None = None
    theta: float | None = None
    strongest: float | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """A wiring for one family, before it becomes weights.

    heads, parts, declared: by layer; all columns are as long as the layout is wide. basis: [D, D], what the stream of
    a rotated model is multiplied by, see `rotating`; None for the plain one.
    """

    wiring: Wiring
    family: ModuleType
    tied: bool
    activation: Activation
    layout: Layout
    start: dict[str, int]
    heads: list[list[Design]]
    parts: list[list[Decided]]
    declared: list[list[Deciding]]
    rotary: Rotary | None
    basis: Array | None = None

    @property
    def name(self) -> str:
        return self.family.__name__.rpartition(".")[2]


def plan(wiring: Wiring, family: str, choices: Choices) -> Plan:
    """Raises WiringError, naming the site, for what cannot be made exact."""
    if family not in SCRATCH:
        refuse(wiring.name, f"no family {family!r} to wire; there are: {', '.join(SCRATCH)}")
    predicted_name(wiring)
    check_alone(wiring)
    for read in wiring.variables.values():
        if isinstance(read, Variable):
            matrix(read)
    tied = family == "gpt2" if choices.tied is None else choices.tied
    act = ACTIVATIONS["silu" if family == "llama" else choices.activation]
    circles = learned.circles_for(wiring, choices.periods) if family == "gpt2" else Circles(wiring.context)
    slots = lay_out(wiring, circles, SCRATCH[family], tied)
    layout = Layout(slots, max(slot.dims.stop for slot in slots.values()))
    start = start_places(wiring)
    rotary = None
    if family == "llama":
        rotary = turning.rotary_for(
            wiring,
            lambda each: rotary_heads(wiring, layout, start, each),
            choices.head_width,
            choices.theta,
            choices.strongest or STRONGEST,
        )
        heads = rotary_heads(wiring, layout, start, rotary)
    else:
        heads = designs(wiring, layout, start, partial(learned.design, circles))
    declared = [list(layer.deciding) for layer in wiring.layers]
    if NEXT in slots:
        declared[-1].append(copied_next(wiring))
    parts = [
        [decided(part, layout, act, f"layer {at}, {part.name!r}") for part in some] for at, some in enumerate(declared)
    ]
    return Plan(wiring, FAMILIES[family], tied, act, layout, start, heads, parts, declared, rotary)


def check_alone(wiring: Wiring) -> None:
    """Raises WiringError for a head that picks nothing though several keys may match."""
    for at, layer in enumerate(wiring.layers):
        for head in layer.heads:
            if not isinstance(head, Head) or isinstance(head.where, Offset) or head.pick != ONLY:
                continue
            if not (head.where.tells(head.read) or alone(wiring, head.where)):
                refuse(f"layer {at}, head {head.name!r}", "several keys may match; say pick='latest' or 'first'")


def rotary_heads(wiring: Wiring, layout: Layout, start: dict[str, int], rotary: Rotary) -> list[list[Design]]:
    return designs(wiring, layout, start, partial(turning.design, rotary))


def designs(wiring: Wiring, layout: Layout, start: dict[str, int], design: Any) -> list[list[Design]]:
    """Every head of every layer as matrices, by the family's own way."""
    made = []
    for at, layer in enumerate(wiring.layers):
        known = Start(begin_stream(layout, start, 2 * at), start)
        made.append([design(head, layout, known, f"layer {at}, head {head.name!r}") for head in layer.heads])
    return made


def start_places(wiring: Wiring) -> dict[str, int]:
    """The place of every variable's value at the begin position, by name."""
    values = interpret(wiring, "")
    found = {POSITION: 0}
    for read in wiring.variables.values():
        found[read.name] = read.options.index(values[read.name][0])
    if wiring.predicted is not None:
        found[NEXT] = found[wiring.predicted.name]
    return found


def begin_stream(layout: Layout, start: dict[str, int], when: int) -> Array:
    """The stream at the begin position after so many halves of layers, [D]."""
    return sum((layout.row(slot.name, start[slot.name]) for slot in layout.live(when)), np.zeros(layout.width))


def copied_next(wiring: Wiring) -> Table:
    """The rules that write what is predicted over the current token, for a head that is tied to the token table."""
    predicted = wiring.predicted
    assert predicted is not None and not shares(wiring, predicted)
    last = len(wiring.layers) - 1
    out = Variable(NEXT, predicted.domain, last, FEED_FORWARD)
    rules = tuple(Rule((frozenset({place}),), place) for place in range(1, len(predicted.domain)))
    return Table(NEXT, (predicted,), rules, 0, out)


def widened(made: Plan, width: int) -> Plan:
    """The same plan with more, unused dimensions at the end of the stream."""
    more = width - made.layout.width
    if not more:
        return made

    def longer(array: Array) -> Array:
        return np.pad(array, [(0, more)] + [(0, 0)] * (array.ndim - 1))

    def affine(each: Any) -> Any:
        return replace(each, weights=longer(each.weights))

    heads = [
        [
            replace(d, query=affine(d.query), key=affine(d.key), value=affine(d.value), output=longer(d.output.T).T)
            for d in some
        ]
        for some in made.heads
    ]
    parts = [[wider_part(part, longer) for part in some] for some in made.parts]
    return replace(made, layout=Layout(made.layout.slots, width), heads=heads, parts=parts)


def wider_part(part: Decided, longer: Any) -> Decided:
    units = [
        replace(u, reads=longer(u.reads), writes=longer(u.writes), times=None if u.times is None else longer(u.times))
        for u in part.units
    ]
    return replace(part, units=units, base=longer(part.base))
