"""What a page shows, as a test reads it: addresses, places and bits, never pictures of digits."""

from __future__ import annotations

from typing import NamedTuple

from playwright.sync_api import Locator, Page

READ = "all => all.map(each => [each.dataset.name, each.dataset.index, each.dataset.bits, each.textContent])"


class Shown(NamedTuple):
    """A number as the page reads it out."""

    address: str
    index: tuple[int, ...]
    bits: str
    text: str


def shown(found: Locator) -> list[Shown]:
    """All readouts of a part of the page that are of a number of the run."""
    read = found.evaluate_all(READ)
    return [Shown(name, place(index), bits, text) for name, index, bits, text in read if bits]


def place(index: str) -> tuple[int, ...]:
    return tuple(map(int, index.split(","))) if index else ()


def under_cursor(page: Page, address: str, index: tuple[int, ...], part: str = "one") -> Shown:
    """The number that is read out below a matrix, once it is the one at this place. part: one, A, B or BA."""
    written = ",".join(map(str, index))
    found = page.locator(f'.cell .readout.of-{part}[data-name="{address}"][data-index="{written}"]')
    found.wait_for()
    return shown(found)[0]


def explained(page: Page, address: str, index: tuple[int, ...]) -> Shown:
    """The number that the screen of one number is about, once it is this one."""
    written = ",".join(map(str, index))
    found = page.locator(f'.number:not(.stale) .stored .readout[data-name="{address}"][data-index="{written}"]')
    found.wait_for()
    return shown(found)[0]
