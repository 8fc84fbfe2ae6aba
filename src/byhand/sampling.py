"""Choosing the next token: the settings, the little program of one choice, and a choice that can be looked into.

A choice is a run of a program of operators like any other: its inputs are the logits after a text, the tokens seen and
a random number; its values are what each setting left of the logits, the probabilities, their running sums and the
token. It is computed in float64 whatever the model is computed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from functools import cached_property
from sys import float_info
from typing import Any

import numpy as np

from byhand.engines.reference import forward, precision
from byhand.errors import InputError
from byhand.operators import (
    argmax,
    draw,
    min_p,
    probabilities,
    repetition_penalty,
    running_sum,
    temperature,
    top_k,
    top_p,
)
from byhand.operators.attention import shares
from byhand.program import Program
from byhand.run import Run, execute
from byhand.setting import Tokens
from byhand.shapes import whole
from byhand.tokenizer import quoted
from byhand.weights import Weights

Array = np.ndarray[Any, Any]
Stop = str | int | Sequence[str | int]

FLOAT64 = precision("float64")
FILTERS = ("top_k", "top_p", "min_p")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How tokens are chosen, and when a text ends. Raises InputError for a value that has no meaning.

    max_tokens: the most that are chosen for each text. temperature: 0 takes the best token, 1 draws with the model's
    probabilities, less makes likely tokens likelier. top_k: draw from so many of the best; top_p: from the best whose
    probabilities reach this sum; min_p: from those at least so many times as probable as the best; None leaves one out.
    repetition_penalty: above 1, tokens of the text so far become less likely. seed: of the numbers drawn; each text has
    its own, from the seed and its place among the texts. stop: strings and token ids that end a text; stop_at_end: so
    do the tokens with which the tokenizer ends a text. probabilities: how many of the most likely tokens every choice
    lists. explainable: whether every choice keeps its logits, to be looked into later.
    """

    max_tokens: int = 20
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    seed: int = 0
    stop: Stop = ()
    stop_at_end: bool = True
    probabilities: int = 0
    explainable: bool = True

    def __post_init__(self) -> None:
        for name, least in (("max_tokens", 0), ("top_k", 1), ("seed", 0), ("probabilities", 0)):
            value = getattr(self, name)
            if not (value is None and name == "top_k") and ((number := whole(value)) is None or number < least):
                raise InputError(f"{name} is {value!r}; give a whole number, {least} or more")
        if self.max_tokens > MOST_TOKENS:
            raise InputError(f"max_tokens is {self.max_tokens!s:.40}; give {MOST_TOKENS} or less")
        for name, (within, words) in RANGES.items():
            value = getattr(self, name)
            if not (value is None and name in FILTERS) and not (real(value) and within(value)):
                raise InputError(f"{name} is {value!r}; give a number {words}")
        for name in ("stop_at_end", "explainable"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} is {getattr(self, name)!r}; give True or False")
        for name in FILTERS:
            if self.greedy and getattr(self, name) is not None:
                raise InputError(
                    f"{name} is {getattr(self, name)} but temperature is 0, which always takes the best token; "
                    "give temperature=1 to draw"
                )
        for each in self.stops:
            if not (isinstance(each, str) and each) and (whole(each) is None or int(each) < 0):
                raise InputError(f"stop holds {each!r}; give strings that are not empty, or token ids")

    @property
    def greedy(self) -> bool:
        """Whether the best token is taken and nothing is drawn."""
        return self.temperature == 0

    @property
    def stops(self) -> tuple[str | int, ...]:
        """The strings and token ids that end a text."""
        several = isinstance(self.stop, Sequence) and not isinstance(self.stop, str | bytes)
        return tuple(self.stop) if several else (self.stop,)  # type: ignore[arg-type,return-value]


MOST_TOKENS = 2**63 - 1
RANGES = {
    "temperature": (lambda value: value >= 0, "from 0 on; 0 takes the best token"),
    "top_p": (lambda value: 0 < value <= 1, "above 0 and up to 1"),
    "min_p": (lambda value: 0 <= value <= 1, "from 0 to 1"),
    "repetition_penalty": (lambda value: value > 0, "above 0; 1 changes nothing"),
}


