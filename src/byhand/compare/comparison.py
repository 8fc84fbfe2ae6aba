"""The outcome of a comparison, and how it reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from byhand.compare.causes import Cause
from byhand.compare.walk import DIFFERS, FOLLOWS, ROUNDING, SAME, SKIPPED, Checked, first_of
from byhand.shapes import AXES
from byhand.tokenizer import quoted

AROUND = 3  # steps shown before and after the first that differs
WORDS = {SAME: "same bits", ROUNDING: "rounding", FOLLOWS: "follows", DIFFERS: "DIFFERS", SKIPPED: "not compared"}


@dataclass(frozen=True, repr=False)
class Comparison:
    """Where two models, runs or dumps part, and why.

    names, dtypes: of A and B; steps: every input that differs and every value of the program in order; axes: of each
    value; labels: the tokens along the positions; causes: for the steps that differ of themselves; notes: what was not
    compared.
    """

    names: tuple[str, str]
    dtypes: tuple[str, str]
    steps: tuple[Checked, ...]
    causes: tuple[Cause, ...]
    axes: dict[str, str]
    labels: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Checked | None:
        """The first value that differs of itself, beyond rounding; None when none does."""
        return first_of(self.steps)

    @property
    def compared(self) -> list[Checked]:
        return [each for each in self.steps if each.state != SKIPPED]

    @property
    def verdict(self) -> str:
        """same, same up to rounding, or differ."""
        if self.first:
            return "differ"
        return "same" if all(each.state == SAME for each in self.compared) else "same up to rounding"

    @property
    def largest(self) -> float:
        """The largest difference between two values."""
        return max((each.gap.amount for each in self.compared if each.gap), default=0.0)

    # --- as text --------------------------------------------------------------------------------------------------

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        if self.first is None:
            digits = f", largest difference {self.largest:.1g}" if self.verdict != "same" else ""
            return f"{self.verdict}: {len(self.compared)} values compared{digits}"
        own = "differs" if self.first.operator == "input" else "differs beyond rounding"
        own = "has another weight" if self.first.weight else own
        own = "has another size" if self.first.gap and self.first.gap.also and self.first.operator != "input" else own
        kind = "input" if self.first.operator == "input" else "step"
        return f"differ: {self.first.address} is the first {kind} that {own}"

    def place(self, each: Checked) -> str:
        """The worst element in words: its index, its tokens and its head."""
        assert each.gap is not None
        index = each.gap.index
        axes, words = self.axes.get(each.address, ""), []
        for letter, i in zip(axes, index, strict=False):
            if letter in "TS":
                known = self.labels and each.operator != "input"
                text = self.labels[index[0] if axes[0] == "B" else 0] if known else ()
                words.append(
                    f"{'position' if letter == 'T' else 'key'} {i}" + (f" {quoted(text[i])}" if i < len(text) else "")
                )
            elif letter in "HG":
                words.append(f"{AXES[letter]} {i}")
        where = f"[{','.join(map(str, index))}]" if index else ""
        return f"{each.address}{where}" + (f" ({', '.join(words)})" if words else "")

    def details(self) -> list[str]:
        """What is to be said about the first difference."""
        first = self.first
        if first is None or first.gap is None:
            return []
        gap, digits = first.gap, 17 if "float64" in self.dtypes else 9
        missing = first.operator == "input" and first.address == "tokens"  # where one text is longer
        a, b = ("nothing" if missing and n != n else f"{n:.{digits}g}" for n in (gap.a, gap.b))
        lines = [f"{self.place(first)}: {a} in A, {b} in B"]
        facts = [f"{gap.count:,} of {gap.size:,} numbers differ"]
        facts += [f"{first.beyond:.2g} times the rounding allowed"] if first.beyond > 1 else []
        facts += [f"{first.weight} is not the same"] if first.weight else []
        facts += [gap.also] if gap.also else []
        if first.through:
            some = ", ".join(first.through[-4:])
            facts += [f"judged together with {len(first.through)} steps that one side does not show: {some}"]
        return [*lines, "; ".join(facts), self.before()]

    def before(self) -> str:
        """How well everything before the first difference agreed."""
        earlier = [each for each in self.steps[: self.steps.index(self.first)] if each.state != SKIPPED]  # type: ignore[arg-type]
        if not earlier:
            return "nothing was compared before it"
        count = Counter(each.state for each in earlier)
        said = [f"{count[state]} {WORDS[state]}" for state in (SAME, ROUNDING, FOLLOWS) if count[state]]
        largest = max(each.gap.amount for each in earlier if each.gap)
        return f"before it: {len(earlier)} value{'s' * (len(earlier) > 1)}, {', '.join(said)}" + (
            f", largest difference {largest:.1g}" if largest else ""
        )

    def shown(self, every: bool = False) -> Sequence[Checked]:
        """The steps to list: all, or those around the first difference, or the last ones."""
        listed = self.steps if every else self.compared
        if every:
            return listed
        if self.first is None:
            return listed[-AROUND:]
        at = listed.index(self.first)
        return listed[max(0, at - AROUND) : at + AROUND + 1]

    def rows(self, every: bool = False) -> list[tuple[str, str, str, str, str]]:
        """A line a step: address, operator, verdict, largest difference, how many numbers differ."""
        return [
            (
                each.address,
                each.operator,
                WORDS[each.state] if each.state != SKIPPED else each.why,
                "" if each.gap is None else f"{each.gap.amount:.1g}",
                "" if each.gap is None else f"{each.gap.count:,} of {each.gap.size:,}",
            )
            for each in self.shown(every)
        ]

    def skipped(self) -> str:
        """What was not compared, in one line."""
        count = Counter(each.why for each in self.steps if each.state == SKIPPED)
        return "; ".join(f"{n} values {why}" for why, n in count.items())

    def __str__(self) -> str:
        lines = [self.headline, *(f"  {line}" for line in self.details())]
        lines += [f"  {cause}" for cause in self.causes]
        rows = self.rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
        lines += ["", *("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)]
        lines += [f"A: {self.names[0]}, {self.dtypes[0]}   B: {self.names[1]}, {self.dtypes[1]}"]
        return "\n".join([*lines, *filter(None, [self.skipped(), *self.notes])])

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "verdict": self.verdict,
            "a": {"name": self.names[0], "dtype": self.dtypes[0]},
            "b": {"name": self.names[1], "dtype": self.dtypes[1]},
            "first": asdict(self.first) | {"place": self.place(self.first)} if self.first and self.first.gap else None,
            "causes": [asdict(cause) | {"text": str(cause)} for cause in self.causes],
            "steps": [asdict(each) for each in self.steps],
            "notes": list(self.notes),
        }
