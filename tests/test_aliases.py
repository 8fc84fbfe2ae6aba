"""Other projects' names: shapes, contents, gradients, and that no row of the tables is dead."""

from dataclasses import replace

import numpy as np
import pytest

import byhand
from byhand import aliases
from byhand.aliases import hugging_face, llmc, transformer_lens
from byhand.errors import AddressError
from byhand.families import bert, llama, original
from byhand.layouts import llmc as files
from byhand.program import Program

PROJECTS = {"llm.c": llmc, "TransformerLens": transformer_lens, "Hugging Face": hugging_face}
TOKENS = np.random.default_rng(0).integers(0, 96, (3, 7))
B, T = TOKENS.shape
L, C, NH, V, P, F = 2, 32, 4, 96, 64, 128  # of gpt2-tiny, as llm.c calls them; F is the feed-forward width


@pytest.fixture(scope="module")
def run():
    made = byhand.load("gpt2-tiny").run(TOKENS, dtype="float64")
    made.backward()
    return made


# --- llm.c --------------------------------------------------------------------------------------------------------

ACTIVATIONS = {
    "encoded": (B, T, C),
    **dict.fromkeys(["ln1", "atty", "attproj", "residual2", "ln2", "fcproj", "residual3"], (L, B, T, C)),
    **dict.fromkeys(["ln1_mean", "ln1_rstd", "ln2_mean", "ln2_rstd"], (L, B, T)),
    "qkv": (L, B, T, 3 * C),
    **dict.fromkeys(["preatt", "att"], (L, B, NH, T, T)),
    **dict.fromkeys(["fch", "fch_gelu"], (L, B, T, F)),
    "lnf": (B, T, C),
    **dict.fromkeys(["lnf_mean", "lnf_rstd", "losses"], (B, T)),
    **dict.fromkeys(["logits", "probs"], (B, T, V)),
}
PARAMETERS = {
    "wte": (V, C),
    "wpe": (P, C),
    **dict.fromkeys(["ln1w", "ln1b", "attprojb", "ln2w", "ln2b", "fcprojb"], (L, C)),
    "qkvw": (L, 3 * C, C),
    "qkvb": (L, 3 * C),
    "attprojw": (L, C, C),
    "fcw": (L, F, C),
    "fcb": (L, F),
    "fcprojw": (L, C, F),
    **dict.fromkeys(["lnfw", "lnfb"], (C,)),
}


@pytest.mark.parametrize(("name", "shape"), {**ACTIVATIONS, **PARAMETERS}.items())
def test_every_array_of_llmc_has_its_shape_and_axes(run, name, shape):
    assert run[name].shape == shape
    assert len(run[name].axes) == len(shape)
    assert run[name].axes.startswith("L") == (len(shape) > 1 and shape[0] == L)


def test_the_arrays_of_llmc_are_those_and_no_others(run):
    assert len(ACTIVATIONS) == 23 and len(PARAMETERS) == 16
    named = {name for table in llmc.TABLES["gpt2"] for name in table}
    assert (named, set(files.GPT2.rows)) == (set(ACTIVATIONS), set(PARAMETERS))
    assert sum(np.prod(shape) for shape in PARAMETERS.values()) == run.program.parameters


@pytest.mark.parametrize("layer", range(L))
def test_llmc_can_go_on_from_every_array(run, layer):
    """Each array follows from the ones before it by llm.c's own indexing."""
    stacked = {name: run[name] for name in (*ACTIVATIONS, *PARAMETERS)}
    a = {name: each.array[layer] if each.axes[:1] == "L" else each.array for name, each in stacked.items()}
    before = run["residual3"].array[layer - 1] if layer else a["encoded"]
    expected = {
        "ln1": (before - a["ln1_mean"][..., None]) * a["ln1_rstd"][..., None] * a["ln1w"] + a["ln1b"],
        "qkv": a["ln1"] @ a["qkvw"].T + a["qkvb"],
        "attproj": a["atty"] @ a["attprojw"].T + a["attprojb"],
        "residual2": before + a["attproj"],
        "ln2": (a["residual2"] - a["ln2_mean"][..., None]) * a["ln2_rstd"][..., None] * a["ln2w"] + a["ln2b"],
        "fch": a["ln2"] @ a["fcw"].T + a["fcb"],
        "fcproj": a["fch_gelu"] @ a["fcprojw"].T + a["fcprojb"],
        "residual3": a["residual2"] + a["fcproj"],
        "encoded": a["wte"][TOKENS] + a["wpe"][:T],
        "logits": a["lnf"] @ a["wte"].T,
    }
    for name, array in expected.items():
        assert np.allclose(a[name], array, rtol=0, atol=1e-12), name


