"""The gradients of one number of a run, by address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Protocol

import numpy as np

from byhand import aliases
from byhand.addresses import axes_of, base, known, unknown
from byhand.engines import reference
from byhand.engines.reference import UNEDITED
from byhand.errors import AddressError
from byhand.program import BackwardStep, Program
from byhand.setting import Setting
from byhand.tensor import Tensor

Array = np.ndarray[Any, Any]


class Differentiated(Protocol):
    """What gradients need to know of their run."""

    @property
    def program(self) -> Program: ...

    @property
    def setting(self) -> Setting: ...

    def look(self, address: str) -> Array: ...

    def labels(self, address: str) -> dict[str, list[Any]]: ...

    def passed(self, address: str, gradient: Array) -> Array:
        """What of a value's gradient reaches the step that made it, through the run's edits."""
        ...


class Gradients(Mapping[str, Tensor]):
    """Gradients of one number by address, with or without ``d:``; ``d:x@step`` is the part one step adds."""

    def __init__(self, run: Differentiated, of: str, steps: list[BackwardStep], arrays: dict[str, Array]) -> None:
        self.run, self.of, self.steps, self.arrays = run, of, steps, arrays
        self.written = {address: step for step in steps for address in step.writes.values()}

    def look(self, address: str) -> Array:
        """The plain array. Raises AddressError where `of` does not depend on the value, or it has no gradient."""
        name = address.removeprefix("d:")
        if name in self.arrays:
            return self.arrays[name]
        value = base(name)
        if f"d:{name}" in self.written:
            return self.part(self.written[f"d:{name}"], f"d:{name}")
        if value not in self.run.program:
            raise unknown(self.run.program, value)
        if value not in self.arrays:
            raise AddressError(f"d:{name}: {self.of} does not depend on {value}, or it has no gradient")
        if name.endswith(UNEDITED):
            return self.run.passed(value, self.arrays[value])
        parts = [part for part in self.written if base(part) == value]
        raise AddressError(f"d:{name}: no such part; there are {', '.join(parts)}")

    def part(self, each: BackwardStep, address: str) -> Array:
        """What one step adds to a gradient, computed again."""
        assert each.step is not None
        d_output = self.run.passed(each.step.address, self.arrays[each.step.address])
        parts = reference.reverse(each.step, d_output, self.run.look, self.run.setting.precision)
        return parts[next(name for name, written in each.writes.items() if written == address)]

    def matching(self, pattern: str) -> list[str]:
        """The ``d:`` addresses that fit a pattern, in the order of the program. Raises AddressError if none does."""
        order = self.run.program.addresses
        found = [f"d:{address}" for address in order if address in self.arrays and fnmatchcase(f"d:{address}", pattern)]
        if not found:
            raise AddressError(f"no gradient of {self.of} fits {pattern!r}; there are {', '.join(list(self)[:3])}, ...")
        return found

    def __getitem__(self, name: str) -> Tensor:
        address = name.removeprefix("d:")
        if not known(self.run.program, address):
            view = aliases.find(self.run.program, address)
            if view and view.computed:
                raise AddressError(f"{address} is computed from {', '.join(view.addresses)}; ask for their gradients")
            if view:
                return Tensor(view.build(self.look), view.axes, f"d:{address}", self.run.labels(view.addresses[0]))
        array = self.look(address)
        return Tensor(array, axes_of(self.run.program, address), f"d:{address}", self.run.labels(address))

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __repr__(self) -> str:
        return f"<gradients of {self.of}: {len(self)} arrays>"

    def __len__(self) -> int:
        return len(self.arrays)
