"""Runs of every family, and how a printed line is read back and computed, for the tests of pseudocode."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from byhand.arithmetic import Evaluation, Line, parse
from byhand.engines.reference import precision
from byhand.families import FAMILIES, bert, llama
from byhand.inputs import prepare
from byhand.program import Program
from byhand.pseudocode.document import Pseudocode, Section
from byhand.pseudocode.parts import result
from byhand.run import Run, execute
from byhand.weights import random

Array = np.ndarray[Any, Any]

SCALED = replace(llama.TINY, groups=1, tied=True, scaling=llama.Scaling(original_context=64))
CONFIGS = {
    "encoder": ("original", FAMILIES["original"].SHAPES["original-encoder-tiny"]),
    "decoder": ("original", FAMILIES["original"].SHAPES["original-decoder-tiny"]),
    "translation": ("original", FAMILIES["original"].SHAPES["original-tiny"]),
    "gpt2": ("gpt2", FAMILIES["gpt2"].SHAPES["gpt2-tiny"]),
    "llama": ("llama", FAMILIES["llama"].SHAPES["llama-tiny"]),
    "llama halves": ("llama", FAMILIES["llama"].SHAPES["llama-tiny-halves"]),
    "llama scaled": ("llama", SCALED),
    "bert": ("bert", FAMILIES["bert"].SHAPES["bert-tiny"]),
    "sentence bert": ("bert", replace(bert.SHAPES["bert-tiny"], masked_lm=False)),
    "handmade": ("handmade", FAMILIES["handmade"].SHAPES["aab"]),
}


@cache
def program(name: str) -> Program:
    family, config = CONFIGS[name]
    return FAMILIES[family].program(config, targets=name != "sentence bert")


@cache
def run(name: str, dtype: str = "float64") -> Run:
    """Two texts of three tokens through a small model with random weights, with gradients."""
    rng = np.random.default_rng(0)
    own = program(name)
    given = {"tokens": rng.integers(0, own.sizes["V"], (2, 3))}
    if "source.tokens" in own.inputs:
        given["source.tokens"] = rng.integers(0, own.sizes["V"], (2, 5))
    if "targets" in own.inputs:
        given["targets"] = np.array([[1, 0, -1], [1, 1, 0]])
    made = execute(own, random(own, 0), prepare(own, given), precision(dtype))
    of = result(own)
    made.backward(of, seed=rng.standard_normal(made.look(of).shape))
    return made


# --- reading a printed line back ------------------------------------------------------------------------------------

NAME = re.compile(r"(?<![\w\"])(?:d:)?[A-Za-z_][\w.]*(?:@[\w.]+)?")


def known(of: Run, name: str) -> bool:
    return name in of.program or (name.startswith("d:") and name in of.grad.written) or name == f"d:{of.grad.of}"


def with_names(of: Run, text: str, write: Callable[[str], str]) -> str:
    """The text with every address in it written another way."""
    return NAME.sub(lambda match: write(match[0]) if known(of, match[0]) else match[0], text)


class Opened:
    """The printed arithmetic of one step, read back: what it defines, and what every element is when computed."""

    def __init__(self, of: Run, listing: Pseudocode, section: Section) -> None:
        self.of = of
        self.short: dict[str, str] = {}
        text = "\n".join(str(line) for group in section.groups for line in group.lines)
        text = with_names(of, text, lambda name: self.short.setdefault(name, f"v{len(self.short)}"))
        text = re.sub(r"\b(sum|max)\[([\w,]+)\]\(", r"\1(\2, ", text)
        self.lines: tuple[Line, ...] = parse(text)
        made = {line.name for line in self.lines}
        self.arrays = {short: of.look(name) for name, short in self.short.items() if short not in made}
        self.defines = {name: short for name, short in self.short.items() if short in made}
        self.sizes = {**of.program.sizes, **{x: each.size for x, each in listing.letters.items() if each.size}}
        for bound in filter(None, (re.fullmatch(r"(\w) < (\w+) // 2", line) for line in section.heading)):
            self.sizes[bound[1].upper()] = self.sizes[bound[2]] // 2
        self.bind(node for line in self.lines for node in ast.walk(line.expression))

    def bind(self, nodes: Iterable[ast.AST]) -> None:
        """Find the sizes of B, T and S in the arrays, and check that a letter means one size wherever it is used."""
        for node in nodes:
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in self.arrays:
                places = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
                for place, size in zip(places, self.arrays[node.value.id].shape, strict=True):
                    if not isinstance(place, ast.Name):
                        continue
                    if place.id == "j":  # runs over pairs, in arrays that hold both halves too
                        self.sizes["J"] = min(size, self.sizes.get("J", size))
                    elif self.sizes.setdefault(place.id.upper(), size) != size:
                        raise AssertionError(f"{place.id} is {size} and {self.sizes[place.id.upper()]}")

    def element(self, name: str, index: tuple[int, ...]) -> float:
        evaluation = Evaluation(self.lines, self.arrays, dict(self.sizes))
        return evaluation.element(self.defines[name], index).value

    def functions(self) -> set[str]:
        """The names of all functions that are used."""
        nodes = [node for line in self.lines for node in ast.walk(line.expression)]
        return {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def product(groups: int) -> Callable[..., Array]:
    """The einsum of printed lines, where heads may be written as groups: h = R * g + r."""

    def split(letters: str, array: Array) -> Array:
        at = letters.find("GR")
        return array if at < 0 else array.reshape(*array.shape[:at], groups, -1, *array.shape[at + 1 :])

    def einsum(spec: str, *arrays: Array) -> Array:
        inputs, output = spec.split("->")
        made = np.einsum(spec, *map(split, inputs.split(","), arrays))
        at = output.find("GR")
        return made if at < 0 else made.reshape(*made.shape[:at], -1, *made.shape[at + 2 :])

    return einsum
