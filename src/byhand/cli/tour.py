"""``byhand tour``: the whole of a transformer, on a model small enough to see every number of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
from rich.text import Text

import byhand
from byhand.cli import show
from byhand.cli.arguments import Output
from byhand.cli.changed import print_diff
from byhand.cli.figures import count, scalar
from byhand.cli.learned import learned, print_learned
from byhand.cli.matrix import beside, grids, names, titled
from byhand.cli.tree import Branch, drawn, grow
from byhand.model import Model
from byhand.run import Run

EXAMPLES = ("tour",)
NEXT = (
    ("all of it in the browser, until Ctrl-C", 'explore stories "Once upon a time there was a"'),
    ("a story of its own", "generate stories Once --max-tokens 60 --temperature 0.7"),
    ("all values of a run", "trace aab baa"),
    ("one of them in full", "trace aab baa blocks.0.attn.weights"),
    ("every branch behind a number", 'explain aab baa "logits[0,2,1]" --depth 20'),
    ("train one yourself", "train --family gpt2 --data stories --out new --steps 100"),
    ("weights made by hand, with a proof", "wire sort"),
    ("where a gradient comes from", 'explain gpt2-tiny Hello "d:blocks.0.attn.scores[0,1,3,2]"'),
    ("what if b had no value", 'run aab baa --edit "blocks.0.attn.v.weight[6,0,7]=0"'),
    ("the steps of a real model", "models llama3-8b --tokens 17"),
    ("its arithmetic, written out", "pseudocode llama3-8b blocks.0.attn --depth operators"),
)
TEXT = "baa"
PROMPTS = ("a", "ba", "abaab")
ENGINE = "reference"  # a newcomer does not wait for a compiler, and these models are too small to need one
LENGTH = 10
# What the eight numbers of a vector say: the position, the token, and room to work.
WIDTH = ("p0", "p1", "p2", "p3", "p4", "a", "b", "w")
STREAM = ("embed.token", "embed.position", "embed.out", "blocks.0.attn.out", "blocks.0.out")
NUMBER = ("logits", (0, 2, 1))
ABLATED = ("blocks.0.attn.heads", (0, 2))

# Every step of the program, in order, a few at a time, with what they do.
STEPS = {
    ("embed.token", "embed.position", "embed.out"): (
        "Each token becomes a vector of eight numbers. p0 to p4 say where it stands, a and b which token it is, and w "
        "is room to work."
    ),
    ("blocks.0.attn.q", "blocks.0.attn.k", "blocks.0.attn.v"): (
        "Each position asks a question (q), says what it can be asked for (k), and holds a value (v). Here it asks for "
        "itself and the position before; the value is 1 for a and -1 for b, in the last of the head's eight numbers."
    ),
    ("blocks.0.attn.scores", "blocks.0.attn.masked", "blocks.0.attn.weights"): (
        "A score says how well a question (row) fits a key (column). What comes later is hidden. Softmax turns each "
        "row into weights that sum to 1."
    ),
    ("blocks.0.attn.heads", "blocks.0.attn.out", "blocks.0.out"): (
        "Each position takes the average of the values with those weights: 1 only where two a's stand side by side. "
        "The output matrix says b there and a everywhere else, and the result is added to the vector."
    ),
    ("logits", "probs"): (
        "How well does each vector fit the vector of each token? The better fit is what comes next: a, a, and after "
        "two a's a b."
    ),
    ("losses", "loss"): (
        "The loss compares this with the text itself: 0 where the model was right and sure, also after the last token, "
        "where nobody knows the answer. From the loss back, every number has a gradient."
    ),
}


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    pass


def command(asked: Asked) -> None:
    """See every number of a transformer made by hand. Start here."""
    model, twin = byhand.load("aab"), byhand.load("aab-gpt2")
    run = model.run(TEXT, engine=ENGINE)
    changed = run.edit(*ABLATED, zero=True)
    branch, trained = grow(run.explain(*NUMBER), depth=99, most=1), learned()
    if asked.json:
        return show.document(to_dict(model, twin, run, changed, branch) | {"learned": trained.to_dict()})
    title(model)
    complete(model)
    print_steps(run)
    print_number(run, branch)
    print_ablation(run, changed)
    print_twin(model, twin)
    section(
        6,
        "A model that learned",
        f"{trained.model} is a GPT-2 of {count(trained.parameters)} weights that nobody chose: it was trained, by "
        "byhand train, on stories that a program wrote. Its numbers can be asked and changed in the same way.",
    )
    print_learned(trained)
    print_next()


# --- the parts, in order ----------------------------------------------------------------------------------------


def title(model: Model) -> None:
    show.write("")
    show.write(Text.assemble(("byhand", "bold"), "  a transformer you can take apart"))
    show.write("")
    show.prose(
        "The model aab continues the text aabaabaab... It has one block, one attention head and "
        f"{count(model.parameters)} weights. A person chose every weight; nothing was trained."
    )


def section(number: int, name: str, text: str) -> None:
    show.write("", "")
    show.heading(f"{number}  {name}")
    show.write("")
    show.prose(text)
    show.write("")


def complete(model: Model) -> None:
    section(1, "Give it a text", "It writes one token after another, each time the one it finds most likely.")
    for text in PROMPTS:
        show.write(Text.assemble(f"  {text:>5}  ", (continued(model, text), "bold")))


def continued(model: Model, text: str) -> str:
    return "".join(model.generate(text, max_tokens=LENGTH, engine=ENGINE))


def print_steps(run: Run) -> None:
    section(
        2,
        "Look at every step",
        f"A model is a list of steps. Each step has a name, an operator, and a value. These are the {len(run.program)} "
        f"steps for the text {TEXT}; the rows are its three positions.",
    )
    out = show.console()
    for i, (addresses, text) in enumerate(STEPS.items()):
        if i:
            show.write("")
        show.prose(text)
        show.write("")
        lines = beside([shown(run, address) for address in addresses], out)
        show.write(lines[0], *(part for line in lines[1:] for part in ("", line)))


def shown(run: Run, address: str) -> Any:
    """A value as a small matrix under its name and operator."""
    step = run.program.producer[address]
    labels = names(run[address], {"D": WIDTH, "V": run.setting.tokens.labels(run.program.sizes.get("V", 0))})
    return titled(address, step.operator.name, grids(run[address], labels, show.console().width))


def print_number(run: Run, branch: Branch) -> None:
    section(
        3,
        "Ask where a number comes from",
        f"After {TEXT}, why is b expected? Its logit is {scalar(branch.each.stored)}. Every number here was made from "
        "those below it; the tree follows the largest part each time, down to weights and to the text. "
        "Addends that are 0 are left out.",
    )
    show.write(drawn(branch, run, 6, show.console().width))


def print_ablation(run: Run, changed: Run) -> None:
    section(
        4,
        "Change something",
        "Silence the attention head at the last position: set its numbers to zero. Only what depends on them is "
        "computed again, and the first run stays as it was.",
    )
    print_diff(run.diff(changed), most=3)
    show.write("")
    show.prose("Without the head nothing says that two a's were seen, so the model says a.")


def print_twin(model: Model, twin: Model) -> None:
    same, total = agreement(model, twin)
    section(
        5,
        "The same matrices in a stock GPT-2",
        "aab has no layer norm and no feed-forward. aab-gpt2 has both, unmodified, around the same attention matrices: "
        "all vectors here have the same mean and spread, so that a layer norm can give back what it gets.",
    )
    for text in PROMPTS:
        show.write(Text.assemble(f"  {text:>5}  ", (continued(twin, text), "bold")))
    show.write("")
    show.prose(f"On {same} of all {total} texts of one to five letters the two models expect the same next token.")


def agreement(model: Model, twin: Model) -> tuple[int, int]:
    """On how many of all the texts that fit the two models expect the same next token."""
    texts = [
        "".join(letters) for length in range(1, model.config.context + 1) for letters in product("ab", repeat=length)
    ]
    same = [
        np.argmax(model.run(text, keep=["logits"], engine=ENGINE)["logits"].array[0, -1])
        == np.argmax(twin.run(text, keep=["logits"], engine=ENGINE)["logits"].array[0, -1])
        for text in texts
    ]
    return int(sum(same)), len(texts)


def print_next() -> None:
    section(7, "What to type next", "All of these work as they stand; add --json for other programs, --help for more.")
    program = name()
    for what, words in NEXT:
        show.listing(f"# {what}\n{program} {words}")
        show.write("")


def name() -> str:
    """How this program can be called again from where its caller stands."""
    called = Path(sys.argv[0])
    if called.name != "byhand":
        return f"{from_here(Path(sys.executable))} -m byhand.cli"
    found = which("byhand")
    return "byhand" if found and Path(found).samefile(called) else from_here(called)


def from_here(path: Path) -> str:
    """A path as it is written from the working folder."""
    full, here = path.absolute(), Path.cwd()
    return str(full.relative_to(here) if full.is_relative_to(here) else full)


def to_dict(model: Model, twin: Model, run: Run, changed: Run, branch: Branch) -> dict[str, Any]:
    """The tour as plain data."""
    same, total = agreement(model, twin)
    return {
        "model": model.name,
        "parameters": model.parameters,
        "completions": {text: continued(model, text) for text in PROMPTS},
        "text": TEXT,
        "steps": [
            {
                "address": step.address,
                "operator": step.operator.name,
                "axes": step.axes,
                "values": run.look(step.address),
            }
            for step in run.program
        ],
        "explained": branch.to_dict(),
        "edits": list(map(str, changed.edits)),
        "diff": run.diff(changed).to_dict(),
        "twin": {
            "model": twin.name,
            "completions": {text: continued(twin, text) for text in PROMPTS},
            "same_predictions": same,
            "texts": total,
        },
        "next": [f"byhand {words}" for _, words in NEXT],
    }
