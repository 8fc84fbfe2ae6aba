"""Programs and operators of one's own on the cpu engine, and numbers that are none."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
import pytest

import byhand
from byhand.errors import NotANumber
from byhand.families.readout import predict
from byhand.operators import REGISTRY, add, from_heads, linear, lookup, mask, mix, scores, softmax, to_heads, unembed
from byhand.operators.record import operator
from byhand.program import Program

from ..small_models import TEXTS, fresh, model, same_bits
from .test_engine import check_values

# --- programs of one's own ----------------------------------------------------------------------------------------


@operator
class engine_cube:
    """The third power."""

    shapes = "x_BTF -> out_BTF"
    equation = "out = x^3"
    gradient = "d_x = 3 x^2 d_out"
    arithmetic = """
        out[b,t,f] = x[b,t,f] ** 3
        ---
        d_x[b,t,f] = 3 * x[b,t,f] ** 2 * d_out[b,t,f]
    """

    def forward(x_BTF):
        return x_BTF**3

    def backward(d_out_BTF, x_BTF):
        # forward: out = x^3
        return (3 * x_BTF**2 * d_out_BTF,)


del REGISTRY["engine_cube"]  # tests of all operators are not to meet it


@pytest.fixture
def cube(monkeypatch):
    monkeypatch.setitem(REGISTRY, "engine_cube", engine_cube)
    return engine_cube


@dataclass(frozen=True)
class Sizes:
    vocabulary: int = 13
    context: int = 20


def own(build):
    """A model of one block of one's own."""
    made = ModuleType("own")

    def program(config, targets=False):
        p = Program("own", {"D": 12, "F": 20, "V": config.vocabulary, "P": config.context, "H": 2, "G": 2, "K": 6})
        tokens = p.input("tokens BT", "tokens")
        allowed = p.input("mask BTS", "causal")
        x = build(p, p("embed.out BTD", lookup, tokens, "token.weight VD"), allowed)
        predict(p, p("logits BTV", unembed, x, "token.weight VD"), targets)
        return p

    made.program = program
    return byhand.make(made, Sizes())


def check_own(build):
    made, text = own(build), [[3, 1, 4, 1, 5, 9, 2]]
    for keep in ("all", "logits"):
        check_values(made.run(text, engine="cpu", keep=keep), made.run(text, dtype="float64"))
    return made


def test_an_operator_without_a_kernel(cube):
    def build(p, x, allowed):
        h = p("pre BTF", linear, x, "up.weight DF")
        h = p("act BTF", cube, h)
        return p("out BTD", add, x, p("down BTD", linear, h, "down.weight FD"))

    made = check_own(build)
    run = made.run([3, 1, 4], engine="cpu")
    edited = run.edit("act", scale=2.0)
    check_values(edited, made.run([3, 1, 4], dtype="float64").edit("act", scale=2.0))


def test_values_that_are_made_after_the_scores():
    def build(p, x, allowed):
        q, k = (
            p(f"{each} B{axes}K", to_heads, x, f"{each}.weight D{axes[1]}K")
            for each, axes in (("q", "TH"), ("k", "SG"))
        )
        s = p("scores BHTS", scores, q, k)
        w = p("weights BHTS", softmax, p("masked BHTS", mask, s, allowed))
        v = p("v BSGK", to_heads, x, "v.weight DGK")
        z = p("heads BTHK", mix, w, v)
        return p("out BTD", add, x, p("joined BTD", from_heads, z, "o.weight HKD"))

    check_own(build)


# --- numbers that are none ----------------------------------------------------------------------------------------

HUGE = [
    ("gpt2-tiny", "blocks.0.norm1.gain", np.nan),
    ("gpt2-tiny", "blocks.1.mlp.up.bias", np.nan),
    ("llama-tiny", "blocks.0.attn.v.weight", np.inf),
    ("bert-tiny", "blocks.1.attn.q.bias", np.nan),
    ("original-tiny", "source.blocks.0.mlp.down.bias", np.nan),
    ("gpt2-tiny", "token.weight", np.nan),
]


def refusal(name, engine, address, number, keep):
    with pytest.raises(NotANumber) as caught:
        model(name).edit(address, set=number).run(**TEXTS[name], dtype="float32", engine=engine, keep=keep)
    return str(caught.value)


@pytest.mark.parametrize("keep", ["all", "logits"])
@pytest.mark.parametrize("name, address, number", HUGE)
def test_nan_is_refused_naming_its_step(name, address, number, keep):
    """With the words of the reference engine."""
    assert refusal(name, "cpu", address, number, keep) == refusal(name, "reference", address, number, keep)


def test_nan_before_an_operator_without_a_kernel(cube):
    """The step that made it is named, not the one that met it."""

    def build(p, x, allowed):
        h = p("pre BTF", linear, x, "up.weight DF")
        return p("down BTD", linear, p("act BTF", cube, h), "down.weight FD")

    made = own(build).edit("up.weight", (0, 0), set=np.nan)
    with pytest.raises(NotANumber, match=r"^pre\["):
        made.run([3, 1, 4], engine="cpu")


def test_nan_where_nothing_was_to_be_predicted():
    """No loss is counted there, so nothing later in the program shows it."""
    of = model("bert-tiny")
    rows = of.program.sizes["P"]
    broken = of.edit("position.weight", (4,), set=np.nan)
    mask = [[True] * 4 + [False]]
    assert rows > 4
    with pytest.raises(NotANumber):
        broken.run([[1, 2, 3, 4, 5]], targets=[[-1, 3, -1, 7, -1]], mask=mask, engine="cpu", keep=["loss"])


@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_an_edit_that_hides_all_of_a_row(engine):
    with pytest.raises(NotANumber, match="in which all is hidden"):
        fresh("gpt2-tiny", "float32", engine=engine).edit("blocks.0.attn.masked", query=2, set=-np.inf)


def test_after_a_refusal_the_engine_is_as_before():
    expected = fresh("gpt2-tiny", "float32", engine="cpu")
    with pytest.raises(NotANumber):
        fresh("gpt2-tiny", "float32", engine="cpu").edit("embed.out", set=np.nan)
    assert same_bits(fresh("gpt2-tiny", "float32", engine="cpu").look("logits"), expected.look("logits"))