@pytest.mark.parametrize("layer", range(L))
def test_attention_by_llmcs_loops(run, layer):
    qkv, preatt, att, atty = (run[name].array[layer] for name in ("qkv", "preatt", "att", "atty"))
    size = C // NH
    for b, t, h in np.ndindex(B, T, NH):
        query, key, value = (qkv[b, :, part * C + h * size : part * C + (h + 1) * size] for part in range(3))
        seen = key[: t + 1] @ query[t] / np.sqrt(size)
        share = np.exp(seen - seen.max()) / np.exp(seen - seen.max()).sum()
        assert np.allclose(preatt[b, h, t, : t + 1], seen)
        assert np.allclose(att[b, h, t, : t + 1], share) and (att[b, h, t, t + 1 :] == 0).all()
        assert np.allclose(atty[b, t, h * size : (h + 1) * size], share @ value[: t + 1])


def test_one_layer_of_a_stacked_name_is_the_value_with_its_axes(run):
    layer = run["preatt"][1]
    assert layer.axes == "BHTS" and np.array_equal(layer, run["blocks.1.attn.scores"])
    assert np.array_equal(run["att"].at(layer=1, head=2), run["blocks.1.attn.weights"].at(head=2))


def test_in_a_family_that_normalizes_after_adding():
    made = byhand.load("bert-tiny").run(TOKENS, dtype="float64")
    assert np.allclose(made["residual3"], made["ln1"].array + made["fcproj"].array)
    assert np.array_equal(made["ln2"][1], made["blocks.1.out"])
    assert "lnf" not in made and "encoded" in made


# --- TransformerLens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2-tiny", "llama-tiny", "llama-tiny-halves"])
def test_norms_are_taken_apart(name):
    made = byhand.load(name).run(TOKENS, dtype="float64")
    reads = {
        "blocks.0.ln1": "blocks.0.hook_resid_pre",
        "blocks.1.ln1": "blocks.1.hook_resid_pre",
        "blocks.1.ln2": "blocks.1.hook_resid_mid",
        "ln_final": "blocks.1.hook_resid_post",
    }
    for norm, stream in reads.items():
        x = made[stream].array
        x = x - x.mean(-1, keepdims=True) if name == "gpt2-tiny" else x
        scale = np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        assert made[f"{norm}.hook_scale"].axes == "BT1" and np.allclose(made[f"{norm}.hook_scale"], scale)
        assert np.allclose(made[f"{norm}.hook_normalized"], x / scale)


def test_hooks_of_a_stream_that_begins_at_the_embedding(run):
    assert np.array_equal(run["blocks.0.hook_resid_pre"], run["hook_embed"].array + run["hook_pos_embed"].array)
    assert np.array_equal(run["blocks.1.hook_resid_pre"], run["blocks.0.hook_resid_post"])


def test_hooks_inside_attention(run):
    scores = run["blocks.1.attn.hook_attn_scores"].array
    assert (np.isneginf(scores) == ~np.tri(T, dtype=bool)).all()
    pattern, z = run["blocks.1.attn.hook_pattern"].array, run["blocks.1.attn.hook_z"]
    assert z.axes == "BTHK" and np.allclose(z, np.einsum("bhts,bshk->bthk", pattern, run["blocks.1.attn.hook_v"]))


def test_the_gate_of_llama():
    made = byhand.load("llama-tiny").run(TOKENS, dtype="float64")
    gate, linear = made["blocks.0.mlp.hook_pre"].array, made["blocks.0.mlp.hook_pre_linear"].array
    assert np.allclose(made["blocks.0.mlp.hook_post"], gate / (1 + np.exp(-gate)) * linear)


@pytest.mark.parametrize("name", ["blocks.0.ln1.hook_scale", "blocks.1.ln2.hook_normalized"])
def test_what_is_computed_has_no_gradient(run, name):
    assert aliases.find(run.program, name).computed
    with pytest.raises(AddressError):
        run.grad[name]


# --- Hugging Face -----------------------------------------------------------------------------------------------------

SHAPES = {
    "gpt2-tiny": {
        "transformer.h.1.attn.c_attn": (B, T, 3 * C),
        "transformer.h.1.attn.c_attn.weight": (C, 3 * C),
        "transformer.h.1.attn.c_attn.bias": (3 * C,),
        "h.1.mlp.c_fc.weight": (C, F),
        "transformer.h.0": (B, T, C),
        "ln_f.weight": (C,),
        "lm_head.weight": (V, C),
    },
    "llama-tiny-halves": {
        "model.layers.1.self_attn.q_proj": (B, T, 32),
        "model.layers.1.self_attn.k_proj": (B, T, 16),
        "layers.0.self_attn.k_proj.weight": (16, C),
        "model.layers.1.self_attn.o_proj.weight": (C, 32),
        "model.layers.1.mlp.gate_proj.weight": (96, C),
        "model.layers.1.mlp.down_proj.weight": (C, 96),
        "norm.weight": (C,),
    },
    "bert-tiny": {
        "bert.encoder.layer.1.attention.self": (B, T, C),
        "encoder.layer.1.attention.self.query.bias": (C,),
        "bert.encoder.layer.0.intermediate.dense.weight": (F, C),
        "bert.pooler": (B, C),
        "cls.predictions.bias": (V,),
    },
}


