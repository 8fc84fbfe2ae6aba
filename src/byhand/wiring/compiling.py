"""From a wiring to a model whose every decision is proven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from byhand.model import Model
from byhand.weights import given
from byhand.wiring.assembling import assemble
from byhand.wiring.planning import Choices, Plan, plan
from byhand.wiring.proof import Proof, prove
from byhand.wiring.refusals import WiringError, refuse
from byhand.wiring.report import Report, report
from byhand.wiring.rotating import rotation, turned, turned_back, turned_plan
from byhand.wiring.seeing import Sight
from byhand.wiring.verifying import Spec, Verification, verify
from byhand.wiring.wiring import Wiring

Array = np.ndarray[Any, Any]
# How large scores may become, tried in turn: the less, the quieter, and the wider a head must be.
CALM = (2.0**12, 2.0**10, 2.0**14, 2.0**16, 2.0**24)


@dataclass(frozen=True, eq=False)
class Wired:
    """A wiring as a model: an ordinary one of its family, with what is known about it."""

    wiring: Wiring
    plan: Plan
    model: Model

    def prove(self, model: Model | None = None) -> Proof:
        """What its weights do on all texts; or what those of a changed model of the same sizes do."""
        return prove(self.plan, (model or self.model).weights, self.model.config)

    def report(self, model: Model | None = None) -> Report:
        """The proof as a table, with the sizes of the model."""
        return report(model or self.model, self.prove(model))

    def with_weights(self, arrays: Mapping[str, Array]) -> Wired:
        """The same wiring with matrices of your own, by address; held to the same proof.

        Which dimensions hold what, `look().stream()` says; units and heads keep their order. Raises WiringError, naming
        the site, where they do not do what is declared there.
        """
        unknown = [address for address in arrays if address not in self.model.weights]
        if unknown:
            refuse(self.wiring.name, f"its model has no weight {unknown[0]!r}; see model.weights")
        weights = given(self.model.program, {**self.model.weights, **arrays})
        return checked(replace(self, model=replace(self.model, weights=weights)))

    def rotated(self, seed: int = 0, *, certain: bool = True) -> Wired:
        """The same function in a random basis: all weights that touch the stream are dense, and `look` turns them back.

        `plan.basis` [D, D] is the rotation. It is proven anew, with the rounding that dense products bring; raises
        WiringError where that reaches a margin. certain: False gives the model even so; its report says where.
        """
        basis = rotation(self.model.config.width, seed, centred=self.plan.name == "gpt2")
        made = replace(self, plan=turned_plan(self.plan, basis), model=turned(self.model, basis))
        return checked(made) if certain else made

    def look(self, model: Model | None = None) -> Sight:
        """Its stream, heads and rules in the names of its variables, read off the weights."""
        if self.plan.basis is None:
            return Sight(self, model)
        basis = self.plan.basis
        plan = replace(turned_plan(self.plan, basis.T), basis=None)
        return Sight(replace(self, plan=plan, model=turned_back(model or self.model, basis)))

    def verify(self, spec: Spec | None = None, **settings: Any) -> Verification:
        """Run it, see `verifying.verify`: on all short texts and on random ones, against the wiring and a spec."""
        return verify(self.wiring, self.model, spec, **settings)

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """A folder that transformers loads as it is. Raises InputError where something is already there."""
        return self.model.save(path, format="hf", force=force)


def compile(wiring: Wiring, family: str = "gpt2", **choices: Any) -> Wired:
    """The smallest unmodified gpt2 or llama that does what the wiring says, proven in float32 for all texts.

    choices: see `Choices`. Raises WiringError, naming the site and the reason, for what cannot be exact.
    """
    chosen = Choices(**choices)
    failed: WiringError | None = None
    for strongest in CALM if family == "llama" and chosen.strongest is None else (chosen.strongest,):
        try:
            return proven(wiring, family, replace(chosen, strongest=strongest))
        except WiringError as error:
            failed = error
    assert failed is not None
    raise failed


def proven(wiring: Wiring, family: str, choices: Choices) -> Wired:
    """The model for these choices. Raises WiringError where rounding could reach a margin."""
    made, model = assemble(plan(wiring, family, choices), choices.head_width)
    return checked(Wired(wiring, made, model))


def checked(wired: Wired) -> Wired:
    """Raises WiringError for the first site where rounding could change what is decided."""
    for site in prove(wired.plan, wired.model.weights, wired.model.config, ["float32"]).failing:
        refuse(
            site.name,
            f"{site.selects}: its margin is {site.margin:.3g}, and rounding in float32 can take {site.noise:.3g}; "
            "shorten the context or use fewer values",
        )
    return wired
