"""byhand's own folder: any family, any setting, bit for bit; and files that somebody changed."""

import json
from dataclasses import asdict

import numpy as np
import pytest

import byhand
from byhand import checkpoints
from byhand.errors import ByhandError

from ..small_models import TEXTS, model, same_bits
from .folders import change_json


@pytest.mark.parametrize("name", TEXTS)
def test_every_family(tmp_path, name):
    model(name).save(tmp_path / "m")
    found = byhand.load(tmp_path / "m")
    assert (found.family, found.config) == (model(name).family, model(name).config)
    assert found.weights.keys() == model(name).weights.keys()
    assert all(same_bits(found.weights[address], array) for address, array in model(name).weights.items())
    assert (found.tokenizer is None) == (model(name).tokenizer is None)
    if found.tokenizer is not None:
        assert found.tokenizer.encode(TEXTS[name]["text"]) == model(name).tokenizer.encode(TEXTS[name]["text"])


@pytest.mark.parametrize("dtype", ["f64", "f32", "f16", "bf16"])
def test_types(tmp_path, dtype):
    model("aab-gpt2").save(tmp_path / "m", dtype=dtype)
    names = {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16"}
    found = byhand.load(tmp_path / "m").weights
    assert {found[address].dtype.name for address in found} == {names[dtype]}
    again = byhand.load(byhand.load(tmp_path / "m").save(tmp_path / "n")).weights
    assert all(same_bits(found[address], again[address]) for address in found)


def test_a_number_too_large_for_its_type(tmp_path):
    big = model("gpt2-tiny").edit("token.weight", index=(3, 4), set=1e6)
    with pytest.raises(ByhandError, match="token.weight holds 1e\\+06, which is beyond the largest float16"):
        big.save(tmp_path / "m", dtype="f16")
    assert not list(tmp_path.iterdir())
    big.save(tmp_path / "m", dtype="bf16")


def test_the_file_says_everything(tmp_path):
    model("llama 3.1").save(tmp_path / "m")
    said = json.loads((tmp_path / "m/byhand.json").read_text())
    assert said["config"] == asdict(model("llama 3.1").config) and said["family"] == "llama" and said["version"] == 1
    findings = {each.what: each.value for each in checkpoints.read(tmp_path / "m").findings}
    assert findings["rotary layout"] == "pairs" and findings["tied"] == "yes" and findings["dtype"] == "float32"


CONFIG = asdict(byhand.load("llama-tiny").config)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"version": 3}, "version 3, but this byhand reads 1 and 2"),
        ({"version": None}, "does not say version"),
        ({"family": "t5"}, "family 't5' is unknown; byhand has"),
        ({"family": "gpt2"}, "unknown setting"),
        ({"family": None}, "does not say family"),
        ({"config": None}, "no setting 'layers'"),
        ({"config": [1]}, "an object"),
        ({"config": CONFIG | {"heads": 5}}, "5"),
        ({"config": CONFIG | {"heads": 2.5}}, "heads is 2.5; it should be a whole number"),
        ({"config": CONFIG | {"rotary": "thirds"}}, "rotary layout 'thirds' is unknown"),
        ({"config": CONFIG | {"rotary": 3}}, "rotary is 3; it should be a text"),
        ({"config": CONFIG | {"tied": 1}}, "true or false"),
        ({"config": CONFIG | {"more": 1}}, "unknown setting 'more'"),
        ({"config": CONFIG | {"scaling": {"factor": 8.0}}}, "no setting 'low'"),
        ({"config": CONFIG | {"scaling": 3}}, "scaling is 3; it should be an object"),
        ({"config": CONFIG | {"eps": "NaN"}}, "eps is 'NaN'"),
        ({"config": CONFIG | {"layers": 10**8}}, "layers is 100000000, but the folder has"),
        ({"config": CONFIG | {"width": 64}}, "shape"),
        ({"config": CONFIG | {"tied": True}}, "holds unembed.weight"),
    ],
)
def test_changed_files(tmp_path, values, says):
    byhand.load("llama-tiny").save(tmp_path / "m")
    change_json(tmp_path / "m/byhand.json", **values)
    with pytest.raises(ByhandError, match=says) as caught:
        byhand.load(tmp_path / "m")
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_weights_are_views(tmp_path):
    byhand.load("original-tiny").save(tmp_path / "m")
    weights = checkpoints.read(tmp_path / "m").weights
    assert all(isinstance(each, np.ndarray) and not each.flags.owndata for each in weights.values())


def test_no_weights(tmp_path):
    byhand.load("aab").save(tmp_path / "m")
    (tmp_path / "m/model.safetensors").unlink()
    with pytest.raises(ByhandError, match="cannot read .*model.safetensors"):
        byhand.load(tmp_path / "m")