def real(value: Any) -> bool:
    """Whether this is a finite number."""
    value = value.item() if isinstance(value, np.integer | np.floating) else value
    return type(value) in (int, float) and abs(value) <= float_info.max


def settings(given: Mapping[str, Any]) -> Settings:
    """The settings of these names. Raises InputError, with the nearest name, for one that there is not."""
    names = [each.name for each in fields(Settings)]
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"the nearest is {near[0]}" if near else f"there are {', '.join(names)}"
            raise InputError(f"generate has no setting {name!r}; {hint}")
    return Settings(**given)


def program(of: Settings, vocabulary: int) -> Program:
    """The steps of one choice, in the order that transformers has; those that would change nothing are left out.

    Inputs: tokens [B,T], the last of the text; logits [B,T,V]; with a penalty seen [B,T,V]; where a token is drawn
    uniform [B,T]. Values: penalized, scaled, kept.top_k, kept.top_p, kept.min_p, probs, running, token.
    """
    p = Program("choice", {"V": vocabulary})
    p.input("tokens BT", "tokens")
    x = p.input("logits BTV", "logits")
    if of.repetition_penalty != 1:
        seen = p.input("seen BTV", "seen")
        x = p("penalized BTV", repetition_penalty, x, seen, penalty=of.repetition_penalty)
    if of.greedy:
        p("probs BTV", probabilities, x)
        p("token BT", argmax, x)
        return p
    if of.temperature != 1:
        x = p("scaled BTV", temperature, x, degree=of.temperature)
    if of.top_k is not None:
        x = p("kept.top_k BTV", top_k, x, most=of.top_k)
    if of.top_p is not None:
        x = p("kept.top_p BTV", top_p, x, mass=of.top_p)
    if of.min_p is not None:
        x = p("kept.min_p BTV", min_p, x, share=of.min_p)
    p("probs BTV", probabilities, x)
    p("running BTV", running_sum, "probs")
    p("token BT", draw, "running", p.input("uniform BT", "uniform"))
    return p


