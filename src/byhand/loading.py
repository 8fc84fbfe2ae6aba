"""From a name, a folder or a file to a model; and models of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from byhand import boxed, checkpoints, hub
from byhand.boxed import wired
from byhand.checkpoints.files.places import place_of
from byhand.doctor import decided
from byhand.errors import InputError
from byhand.families import FAMILIES, gpt2, handmade
from byhand.layouts import Source
from byhand.model import Model
from byhand.shapes import whole
from byhand.tokenizer import PRINTABLE, Characters, Tokenizer
from byhand.tokenizer.letters import letters
from byhand.weights import given, random

TWIN = gpt2.Config(layers=1, width=8, heads=1, hidden=32, vocabulary=2, context=5)


def names() -> dict[str, str]:
    """Every built-in name with the name of its family."""
    shapes = {name: family for family, module in FAMILIES.items() for name in module.SHAPES}
    return {"aab": "handmade", "aab-gpt2": "gpt2", **boxed.MODELS, **wired.names(), **shapes}


def load(name: str | Path, *, seed: int = 0) -> Model:
    """A model by its built-in name, from a folder or file in any format of `byhand inspect`, or pulled from the hub.

    `aab`, `aab-gpt2` and all that begin with `wired-` have weights made by hand, those of `boxed.MODELS` trained ones,
    all other built-in names random ones from the seed. Weights are made or read when first used: a file stays where it
    is and is mapped, so loading costs no memory. What the files leave open is decided by running the model, see
    `doctor`, and said in ``model.findings``.
    Raises InputError, with the nearest names, for what is no model; ShapeError for weights that do not fit the config.
    """
    text = str(name)
    if text in names() and not isinstance(name, Path):
        return built_in(text, seed)
    if isinstance(name, str | Path) and text and (path := place_of(name)).exists():
        return from_files(path)
    if hub.looks_like_name(text) and (folder := hub.find(text)):
        return from_files(folder, text)
    raise InputError(f"no model {name!r:.200}; {hint(text)}; `byhand models` lists all")


def hint(name: str) -> str:
    """What somebody who gave this name may have meant."""
    pull = f"if it is one of the hub, fetch it first: byhand pull {name}"
    if "/" in name:
        return f"there is no such file or folder here; {pull}" if hub.looks_like_name(name) else "there is no such file"
    near = get_close_matches(name, names(), n=3, cutoff=0.5)
    known = f"the nearest are {', '.join(near)}" if near else f"there are {', '.join(list(names())[:6])} and others"
    return f"{known}, no such file or folder; {pull}" if hub.looks_like_name(name) else known


def built_in(name: str, seed: int) -> Model:
    if name == "aab":
        return make(
            handmade, handmade.SHAPES[name], handmade.weights(), tokenizer=Characters(handmade.ALPHABET), name=name
        )
    if name == "aab-gpt2":
        return make(gpt2, TWIN, handmade.twin(TWIN.hidden), tokenizer=Characters(handmade.ALPHABET), name=name)
    if name in boxed.MODELS:
        return from_files(boxed.path(name), name)
    if name in wired.names():
        found = wired.read(name)
        config = FAMILIES[found.family].Config(**found.config)
        return make(found.family, config, found.arrays, tokenizer=letters(found.tokens, name), name=name)
    family = names()[name]
    config = FAMILIES[family].SHAPES[name]
    tokenizer = Characters(PRINTABLE) if config.vocabulary == len(PRINTABLE) else None
    return make(family, config, seed=seed, tokenizer=tokenizer, name=name)


def from_files(path: Path, name: str = "") -> Model:
    """The model in a folder or file, with what was found out about it. Raises InputError and ShapeError."""
    found = decided(checkpoints.read(path))
    model = make(found.family, found.config, found.weights, tokenizer=found.tokenizer, name=name or path.resolve().name)
    return replace(model, findings=found.findings)


def check_config(module: ModuleType, config: Any) -> None:
    """Raise InputError for a config of another family and for a size that is no whole number from 1 on."""
    kind = getattr(module, "Config", None)
    if isinstance(kind, type) and not isinstance(config, kind):
        family = module.__name__.rpartition(".")[2]
        raise InputError(f"{family} needs a {family}.Config, got {config!r:.60}")
    for each in fields(config) if is_dataclass(config) else ():
        value = getattr(config, each.name)
        if each.type in (int, "int") and (whole(value) is None or value < 1):
            raise InputError(f"{each.name} is {value!r}; give a whole number, 1 or more")


def make(
    family: ModuleType | str,
    config: Any,
    weights: Mapping[str, Source] | None = None,
    *,
    seed: int = 0,
    tokenizer: Tokenizer | None = None,
    name: str = "",
) -> Model:
    """A model of any size: ``make("gpt2", gpt2.Config(layers=3, ...))``.

    family: a family's name or a module with a `program` function of its own; weights: arrays by address, exactly those
    the program reads, or None for random ones from the seed. Raises InputError and ShapeError for what does not fit.
    """
    if not isinstance(family, ModuleType) and not (isinstance(family, str) and family in FAMILIES):
        raise InputError(f"no family {family!r}; there are: {', '.join(FAMILIES)}; or give a module")
    module = family if isinstance(family, ModuleType) else FAMILIES[family]
    check_config(module, config)
    if tokenizer is not None and not (hasattr(tokenizer, "encode") and hasattr(tokenizer, "begin")):
        raise InputError(f"tokenizer is {tokenizer!r:.60}; give one of byhand.tokenizer.load, or None for token ids")
    program = module.program(config)
    program.shapes(T=2, S=3)  # sizes that do not fit together are refused here, not in the first run
    own = random(program, seed) if weights is None else given(program, weights)
    return Model(name or program.name, module, config, own, tokenizer, {False: program})
