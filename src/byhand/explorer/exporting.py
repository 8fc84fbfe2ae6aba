"""A value as a file: .npy, which NumPy reads, or .csv with every digit. Large ones come in parts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from byhand.addresses import axes_of
from byhand.errors import InputError
from byhand.explorer.answer import MOST_BYTES, Answer
from byhand.explorer.digits import BFLOAT16, number
from byhand.explorer.jobs import Job
from byhand.explorer.operations import operation
from byhand.explorer.parameters import Parameters
from byhand.explorer.session import Session
from byhand.explorer.windows import Asked, asked, values
from byhand.shapes import within

Array = np.ndarray[Any, Any]

FORMATS = ("npy", "csv")
MOST_FILE = 2**40
MOST_WRITTEN = 1_000_000  # numbers in a .csv: each takes ten bytes or more


@operation("export")
def export(session: Session, read: Parameters, job: Job) -> Answer:
    """A value, or the part of it that an index chooses, as the bytes of a file from one of them on."""
    of = asked(session, read, job)
    form = read.text("format", one_of=FORMATS)
    start = read.whole("from", 0, MOST_FILE, 0)
    stop = read.whole("to", 0, MOST_FILE, start + MOST_BYTES)
    if not 0 < stop - start <= MOST_BYTES:
        raise read.refuse("to", f"at most {MOST_BYTES} bytes from there on")
    array = values(session, of, place(read, of), job)
    data, total = npy(array, start, stop) if form == "npy" else cut(csv(array), start, stop)
    name = re.sub(r"[^\w.@-]", "_", of.address.replace("d:", "d_"))
    head = {"name": f"{name}.{form}", "offset": start, "total": total, "dtype": array.dtype.name}
    return Answer(head, {"data": np.frombuffer(data, np.uint8)})


def place(read: Parameters, of: Asked) -> tuple[int | slice, ...]:
    """The part that is wanted: a number or null (all) for each axis; the whole value if not said."""
    given = read.get("index", [None] * len(of.shape))
    if not isinstance(given, list) or len(given) != len(of.shape):
        raise read.refuse("index", f"{len(of.shape)} places, null for all of an axis")
    axes = axes_of(of.run.program, of.address)
    return tuple(
        slice(None) if each is None else within(each, size, f"{of.address}, axis {axis}")
        for each, size, axis in zip(given, of.shape, axes, strict=True)
    )


def cut(data: bytes, start: int, stop: int) -> tuple[bytes, int]:
    return data[start:stop], len(data)


def npy(array: Array, start: int, stop: int) -> tuple[bytes, int]:
    """Bytes of the .npy file, and how many it has. NumPy's format has no bfloat16: those become float32, exactly."""
    kept = np.asarray(array.astype(np.float32) if array.dtype == BFLOAT16 else array, order="C")
    head = npy_header(kept)
    body = kept.reshape(-1).view(np.uint8)
    data = head[start:stop] + body[max(0, start - len(head)) : max(0, stop - len(head))].tobytes()
    return data, len(head) + body.size


def npy_header(array: Array) -> bytes:
    text = repr({"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape})
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")


def csv(array: Array) -> bytes:
    """A line for each row of the last axis, in the order of the others; every number reads back as it is stored."""
    if array.size > MOST_WRITTEN:
        raise InputError(f"{array.size} numbers are too many for .csv; export a part of them, or .npy")
    rows = array.reshape(-1, array.shape[-1] if array.ndim else 1)
    return "".join(",".join(number(each) for each in row) + "\n" for row in rows).encode()
