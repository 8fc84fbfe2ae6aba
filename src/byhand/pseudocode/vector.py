"""Whole arrays: an operator's equation with its own words replaced by the addresses a step reads and its settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from byhand import notation
from byhand.program import BackwardStep, Program, Step
from byhand.pseudocode.document import Line, bracket
from byhand.pseudocode.letters import GROUP, HEAD, Letters
from byhand.shapes import Shape

# A quoted einsum, or a word that is no function: mean(x) is one, x.mean is an address.
WORD = re.compile(r'"[^"]*"|(?<![\w.])[A-Za-z_]\w*\b(?!\()')
STATEMENT = re.compile(r"(\w+)(\[[^]]*\])? = (.*)")
EINSUM = re.compile(r'einsum\("([\w,]+)->(\w*)"(?:, [^()]*)?\)')


@dataclass(frozen=True)
class Style:
    """How a listing is written. shapes: of every value, empty to write letters; heads: one head instead of all."""

    program: Program
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    heads: bool = False

    @property
    def shared(self) -> int:
        """How many query heads share a key/value head."""
        return self.program.sizes["H"] // self.program.sizes["G"]

    def shape(self, address: str) -> str:
        """``[B,T,D]`` or ``[1,5,768]``; nothing for a single number."""
        axes = self.program.axes(address)
        sizes = self.shapes.get(address, axes)
        return bracket(size for letter, size in zip(axes, sizes, strict=True) if not (self.heads and letter in "HG"))

    def part(self, address: str) -> str:
        """What of an array belongs to the one head that the lines are about: ``[:,i,:]`` of axes DHK."""
        axes, places = self.program.axes(address), {"H": HEAD, "G": HEAD if self.shared == 1 else GROUP}
        return bracket(places.get(a, ":") for a in axes) if self.heads and set(axes) & set(places) else ""


def lines(each: Step | BackwardStep, style: Style) -> list[Line]:
    """The line of a step; of a backward step one for every gradient it gives; or the sum of a gradient's parts."""
    if isinstance(each, Step):
        return [statement(each, style, each.operator.equation, each.operator.outputs[0].name, each.names)]
    if each.step is not None:
        names = gradient_names(each)
        text = each.step.operator.gradient
        return [statement(each.step, style, text, f"d_{name}", names) for name in each.writes]
    ((address, written),) = each.writes.items()
    parts = (part + style.part(address) for part in each.reads)
    return [line(style, written, "", " + ".join(parts))]


def gradient_names(each: BackwardStep) -> dict[str, str]:
    """The address of every array in a backward step's arithmetic, by the operator's own name."""
    assert each.step is not None
    names = {name: each.step.names[name] for name in each.step.operator.saved}
    names[f"d_{each.step.operator.outputs[0].name}"] = f"d:{each.step.address}"
    return names | {f"d_{name}": address for name, address in each.writes.items()}


def line(style: Style, written: str, index: str, formula: str) -> Line:
    """A line whose left side is a whole array. index: a place in it, such as the ``[v]`` of a table's gradient."""
    value = address_of(written)
    return Line(written, written + style.part(value) + index, style.shape(value), formula)


def statement(step: Step, style: Style, text: str, name: str, names: Mapping[str, str]) -> Line:
    """The statement of a text that defines a name, with the definitions of the helping words it uses."""
    made = statements(text)
    index, formula = made.pop(name)
    words = Words(step, style, names)
    helping = [f"{word} = {words.fill(right)}" for word, (_, right) in used(formula, made).items()]
    shown = words.fill(formula) + (", where " + ", ".join(helping) if helping else "")
    return line(style, names[name], words.fill(index), shown)


def statements(text: str) -> dict[str, tuple[str, str]]:
    """Index and right side of every statement by the word it defines.

    Statements stand on lines of their own or behind a comma. Of a chain ``a = b = c`` the first form is kept.
    """
    found = {}
    for each in re.split(r"\n|, (?=\w+ = )", text.strip()):
        match = STATEMENT.fullmatch(each.strip())
        assert match, f"no statement: {each!r}"
        name, part, right = match.groups("")
        found[name] = part, right.split(" = ")[0]
    return found


def used(formula: str, made: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The statements whose words a formula uses, directly or through one another, in order of first use."""
    found: dict[str, tuple[str, str]] = {}
    queue = [formula]
    while queue:
        for word in WORD.findall(queue.pop(0)):
            if word in made and word not in found:
                found[word] = made[word]
                queue.append(made[word][1])
    return found


def address_of(written: str) -> str:
    """The value that a gradient or a part of one belongs to: ``d:x@step`` belongs to x."""
    return written.removeprefix("d:").partition("@")[0]


class Words:
    """What stands for each word of an operator's texts in one step."""

    def __init__(self, step: Step, style: Style, names: Mapping[str, str]) -> None:
        self.style, self.step = style, step
        self.letters = Letters(step, style.program)
        self.words = {k.lower(): v.lower() for k, v in self.letters.written.items()} | self.sizes() | self.settings()
        for name, written in names.items():
            self.words[name] = written + style.part(address_of(written))

    def sizes(self) -> dict[str, str]:
        shown = self.letters.sizes if self.style.shapes else self.letters.written
        return {letter: str(shown.get(letter, letter)) for letter in self.letters.written}

    def settings(self) -> dict[str, str]:
        """The step's settings; those that are sizes are written like other sizes."""
        found = {name: value for name, value in self.step.attributes.items() if name not in self.letters.written}
        return {name: notation.number(value, 17) for name, value in found.items()}

    def fill(self, text: str) -> str:
        """The text with every word replaced, without the optional operands that are absent."""
        for name in self.step.absent:
            text = re.sub(rf" \+ {name}\b", "", text)
        text = WORD.sub(lambda match: self.word(match[0]), text)
        return EINSUM.sub(self.one_head, text) if self.style.heads else text

    def word(self, word: str) -> str:
        return f'"{self.letters.subscripts(word[1:-1])}"' if word.startswith('"') else self.words.get(word, word)

    def one_head(self, match: re.Match[str]) -> str:
        """An einsum over all heads as that of one, or as the sum of those of each."""
        inputs, output = match[1], match[2]
        alone = [text.translate(str.maketrans("", "", "RHG")) for text in (inputs, output)]
        product = match[0].replace(f"{inputs}->{output}", "->".join(alone))
        over = {"R": f"{HEAD} of {GROUP}", "H": HEAD, "G": HEAD if self.style.shared == 1 else GROUP}
        summed = [word for letter, word in over.items() if letter in inputs and letter not in output]
        return f"sum[{summed[0]}]({product})" if summed else product
