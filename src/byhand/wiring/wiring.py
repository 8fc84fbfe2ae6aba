"""What a person writes: a text's tokens, heads that copy, feed-forwards that decide, layer by layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from typing import Any

from byhand.shapes import whole
from byhand.wiring.averages import possible
from byhand.wiring.given import answer, number
from byhand.wiring.interpreter import interpret
from byhand.wiring.parts import (
    FIRST,
    LATEST,
    ONLY,
    Attending,
    Average,
    Deciding,
    Head,
    Offset,
    Scores,
    Steps,
    Table,
    everywhere,
)
from byhand.wiring.placing import alone
from byhand.wiring.refusals import WiringWarning, refuse
from byhand.wiring.ruling import Pattern, check_apart, check_patterns, most_frequent, ruled, variables
from byhand.wiring.telling import told
from byhand.wiring.variables import ATTENTION, FEED_FORWARD, Form, Number, Read, Value, Variable, form_of


@dataclass
class Layer:
    """One layer: all its heads read what was there before it, its feed-forwards also what its heads wrote."""

    heads: list[Attending] = field(default_factory=list)
    deciding: list[Deciding] = field(default_factory=list)


class Wiring:
    """A transformer as a program: variables, heads and tables, still without a matrix.

    alphabet: the letters a text is made of; begin: a letter that stands before every text and nowhere in it; context:
    the longest text with it; name: what the model will be called; example: a text to show its values on when it is
    printed, without begin; if none is given, the first letters. Raises WiringError, InputError for an example that is
    no text.
    """

    def __init__(
        self, alphabet: str, *, context: int, begin: str = "^", name: str = "wired", example: str | None = None
    ) -> None:
        if whole(context) is None or context < 2:
            refuse(name, f"context is {context!r}; give a whole number from 2")
        letters = isinstance(alphabet, str) and isinstance(begin, str) and len(begin) == 1 and begin not in alphabet
        if not letters or not alphabet or len(set(alphabet)) < len(alphabet):
            refuse(name, f"alphabet {alphabet!r}, begin {begin!r}: every letter once, and begin one that is not in it")
        self.name, self.context, self.begin, self.alphabet = name, context, begin, alphabet
        self.tokens = Variable("tokens", (begin, *alphabet))
        self.variables: dict[str, Read] = {"tokens": self.tokens}
        self.layers: list[Layer] = []
        self.predicted: Variable | None = None
        self.inside: str | None = None
        self.example = (alphabet * 8)[: min(8, context - 1)] if example is None else example
        interpret(self, self.example)  # refuses what is no text

    def __str__(self) -> str:
        return told(self, self.example)

    __repr__ = __str__

    def on(self, text: str) -> str:
        """What it is made of, with every part's values on a text. Raises InputError for what is no text of it."""
        return told(self, text)

    # --- layers ---------------------------------------------------------------------------------------------------

    @contextmanager
    def layer(self) -> Iterator[None]:
        """What is declared inside belongs to one new layer."""
        yield from self.opened("layer")

    @contextmanager
    def automatic(self) -> Iterator[None]:
        """What is declared inside is put in the first layer that can hold it; new layers are added as needed."""
        yield from self.opened("automatic")

    def opened(self, how: str) -> Iterator[None]:
        if self.inside:
            refuse(self.name, "a layer is already open; layers stand one after the other, not in each other")
        if how == "layer":
            self.layers.append(Layer())
        self.inside = how
        try:
            yield
        finally:
            self.inside = None

    def put(self, site: str, part: str, reads: Sequence[Read]) -> int:
        """The layer that a part goes to, after checking that what it reads is there. Raises WiringError."""
        if self.inside is None:
            refuse(site, "it stands outside of a layer; declare it in `with wiring.layer():` or `wiring.automatic():`")
        for read in reads:
            if self.variables.get(read.name) is not read:
                refuse(site, f"{read.name} belongs to another wiring")
        half = 1 if part == ATTENTION else 2
        if self.inside == "automatic":
            at = max((max(0, (read.when + 2 - half) // 2) for read in reads), default=0)
            self.layers += [Layer() for _ in range(at + 1 - len(self.layers))]
        else:
            at = len(self.layers) - 1
        for read in reads:
            if read.when >= 2 * at + half:
                whom = "attention reads what earlier layers wrote" if half == 1 else "feed-forwards run side by side"
                refuse(site, f"it reads {read.name}, which is written in the same half of the same layer; {whom}")
            if isinstance(read, Number) and read.layer != at:
                refuse(site, f"the number {read.name} lives only in layer {read.layer}; decide it there")
        return at

    def written(self, name: str, domain: Sequence[Value], at: int, part: str, code: Any) -> Variable:
        self.fresh(name)
        for value in domain:
            if value is None or not isinstance(value, Hashable):
                refuse(self.site(repr(name)), f"{value!r:.40} is no value: use strings, numbers or tuples")
        made = Variable(name, tuple(dict.fromkeys(domain)), at, part, code)
        self.variables[name] = made
        return made

    def fresh(self, name: str) -> None:
        if not isinstance(name, str) or not name or name in self.variables or name == "position":
            refuse(f"{name!r}", "it needs a name of its own that nothing else in this wiring has")

    # --- attention ------------------------------------------------------------------------------------------------

    def head(
        self,
        name: str,
        where: Offset | Scores,
        read: Variable,
        *,
        default: Value = None,
        pick: str | None = None,
        code: Any = "one-hot",
    ) -> Variable:
        """A head that copies `read` from the one position it picks.

        where: `offset(-1)`, `equal(query, key)`, `scores(query, key, table)`, ...; pick: "latest" or "first" of the
        best matches, left out where two can never match, such as counted positions, or have the same value of `read`;
        default: the value where nothing matches, which the begin position always has. The begin token is not part of
        the text: no head matches it. Raises WiringError.
        """
        site = self.site(f"head {name!r}")
        if not isinstance(where, Offset | Scores) or not isinstance(read, Variable):
            refuse(site, f"it needs where to look and a variable to read, and got {where!r:.40} and {read!r:.40}")
        at = self.put(site, ATTENTION, [read, *asked(where)])
        if isinstance(where, Offset):
            if pick is not None:
                refuse(site, f"pick is {pick!r}, and an offset is one position; leave it out")
            if where.distance >= self.context:
                refuse(site, f"no text of {self.context} has a position {where.distance} before another")
        elif pick is None and (where.tells(read) or alone(self, where)):
            pick = ONLY
        elif pick not in (LATEST, FIRST):
            refuse(site, f"pick is {pick!r}; several keys may match, so say 'latest' or 'first' (or use an average)")
        text = read.domain[1:] if read is self.tokens else read.domain
        if default is None:
            if not (where.distance == 0 if isinstance(where, Offset) else where.certain):
                refuse(site, "nothing may match, and it has no default; give default=, a value")
            text = read.domain
        domain = text if default is None else (*text, default)
        out = self.written(name, domain, at, ATTENTION, code)
        self.layers[at].heads.append(Head(name, where, pick or LATEST, read, out, default))
        return out

    def average(
        self,
        name: str,
        where: Scores,
        read: Variable | None = None,
        numbers: Mapping[Value, Any] | Callable[[Value], Any] | None = None,
        *,
        begin: Any = 0,
        weight: int = 1,
    ) -> Number:
        """The mean of numbers[read] over all best matches and the begin token, which counts `weight` times as `begin`.

        Without a variable to read every match counts as 1. It is a fraction that the feed-forward of the same layer
        must turn into a variable, with `steps`. Raises WiringError.
        """
        site = self.site(f"average {name!r}")
        if not isinstance(where, Scores):
            refuse(site, "it averages over what a table matches: equal, having, everywhere or scores")
        if read is not None and not isinstance(read, Variable):
            refuse(site, f"it averages the numbers of a variable, and not {read!r:.40}")
        if whole(weight) is None or weight < 1:
            refuse(site, f"weight is {weight!r}; give a whole number from 1")
        at = self.put(site, ATTENTION, [*asked(where), *([read] if read else [])])
        self.fresh(name)
        listed = read.numbers(numbers or {}).terms[read] if read else (Fraction(1),)
        text, first = listed[1:] if read is self.tokens else listed, number(site, begin)
        out = Number(name, at, possible(set(text), first, weight, self.context, site))
        self.variables[name] = out
        self.layers[at].heads.append(Average(name, where, read, listed, first, weight, out))
        return out

    def count(
        self, name: str, where: Scores, *, most: int, of: Callable[[int], Value] = int, code: Any = "one-hot"
    ) -> Variable:
        """How many positions match, up to `most`, which stands for that many or more; of: the value for each number.

        The begin token counts as much as `most` matches, so the average is matches / (matches + most): its values are
        nowhere closer than 1 / (4 most). Raises WiringError.
        """
        share = self.average(f"{name} share", where, weight=most)
        site = self.site(f"count {name!r}")

        def value(part: Fraction) -> Value:
            return answer(site, of, min(int(most * part / (1 - part)), most))

        return self.steps(name, share, value, code=code)

    def position(self, name: str, of: Callable[[int], Value] = int, *, code: Any = "one-hot") -> Variable:
        """A value for each position; `of` gets 0 for the begin token, 1 for the first letter, and so on.

        It is counted by a head that attends to all positions alike, so it costs a head and steps. Raises WiringError.
        """
        return self.count(name, everywhere(), most=self.context - 1, of=of, code=code)

    # --- feed-forward ---------------------------------------------------------------------------------------------

    def table(
        self,
        name: str,
        inputs: Variable | Sequence[Variable],
        rows: Mapping[Any, Value],
        *,
        default: Value = None,
        code: Any = "one-hot",
    ) -> Variable:
        """A value for each row of input values; `default` for all others. Raises WiringError."""
        site = self.site(f"table {name!r}")
        reads = variables(inputs, site)
        if not isinstance(rows, Mapping):
            refuse(site, f"its rows are a dictionary from input values to a value, and not {rows!r:.40}")
        keys = [(key if isinstance(key, tuple) and len(reads) != 1 else (key,), then) for key, then in rows.items()]
        for key, _ in keys:
            if len(key) != len(reads):
                refuse(site, f"row {key!r} has {len(key)} values for {len(reads)} inputs")
        patterns = [(dict(zip(reads, key, strict=True)), then) for key, then in keys]
        return self.decided(site, name, patterns, reads, default, code)

    def rules(
        self,
        name: str,
        rules: Sequence[tuple[Pattern, Value]],
        *,
        default: Value = None,
        code: Any = "one-hot",
    ) -> Variable:
        """Pairs of a pattern and a value: a pattern gives some variables a value, or a set of values.

        Variables that a pattern leaves out may have any value. No two patterns may fit at once; without a default they
        must cover everything. Raises WiringError; warns of rules that can never apply.
        """
        site = self.site(f"rules {name!r}")
        check_patterns(site, rules)
        used = dict.fromkeys(each for pattern, _ in rules for each in pattern)
        return self.decided(site, name, rules, variables(used, site), default, code)

    def decided(
        self,
        site: str,
        name: str,
        rules: Sequence[tuple[Pattern, Value]],
        reads: Sequence[Variable],
        default: Value,
        code: Any,
        warned: bool = True,
    ) -> Variable:
        """A variable by rules, however they were given; called by the method that was called by who wires.

        warned: whether somebody wrote the rules, and hears of those that never apply.
        """
        at = self.put(site, FEED_FORWARD, reads)
        values = [then for _, then in rules] + ([] if default is None else [default])
        domain = tuple(dict.fromkeys(values))
        if not domain:
            refuse(site, "it has no rule and no default, so nothing to write")
        made, never = ruled(reads, rules, domain, self.start())
        for pattern, why in never if warned else ():
            warnings.warn(f"{site}: {pattern} never applies: {why}", WiringWarning, stacklevel=3)
        check_apart(site, reads, made, default is not None)
        out = self.written(name, domain, at, FEED_FORWARD, code)
        at_default = domain.index(default) if default is not None else made[0].then
        kept = tuple(rule for rule in made if rule.then != at_default)
        self.layers[at].deciding.append(Table(name, tuple(reads), kept, at_default, out))
        return out

    def function(
        self, name: str, inputs: Variable | Sequence[Variable], of: Callable[..., Value], *, code: Any = "one-hot"
    ) -> Variable:
        """A table of all combinations of the inputs' values; the most frequent result is the default."""
        site = self.site(f"function {name!r}")
        reads = variables(inputs, site)
        rows = {key: answer(site, of, *key) for key in product(*(each.domain for each in reads))}
        default = most_frequent(rows.values())
        patterns = [(dict(zip(reads, key, strict=True)), then) for key, then in rows.items() if then != default]
        return self.decided(site, name, patterns, reads, default, code, warned=False)

    def steps(
        self, name: str, form: Form | Number, of: Callable[[Fraction], Value], *, code: Any = "one-hot"
    ) -> Variable:
        """A value for each number that an affine form can be: `of` gets it as a fraction. Raises WiringError."""
        site = self.site(f"steps {name!r}")
        form = form_of(form, site)
        at = self.put(site, FEED_FORWARD, list(form.terms))
        images = [(number, answer(site, of, number)) for number in form.possible(site)]
        domain = tuple(dict.fromkeys(value for _, value in images))
        out = self.written(name, domain, at, FEED_FORWARD, code)
        placed = tuple((number, domain.index(value)) for number, value in images)
        self.layers[at].deciding.append(Steps(name, form, placed, out))
        return out

    # --- the end --------------------------------------------------------------------------------------------------

    def predict(self, variable: Variable) -> None:
        """The variable whose value is the next token. Raises WiringError for values that are no tokens."""
        if not isinstance(variable, Variable):
            refuse(self.name, f"it predicts a variable of tokens, and not {variable!r:.40}")
        for value in variable.domain:
            self.tokens.place(value, f"predict {variable.name!r}")
        self.predicted = variable

    def site(self, what: str) -> str:
        where = f"layer {len(self.layers) - 1}, " if self.inside == "layer" else ""
        return f"{where}{what}"

    def start(self) -> dict[Variable, Value]:
        """What every variable is at the begin position, which no text changes."""
        values = interpret(self, "")
        reads = [each for each in self.variables.values() if isinstance(each, Variable)]
        return {each: values[each.name][0] for each in reads}


def asked(where: Offset | Scores) -> list[Variable]:
    """The variables by which a head looks."""
    return [] if isinstance(where, Offset) else [each for each in (where.query, where.key) if each is not None]
