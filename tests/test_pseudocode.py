"""Printed programs are true: what is printed is read back and computed, and gives what the run holds."""

from __future__ import annotations

import json
import math
import re
from time import perf_counter

import numpy as np
import pytest

from byhand.errors import AddressError, InputError
from byhand.families import FAMILIES, llama
from byhand.operators import REGISTRY
from byhand.program import BackwardStep
from byhand.pseudocode import parts, pseudocode, vector
from byhand.pseudocode.letters import distinct
from byhand.pseudocode.vector import Style

from .listings import CONFIGS, Opened, product, program, run, with_names

ARITHMETIC = {"exp", "log", "sqrt", "tanh", "erf", "sin", "cos", "max", "sum", "where"}
DIRECTIONS = ("forward", "backward")
each_family = pytest.mark.parametrize("name", CONFIGS)
each_direction = pytest.mark.parametrize("direction", DIRECTIONS)


def lines(listing):
    return [line for section in listing.sections for group in section.groups for line in group.lines]


def said(name, part, **how):
    """The lines of a part by address, without the part before every name."""
    listing = pseudocode(program(name), part, **how)
    return [listing.shortened(str(line)) for line in lines(listing)]


# --- whole arrays -----------------------------------------------------------------------------------------------------


@each_direction
@each_family
def test_every_printed_einsum_gives_the_array_of_the_run(name, direction):
    made = run(name)
    checked = 0
    for line in lines(pseudocode(made.program, "", direction=direction)):
        if "einsum" in line.formula:
            formula = with_names(made, line.formula, lambda found: f"look({found!r})")
            einsum = product(made.program.sizes["G"])
            known = {"einsum": einsum, "sqrt": math.sqrt, "look": made.look, **made.program.sizes}
            np.testing.assert_allclose(eval(formula, known), made.look(line.address), rtol=1e-9, atol=1e-12)
            checked += 1
    assert checked >= (6 if name == "handmade" else 12)


@each_direction
@each_family
def test_shapes_are_those_of_the_run(name, direction):
    made = run(name)
    B, T = made.look("tokens").shape
    S = made.look("source.tokens").shape[1] if "source.tokens" in made.program else None
    for line in lines(pseudocode(made.program, "", direction=direction, B=B, T=T, S=S)):
        array = made.look(line.address)
        assert line.shape == (f"[{','.join(map(str, array.shape))}]" if array.ndim else "")


def test_a_layer_of_2017_reads_as_in_the_paper():
    assert said("encoder", "blocks.0", heads=True) == [
        'attn.q[:,:,i,:] [B,T,K] = einsum("BTD,DK->BTK", embed.out, attn.q.weight[:,i,:])',
        'attn.k[:,:,i,:] [B,S,K] = einsum("BSD,DK->BSK", embed.out, attn.k.weight[:,i,:])',
        'attn.v[:,:,i,:] [B,S,K] = einsum("BSD,DK->BSK", embed.out, attn.v.weight[:,i,:])',
        'attn.scores[:,i,:,:] [B,T,S] = einsum("BTK,BSK->BTS", attn.q[:,:,i,:], attn.k[:,:,i,:]) / sqrt(K)',
        "attn.masked[:,i,:,:] [B,T,S] = attn.scores[:,i,:,:] where mask, else -inf",
        "attn.weights[:,i,:,:] [B,T,S] = softmax(attn.masked[:,i,:,:]) over s",
        'attn.heads[:,:,i,:] [B,T,K] = einsum("BTS,BSK->BTK", attn.weights[:,i,:,:], attn.v[:,:,i,:])',
        'attn.out [B,T,D] = sum[i](einsum("BTK,KD->BTD", attn.heads[:,:,i,:], attn.out.weight[i,:,:]))',
        "mid [B,T,D] = embed.out + attn.out",
        "norm1.out [B,T,D] = (mid - mean(mid)) / sqrt(variance(mid) + 1e-05) * norm1.gain + norm1.shift",
        'mlp.pre [B,T,F] = einsum("BTD,DF->BTF", norm1.out, mlp.up.weight) + mlp.up.bias',
        "mlp.act [B,T,F] = max(mlp.pre, 0)",
        'mlp.out [B,T,D] = einsum("BTF,FD->BTD", mlp.act, mlp.down.weight) + mlp.down.bias',
        "sum [B,T,D] = norm1.out + mlp.out",
        "out [B,T,D] = (sum - mean(sum)) / sqrt(variance(sum) + 1e-05) * norm2.gain + norm2.shift",
    ]


