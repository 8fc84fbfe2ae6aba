"""What quantising costs: the logits of a trained model, here and in llama.cpp, from one and the same file."""

from __future__ import annotations

import numpy as np
import pytest

import byhand

from ..checkpoints.trained import sentences, trained
from . import llama_cpp
from .harness import MEASURED


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A trained model of more than a million parameters, texts it has not seen, and their logits in float64."""
    model = trained(tmp_path_factory.getbasetemp() / "trained")
    ids = model.token_ids(sentences(7, 64 * 12), most=1e9)[0].reshape(12, 64)
    return model, ids, model.run(ids, dtype="float64", keep=["logits"]).look("logits")


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_logits_are_no_further_off_than_llama_cpp_s(learned, kind, tmp_path):
    """Both read the same blocks and round what they multiply to int8; nothing else may cost anything here."""
    model, ids, exact_BTV = learned
    path = model.save(tmp_path / "model.gguf", format="gguf", dtype=kind)
    ours_BTV = byhand.load(path).run(ids, dtype="int8", keep=["logits"]).look("logits")
    theirs_BTV = np.stack([llama_cpp.logits(path, text.tolist()) for text in ids])
    ours, theirs = (float(np.sqrt(np.square(each - exact_BTV).mean())) for each in (ours_BTV, theirs_BTV))
    MEASURED[f"logits of {kind}", "error, llama.cpp"] = theirs
    MEASURED[f"logits of {kind}", "error"] = ours
    assert 0 < ours <= theirs * 1.005  # which of the two sums rounds up is chance
