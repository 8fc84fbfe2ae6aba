"""Prompts of the small models as scenes, and edits of scenes done to plain arrays."""

import numpy as np

from byhand.explorer.scene import read_change

from ..small_models import TEXTS

PLAIN = {
    "set": lambda old, new: new,
    "add": lambda old, new: old + new,
    "scale": lambda old, new: old * new,
    "zero": lambda old, new: 0,
}


def scene_of(name, **more):
    """The scene of a small model's text."""
    given = TEXTS[name]
    prompt = {"text" if isinstance(given["text"], str) else "tokens": given["text"]}
    if "source" in given:
        prompt |= {"source" if isinstance(given["source"], str) else "source_tokens": given["source"]}
    return prompt | more


def edit(address, index, action="zero", value=None):
    """A change as the page writes it."""
    made = {"address": address, "index": index, "action": action}
    return made if value is None else made | {"value": value}


def edited(scene, *changes):
    return scene | {"changes": [*scene.get("changes", []), *changes]}


def patched(changes):
    """The same edits of a plain array, in order: what `independent` takes."""

    def patch(address, array):
        for change in changes:
            if change["address"] == address:
                where = read_change(change, "edit", 0).where
                array = np.array(array)
                array[where] = PLAIN[change["action"]](array[where], change.get("value"))
        return array

    return patch
