"""Splitting a logit: the parts sum to it, and each is what taking that part away (norms held) would take from it."""

import numpy as np
import pytest

from byhand.errors import AddressError, InputError

from .small_models import TEXTS, fresh, model, run

WITH_LOGITS = [name for name in TEXTS if "logits" in run(name).program]
LINEAR = ("add", "scale", "unembed", "layer_norm", "rms_norm")


def check_sums(of):
    _, T, V = of.look("logits").shape
    for position in range(T):
        for token in range(0, V, 7):
            split = of.split(token, position)
            assert split.stored == of.look("logits")[0, position, token] and split.index == (0, position, token)
            assert abs(split.total - split.stored) < 1e-9


@pytest.mark.parametrize("name", WITH_LOGITS)
def test_the_parts_sum_to_the_logit(name):
    check_sums(run(name))


@pytest.mark.parametrize("name", WITH_LOGITS)
def test_they_sum_after_edits_too(name):
    of = run(name)
    stream = next(step.names["x"] for step in of.program.steps if step.operator.name == "unembed")
    inner = next(step for step in of.program if step.operator.name == "add" and step.address.startswith("blocks"))
    before, added = inner.names["x"], inner.address
    for edited in (
        of.edit("token.weight", token=41 if "aab" not in name else 1, scale=1.5),
        of.edit("blocks.0.attn.heads", head=0, position=1, zero=True),
        of.edit("blocks.0.attn.out", position=2, add=0.5),
        of.edit(added, position=-1, scale=0.3),
        of.edit(before, position=3, set=0.25),
        of.edit(stream, position=slice(1, 3), add=1.0),
        of.edit("logits", token=0, position=2, set=9.0),
    ):
        check_sums(edited)


def test_an_edited_value_is_a_part_by_itself_where_it_was_edited():
    of = run("gpt2-tiny").edit("blocks.1.mid", position=2, add=1.0)
    there, elsewhere = of.split(5, position=2).parts, of.split(5, position=3).parts
    assert "blocks.1.mid" in there and "blocks.1.attn.out head 0" not in there and "embed.token" not in there
    assert elsewhere.keys() == run("gpt2-tiny").split(5, position=3).parts.keys()
    changed = of.edit("logits", (0, 1, 7), set=3.0)
    assert changed.split(7, 1).parts == {"logits": 3.0} and len(changed.split(8, 1).parts) > 5


@pytest.mark.parametrize("dtype, near", [("float32", 1e-5), ("bfloat16", 0.05)])
def test_in_lower_precision_they_sum_to_it_but_for_its_rounding(dtype, near):
    for name in WITH_LOGITS:
        for token in (0, 1):
            split = run(name, dtype).split(token)
            assert abs(split.total - split.stored) <= near * max(1, sum(map(abs, split.parts.values())))


# --- each part ----------------------------------------------------------------------------------------------------


def frozen_logit(of, position, token, without):
    """The logit when every norm keeps its scale, only the stream is computed again, and one value is zero."""
    values = {address: array.astype(float) for address, array in of.kept.items()}
    weights = {address: of.look(address) for address in of.program.weights}
    values[without] = np.zeros_like(values[without])
    for step in of.program:
        if step.operator.name not in LINEAR or step.address == without:
            continue
        x = values[step.reads[0]]
        if step.operator.name == "add":
            out = x + values[step.reads[1]]
        elif step.operator.name == "scale":
            out = x * step.attributes["factor"]
        elif step.operator.name == "unembed":
            bias = weights[step.reads[2]] if step.reads[2] else 0
            out = np.einsum("BTD,VD->BTV", x, weights[step.reads[1]]) + bias
        else:
            mean = x.mean(-1, keepdims=True) if step.operator.name == "layer_norm" else 0
            shift = weights[step.reads[2]] if step.operator.name == "layer_norm" else 0
            out = (x - mean) * of.look(step.writes["rstd"])[..., None] * weights[step.reads[1]] + shift
        values[step.address] = out
    return values["logits"][0, position, token]


