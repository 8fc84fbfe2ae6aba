"""The part of the tour about a model that was trained: what it writes, what it expects, and which head it needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.text import Text

import byhand
from byhand.cli import show
from byhand.cli.answer import goes_on
from byhand.model import Model
from byhand.run import Run

ENGINE = "reference"  # as in the rest of the tour
PROMPT = "Once"
TEXTS = ("There once was a kind girl named Lily.", "There once was a kind boy named Max.")
WORDS = (" She", " He")


@dataclass(frozen=True)
class Learned:
    """What is shown. expected: of each of TEXTS the probability of each of WORDS to come next; head: (block, head), the
    one without which the first of them is least likely after the first text, and how likely it is then.
    """

    model: str
    parameters: int
    story: str
    expected: dict[str, dict[str, float]]
    head: tuple[int, int]
    without: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def learned() -> Learned:
    """Run the model and take its heads away, one at a time."""
    model = byhand.load("stories")
    runs = {text: model.run(text, engine=ENGINE, keep="all") for text in TEXTS}
    expected = {text: {word: probability(model, run, word) for word in WORDS} for text, run in runs.items()}
    heads = [(layer, head) for layer in range(model.config.layers) for head in range(model.config.heads)]
    first = runs[TEXTS[0]]
    rest = {each: first.edit(f"blocks.{each[0]}.attn.heads", head=each[1], zero=True) for each in heads}
    likely = {each: probability(model, run, WORDS[0]) for each, run in rest.items()}
    head = min(heads, key=lambda each: likely[each])
    return Learned(
        model.name, model.parameters, PROMPT + goes_on(model, PROMPT, engine=ENGINE), expected, head, likely[head]
    )


def probability(model: Model, run: Run, word: str) -> float:
    """How likely the model finds a word (its first token) next."""
    assert model.tokenizer is not None
    return float(run.look("probs")[0, -1, model.tokenizer.encode(word)[0]])


def print_learned(found: Learned) -> None:
    show.prose(found.story, "bold")
    show.write("")
    for text, words in found.expected.items():
        odds = ", ".join(f"{word.strip()} {share:.0%}" for word, share in words.items())
        show.write(Text.assemble(f"  {text}  ", (odds, "bold")))
    show.write("")
    (layer, head), (girl, _) = found.head, TEXTS
    before = found.expected[girl][WORDS[0]]
    show.prose(
        f"How does it know? Take its heads away one at a time: without head {head} of block {layer}, She is "
        f"{found.without:.0%} likely after the first text, not {before:.0%}."
    )
