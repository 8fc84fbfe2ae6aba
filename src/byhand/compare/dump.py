"""Values that another program wrote down: an ``.npz`` of arrays by name, or an llm.c debug state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from byhand.checkpoints.files.mapped import beginning
from byhand.compare.named import by_address, inputs_in
from byhand.compare.side import KINDS, Side, holds, precision_of
from byhand.errors import InputError
from byhand.memory import fit
from byhand.program import Program

Array = np.ndarray[Any, Any]

# What zipfile and NumPy raise for archives that are damaged or lie about their sizes.
READING = (
    BadZipFile,
    ValueError,
    LookupError,
    EOFError,
    TypeError,
    AttributeError,
    RuntimeError,
    MemoryError,
    ZlibError,
)


def read_npz(path: Path) -> dict[str, Array]:
    """The arrays of an ``.npz``; nothing in it is run. Raises InputError for what is none."""
    start = beginning(path, 2)
    if path.exists() and start != b"PK":
        raise InputError(f"{path} is no .npz: {f'it begins with {start!r}' if start else 'it holds nothing to read'}")
    try:
        with path.open("rb") as whole, np.load(whole, allow_pickle=False) as file:
            fit(sum(part.file_size for part in file.zip.infolist()), f"reading {path}", "give fewer arrays")
            arrays = {name: file[name] for name in file.files}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except READING as error:
        reason = (
            "it holds Python objects" if "pickle" in str(error) else str(error).partition("\n")[0] or "it is damaged"
        )
        raise InputError(f"cannot read {path} as an .npz of plain arrays: {reason:.120}") from None
    if not arrays:
        raise InputError(f"{path} holds no arrays; give values under their addresses, such as logits=...")
    # NumPy writes bfloat16 as two bytes without a type
    return {
        name: array.view(KINDS["bfloat16"]) if array.dtype == np.dtype("V2") else array
        for name, array in arrays.items()
    }


@dataclass(frozen=True, eq=False)
class Dump:
    """Arrays by any project's names, and where they are from. dtype: None to see it from the numbers."""

    name: str
    arrays: Mapping[str, Array]
    dtype: str | None = None

    program: None = None

    def fixed(self, program: Program) -> dict[str, Array]:
        """The inputs that it was made from, as far as it says."""
        return inputs_in(self.arrays, program)

    def side(self, name: str, inputs: Mapping[str, Array], program: Program) -> Side:
        """What it has of a program's values, for these inputs. Raises InputError for arrays that do not fit."""
        shapes = program.shapes(**program.lengths({address: array.shape for address, array in inputs.items()}))
        floats = {each: array for each, array in self.arrays.items() if array.dtype.kind in "fV"}
        found = by_address(floats, program, shapes, self.name)
        if not found.arrays:
            some = ", ".join(list(self.arrays)[:3])
            raise InputError(f"{self.name} has no value of {program.name}; its names are {some}; see docs/addresses.md")
        values = {a: array for a, array in found.arrays.items() if a in program.producer}
        main = {a: array for a, array in values.items() if a == program.producer[a].address}
        rounded = {a: array for a, array in main.items() if not program.producer[a].operator.wide}
        dtype = self.dtype or precision_of(rounded or found.arrays)
        fine = frozenset(a for a, array in values.items() if not holds(KINDS[dtype], array))
        unknown = f"not compared, since the names are unknown: {', '.join(found.left[:5])}" + ", ..." * (
            len(found.left) > 5
        )
        weights = {a: array for a, array in found.arrays.items() if a in program.weights}
        gradients = {a: array for a, array in found.arrays.items() if a.startswith("d:")}
        notes = (unknown,) if found.left else ()
        more: dict[str, Any] = {"coarse": dtype, "notes": notes, "gradients": gradients, "fine": fine}
        return Side(name, dtype, values.get, weights.get, inputs, **more)
