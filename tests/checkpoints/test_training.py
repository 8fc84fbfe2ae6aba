"""A training's folder as a model: that of its last whole checkpoint."""

import pytest

import byhand
from byhand.cli import called
from byhand.errors import ByhandWarning

from ..small_models import same_bits
from ..train.test_saving import flipped, refused, save


def test_a_model_is_not_loaded_from_an_older_one_in_silence(tmp_path, capsys):
    good, bad = save(tmp_path, 1), save(tmp_path, 2)
    assert called(["inspect", str(tmp_path)]) == 0 and not capsys.readouterr().err
    flipped(bad / "model.safetensors")
    with pytest.warns(ByhandWarning, match="step-00000002.*another checksum.*looking for the checkpoint before it"):
        loaded = byhand.load(tmp_path)
    assert same_bits(loaded.weights["token.weight"], byhand.load(good).weights["token.weight"])
    assert called(["inspect", str(tmp_path)]) == 0
    warned = capsys.readouterr().err.splitlines()
    assert len(warned) == 1 and warned[0].startswith("byhand: warning: ") and str(bad) in warned[0]
    flipped(good / "model.safetensors")
    refused("none of its checkpoints is whole", byhand.load, tmp_path)