@pytest.mark.parametrize("model", SHAPES)
def test_arrays_have_transformers_shapes(model):
    made = byhand.load(model).run(TOKENS)
    for name, shape in SHAPES[model].items():
        assert made[name].shape == shape, name
        assert len(made[name].axes) == len(shape), name


def test_where_two_projects_use_one_name_llmc_has_it(run):
    assert np.array_equal(run["wte"], run["token.weight"])
    assert np.array_equal(run["transformer.wte"], run["embed.token"])


@pytest.mark.parametrize(("name", "theirs"), [("q", "q_proj"), ("k", "k_proj")])
def test_metas_features_are_put_into_the_order_of_transformers(name, theirs):
    made = byhand.load("llama-tiny").run(TOKENS)
    head = made[f"blocks.1.attn.{name}"].array[:, :, 1]
    view = made[f"model.layers.1.self_attn.{theirs}"].array[:, :, 8:16]
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    assert np.array_equal(view, head[..., order])
    assert np.array_equal(made[f"blocks.1.attn.hook_{name}"].array[:, :, 1], head[..., order])
    turned = made[f"blocks.1.attn.{name}_rot"].array
    assert np.array_equal(made[f"blocks.1.attn.hook_rot_{name}"], turned[..., order])


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_of_llama_tied_and_untied(tied):
    c = llama.Config(layers=1, width=8, heads=2, groups=1, head_width=4, hidden=8, vocabulary=5, context=4, tied=tied)
    assert aliases.find(llama.program(c), "lm_head.weight").addresses == ("token.weight" if tied else "unembed.weight",)


# --- gradients, and the way back ------------------------------------------------------------------------------------


def test_gradients_have_the_same_names(run):
    parts = [run.grad[f"blocks.1.attn.{name}"].array.reshape(B, T, C) for name in "qkv"]
    assert np.array_equal(run.grad["qkv"][1], np.concatenate(parts, axis=-1))
    assert np.array_equal(run.grad["transformer.h.1.attn.c_attn"], run.grad["qkv"][1])
    assert np.array_equal(run.grad["qkvw"][0].array.T, run.grad["transformer.h.0.attn.c_attn.weight"])


MODELS = {
    **{name: byhand.load(name).program_with(True) for name in ("gpt2-tiny", "llama-tiny", "llama-tiny-halves", "aab")},
    "bert-tiny": bert.program(bert.SHAPES["bert-tiny"], targets=True),
    "bert before it is tuned": bert.program(replace(bert.SHAPES["bert-tiny"], next_sentence=True, tied=False)),
    "original": original.program(replace(original.SHAPES["original-decoder-tiny"], attention_bias=True), targets=True),
}


@pytest.mark.parametrize("model", MODELS)
def test_names_lead_to_the_value_and_back(model):
    program = MODELS[model]
    for address in program.addresses:
        for name in aliases.names(program, address):
            assert address in aliases.find(program, name).addresses
            assert not aliases.find(program, name).computed and name != address
    for name, view in aliases.views(program).items():
        assert all(address in program for address in view.addresses), name


def test_the_names_of_a_value_stand_in_the_order_of_the_projects():
    program = MODELS["gpt2-tiny"]
    assert aliases.names(program, "blocks.1.attn.q") == ["qkv", "blocks.1.attn.hook_q", "transformer.h.1.attn.c_attn"]
    assert aliases.names(program, "probs") == aliases.names(program, "loss") == []


UNNAMED = {
    "gpt2-tiny": "",
    "llama-tiny": "rotary.angle",
    "bert-tiny": """blocks.0.attn.masked blocks.1.attn.masked embed.sum embed.all embed.mean embed.rstd
        final_norm.mean final_norm.rstd pooler.first""",
}


@pytest.mark.parametrize("model", UNNAMED)
def test_every_weight_and_nearly_every_value_has_a_name(model):
    program = MODELS[model]
    unnamed = {address for address in [*program.producer, *program.weights] if not aliases.names(program, address)}
    assert unnamed == {"probs", "loss", "losses", "losses.logsumexp"} | set(UNNAMED[model].split())


@pytest.mark.parametrize("project", PROJECTS)
def test_no_row_of_a_table_is_dead(project):
    """Every name means something in some model of its family."""
    alive = {name for program in MODELS.values() for name in aliases.views(program)}
    rows = {name for tables in PROJECTS[project].TABLES.values() for table in tables for name in table}
    assert {name for name in rows if name.format(l=0) not in alive} == set()


NO_NAMES = ["", "qkvx", "blocks.2.attn.hook_q", "transformer.h.9", "blocks.{l}.attn.hook_q", "model.norm"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name(run, name):
    assert aliases.find(run.program, name) is None


def test_a_program_of_no_known_family_has_no_names():
    program = Program("tiny", {"D": 2})
    assert aliases.find(program, "wte") is None and aliases.names(program, "x") == []
