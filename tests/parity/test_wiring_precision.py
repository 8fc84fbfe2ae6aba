"""What a report says of bfloat16 is true in transformers: a model that is certain there predicts nothing wrong."""

from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from byhand.wiring import Wiring, compile, interpret, offset, predictions
from byhand.wiring.proof.certificate import Walk, prove
from byhand.wiring.proof.rounding import ways
from byhand.wiring.verifying import longest
from byhand.wiring.zoo import PROGRAMS
from byhand.wiring.zoo.induction import induction
from byhand.wiring.zoo.kgram import aab
from byhand.wiring.zoo.program import Program

FAMILIES = ("gpt2", "llama")
SHORT, LONG, LETTERS = 400, 150, 5_000  # texts of each kind, and letters of all long ones together


def delayed(context=40):
    """The letter five back, in two steps."""
    wiring = Wiring("abcd", context=context, name="delayed")
    with wiring.layer():
        two = wiring.head("two", offset(-2), wiring.tokens, default="^")
    with wiring.layer():
        wiring.predict(wiring.head("five", offset(-3), two, default="^"))
    return wiring


SMALL = {
    "aab, long": partial(aab, 150),
    "induction, short": partial(induction, "abcd", context=32),
    "induction, middle": partial(induction, "abcd", context=64),
    "delayed": delayed,
}
QUICK = (
    "aab",
    "kgram-3",
    "delayed-copy",
    "induction-latest",
    "recall",
    "caesar",
    "automaton",
    "comparison",
    "addition-3",
)
MADE = {**{name: Program(make, lambda text: None) for name, make in SMALL.items()}, **{n: PROGRAMS[n] for n in QUICK}}
CASES = [(name, family) for name in MADE for family in FAMILIES]
BOUNDED = ("induction, short", "delayed", "recall", "addition-3")
CERTAIN = {(name, family) for name in ("aab", "aab, long", "induction, short", "delayed") for family in FAMILIES}
CERTAIN |= {(name, family) for name in ("kgram-3", "delayed-copy", "automaton") for family in FAMILIES}
CERTAIN |= {("induction, middle", "llama"), ("recall", "llama"), ("caesar", "llama"), ("comparison", "llama")}


def texts(wiring, program):
    """All of one short length, and random ones of the full length."""
    rng = np.random.default_rng(0)
    letters, full = list(wiring.alphabet), wiring.context - 1
    make = program.texts or (lambda rng: "".join(rng.choice(letters, full)))
    short = ["".join(each) for each in product(letters, repeat=longest(wiring, SHORT))]
    few = ["".join(rng.choice(letters[:2], full)) for _ in range(10)]
    return short, [*few, *(make(rng) for _ in range(min(LONG, LETTERS // full)))]


def by_length(some):
    return [[text for text in some if len(text) == length] for length in sorted({len(text) for text in some})]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A wired model and its folder, by program and family."""
    made = {}

    def saved(name, family):
        if (name, family) not in made:
            wired = compile(MADE[name].make(), family)
            made[name, family] = wired, wired.save(tmp_path_factory.mktemp("wired") / "model")
        return made[name, family]

    return saved


@pytest.mark.parametrize("name, family", CASES)
def test_a_model_that_is_certain_in_bfloat16_is_never_wrong_there(name, family, saved):
    wired, folder = saved(name, family)
    proof = prove(wired.plan, wired.model.weights, wired.model.config, ["bfloat16"])
    if proof.verdict("bfloat16") == "no":
        assert (name, family) not in CERTAIN
        return
    tokens, site = wired.wiring.tokens.domain, proof.sites["bfloat16"][-1]
    for attention in ("eager", "sdpa"):
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention, dtype=torch.bfloat16)
        assert model.dtype == torch.bfloat16
        for group in (same for some in texts(wired.wiring, MADE[name]) for same in by_length(some)):
            ids = torch.tensor([wired.model.tokenizer.prepared(text) for text in group])
            with torch.no_grad():
                found = model(ids).logits.float().numpy()
            said = [[tokens[i] for i in row] for row in found.argmax(-1)]
            assert said == [predictions(wired.wiring, text) for text in group]
            top = np.sort(found, -1)
            assert (top[..., -1] - top[..., -2]).min() >= site.margin - site.noise


def places(wired, text):
    """The place of every variable's value at each position, by the variable's name."""
    values = interpret(wired.wiring, text)
    found = {name: [read.places[v] for v in values[name]] for name, read in wired.wiring.variables.items()}
    found["next token"] = found[wired.wiring.predicted.name]
    return found | {"position": range(len(text) + 1)}


@pytest.mark.parametrize("attention, way", [("eager", 0), ("sdpa", 2)])
@pytest.mark.parametrize("name, family", [case for case in CASES if case[0] in BOUNDED])
def test_what_is_in_the_stream_in_bfloat16_is_within_the_bounds(name, family, attention, way, saved):
    """Whatever the verdict: each number behind the last layer, against the sum of what its variables should put."""
    wired, folder = saved(name, family)
    walk = Walk(wired.plan, wired.model.weights, wired.model.config, ways("bfloat16")[way])
    walk.sites()
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention, dtype=torch.bfloat16)
    blocks = model.transformer.h if family == "gpt2" else model.model.layers
    seen = []
    blocks[-1].register_forward_hook(lambda module, given, out: seen.append(out[0] if isinstance(out, tuple) else out))
    for text in texts(wired.wiring, MADE[name])[1][:12]:
        with torch.no_grad():
            model(torch.tensor([wired.model.tokenizer.prepared(text)]))
        found, of = seen.pop().float().numpy().reshape(len(text) + 1, -1).astype(float), places(wired, text)
        wanted = sum(part.rows[of[variable]] for variable, part in walk.stream.parts.items())
        allowed = sum(part.error[of[variable]] for variable, part in walk.stream.parts.items()) + walk.stream.error
        assert (np.abs(found - wanted) <= allowed + 1e-9).all(), np.argwhere(np.abs(found - wanted) > allowed + 1e-9)[
            :9
        ]
