"""Filling in the forms of the change screen, and reading what it says."""

from __future__ import annotations

import numpy as np

from byhand.explorer.scene import read_scene

from .serving import unpacked
from .small import wait_bits

ALL = None
PART = "Edit a part of the model"
ANY = "Edit any value"


def bits_of(value):
    value = np.asarray(value)
    return f"{int(value.view(f'u{value.itemsize}')):0{2 * value.itemsize}x}"


def run_of(session, scene):
    return session.run(read_scene(scene))


def fill(page, form, **fields):
    """Fill in a form by the names of its fields, and send it."""
    form = page.get_by_role("form", name=form)
    for name, value in fields.items():
        field = field_of(form, name.replace("_", " "))
        if field.evaluate("each => each.tagName") == "SELECT":
            names = field.locator("option").all_inner_texts()
            at = value if isinstance(value, int) else names.index(value)
            field.select_option(index=at)
        else:
            field.fill(str(value))
    form.locator("button[type=submit]").click()


def field_of(form, name):
    return form.locator(f".field:has(> span:text-is('{name}')) :is(select, input), [aria-label='{name}']").first


def changes_of(page):
    page.wait_for_timeout(150)  # the link is written a moment later
    b = unpacked(page.url)["b"]
    return b.get("changes", []) if b else []


def listed(page):
    return [line.strip().split("\n")[0] for line in page.locator(".edits li label").all_inner_texts()]


def wait_logit(page, expected, token, position=4, part="b"):
    wait_bits(page, "logits", (0, position, token), bits_of(expected), f".top[data-part='{part}']")
