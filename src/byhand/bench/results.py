"""What was measured: figures, ratios and shares of what the machine can do; as JSON, and as a table for a page."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from byhand.bench.entries import BYHAND, PEERS, versions
from byhand.bench.work import Work
from byhand.errors import InputError
from byhand.memory import size

COLD, READING = "byhand, nothing compiled", "reading the file"
PER_TOKEN = ("decode", "prefill")  # works whose figure is tokens a second; of others it is milliseconds
PACKAGES = ("byhand", "numpy", "numba", "llvmlite", *dict.fromkeys(each.package for each in PEERS))


@dataclass
class Row:
    """One work. timings: the seconds of every turn by contestant, or bytes for memory; the first is byhand.

    need: bytes or operations that the work takes at least; limit: what the machine managed beside it, a second;
    checked: on what grounds the answers are right; left: peers that could not take part, and why.
    """

    work: Work
    timings: dict[str, list[float]]
    checked: str = ""
    need: float = 0.0
    limit: float = 0.0
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        return "MB" if self.work.what == "memory" else "tok/s" if self.work.what in PER_TOKEN else "ms"

    def figure(self, name: str) -> float:
        """The median of a contestant, in the unit of the row."""
        middle = median(self.timings[name])
        if self.unit == "tok/s":
            return self.work.tokens * self.work.batch / middle
        return middle / 1e6 if self.unit == "MB" else 1000 * middle

    @property
    def others(self) -> list[str]:
        """Everybody that byhand is compared with."""
        return [name for name in self.timings if name not in (BYHAND, READING)]

    def ratio(self, name: str) -> float:
        """How many times as fast byhand is, or as little memory it takes: the median over turns next to each other."""
        pairs = zip(self.timings[name], self.timings[BYHAND], strict=True)
        return median(theirs / ours for theirs, ours in pairs)

    @property
    def share(self) -> float | None:
        """How much of what the machine can do byhand did; None where no limit was measured."""
        if not self.limit or not self.need:
            return None
        steps = self.work.tokens if self.work.what == "decode" else 1
        return self.need * steps / median(self.timings[BYHAND]) / self.limit

    def tokens_a_second(self, name: str) -> float:
        """Of a contestant that reads its texts once a turn."""
        return self.work.tokens * self.work.batch / median(self.timings[name])

    def operations_a_second(self, name: str) -> float:
        """Of those that the work needs at least, whatever a contestant does."""
        return self.need / median(self.timings[name])

    def memory(self, name: str) -> str:
        """The most that a contestant that trained had of it, in words; "" for all other works."""
        return size(self.facts.get(name, {})["peak"]) if self.work.what == "train" else ""

    def to_dict(self) -> dict[str, Any]:
        figures = {name: self.figure(name) for name in self.timings}
        ratios = {name: self.ratio(name) for name in self.others}
        return asdict(self) | {"unit": self.unit, "figures": figures, "ratios": ratios, "share": self.share}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Row:
        known = {name: data[name] for name in cls.__dataclass_fields__ if name != "work"}
        return cls(Work(**data["work"]), **known)


def written(value: float) -> str:
    """A figure for people: three digits, no exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def limit_of(row: Row) -> str:
    """The machine's limit in words, "" where none was measured."""
    if row.share is None:
        return ""
    if row.work.what == "train":
        return f"{row.share:.0%} of {written(row.limit / 1e9)} GFLOP/s"
    does = "reading" if row.work.what == "decode" else "int8 products" if row.work.in_blocks else "float32 products"
    unit = "GB/s" if row.work.what == "decode" else "GOP/s"
    return f"{row.share:.0%} of {written(row.limit / 1e9)} {unit} {does}"


def machine(threads: int, limits: Mapping[str, float]) -> dict[str, Any]:
    """The machine, what it can do, and which versions of everything ran on it."""
    from byhand.engines.cpu.simd import LANES

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": threads,
        "lanes": LANES,
        "limits": dict(limits),
        "versions": {"python": platform.python_version(), **versions(PACKAGES)},
    }


def processor() -> str:
    """The processor's name as the system has it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


# --- a page ---------------------------------------------------------------------------------------------------------


def page(document: Any) -> str:
    """The Markdown table of a result that was written as JSON. Raises InputError for anything else."""
    try:
        about, rows = document["machine"], [Row.from_dict(each) for each in document["rows"]]
        head = f"{about['processor']}, {about['threads']} threads, {about['date'][:10]}. "
        packages = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        return "\n".join([head + packages + ".", "", *table(rows)]) + "\n"
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"this is no result of byhand bench: {type(error).__name__} {error}") from None


def table(rows: Sequence[Row]) -> list[str]:
    lines = ["| work | byhand | of the machine's limit | beside | byhand is |", "|---|--:|---|--:|--:|"]
    for row in rows:
        first = [str(row.work), said(row, BYHAND), limit_of(row)]
        for i, name in enumerate(row.others or [""]):
            beside = [said(row, name), f"{row.ratio(name):.2f}×"] if name else ["", ""]
            lines.append(f"| {' | '.join([*(first if i == 0 else ['', '', '']), *beside])} |")
    return lines


def said(row: Row, name: str) -> str:
    """A contestant's figure, and of training how much memory it took: "torch 920, 3.1 GiB"."""
    figure = written(row.figure(name))
    figure = f"{figure} {row.unit}" if name == BYHAND else f"{name} {figure}"
    return ", ".join(filter(None, [figure, row.memory(name)]))
