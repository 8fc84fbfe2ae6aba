"""The pictures of the main screens in the README: made here, kept when BYHAND_PICTURES=1 asks for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ..design.tree import ROOT
from .conftest import Open
from .serving import explored

PICTURES = ROOT / "docs" / "pictures"
FIRST = {"text": "Once upon a time there was a little"}
HEAD = {"address": "blocks.1.attn.heads", "index": [None, None, 2, None], "action": "zero"}
SCREENS: dict[str, tuple[bool, str, dict[str, Any]]] = {
    # name: with an edit, theme, view
    "flow": (True, "light", {"open": ["block 1"]}),
    "tensor": (False, "light", {"address": "blocks.1.attn.weights", "index": [0, 2, 6, 3], "axes": [2, 3]}),
    "number": (False, "light", {"address": "logits", "index": [0, 7, 286]}),
    "attention": (False, "dark", {}),
    "change": (True, "light", {}),
    "stream": (False, "light", {}),
    "next": (False, "light", {}),
}


@pytest.mark.parametrize("screen", SCREENS)
def test_a_picture_of_every_main_screen(open_page: Open, screen: str, tmp_path: Path) -> None:
    edited, theme, view = SCREENS[screen]
    of = explored("stories")
    b = {**FIRST, "changes": [HEAD]} if edited else None
    page = open_page("stories", of.state(screen, a=FIRST, b=b, **view), color_scheme=theme, device_scale_factor=1.5)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(200)
    kept = os.environ.get("BYHAND_PICTURES") == "1"
    path = (PICTURES if kept else tmp_path) / f"explore-{screen}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    assert path.stat().st_size > 20_000
