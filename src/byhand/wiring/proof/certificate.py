"""The proof of a wired model: site by site through its actual weights, for all texts at once.

What is shown at each site, given the one before: the stream is, for every text, the sum of the codes of its variables'
values up to a bound; the head selects what it is declared to select by a margin larger than any rounding; every part
of the feed-forward writes, for every combination of what it reads, the code it is declared to write. By induction over
the sites this covers all texts up to the context, however long. A weight that should not be there counts as error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from byhand.weights import Weights
from byhand.wiring.layout import Slot
from byhand.wiring.parts import Attending, Average, Deciding, Offset, Table
from byhand.wiring.proof.attention import HeadWeights, Scored, scored, unevenness, written
from byhand.wiring.proof.rounding import ROUNDINGS, Rounding, ways
from byhand.wiring.proof.site import Site
from byhand.wiring.proof.stream import Known, Normed, Spread, Stream, normed, read
from byhand.wiring.proof.units import Computed, UnitWeights, computed, decided, tightest

if TYPE_CHECKING:
    from byhand.wiring.planning import Plan

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Proof:
    """The sites of a model by precision. holds: whether every decision is certain in float32, for all texts."""

    sites: Mapping[str, tuple[Site, ...]]

    def verdict(self, dtype: str = "float32") -> str:
        found = {site.verdict for site in self.sites[dtype]}
        return "no" if "no" in found else "ok" if "ok" in found - {None} and len(found) == 1 else "exact"

    @property
    def holds(self) -> bool:
        return self.verdict() != "no"

    @property
    def failing(self) -> tuple[Site, ...]:
        return tuple(site for site in self.sites["float32"] if site.verdict == "no")


def prove(plan: Plan, weights: Weights, config: Any, dtypes: Collection[str] = tuple(ROUNDINGS)) -> Proof:
    """Every site in every precision, from the weights as they are.

    In precisions other than float32 nothing is said of what comes behind a site that is not certain.
    """
    float32 = Walk(plan, weights, config, ROUNDINGS["float32"]).sites()
    found = {name: float32 for name in dtypes if name == "float32"}
    for name in (each for each in dtypes if each != "float32"):
        walks = (Walk(plan, weights, config, rounding).sites(stop=True) for rounding in ways(name))
        worst: list[Site] = []
        for sites in walks:
            unknown = [replace(site, noise=inf) for site in float32[len(sites) :]]
            sites = [*sites, *unknown]
            worst = [min(pair, key=lambda site: site.certainty) for pair in zip(sites, worst or sites, strict=True)]
            if unknown:
                break
        found[name] = worst
    return Proof({name: tuple(found[name]) for name in dtypes})


class Walk:
    """Once through the model in one precision."""

    def __init__(self, plan: Plan, weights: Weights, config: Any, rounding: Rounding) -> None:
        self.plan, self.weights, self.config, self.rounding = plan, weights, config, rounding
        self.start = plan.start
        self.found: list[Site] = []
        self.stream = self.embedded()
        self.behind: dict[str, Normed] = {}

    def matrix(self, address: str) -> Array:
        """The weights of a product, as it reads them."""
        made = self.rounding.table(self.weights[address])
        return self.rounding.taken(made, np.zeros_like(made))[0]

    def table(self, address: str) -> Array | None:
        return self.rounding.table(self.weights[address]) if address in self.weights else None

    def sites(self, stop: bool = False) -> list[Site]:
        """All sites in order; stop: only up to the half of a layer in which one is not certain."""
        for step in self.steps():
            step()
            if stop and any(site.verdict == "no" for site in self.found):
                break
        return self.found

    def steps(self) -> Iterator[Callable[[], None]]:
        for layer, parts in enumerate(self.plan.wiring.layers):
            yield partial(self.attend, layer, parts.heads)
            yield partial(self.decide, layer)
        yield self.predict

    # --- the stream -----------------------------------------------------------------------------------------------

    def slot(self, name: str) -> Slot:
        return self.plan.layout.slots[name]

    def codes(self, name: str) -> Array:
        """The rows that writing each value should add, [values, D]."""
        slot = self.slot(name)
        made = np.zeros((len(slot.codes), self.plan.layout.width))
        made[:, slot.dims] = slot.codes
        return made if self.plan.basis is None else made @ self.plan.basis

    def off(self, name: str, known: Known) -> float:
        """How far what is written can be from its code, at most."""
        return float((np.abs(known.rows - self.codes(name)) + known.error).max())

    def embedded(self) -> Stream:
        """The tables as they are: their rows define the codes of tokens and positions."""
        tokens = self.table("token.weight")
        assert tokens is not None
        parts = {"tokens": Known(tokens, np.zeros_like(tokens), tuple(range(1, len(tokens))))}
        error = np.zeros(tokens.shape[1])
        places = self.table("position.weight")
        if places is not None and "position" in self.plan.layout.slots:
            parts["position"] = Known(places, np.zeros_like(places), tuple(range(1, len(places))))
        elif places is not None:
            error = np.abs(places).max(0)
        made = Stream(parts, error)
        made.stored(self.rounding)
        return made

    def normed(self, at: str, end: int | None = None) -> Normed:
        gain = self.table(f"{at}.gain")
        assert gain is not None
        return normed(self.stream, gain, self.table(f"{at}.shift"), self.config.eps, self.rounding, end)

    def norm(self, at: str, name: str) -> Normed:
        made = self.behind[at] = self.normed(at)
        self.found.append(Site(name, "norm", "identity", None, made.off(self.stream)))
        return made

    # --- attention ------------------------------------------------------------------------------------------------

    def attend(self, layer: int, heads: list[Attending]) -> None:
        at, stream = f"blocks.{layer}.attn", self.norm(f"blocks.{layer}.norm1", f"layer {layer} norm 1")
        rest = self.table(f"{at}.out.bias")
        added = np.zeros(self.plan.layout.width) if rest is None else np.abs(rest)
        parts = {}
        for place in range(self.config.heads):
            w = self.head_weights(at, place)
            if place >= len(heads):
                added = added + silent(stream, w, self.rounding, self.start)
                continue
            head = heads[place]
            s = scored(head, stream, w, self.start, self.rounding)
            parts[head.out.name] = written(head, stream, w, self.rounding, self.start, s, self.codes(head.out.name))
            self.found.append(head_site(layer, head, s, self.off(head.out.name, parts[head.out.name])))
        self.stream = Stream(self.stream.parts | parts, self.stream.error + added)
        self.stream.stored(self.rounding)

    def head_weights(self, at: str, place: int) -> HeadWeights:
        def bias(name: str) -> Array | None:
            found = self.table(f"{at}.{name}.bias")
            return None if found is None else found[place]

        query, key, value = (self.matrix(f"{at}.{name}.weight")[:, place] for name in "qkv")
        output = self.matrix(f"{at}.out.weight")[place]
        rotary = self.plan.rotary
        turns = None if rotary is None else rotary.turns.astype(np.float32).astype(np.float64)
        return HeadWeights(query, key, value, output, (bias("q"), bias("k"), bias("v")), turns, self.config.context)

    # --- the feed-forward -----------------------------------------------------------------------------------------

    def decide(self, layer: int) -> None:
        stream = self.norm(f"blocks.{layer}.norm2", f"layer {layer} norm 2")
        w, constant = self.unit_weights(layer)
        made, done = self.plan.parts[layer], 0
        own = []
        for part in made:
            own.append(w.some(slice(done, done + len(part.units))))
            done += len(part.units)
        kept, more = dict(self.stream.parts), np.zeros(self.plan.layout.width)
        for slot in self.plan.layout.slots.values():
            if slot.erased == 2 * layer + 2:
                gone, rest = self.erased(slot, w.some(slice(done, done + 1)), kept.pop(slot.name), stream)
                constant, more, done = constant - rest, more + gone, done + 1
        left = computed(w.some(slice(done, None)), stream, {}, self.rounding, self.start)
        bases, blur, rest = constants([part.base for part in made], constant + left.rows[0], left.error[0])
        parts: dict[str, Known] = {}
        for part, units, base, off in zip(self.plan.declared[layer], own, bases, blur, strict=True):
            known, found = self.decided(part, units, base, off, stream)
            parts[part.out.name] = known
            self.found.append(decision_site(layer, part, len(units.down), found, self.off(part.out.name, known)))
        self.stream = Stream(kept | parts, self.stream.error + more + rest)
        self.stream.stored(self.rounding)

    def unit_weights(self, layer: int) -> tuple[UnitWeights, Array]:
        at, act = f"blocks.{layer}.mlp", self.plan.activation
        down, constant = self.matrix(f"{at}.down.weight"), self.table(f"{at}.down.bias")
        if constant is None:
            gate, times = self.matrix(f"{at}.gate.weight"), self.matrix(f"{at}.up.weight")
            return UnitWeights(gate, None, times, down, act), np.zeros(down.shape[1])
        return UnitWeights(self.matrix(f"{at}.up.weight"), self.table(f"{at}.up.bias"), None, down, act), constant

    def decided(
        self, part: Deciding, w: UnitWeights, base: Array, off: Array, stream: Normed
    ) -> tuple[Known, Computed]:
        found, outcomes = decided(part, w, stream, self.rounding, self.start)
        made = Spread(self.codes(part.out.name))
        made.add(outcomes, *self.rounding.kept(found.rows + base, found.error + off))
        return made.known(), found

    def erased(self, slot: Slot, w: UnitWeights, known: Known, stream: Normed) -> tuple[Array, Array]:
        """How much of a number is left in the stream at most, and the constant that belongs to taking it out, [D]."""
        found = computed(w, stream, {slot.name: np.arange(len(slot.codes))}, self.rounding, self.start)
        left = known.rows + found.rows
        rest = -(left.max(0) + left.min(0)) / 2
        return (np.abs(left + rest) + found.error + known.error).max(0), rest

    # --- the end --------------------------------------------------------------------------------------------------

    def predict(self) -> None:
        """The gap between the logit of the right token and that of any other.

        It is affine in 1 / root, by which the final norm divides all alike, so it is smallest at an end of its range.
        """
        predicted = self.plan.wiring.predicted
        assert predicted is not None
        name = "next token" if "next token" in self.plan.layout.slots else predicted.name
        table = self.matrix("token.weight" if self.plan.tied else "unembed.weight")
        found = []
        for place, value in enumerate(predicted.domain):
            right = self.plan.wiring.tokens.domain.index(value)
            for end in (0, 1):
                found.append(self.gaps(self.normed("final_norm", end), table, right, name, place))
        margins, offs = (np.concatenate(each) for each in zip(*found, strict=True))
        gap, noise = tightest(margins, offs)
        self.found.append(Site("output", "output", f"next token from {predicted.name}", gap, noise))

    def gaps(self, stream: Normed, table: Array, right: int, name: str, place: int) -> tuple[Array, Array]:
        """By how much one logit is above each other where the prediction has this value, and how far that is off."""
        others = np.delete(table, right, axis=0)
        difference, both = (table[right] - others).T, (np.abs(table[right]) + np.abs(others)).T
        found = read(stream, difference, None, {name}, self.rounding, self.start)
        rounded = read(stream, both, None, {name}, self.rounding, self.start, kept=self.rounding.stored)
        margins = found.constant + found.tables[name][place] - found.spread
        return margins, found.error + found.errors[name][place] + rounded.own + rounded.owns[name][place]


def constants(bases: list[Array], written: Array, off: Array) -> tuple[list[Array], list[Array], Array]:
    """The constants of parts as they really are, and how far off [D] each; and what is written besides, at most.

    bases: those declared; written, off: the sum of all of them, and how far that can be off.
    """
    count = sum(((base != 0).astype(int) for base in bases), np.zeros(len(written), int))
    mine = [(base != 0) & (count == 1) for base in bases]
    found = [np.where(its, written, base) for its, base in zip(mine, bases, strict=True)]
    rest = np.abs(written - sum(found, np.zeros(len(written)))) + off
    return found, [np.where(its, off, 0.0) for its in mine], np.where(count == 1, 0.0, rest)


def silent(stream: Normed, w: HeadWeights, rounding: Rounding, start: dict[str, int]) -> Array:
    """What a head that is not declared adds at most, [D]."""
    found = read(stream, w.value, w.biases[2], {}, rounding, start)
    largest = np.maximum(np.abs(found.constant) + found.spread, np.abs(found.start)) + found.error
    return largest @ np.abs(w.output) if w.output.any() else np.zeros(w.output.shape[1])


def head_site(layer: int, head: Attending, s: Scored, error: float) -> Site:
    kind, noise = "head", s.noise
    selects = f"offset -{head.where.distance}" if isinstance(head.where, Offset) else selection(head)
    if isinstance(head, Average):
        kind, noise = "average", unevenness(s, head.where, head.weight)
    return Site(f"layer {layer} head {head.name}", kind, selects, s.margin, noise, error)


def selection(head: Any) -> str:
    where = head.where
    sides = [each.name for each in (where.query, where.key) if each is not None]
    pick = "mean of" if isinstance(head, Average) else head.pick
    return f"{pick} {' -> '.join(sides) or 'all'}"


def decision_site(layer: int, part: Deciding, units: int, found: Computed, error: float) -> Site:
    what = f"{len(part.rules)} rules" if isinstance(part, Table) else f"{units // 2} steps"
    name = f"layer {layer} {part.name}"
    return Site(name, "decision", f"{what}, {units} units", found.margin, found.noise, error)
