"""Every writer and reader holds little of a model at a time, also where one table is most of it.

What is measured is what Python and NumPy allocate; a mapped file is not among it, its pages being the system's to drop.
"""

from dataclasses import replace

import numpy as np
import pytest

import byhand
from byhand.checkpoints.formats import llama2c
from byhand.families import gpt2, llama
from byhand.loading import make

from .test_meta import meta

VOCABULARY = 2**16
GPT2 = gpt2.Config(layers=1, width=256, heads=4, hidden=1024, vocabulary=VOCABULARY, context=64)
LLAMA = llama.Config(
    layers=1, width=256, heads=4, groups=2, head_width=64, hidden=512, vocabulary=VOCABULARY, context=64, tied=True
)
LLAMA = replace(LLAMA, rotary="halves", theta=10000.0)
TENTH = 0.1

BOTH = [("byhand", None), ("byhand", "f64"), ("hf", None), ("hf", "bf16")]
BOTH += [("gguf", dtype) for dtype in (None, "f16", "q8_0", "q4_0")]
WAYS = [
    *[("gpt2", *way) for way in [*BOTH, ("gguf", "bf16"), ("llmc", None), ("llmc", "bf16")]],
    *[("llama", *way) for way in [*BOTH, ("llama2c", None), ("llama2c", "q8_0"), ("llama2c 1", None)]],
    *[("llama", "meta 0", None), ("llama", "meta 1", None)],  # in two shards, its table cut along either axis
]


@pytest.fixture(scope="module")
def models():
    made = {"gpt2": make("gpt2", GPT2), "llama": make("llama", LLAMA)}
    for each in made.values():
        assert sum(each.weights[address].nbytes for address in each.weights) == 4 * each.parameters
    return made


def save(model, path, format, dtype):
    if format == "llama2c 1":
        parts = byhand.checkpoints.Parts(model.name, "llama", model.config, model.program, model.weights)
        llama2c.write(parts, path, version=1)
    elif format.startswith("meta"):
        sizes = {"dim": 256, "n_layers": 1, "n_heads": 4, "n_kv_heads": 2, "vocab_size": VOCABULARY}
        meta(path, model, 2, int(format[-1]), **sizes, multiple_of=512, ffn_dim_multiplier=0.75, rope_theta=10000.0)
    else:
        model.save(path, format=format, dtype=dtype)


@pytest.mark.parametrize(("family", "format", "dtype"), WAYS, ids=str)
def test_a_tenth_of_the_weights_at_most(tmp_path, models, peak, family, format, dtype):
    model, path = models[family], tmp_path / "model"
    most = TENTH * 4 * model.parameters
    with peak() as saving:
        save(model, path, format, dtype)
    with peak() as loading:
        found = byhand.load(path)
    with peak() as saving_again:
        found.save(tmp_path / "again", dtype="bf16")
    measured = {"saving": saving(), "loading": loading(), "saving again": saving_again()}
    print(f"{family} {format} {dtype}: {', '.join(f'{name} {size / most:.0%}' for name, size in measured.items())}")
    if format.startswith("meta"):
        del measured["saving"]  # by this test, which may take what it likes
    assert max(measured.values()) < most, measured
    same = np.asarray(byhand.load(tmp_path / "again").weights["token.weight"][-1], np.float32)
    assert np.allclose(same, model.weights["token.weight"][-1], atol=0.04)
