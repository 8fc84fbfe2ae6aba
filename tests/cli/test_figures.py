"""Numbers and matrices as they are printed."""

import numpy as np
import pytest
from rich.console import Console, Group

from byhand.cli.figures import cells, count, scalar, token_name
from byhand.cli.matrix import grids, names
from byhand.cli.show import plain, table
from byhand.tensor import Tensor


def printed(*parts, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as caught:
        console.print(Group(*parts))
    return [line.rstrip() for line in caught.get().splitlines()]


COUNTS = {0: "0", 999_999: "999,999", 1_000_000: "1M", 124_439_808: "124.4M", 8_030_261_248: "8.03G", 10**12: "1T"}


@pytest.mark.parametrize(("number", "text"), COUNTS.items())
def test_counts(number, text):
    assert count(number) == text


def test_scalars():
    assert [scalar(x) for x in (0.0, -0.0, 1 / 3, 1e-20, True, 7)] == ["0", "0", "0.333333", "1e-20", "True", "7"]
    assert scalar(float("nan")) == "nan"


CELLS = {
    "whole numbers": ([1.0, 0.0, -1024.0], ["1", "0", "-1024"]),
    "no more places than needed": ([0.5, 1.0, 0.0], ["0.5", "1.0", "0"]),
    "five digits": ([1 / 3, 2 / 3], ["0.3333", "0.6667"]),
    "large and small together": ([362.0387, -1e10, 1e-9], ["362.04", "-1e+10", "1e-09"]),
    "none": ([np.nan, np.inf, -np.inf], ["nan", "inf", "-inf"]),
}


@pytest.mark.parametrize(("values", "texts"), CELLS.values(), ids=CELLS)
def test_cells(values, texts):
    assert cells(np.array(values)) == texts


def test_cells_of_whole_numbers_and_truth_values():
    assert cells(np.array([3, -1])) == ["3", "-1"]
    assert cells(np.array([True, False])) == ["True", "False"]


def test_token_names():
    assert [token_name(text) for text in ("a", " ", "\n", "", "ab")] == ["a", "' '", "'\\n'", "''", "ab"]


def test_a_matrix_is_labelled():
    tensor = Tensor(np.array([[[1.0, 0.0], [0.25, 0.75]]]), "HTS", "w", {"T": ["a", "b"], "S": ["a", "b"]})
    assert printed(*grids(tensor, names(tensor), 80)) == ["       a    b", "0 a 1.00    0", "1 b 0.25 0.75"]


def test_leading_axes_are_named():
    tensor = Tensor(np.arange(8.0).reshape(2, 2, 2), "HTS", "w")
    assert printed(*grids(tensor, names(tensor), 80))[::4] == ["H=0", "H=1"]


def test_a_slice_keeps_the_numbers_of_the_whole():
    tensor = Tensor(np.arange(6.0).reshape(2, 3), "TD", "x", {"T": ["b", "c"]})
    lines = printed(*grids(tensor, names(tensor, places=[range(1, 3), range(4, 10, 2)]), 80))
    assert lines == ["    4 6 8", "1 b 0 1 2", "2 c 3 4 5"]


def test_a_large_matrix_shows_its_corners():
    tensor = Tensor(np.arange(10_000.0).reshape(100, 100), "TD", "x")
    lines = printed(*grids(tensor, names(tensor), 80))
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[:2] == ["0", "0"] and lines[1].split()[-2:] == ["...", "99"]
    assert lines[-1].split()[0] == "99" and lines[-1].split()[-1] == "9999"
    assert lines[-2].split()[0] == "..."


def test_a_whole_matrix_leaves_nothing_out():
    tensor = Tensor(np.arange(600.0).reshape(3, 200), "TD", "x")
    lines = printed(*grids(tensor, names(tensor), 80, whole=True))
    assert max(map(len, lines)) <= 80
    rows = [line.split()[1:] for line in lines if len(line) - len(line.lstrip()) == 0]
    assert sorted(int(cell) for row in rows for cell in row) == list(range(600))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 1), (2, 1), (1, 4), (2, 3, 4, 5)])
def test_every_shape_has_a_picture(shape):
    tensor = Tensor(np.ones(shape), "BTDK"[: len(shape)], "x")
    shown = " ".join(printed(*grids(tensor, names(tensor), 80, whole=True)))
    assert shown.count("1") >= np.prod(shape)


def test_a_table_cuts_nothing_off():
    lines = printed(table({"name": "left", "n": "right"}, [("long" * 30, "1"), ["b", "20"]]), width=200)
    assert lines == [f"name{' ' * 116}   n", f"{'long' * 30}   1", f"b{' ' * 119}  20"]


def test_plain_data():
    data = {"a": np.array([1.0, np.nan, np.inf]), 2: (np.float32(-np.inf), None, True), "s": np.int64(3)}
    assert plain(data) == {"a": [1.0, "NaN", "Infinity"], "2": ["-Infinity", None, True], "s": 3}
