"""The programs of the zoo in transformers: a sample of what ``python -m tests.wiring.exact`` runs in full.

The weights that come with the package are saved as a folder, and loaded from there in every way.
"""

import pytest

import byhand
from byhand.wiring import compile, verify
from byhand.wiring.verifying import TRANSFORMERS
from byhand.wiring.zoo import PROGRAMS
from byhand.wiring.zoo.induction import induction

WAY = {"gpt2": "hf-sdpa", "llama": "hf-cached"}
EVERY = [(name, family) for name, program in PROGRAMS.items() for family in program.families]


@pytest.mark.parametrize("name, family", EVERY)
def test_it_is_right_in_one_of_the_ways(name, family):
    program = PROGRAMS[name]
    model = byhand.load(f"wired-{name}-{family}")
    settings = {"texts": program.texts, "exhaustive": 30, "random": 1, "seed": 7}
    found = verify(program.make(), model, program.follows, engines=[WAY[family]], **settings)
    assert found.passed and found.claimed, found


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("make", [PROGRAMS["aab"].make, lambda: induction("abc", context=24)], ids=["aab", "induction"])
def test_a_rotated_model_is_right_too(make, family):
    dense = compile(make(), family).rotated(seed=5)
    assert dense.verify(engines=TRANSFORMERS, exhaustive=100, random=40).passed


def test_what_is_wrong_is_found_in_every_way():
    program = PROGRAMS["aab"]
    broken = byhand.load("wired-aab-llama").edit("blocks.0.attn.v.weight", set=0)
    for way in TRANSFORMERS:
        found = verify(program.make(), broken, engines=[way], exhaustive=100, random=0)
        assert not found.passed and found.failures[0].by == f"wiring, engine {way}"
