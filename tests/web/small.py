"""Small random models of every family, served: what a test of a screen compares the page with."""

from functools import cache

from playwright.sync_api import Page

from byhand.explorer import Session

from ..explorer.scenes import scene_of
from ..small_models import model
from .serving import Explored, State, served


@cache
def small(name: str) -> Explored:
    return served(Session(model(name)), scene_of(name))


def explore(open_page, name: str, scene: State, screen: str, **view) -> tuple[Page, Session]:
    """A screen of a small model at a scene, and the session behind it."""
    of = small(name)
    return open_page(of, of.state(screen, a=scene, **view)), of.session


def wait_bits(page: Page, address: str, index: tuple[int, ...], expected: str, within: str = "main") -> None:
    """Wait until a number is read out with these bits."""
    selector = f"{within} [data-name='{address}'][data-index='{','.join(map(str, index))}']"
    page.wait_for_function(
        "([selector, bits]) => [...document.querySelectorAll(selector)].some(each => each.dataset.bits === bits)",
        arg=[selector, expected],
    )