def test_grouped_heads_are_written_as_groups():
    (line,) = said("llama", "blocks.0.attn.scores", B=1, T=3)
    formula = 'einsum("BTGRK,BSGK->BGRTS", blocks.0.attn.q_rot, blocks.0.attn.k_rot) / sqrt(8)'
    assert line == f"blocks.0.attn.scores [1,4,3,3] = {formula}"
    assert said("llama", "blocks.0.attn.k", direction="backward", heads=True)[1] == (
        'd:weight[:,g,:] [D,K] = einsum("BSD,BSK->DK", blocks.0.norm1.out, d:blocks.0.attn.k[:,:,g,:])'
    )
    letters = pseudocode(program("llama"), heads=True).letters
    assert letters["R"].size == 2 and "i // 2" in letters["g"].meaning and letters["G"].size == 2
    assert "g is h" in pseudocode(program("gpt2")).letters["G"].meaning


@pytest.mark.parametrize("name", ["gpt2", "llama", "encoder"])
def test_the_lines_of_one_head_give_that_head(name):
    made = run(name)
    shared = made.program.sizes["H"] // made.program.sizes["G"]
    for direction in DIRECTIONS:
        for line in lines(pseudocode(made.program, "blocks.0.attn", direction=direction, heads=True)):
            if "einsum" not in line.formula or "sum[" in line.formula:
                continue
            formula = with_names(made, line.formula, lambda found: f"look({found!r})")
            for i in range(made.program.sizes["H"]):
                known = {"einsum": np.einsum, "sqrt": math.sqrt, "look": made.look, "i": i, "g": i // shared}
                value, whole = (
                    eval(text, {**known, **made.program.sizes}) for text in (formula, f"look({line.address!r})")
                )
                part = eval(f"whole{line.left.removeprefix(line.address)}", {"whole": whole, **known})
                np.testing.assert_allclose(value, part, rtol=1e-9, atol=1e-12)


def test_helping_words_of_a_gradient_are_explained_where_they_are_used():
    (d_mid, d_gain, d_shift) = said("gpt2", "blocks.0.norm2", direction="backward")
    assert d_mid.endswith("where d_unit = d:out * gain, unit = (blocks.0.mid - mean) * rstd")
    assert d_gain.endswith("where unit = (blocks.0.mid - mean) * rstd")
    assert "where" not in d_shift


# --- every operator opened --------------------------------------------------------------------------------------------


@each_direction
@each_family
def test_opened_lines_compute_the_elements_of_the_run(name, direction):
    made, rng = run(name), np.random.default_rng(1)
    listing = pseudocode(made.program, "", "operators", direction)
    for section in listing.sections:
        opened = Opened(made, listing, section)
        assert opened.functions() <= ARITHMETIC
        for address in opened.defines:
            array = made.look(address)
            for _ in range(3):
                index = tuple(int(rng.integers(0, size)) for size in array.shape)
                assert math.isclose(opened.element(address, index), array[index], rel_tol=1e-8, abs_tol=1e-11), address


def test_opened_lines_define_all_that_a_program_computes():
    for name in CONFIGS:
        made = run(name)
        forward = {line.address for line in lines(pseudocode(made.program, "", "operators"))}
        backward = {line.address for line in lines(pseudocode(made.program, "", "operators", "backward"))}
        assert set(made.program.producer) <= forward
        assert set(made.grad.written) <= backward


def test_a_step_uses_its_own_indices_and_says_what_it_is():
    listing = pseudocode(program("llama"), "blocks.0", "operators")
    text = listing.text(1000, short=True)
    assert "mlp.out[b,t,d] = sum[f](mlp.gated[b,t,f] * mlp.down.weight[f,d])" in text
    assert "attn.k[b,s,g,k] = sum[d](norm1.out[b,s,d] * attn.k.weight[d,g,k])" in text
    assert "attn.scores[b,h,t,s] = sum[k](attn.q_rot[b,t,h,k] * attn.k_rot[b,s,h//2,k]) / sqrt(K)" in text
    assert "# mlp.gated [B,T,F] = mlp.act * mlp.up\nmlp.gated[b,t,f] = mlp.act[b,t,f] * mlp.up[b,t,f]" in text
    text = pseudocode(program("gpt2"), "blocks.0.attn", "operators", "backward", B=1, T=2).text(1000, short=True)
    assert "d:k[b,s,h,k] = sum[t](d:scores[b,h,t,s] * q[b,t,h,k]) / sqrt(8)" in text


def test_opened_lines_may_be_about_one_head():
    text = pseudocode(program("llama"), "blocks.0.attn", "operators", heads=True).text(1000, short=True)
    assert "q[b,t,i,k] = sum[d](blocks.0.norm1.out[b,t,d] * q.weight[d,i,k])" in text
    assert "k[b,s,g,k] = sum[d](blocks.0.norm1.out[b,s,d] * k.weight[d,g,k])" in text
    assert "scores[b,i,t,s] = sum[k](q_rot[b,t,i,k] * k_rot[b,s,i//2,k]) / sqrt(K)" in text
    text = pseudocode(program("gpt2"), "blocks.0.attn", "operators", heads=True).text(1000, short=True)
    assert "k[b,s,i,k] = sum[d](blocks.0.norm1.out[b,s,d] * k.weight[d,i,k]) + k.bias[i,k]" in text


def test_an_axis_of_size_one_and_a_square_weight():
    (line,) = said("bert", "pooler.pre", depth="operators")
    assert line == "pooler.pre[b,0,d] = sum[e](pooler.first[b,0,e] * pooler.weight[e,d]) + pooler.bias[d]"
    back = said("bert", "head.pre", depth="operators", direction="backward")
    assert "d:head.weight[e,d] = sum[b,t](blocks.1.out[b,t,e] * d:head.pre[b,t,d])" in back
    assert pseudocode(program("bert"), "head.pre").letters["E"].size == 32


# --- the parts of a program -------------------------------------------------------------------------------------------


def test_parts_are_addresses_beginnings_and_patterns():
    own = program("translation")
    count = {
        part: len(parts.forward(own, part)) for part in ("blocks.0", "source.blocks.0", "blocks.0.cross", "logits")
    }
    assert count == {"blocks.0": 25, "source.blocks.0": 15, "blocks.0.cross": 8, "logits": 1}
    assert len(parts.forward(own, "*blocks.*.attn")) == 4 * 8
    assert len(parts.forward(own, "")) == len(own)
    (step,) = parts.forward(own, "blocks.0.norm1.rstd")
    assert step.address == "blocks.0.norm1.out"


def test_backward_parts_hold_their_own_sums():
    own = program("gpt2")
    steps = own.reverse()
    layer = [address for each in parts.backward(own, "blocks.0", steps) for address in each.writes.values()]
    assert layer[0] == "d:blocks.0.out" and layer[-1] == "d:embed.out"  # its own sum, and that of what it reads
    assert "d:token.weight" not in layer and len(set(layer)) == len(layer)
    assert parts.backward(own, "", steps) == steps
    assert isinstance(steps[0], BackwardStep)


@pytest.mark.parametrize(
    ("part", "near"), [("block.0", "blocks.0"), ("blocks.0.atn", "blocks.0.attn"), ("blocks.7", "blocks.1"), ("?", "")]
)
def test_an_unknown_part_names_the_nearest(part, near):
    with pytest.raises(AddressError) as error:
        pseudocode(program("gpt2"), part)
    assert repr(part) in str(error.value) and near in str(error.value) and "\n" not in str(error.value)


def test_a_part_that_the_loss_does_not_need_is_differentiated_by_itself():
    listing = pseudocode(program("bert"), "pooler", direction="backward")
    assert "backward from pooler.out" in listing.title
    assert "backward from loss" in pseudocode(program("bert"), "blocks.0", direction="backward").title


def test_what_has_no_gradient_says_so():
    with pytest.raises(AddressError, match="no gradient passes through"):
        pseudocode(program("encoder"), "embed.position", direction="backward")


@pytest.mark.parametrize("how", [{"depth": "deep"}, {"direction": "sideways"}, {"depth": "numbers"}])
def test_unknown_words_are_refused(how):
    with pytest.raises(InputError, match="is not one of"):
        pseudocode(program("gpt2"), **how)


# --- how it looks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", ["vector", "operators"])
@each_direction
@each_family
def test_every_family_prints_in_every_form(name, direction, depth):
    listing = pseudocode(program(name), "", depth, direction, heads=depth == "vector")
    text = listing.text()
    longest = max(re.split(r"\s", text), key=len)
    assert max(map(len, text.splitlines())) <= max(80, len(longest) + 4)
    joined = re.sub(r"\n[# ]+", " ", text)
    unbroken = re.sub(r"\n[# ]+", " ", listing.text(10**6))
    assert joined.split() == unbroken.split()
    marked = listing.markdown()
    assert marked.startswith("## ") and marked.count("```") % 2 == 0
    plain = json.loads(json.dumps(listing.to_dict()))
    assert [line["address"] for step in plain["steps"] for line in step["lines"]] == [x.address for x in lines(listing)]
    assert plain["direction"] == direction and plain["letters"]["D"]["size"] == listing.letters["D"].size


def test_text_is_80_columns_wide_and_breaks_before_signs():
    text = str(pseudocode(program("gpt2"), "blocks.0.mlp.pre"))
    assert text.splitlines()[-3:] == [
        "blocks.0.mlp.pre [B,T,F]",
        '    = einsum("BTD,DF->BTF", blocks.0.norm2.out, blocks.0.mlp.up.weight)',
        "    + blocks.0.mlp.up.bias",
    ]
    text = str(pseudocode(program("gpt2"), "blocks.0.norm1.out", "operators"))
    assert text.splitlines()[-3:] == [
        "blocks.0.norm1.out[b,t,d] = (embed.out[b,t,d] - blocks.0.norm1.mean[b,t])",
        "    * blocks.0.norm1.rstd[b,t] * blocks.0.norm1.gain[d]",
        "    + blocks.0.norm1.shift[d]",
    ]


def test_a_broken_comment_stays_a_comment_and_products_stay_whole():
    text = pseudocode(program("gpt2"), "blocks.0.norm1.out", "operators", "backward").text(60)
    assert (
        """
# d:embed.out@blocks.0.norm1.out [B,T,D]
#    = blocks.0.norm1.rstd
#    * (d_unit - mean(d_unit) - unit * mean(d_unit * unit)),
#    where d_unit = d:blocks.0.norm1.out
#    * blocks.0.norm1.gain,
#    unit = (embed.out - blocks.0.norm1.mean)
#    * blocks.0.norm1.rstd
"""
        in text
    )
    assert (
        """
unit[b,t,d] = (embed.out[b,t,d] - blocks.0.norm1.mean[b,t])
    * blocks.0.norm1.rstd[b,t]
d_unit[b,t,d]
    = d:blocks.0.norm1.out[b,t,d] * blocks.0.norm1.gain[d]
"""
        in text
    )


def test_short_names_are_those_inside_the_part():
    text = pseudocode(program("translation"), "blocks.1.cross").text(200, short=True)
    assert '\nk [B,S,G,K] = einsum("BSD,DGK->BSGK", source.blocks.1.out, k.weight)' in text
    text = pseudocode(program("translation"), "blocks.1").text(200, short=True)
    assert '\ncross.k [B,S,G,K] = einsum("BSD,DGK->BSGK", source.blocks.1.out, cross.k.weight)' in text


def test_letters_have_their_sizes_where_they_are_known():
    letters = pseudocode(program("gpt2"), "blocks.0", B=4, T=64).letters
    assert {letter: each.size for letter, each in letters.items()} == {
        "B": 4, "T": 64, "S": 64, "D": 32, "H": 4, "G": 4, "K": 8, "F": 128
    }  # fmt: skip
    assert pseudocode(program("gpt2"), "blocks.0").letters["T"].size is None


def test_statements_of_an_equation():
    text = "d_x = rstd * d_unit\nd_unit = d_out * gain, unit = (x - mean) * rstd\nd_table[v] = sum of d_out"
    assert vector.statements(text)["d_table"] == ("[v]", "sum of d_out")
    assert vector.statements("weight = softmax(score) over s = exp(score)")["weight"][1] == "softmax(score) over s"
    assert list(vector.used("rstd * d_unit * unit", vector.statements(text))) == ["d_unit", "unit"]


def test_no_word_of_an_operator_is_left_in_a_line():
    for name in CONFIGS:
        own = run(name).program
        for direction in DIRECTIONS:
            for section in pseudocode(own, "", direction=direction).sections:
                record = REGISTRY.get(section.operator.removesuffix(" backward"))
                operands = (*record.inputs, *record.outputs) if record else ()
                words = {word for o in operands for word in (o.name, f"d_{o.name}")} | set(
                    record.settings if record else ()
                )
                for line in (line for group in section.groups for line in group.lines):
                    rest = with_names(run(name), line.formula, lambda found: "")
                    left = set(re.findall(r"(?<![\w.])[A-Za-z_]\w*\b(?!\()", rest)) & words
                    assert left <= set(own.sizes) | {"J"}, (line.address, left)


@pytest.mark.alone
def test_the_8b_shape_prints_at_once():
    start = perf_counter()
    own = llama.program(llama.SHAPES["llama3-8b"], targets=True)
    assert len(own.table(1, 8192)) == len(own)
    for depth in ("vector", "operators"):
        for direction in DIRECTIONS:
            assert len(pseudocode(own, "", depth, direction, B=1, T=17).text()) > 10_000
    assert perf_counter() - start < 3


def test_equal_axes_get_letters_of_their_own():
    assert distinct("BTDD1") == ["b", "t", "d", "e", "0"]


def test_style_knows_how_many_queries_share_a_key():
    assert Style(program("llama")).shared == 2 and Style(program("llama scaled")).shared == 4
    assert FAMILIES["llama"] is llama
