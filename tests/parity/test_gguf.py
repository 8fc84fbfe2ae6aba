"""GGUF files that byhand wrote, as transformers and llama.cpp read them; and llama.cpp's own as byhand does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from gguf import GGUFReader

from byhand.checkpoints.files.quantized import quantized
from byhand.checkpoints.formats import gguf, hugging_face
from byhand.checkpoints.record import Parts
from byhand.families import gpt2, llama
from byhand.families.llama import Scaling
from byhand.model import Model
from byhand.tokenizer import PRINTABLE, Characters, load
from byhand.tokenizer.alphabet import LLAMA3
from byhand.weights import Weights, random

from .harness import FLOAT32, MEASURED
from .transformers_models import gpt2_oracle, llama_oracle

FAMILIES = {"gpt2": gpt2, "llama": llama}
GPT2 = gpt2.Config(layers=2, width=64, heads=4, hidden=256, vocabulary=96, context=48)
LLAMA = llama.Config(
    layers=2, width=64, heads=4, groups=2, hidden=96, vocabulary=96, context=48, head_width=16, theta=10000.0
)
LONG = replace(LLAMA, theta=100.0, scaling=Scaling(original_context=48))
CONFIGS = {
    "gpt2": GPT2,
    "gpt2 untied": replace(GPT2, tied=False),
    "llama": LLAMA,
    "llama halves, tied, wide heads": replace(LLAMA, rotary="halves", tied=True, head_width=32, groups=1),
    "llama 3.1": LONG,
    "llama 3.1, halves": replace(LONG, rotary="halves"),
}
TOKENS = [5, 17, 33, 2, 90, 41, 41, 7, 63, 12, 0, 95]

# How far llama.cpp may be from float64 on the same file, as a share of the largest logit: it rounds what is multiplied
# with a matrix to the type of the matrix, or to blocks of int8, and looks GPT-2's GELU up in a table of float16.
LLAMA_CPP = {"f32": 2e-6, "f16": 4e-3, "bf16": 2e-2, "q8_0": 0.08, "q4_0": 0.08}
GELU_TABLE = 1e-3


def model(config, name: str = "made") -> Model:
    family = "gpt2" if isinstance(config, gpt2.Config) else "llama"
    tokenizer = Characters(PRINTABLE)
    return Model(name, FAMILIES[family], config, random(FAMILIES[family].program(config), 1), tokenizer)


def read(path, reader=gguf) -> Model:
    found = reader.read(path)
    return Model("read", FAMILIES[found.family], found.config, Weights(found.weights), found.tokenizer)


def written(path, of: Model, dtype: str | None = None, tokenizer=None):
    family = of.family.__name__.rpartition(".")[2]
    gguf.write(Parts(of.name, family, of.config, of.program, of.weights, tokenizer), path, dtype=dtype)
    return path


def logits(of: Model, dtype: str = "float64"):
    return of.run(TOKENS, dtype=dtype, keep=["logits"]).look("logits")[0]


@pytest.fixture(scope="module")
def llama_cpp():
    from . import llama_cpp

    llama_cpp.check_settings()
    return llama_cpp


# --- transformers ---------------------------------------------------------------------------------------------------


# transformers needs the package accelerate to read a GGUF file, and takes neither the number of positions nor the width
# of the feed-forward from one of gpt2.
READ_BY_TRANSFORMERS = {
    "gpt2": replace(GPT2, context=1024),
    "llama": LLAMA,
    "tied": CONFIGS["llama halves, tied, wide heads"],
}


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "q8_0", "q4_0"])
@pytest.mark.parametrize("config", READ_BY_TRANSFORMERS.values(), ids=READ_BY_TRANSFORMERS)
def test_transformers_reads_the_same_model(config, dtype, tmp_path):
    path = written(tmp_path / "a.gguf", model(config), dtype, Characters(PRINTABLE))
    oracle = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    with torch.no_grad():
        theirs = oracle(torch.tensor([TOKENS])).logits[0].numpy()
    far = np.abs(logits(read(path)) - theirs).max()
    MEASURED[f"gguf {dtype}", "transformers"] = max(far, MEASURED.get((f"gguf {dtype}", "transformers"), 0))
    assert far < FLOAT32


@pytest.mark.parametrize("oracle", [gpt2_oracle(GPT2), llama_oracle(LONG), llama_oracle(replace(LLAMA, tied=True))])
def test_a_hugging_face_folder_and_its_gguf_give_the_same_logits(oracle, tmp_path):
    """Llama's queries and keys lie in another order in each of the two."""
    oracle.save_pretrained(tmp_path / "folder")
    folder = read(tmp_path / "folder", hugging_face)
    file = read(written(tmp_path / "a.gguf", folder))
    with torch.no_grad():
        theirs = oracle.eval()(torch.tensor([TOKENS])).logits[0].numpy()
    assert np.abs(logits(folder) - theirs).max() < FLOAT32
    assert np.abs(logits(file) - logits(folder)).max() < 1e-12
    if isinstance(file.config, llama.Config):
        assert (folder.config.rotary, file.config.rotary) == ("halves", "pairs")


