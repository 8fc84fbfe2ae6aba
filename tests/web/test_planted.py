"""Planted defects: one unit in the last place, two swapped heads, labels shifted by one. Each must be noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import Page

from byhand.explorer import Answer
from byhand.explorer.digits import bits, number

from .conftest import Open
from .planting import planted
from .reading import shown
from .serving import Explored, explored

ADDRESS = "blocks.1.attn.weights"
Check = Callable[[Page, Explored], None]


def numbers_are_right(page: Page, of: Explored) -> None:
    """Every number of the table has the bits of the array."""
    for each in shown(page.locator(".numbers .readout")):
        assert each.bits == of.bits(ADDRESS, each.index), each
        assert np.float32(each.text).tobytes() == of.array(ADDRESS)[each.index].tobytes(), each


def labels_are_right(page: Page, of: Explored) -> None:
    tokens = [of.session.model.tokens.text(int(each)) for each in of.array("tokens")[0]]
    written = [f"{i} {text.replace(' ', '·')}" for i, text in enumerate(tokens)]
    assert page.locator(".numbers thead th").all_inner_texts() == written
    assert page.locator(".numbers tbody th").all_inner_texts() == written


def one_ulp(op: str, answer: Answer) -> Answer:
    """The last place of one number in a hundred."""
    if op != "window" or answer.head["address"] != ADDRESS or "texts" not in answer.head:
        return answer
    value = np.nextafter(np.float32(answer.arrays["values"][4, 2]), np.float32(9))
    answer.head["texts"][4][2], answer.head["bits"][4][2] = number(value), bits(np.asarray(value))
    return answer


def swapped_heads(op: str, answer: Answer) -> Answer:
    """Heads 0 and 1, one for the other."""
    if op != "window" or answer.head["address"] != ADDRESS or "texts" not in answer.head:
        return answer
    other = explored("stories").array(ADDRESS)[0, 1]
    rows, columns = (slice(*answer.head[name]) for name in ("rows", "columns"))
    cut = other[rows, columns]
    head = {**answer.head, "bits": bits(cut), "texts": [[number(each) for each in row] for row in cut]}
    return replace(answer, head=head)


def shifted_labels(op: str, answer: Answer) -> Answer:
    """Every label stands one column too far to the right."""
    if op == "window" and answer.head.get("column_labels"):
        labels = answer.head["column_labels"]
        answer.head["column_labels"] = [labels[-1], *labels[:-1]]
    return answer


@pytest.mark.parametrize(
    ("defect", "check"),
    [(one_ulp, numbers_are_right), (swapped_heads, numbers_are_right), (shifted_labels, labels_are_right)],
)
def test_a_planted_defect_is_noticed(open_page: Open, defect: Callable[[str, Answer], Answer], check: Check) -> None:
    real = explored("stories")
    state = real.state("tensor", address=ADDRESS, index=[0, 0, None, None], table=True)
    for of, right in [(real, True), (planted(real, defect), False)]:
        page = open_page(of, state)
        page.wait_for_selector(".numbers td")
        if right:
            check(page, of)
        else:
            with pytest.raises(AssertionError):
                check(page, of)