@pytest.mark.parametrize("name", WITH_LOGITS)
def test_each_part_is_what_the_logit_loses_without_it(name):
    of = run(name)
    assert abs(frozen_logit(of, 3, 1, "probs") - of.look("logits")[0, 3, 1]) < 1e-10
    split = of.split(1, position=3)
    by_address: dict[str, float] = {}
    for part, value in split.parts.items():
        by_address[part.split(" ")[0]] = by_address.get(part.split(" ")[0], 0.0) + value
    for address, value in by_address.items():
        if address.endswith("attn.out") or address.endswith("cross.out"):
            value += by_address.get(f"{address}.bias", 0.0)
        if address in of.kept:
            assert abs(of.look("logits")[0, 3, 1] - frozen_logit(of, 3, 1, address) - value) < 1e-9, address


def test_heads_contribute_what_they_write():
    of = run("llama-tiny")
    split = of.split(7, position=4)
    x_D = of.look("blocks.1.out")[0, 4]
    direction_D = of.look("unembed.weight")[7] * of.look("final_norm.gain") / np.sqrt((x_D**2).mean() + 1e-5)
    each_HD = np.einsum("HK,HKD->HD", of.look("blocks.1.attn.heads")[0, 4], of.look("blocks.1.attn.out.weight"))
    for head in range(4):
        assert abs(split.parts[f"blocks.1.attn.out head {head}"] - each_HD[head] @ direction_D) < 1e-13
    assert abs(split.parts["embed.out"] - of.look("embed.out")[0, 4] @ direction_D) < 1e-13


def test_the_names_of_the_parts_in_the_order_of_the_program():
    assert list(run("gpt2-tiny").split(3).parts) == [
        "embed.token",
        "embed.position",
        *[f"blocks.0.attn.out head {head}" for head in range(4)],
        "blocks.0.mlp.out",
        *[f"blocks.1.attn.out head {head}" for head in range(4)],
        "blocks.1.mlp.out",
        "final_norm.shift",
        "blocks.0.attn.out.bias",
        "blocks.1.attn.out.bias",
    ]
    assert list(run("bert-tiny").split(3).parts) == ["head.act", "unembed.bias", "final_norm.shift"]


def test_aab_by_hand():
    of = model("aab").run("aab", dtype="float64")
    split = of.split(token=1)  # "b": the token itself says b, attention adds nothing
    assert split.parts == {
        "embed.token": 1.0,
        "embed.position": 0.0,
        "blocks.0.attn.out head 0": 0.0,
        "blocks.0.attn.out.bias": 0.0,
    }
    assert of.split(token=1, position=1).parts["blocks.0.attn.out head 0"] == 1024.0
    assert str(split).splitlines()[0] == "embed.token               +1.000000"
    assert str(split).splitlines()[-1] == "sum                       +1.000000   (logits[0,2,1] = +1.000000)"
    data = split.to_dict()
    assert data["total"] == data["stored"] == 1.0 and data["index"] == [0, 2, 1] and data["address"] == "logits"


def test_which_logit():
    of = model("gpt2-tiny").run([[3, 4], [5, 6]], dtype="float64")
    assert of.split(3, 0, 1).index == of.split(-93, -2, -1).index == (1, 0, 3)
    with pytest.raises(AddressError, match="logits, axis V: index 96 is out of range; there are 96, so 0 … 95"):
        of.split(96)
    with pytest.raises(AddressError, match="logits, axis T: index 2 is out of range"):
        of.split(3, position=2)


def test_a_model_without_logits():
    from byhand.families import bert
    from byhand.model import Model
    from byhand.weights import random

    config = bert.Config(layers=1, width=8, heads=2, hidden=8, vocabulary=9, masked_lm=False)
    of = Model("sentence", bert, config, random(bert.program(config), 0)).run([1, 2])
    with pytest.raises(InputError, match=r"bert has no logits to split; it stops at pooler.out"):
        of.split(1)


def test_values_need_not_be_kept():
    assert fresh("gpt2-tiny", keep=[]).split(5).parts == run("gpt2-tiny").split(5).parts