# --- llama.cpp ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", LLAMA_CPP)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_llama_cpp_gives_the_same_logits(config, dtype, tmp_path, llama_cpp):
    path = written(tmp_path / "a.gguf", model(config), dtype)
    ours, theirs = logits(read(path)), llama_cpp.logits(path, TOKENS)
    far = np.abs(ours - theirs).max() / np.abs(ours).max()
    family = "gpt2" if isinstance(config, gpt2.Config) else "llama"
    key = f"gguf {family} {dtype}", "llama.cpp, share of the largest"
    MEASURED[key] = max(far, MEASURED.get(key, 0))
    assert far < max(LLAMA_CPP[dtype], GELU_TABLE if family == "gpt2" else 0)
    if dtype == "f32":
        assert (ours.argmax(-1) == theirs.argmax(-1)).all()


@pytest.mark.parametrize("dtype", ["q8_0", "q4_0"])
@pytest.mark.parametrize("config", [GPT2, LONG], ids=["gpt2", "llama"])
def test_every_matrix_of_a_file_has_the_blocks_of_llama_cpp(config, dtype, tmp_path, llama_cpp):
    """Those of its quantiser for the rows of the float32 file."""
    plain = {each.name: each.data for each in GGUFReader(written(tmp_path / "a.gguf", model(config), "f32")).tensors}
    ours = GGUFReader(written(tmp_path / "b.gguf", model(config), dtype)).tensors
    in_blocks = [each for each in ours if each.tensor_type.name == dtype.upper()]
    assert len(in_blocks) == (9 if config is GPT2 else 16)
    for each in in_blocks:
        assert np.array_equal(each.data, llama_cpp.quantized(dtype, plain[each.name])), each.name


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_the_quantiser_gives_the_same_blocks(kind, llama_cpp):
    """Numbers of all sizes, zeros, equal ones, and ones at the edge between two steps."""
    rng = np.random.default_rng(0)
    size = np.exp(2 * rng.standard_normal((512, 1)))
    rows = (size * rng.standard_normal((512, 256))).astype(np.float32)
    rows[0], rows[1], rows[2, ::2] = 0, 0.5, 0
    rows[3] = np.arange(-128, 128) / 2
    rows[4] = np.arange(256) % 16 - 8
    assert np.array_equal(quantized(kind.upper(), rows, "rows"), llama_cpp.quantized(kind, rows))


def test_llama_cpp_reads_a_tokenizer_of_characters(tmp_path, llama_cpp):
    path = written(tmp_path / "a.gguf", model(replace(GPT2, vocabulary=128)), None, Characters(PRINTABLE))
    text = "Hello, World: 1 + 1 = 2!"
    assert llama_cpp.tokens_of(path, text) == Characters(PRINTABLE).encode(text)


TEXT = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
CASES = ["", " a", "Hello  world! It's 12345 o'clock\n\n\tyes", "ü €5 🙂 naïve", "<|end|>x", *TEXT.splitlines()[:60]]


@pytest.mark.parametrize("kind", ["gpt-2", "llama 3"])
def test_llama_cpp_gives_the_same_tokens(kind, tmp_path, llama_cpp):
    """A byte-level BPE with more rows in the table than tokens, in a file that byhand wrote."""
    tokenizer = trained(kind, tmp_path)
    of = model(replace(GPT2 if kind == "gpt-2" else LLAMA, vocabulary=len(tokenizer) + 8))
    path = written(tmp_path / "a.gguf", of, "q8_0", tokenizer)
    again = read(path).tokenizer
    for text in CASES:
        ours = list(tokenizer.encode(text))
        assert list(again.encode(text)) == ours
        assert llama_cpp.tokens_of(path, text) == ours, text


def trained(kind: str, folder: Path) -> Any:
    """A tokenizer of 500 tokens, learned from the README, that cuts a text as GPT-2's or as Llama 3's does."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE(ignore_merges=kind == "llama 3"))
    bytes_ = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind == "gpt-2")
    cut = tokenizers.pre_tokenizers.Split(tokenizers.Regex(LLAMA3), "isolated")
    made.pre_tokenizer = bytes_ if kind == "gpt-2" else tokenizers.pre_tokenizers.Sequence([cut, bytes_])
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    teacher = tokenizers.trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<|begin|>", "<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(TEXT.splitlines(), teacher)
    made.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return load(folder)


def test_the_check_of_logits_sees_another_rotary_order(tmp_path, llama_cpp):
    """A file whose queries and keys were not reordered is another model to llama.cpp."""
    halves = model(CONFIGS["llama 3.1, halves"])
    unmoved = Model("unmoved", llama, LONG, halves.weights)
    theirs = llama_cpp.logits(written(tmp_path / "a.gguf", unmoved), TOKENS)
    assert np.abs(logits(halves) - theirs).max() > 0.05
