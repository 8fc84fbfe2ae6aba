"""From a wiring to a model whose every decision is proven."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from byhand.model import Model
from byhand.wiring.assembling import assemble
from byhand.wiring.planning import Choices, Plan, plan
from byhand.wiring.proof import Proof, prove
from byhand.wiring.refusals import refuse
from byhand.wiring.wiring import Wiring


@dataclass(frozen=True, eq=False)
class Wired:
    """A wiring as a model: an ordinary one of its family, with what is known about it."""

    wiring: Wiring
    plan: Plan
    model: Model

    def prove(self, model: Model | None = None) -> Proof:
        """What its weights do on all texts; or what those of a changed model of the same sizes do."""
        return prove(self.plan, (model or self.model).weights, self.model.config)


def compile(wiring: Wiring, family: str = "gpt2", **choices: Any) -> Wired:
    """The smallest unmodified gpt2 or llama that does what the wiring says, proven in float32 for all texts.

    choices: see `Choices`. Raises WiringError, naming the site and the reason, for what cannot be exact.
    """
    chosen = Choices(**choices)
    made, model = assemble(plan(wiring, family, chosen), chosen.head_width)
    wired = Wired(wiring, made, model)
    for site in wired.prove().failing:
        refuse(site.name, f"{site.selects}: its margin is {site.margin:.3g} and rounding in float32 can take {site.noise:.3g}; "
               "shorten the context or use fewer values")  # fmt: skip
    return wired
