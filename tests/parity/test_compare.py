"""Models of transformers beside byhand's load of the same folder: rounding, and what is planted is found."""

import numpy as np
import pytest
import torch
import transformers

import byhand
from byhand.compare import compare, with_transformers

from .transformers_models import bert_twin, gpt2_twin, llama_twin

TWINS = {"gpt2": gpt2_twin, "llama": llama_twin, "bert": bert_twin}
SHOWN = {"gpt2": 27, "llama": 27, "bert": 30}


@pytest.fixture(params=TWINS)
def pair(request, tmp_path):
    """A model of transformers, and byhand's load of the folder it was saved to."""
    transformers.logging.set_verbosity_error()
    twin = TWINS[request.param]()
    oracle = twin.oracle(twin.run("float32"))
    oracle.save_pretrained(tmp_path / "model")
    return oracle, byhand.load(tmp_path / "model"), tmp_path / "model"


def norm(oracle):
    return next(
        module
        for name, module in oracle.named_modules()
        if name.endswith((".0.ln_1", ".0.input_layernorm", "LayerNorm"))
    )


def test_the_same_folder_is_the_same_up_to_rounding(pair):
    oracle, model, folder = pair
    for found in (
        compare(model, oracle),
        compare(oracle, model),
        compare(model, with_transformers(folder, None).model),
    ):
        assert found.verdict == "same up to rounding", str(found)
        assert len(found.compared) >= SHOWN[model.program.name]
        assert "blocks.1.attn.weights" in {each.address for each in found.compared}
        assert max(each.beyond for each in found.steps) < 1


def test_bfloat16_is_rounding(pair):
    oracle, model, _ = pair
    found = compare(model, oracle.to(torch.bfloat16))
    assert found.verdict == "same up to rounding", str(found)
    assert found.dtypes == ("float32", "bfloat16")


def test_float64_is_held_to_the_float32_that_transformers_computes_in(pair):
    oracle, model, _ = pair
    assert compare(model, oracle.to(torch.float64), dtype="float64").verdict == "same up to rounding"


def test_another_eps(pair):
    oracle, model, _ = pair
    for module in oracle.modules():
        for name in ("eps", "variance_epsilon"):
            if hasattr(module, name):
                setattr(module, name, 4e-4)
    found = compare(model, oracle)
    assert found.first.operator in ("layer_norm", "rms_norm")
    assert (found.causes[0].kind, found.causes[0].said) == ("eps", "eps=0.0004")
    assert len(found.causes) == 1
    assert len(found.causes[0].explains) >= 5


def test_another_activation(pair):
    oracle, model, _ = pair
    name = model.program.name
    for module in oracle.modules():
        for place in ("act", "act_fn", "intermediate_act_fn", "transform_act_fn"):
            if hasattr(module, place):
                setattr(module, place, torch.nn.GELU(approximate="tanh" if name == "bert" else "none"))
    found = compare(model, oracle)
    assert found.first.address == "blocks.0.mlp.act"
    assert found.causes[0].kind == ("activation" if name == "llama" else "GELU form")


def test_one_weight(pair):
    oracle, model, _ = pair
    address = "blocks.1.attn.v"
    with torch.no_grad():
        for name, parameter in oracle.named_parameters():
            if name.endswith((".1.attn.c_attn.weight", ".1.self_attn.v_proj.weight", ".1.attention.self.value.weight")):
                parameter[-1, -1] += 1e-3
    found = compare(model, oracle)
    assert found.first.address == address
    assert found.first.weight == f"{address}.weight"
    assert found.causes[0].kind == "a weight changed"
    assert len([each for each in found.steps if each.state == "differs"]) == 1


def test_the_wrong_rotary_layout():
    """Weights in Hugging Face's order read as if they were Meta's."""
    twin = llama_twin()
    run = twin.run("float32")
    wrong = byhand.make("llama", llama_twin(rotary="pairs").model.config, dict(twin.model.weights))
    found = compare(wrong, twin.oracle(run))
    assert found.causes[0].kind == "rotary layout"
    assert found.first.address == "blocks.0.attn.q"


def test_what_transformers_writes_down(pair, tmp_path):
    """Hidden states and attentions under their modules' names, as one would save them."""
    oracle, model, _ = pair
    ids = np.array([[3, 5, 8, 13, 21, 34, 55]])
    seen = {}
    for name, module in oracle.named_modules():
        if name.endswith(
            ("c_fc", "up_proj", "intermediate.dense", "c_proj", "down_proj", "output.dense", "lm_head", "decoder")
        ):
            module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: out.detach().numpy()}))
    with torch.no_grad():
        oracle.eval()(torch.from_numpy(ids))
    np.savez(tmp_path / "seen.npz", input_ids=ids, **seen)
    found = compare(model, tmp_path / "seen.npz")
    assert found.verdict == "same up to rounding", str(found)
    assert len(found.compared) >= 5


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(byhand.InputError, match="loads a folder"):
        with_transformers(tmp_path / "nothing", None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(byhand.InputError, match="transformers cannot load"):
        with_transformers(tmp_path / "empty", None)


def test_another_family(pair):
    oracle, _, _ = pair
    other = byhand.load("original-decoder-tiny")
    with pytest.raises(byhand.InputError):
        compare(other, oracle)