@dataclass(frozen=True)
class Candidate:
    """A token that could come. probability: what the model gives it; chance: that of its being chosen;
    stages: its probability after each step of the choice, by address, 0 once it is ruled out; low, high: the running
    sums before and with it, between which the drawn number must fall, None where nothing is drawn.
    """

    token: int
    text: str
    logit: float
    probability: float
    chance: float
    stages: dict[str, float] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Choice:
    """One token, and how it was chosen.

    position: its place in the text, the prompt included; probability: what the model gives the token; chance: that of
    its being chosen, after all settings; uniform: the number that was drawn, None where the best token was taken;
    most_likely: as many of the model's most likely tokens as `probabilities` asked for, best first.
    """

    position: int
    token: int
    text: str
    probability: float
    chance: float
    uniform: float | None
    most_likely: tuple[Candidate, ...]
    program: Program = field(repr=False)
    tokens: Tokens = field(repr=False)
    given: dict[str, Array] | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<choice of {quoted(self.text)} ({self.token}) at {self.position}, probability {self.probability:.4g}>"

    @cached_property
    def run(self) -> Run:
        """The choice as a run: look at it, explain it, edit it. Raises InputError if its logits were not kept."""
        if self.given is None:
            raise InputError("the logits of this choice were not kept; generate with explainable=True to look into it")
        return execute(self.program, Weights({}), self.given, FLOAT64, "all", self.tokens)

    @property
    def stages(self) -> list[str]:
        """The addresses at which the logits stand, from the model's own to those that a token is taken from."""
        over = ("logits", "penalized", "scaled", *(f"kept.{name}" for name in FILTERS))
        return [address for address in over if address in self.program]

    def candidates(self, most: int) -> list[Candidate]:
        """The model's most likely tokens, best first, and the chosen one if it is not among them.

        Raises InputError if the logits of this choice were not kept.
        """
        logits_V = self.run.look("logits")[0, 0].astype(np.float64)
        best = np.argsort(-logits_V, kind="stable")[:most].tolist()
        probs = {address: shares(self.run.look(address)[0, 0].astype(np.float64)) for address in self.stages}
        running_V = None if self.uniform is None else self.run.look("running")[0, 0]
        return [
            Candidate(
                token,
                self.tokens.text(token),
                float(logits_V[token]),
                float(probs["logits"][token]),
                float(self.run.look("probs")[0, 0, token]) if running_V is not None else float(token == self.token),
                {address: float(probs_V[token]) for address, probs_V in probs.items()},
                None if running_V is None else float(running_V[token - 1]) if token else 0.0,
                None if running_V is None else float(running_V[token]),
            )
            for token in [*best, *([] if self.token in best else [self.token])]
        ]

    @property
    def explanation(self) -> str:
        """How the token was chosen, in a sentence: the number that was drawn and where it fell, or what was best.

        Raises InputError if the logits of this choice were not kept.
        """
        chosen = next(each for each in self.candidates(1) if each.token == self.token)
        name = f"{quoted(self.text)} ({self.token})"
        if self.uniform is None:
            stage = self.stages[-1]
            value = self.run.look(stage)[0, 0, self.token]
            return f"{name} has the largest of all {stage}, {value:.6g}; the model gives it {self.probability:.6g}"
        left = int(np.count_nonzero(self.run.look("probs")))
        return (
            f"{self.uniform:.6g} was drawn; it falls to {name}, whose stretch goes from {chosen.low:.6g} to "
            f"{chosen.high:.6g}: a chance of {self.chance:.6g} among the {left} tokens left, where the model itself "
            f"gives it {self.probability:.6g}"
        )

    def __str__(self) -> str:
        return self.explanation if self.given is not None else repr(self)

    def to_dict(self, most: int = 0) -> dict[str, Any]:
        """The choice as plain data, with so many candidates."""
        facts = {name: getattr(self, name) for name in ("position", "token", "text", "probability", "chance")}
        listed = self.candidates(most) if most else self.most_likely
        drawn = {} if self.uniform is None else {"uniform": self.uniform}
        return {**facts, **drawn, **({"candidates": [vars(each) for each in listed]} if listed else {})}


class Chooser:
    """Chooses the tokens of one text. index: its place among the texts, which goes into the numbers it draws."""

    def __init__(self, of: Settings, steps: Program, tokens: Tokens, index: int) -> None:
        self.settings, self.program, self.tokens = of, steps, tokens
        self.numbers = np.random.default_rng((of.seed, index))

    def choose(self, logits_V: Array, text: Sequence[int]) -> Choice:
        """The token after a text whose last logits these are. Raises NotANumber for logits without a meaning."""
        uniform = None if self.settings.greedy else float(self.numbers.random())
        given = self.given(logits_V, text, uniform)
        values = forward(self.program.steps, given.__getitem__, FLOAT64, ("token", "probs"))
        token = int(values["token"][0, 0])
        choice = Choice(
            position=len(text),
            token=token,
            text=self.tokens.text(token),
            probability=float(shares(logits_V.astype(np.float64))[token]),
            chance=1.0 if uniform is None else float(values["probs"][0, 0, token]),
            uniform=uniform,
            most_likely=(),
            program=self.program,
            tokens=self.tokens,
            given=given,
        )
        if self.settings.probabilities:
            choice = replace(choice, most_likely=tuple(choice.candidates(self.settings.probabilities)))
        return choice if self.settings.explainable else replace(choice, given=None)

    def given(self, logits_V: Array, text: Sequence[int], uniform: float | None) -> dict[str, Array]:
        """The inputs of the choice after a text."""
        given = {"tokens": np.array([[text[-1]]]), "logits": np.array(logits_V)[None, None]}
        if "seen" in self.program.inputs:
            given["seen"] = np.zeros((1, 1, len(logits_V)), bool)
            given["seen"][..., list(text)] = True
        return given if uniform is None else {**given, "uniform": np.array([[uniform]])}
