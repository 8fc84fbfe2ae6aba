"""What a wired model holds, in the names of its variables and read off its weights, not off the program.

Where variables lie in the stream, what each head scores and copies, and which rules a feed-forward follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from byhand.model import Model
from byhand.wiring.deciding import Decided
from byhand.wiring.interpreter import predicted_name
from byhand.wiring.layout import Slot
from byhand.wiring.parts import Attending, Average, Deciding, Offset, Steps
from byhand.wiring.proof.attention import scored
from byhand.wiring.proof.certificate import Walk
from byhand.wiring.proof.rounding import ROUNDINGS
from byhand.wiring.proof.stream import Reading, read
from byhand.wiring.proof.units import UnitWeights, combinations, pairs
from byhand.wiring.refusals import refuse
from byhand.wiring.report import Grid
from byhand.wiring.stepping import Step

if TYPE_CHECKING:
    from byhand.wiring.compiling import Wired

Array = np.ndarray[Any, Any]


class Sight:
    """A wired model's weights, walked through once; model: a changed one of the same sizes."""

    def __init__(self, wired: Wired, model: Model | None = None) -> None:
        self.wired = wired
        self.plan, self.model = wired.plan, model or wired.model
        self.walk = Walk(wired.plan, self.model.weights, self.model.config, ROUNDINGS["float32"])
        self.walk.sites()

    # --- the stream -----------------------------------------------------------------------------------------------

    def stream(self) -> Grid:
        """Which dimensions hold which variable, who writes it and who reads it, by weights that are not 0."""
        rows = [("dimensions", "variable", "values", "written by", "read by")]
        for slot in self.plan.layout.slots.values():
            dims = f"{slot.dims.start}-{slot.dims.stop - 1}"
            rows.append((dims, slot.name, values_of(slot), self.writer(slot), ", ".join(self.readers(slot))))
        unused = self.plan.layout.width - self.plan.layout.used()
        if unused:
            rows.append((f"{self.plan.layout.used()}-{self.plan.layout.width - 1}", "(nothing)", "", "", ""))
        return Grid(f"the residual stream of {self.wired.wiring.name}", rows)

    def writer(self, slot: Slot) -> str:
        if not slot.written:
            return "embedding"
        layer, half = divmod(slot.written - 1, 2)
        erased = ", then erased" if slot.erased is not None else ""
        return f"layer {layer} {('attention', 'feed-forward')[half]}{erased}"

    def readers(self, slot: Slot) -> list[str]:
        found = []
        for layer, each in enumerate(self.wired.wiring.layers):
            if slot.live(2 * layer):
                for place, head in enumerate(each.heads):
                    w = self.walk.head_weights(f"blocks.{layer}.attn", place)
                    sides = {"query": w.query, "key": w.key, "value": w.value}
                    used = [name for name, matrix in sides.items() if matrix[slot.dims].any()]
                    found += [f"layer {layer} {head.name} ({', '.join(used)})"] if used else []
            if slot.live(2 * layer + 1):
                gate = self.walk.unit_weights(layer)[0].gate
                done = 0
                for part, made in zip(self.plan.declared[layer], self.plan.parts[layer], strict=True):
                    if gate[slot.dims, done : done + len(made.units)].any():
                        found.append(f"layer {layer} {part.name}")
                    done += len(made.units)
        last = "next token" if "next token" in self.plan.layout.slots else predicted_name(self.wired.wiring)
        return [*found, "logits"] if slot.name == last else found

    def step(self, text: str, position: int = -1) -> Step:
        """One position of a text: what every part saw and wrote there. Raises InputError."""
        return Step(replace(self.wired, model=self.model), text, position)

    # --- heads ----------------------------------------------------------------------------------------------------

    def head(self, name: str) -> tuple[int, int, Attending]:
        """The layer and the place of a head. Raises WiringError for an unknown one."""
        named = [
            (layer, place, head)
            for layer, each in enumerate(self.wired.wiring.layers)
            for place, head in enumerate(each.heads)
        ]
        for found in named:
            if found[2].name == name:
                return found
        refuse(self.wired.wiring.name, f"it has no head {name!r}; its heads are {', '.join(h.name for *_, h in named)}")

    def scores(self, name: str) -> Grid:
        """What a head scores: by distance, or by the query's and the key's value at one and the same position."""
        layer, place, head = self.head(name)
        stream = self.walk.behind[f"blocks.{layer}.norm1"]
        w = self.walk.head_weights(f"blocks.{layer}.attn", place)
        s = scored(head, stream, w, self.plan.start, self.walk.rounding)
        last = s.context - 1
        title = f"layer {layer} head {name}: scores, the begin token's last"
        if isinstance(head.where, Offset):
            line = s.of(0, 0)[last]
            rows = [("distance", "score")]
            rows += [(str(back), f"{line[last - back]:.2f}") for back in range(min(last, head.where.distance + 4))]
            return Grid(title, [*rows, (self.plan.wiring.begin, f"{np.broadcast_to(s.begin[0], s.context)[last]:.2f}")])
        keys = [str(head.where.key.domain[p]) for p in s.texts] if head.where.key else ["any"]
        rows: list[tuple[str, ...]] = [("", *keys, self.plan.wiring.begin)]
        for asks in range(len(s.table)):
            line = [s.of(asks, says)[last, last] for says in s.texts]
            label = str(head.where.query.domain[asks]) if head.where.query else "any"
            begin = np.broadcast_to(s.begin[asks], s.context)[last]
            figures = [f"{each:.2f}" for each in (*line, begin)]
            rows.append((label, *figures))
        return Grid(title, rows)

    def values(self, name: str) -> Grid:
        """What a head copies: for each value that it reads, the value whose code it writes, and how far off that is."""
        layer, place, head = self.head(name)
        stream = self.walk.behind[f"blocks.{layer}.norm1"]
        w = self.walk.head_weights(f"blocks.{layer}.attn", place)
        read_name = head.read.name if head.read else None
        names = [read_name] if read_name else []
        v = read(stream, w.value, w.biases[2], names, self.walk.rounding, self.plan.start, begin_too=False)
        codes = self.walk.codes(head.out.name)
        title = f"layer {layer} head {name}: what it copies to {head.out.name}"
        rows = [("reads", "writes", "off by")]
        places = stream.parts[read_name].text if read_name else (0,)
        labels = [str(head.read.domain[each]) if head.read else "any" for each in places]
        written = [*v.rows(read_name)[list(places)], v.start]
        for label, made in zip([*labels, f"begin ({self.plan.wiring.begin})"], written, strict=True):
            rows.append((label, *self.decoded(head, made @ w.output, codes)))
        return Grid(title, rows)

    def decoded(self, head: Attending, row: Array, codes: Array) -> tuple[str, str]:
        """The value that a written row stands for; for an average the number itself."""
        if isinstance(head, Average):
            unit = codes[-1] if float(head.out.values[-1]) else codes[0]
            value = float(head.out.values[-1] or head.out.values[0])
            return f"{round(float(row @ unit / (unit @ unit)) * value, 6) + 0.0:g}", "-"
        off = np.abs(codes - row).max(1)
        return str(head.out.domain[int(off.argmin())]), f"{off.min():.1e}"

    # --- feed-forwards --------------------------------------------------------------------------------------------

    def rules(self) -> list[str]:
        """What every feed-forward does, one line a decision, recovered from its units."""
        lines = []
        for layer, parts in enumerate(self.plan.declared):
            w, _ = self.walk.unit_weights(layer)
            done = 0
            for part, made in zip(parts, self.plan.parts[layer], strict=True):
                lines += [f"layer {layer} {part.name}: {line}" for line in self.part_rules(layer, part, w, made, done)]
                done += len(made.units)
        return lines

    def part_rules(self, layer: int, part: Deciding, w: UnitWeights, made: Decided, done: int) -> Iterator[str]:
        """The value that it has without any unit, and what each pair of units changes, when."""
        own, names = w.some(slice(done, done + len(made.units))), [each.name for each in inputs_of(part)]
        codes = self.walk.codes(part.out.name)
        stream = self.walk.behind[f"blocks.{layer}.norm2"]
        reading = read(stream, own.gate, own.bias, names, self.walk.rounding, self.plan.start)
        base = part.out.domain[int(np.abs(codes - made.base).max(1).argmin())]
        sums = pairs(own) if isinstance(part, Steps) else []
        if sums:
            yield f"z = {self.form(names, reading, sums[0][0])}"
        yield f"{base!r}, unless"
        for first, second in pairs(own):
            height = reading.start[first] - reading.start[second]
            when = self.threshold(reading, first, second) if sums else self.when(part, reading, first, second)
            yield f"  {when}: {self.change(part, own.down[first] * height, codes)}"

    def change(self, part: Deciding, row: Array, codes: Array) -> str:
        """The change of value that a written row makes."""
        differences = codes[None] - codes[:, None]
        before, after = np.unravel_index(np.abs(differences - row).max(2).argmin(), differences.shape[:2])
        return f"{part.out.domain[before]!r} -> {part.out.domain[after]!r}"

    def form(self, names: list[str], reading: Reading, unit: int) -> str:
        """The sum that decides, in multiples of its smallest difference, from the smallest number of each variable."""
        scale = unit_of(reading, unit)
        return " + ".join(f"{name} {numbers(reading.tables[name][:, unit] / scale)}" for name in names)

    def threshold(self, reading: Reading, first: int, second: int) -> str:
        middle = (reading.constant[first] + reading.constant[second]) / 2
        least = sum(float(table[:, [first, second]].mean(1).min()) for table in reading.tables.values())
        return f"z > {-(middle + least) / unit_of(reading, first):.4g}"

    def when(self, part: Deciding, reading: Reading, first: int, second: int) -> str:
        """The values that must come together for a pair of units to be on."""
        picks, _ = combinations(part)
        both = [
            reading.constant[unit] + sum(reading.tables[n][p, unit] for n, p in picks.items())
            for unit in (first, second)
        ]
        on = np.flatnonzero(np.atleast_1d(both[0] + both[1]) > 0)
        said = []
        for each in inputs_of(part):
            places = sorted(set(picks[each.name][on].tolist()))
            if len(places) < len(each.options):
                said.append(f"{each.name} = {' or '.join(repr(each.options[place]) for place in places)}")
        return " and ".join(said) or ("always" if len(on) else "never")


def unit_of(reading: Reading, unit: int) -> float:
    """The smallest difference that a variable makes to a unit, apart from rounding."""
    return min((gap for table in reading.tables.values() for gap in gaps(table[:, unit])), default=1.0)


def inputs_of(part: Deciding) -> list[Any]:
    return list(part.form.terms) if isinstance(part, Steps) else list(part.inputs)


def gaps(table: Array) -> list[float]:
    """The differences between neighbouring numbers of a table that are not rounding."""
    ordered = np.sort(table)
    return [float(gap) for gap in np.diff(ordered) if gap > 1e-4 * np.ptp(ordered)]


def numbers(table: Array) -> str:
    """The numbers of a variable's values from the smallest on, in short."""
    shown = [f"{round(float(value - table.min()), 9):.4g}" for value in table]
    return f"[{', '.join(shown if len(shown) <= 14 else [*shown[:6], '...', shown[-1]])}]"


def values_of(slot: Slot) -> str:
    shown = [str(value) for value in slot.values]
    return " ".join(shown if len(shown) <= 14 else [*shown[:4], "...", shown[-1]])
