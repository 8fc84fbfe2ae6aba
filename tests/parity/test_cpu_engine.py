"""The cpu engine beside the oracles: their outputs in float64 from the same weights, and its own in float32."""

import pytest

from byhand.engines.tolerances import TOLERANCES

from . import test_bert, test_gpt2, test_handmade, test_llama, test_original
from .harness import Twin, close
from .torch_layers import original_twin
from .transformers_models import bert_twin, gpt2_twin, llama_twin
from .watch import wide

TOLERANCE = TOLERANCES["cpu", "float32"]
CASES = {
    **{f"gpt2: {name}": (gpt2_twin, config) for name, config in test_gpt2.CONFIGS.items()},
    **{f"llama: {name}": (llama_twin, config) for name, config in test_llama.CONFIGS.items()},
    **{f"bert: {name}": (bert_twin, config) for name, config in test_bert.CONFIGS.items()},
    **{
        f"original {part}: {name}": (original_twin, {"part": part, **config})
        for part in ("encoder", "decoder", "encoder-decoder")
        for name, config in test_original.CONFIGS.items()
    },
    **{f"handmade: {length}": (test_handmade.twin, {"length": length}) for length in range(1, 6)},
}


def check_cpu(twin: Twin) -> None:
    """The output, with everything kept and with nothing else, within the tolerance of the largest number."""
    exact = twin.run("float64")
    with wide():
        theirs = twin.output(twin.oracle(exact), exact).detach()
    largest = float(theirs.abs().max())
    for keep in ("all", [twin.of]):
        given = dict(twin.given)
        run = twin.model.run(given.pop("tokens"), engine="cpu", keep=keep, **given)
        apart = close(run.look(twin.of) / largest, theirs / largest, TOLERANCE, twin.of)
        twin.record("cpu float32 output", apart)


@pytest.mark.parametrize("make, config", CASES.values(), ids=CASES)
def test_float32_on_the_cpu_engine(make, config):
    check_cpu(make(**config))


def test_a_small_mistake_is_caught():
    """A weight of one side that is off by a thousandth."""
    twin = gpt2_twin()
    right = twin.oracle(twin.run("float64"))
    with pytest.raises(AssertionError, match="logits differs by"):
        twin.model = twin.model.edit("blocks.0.mlp.up.weight", scale=1.001)
        twin.oracle = lambda run: right  # pyright: ignore[reportAttributeAccessIssue]
        check_cpu(twin)
