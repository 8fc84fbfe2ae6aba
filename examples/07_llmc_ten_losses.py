"""llm.c's own test in Python: its first logits, its loss, all its gradients, and the losses of ten steps of AdamW.

With the files of llm.c's starter pack, `python examples/07_llmc_ten_losses.py gpt2_124M.bin gpt2_124M_debug_state.bin`
must print the ten losses that its test_gpt2.c expects. Without files a small GPT-2 is made, written as such files, and
taken through the same.
"""

import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

import byhand
from byhand.checkpoints.llmc_state import read_state, write_state
from byhand.families import gpt2

EXPECTED = [5.270007, 4.059707, 3.375123, 2.800783, 2.315382, 1.849029, 1.394656, 0.999147, 0.624080, 0.376511]
RATE, FIRST, SECOND, EPS, DECAY = 1e-4, 0.9, 0.999, 1e-8, 0.01


def small(folder):
    """A GPT-2 of width 16 and its debug state for two texts of eight tokens, as files of llm.c."""
    config = gpt2.Config(layers=2, width=16, heads=4, hidden=64, vocabulary=50, context=8)
    made = byhand.make("gpt2", config, seed=1)
    file = made.save(folder / "model.bin", format="llmc")
    batch = np.random.default_rng(2).integers(0, 50, (2, 9))
    run = made.run(batch[:, :-1], targets=batch[:, 1:])
    run.backward()
    return file, write_state(run, folder / "state.bin")


def furthest(one, other):
    return float(np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64)).max())


# 1 · The files. The model is mapped, not read; the state says which batch llm.c used.
scratch = tempfile.TemporaryDirectory()
given = [Path(name) for name in sys.argv[1:]]
model_file, state_file = given if len(given) == 2 else small(Path(scratch.name))
model = byhand.load(model_file)
state = read_state(state_file, model.config)
weights = {address: np.array(array, np.float32) for address, array in model.weights.items()}
first, second = ({address: np.zeros_like(array) for address, array in weights.items()} for _ in range(2))

# 2 · Ten steps: run, backward, and AdamW with decoupled decay of every weight (Loshchilov and Hutter 2019, alg. 2).
losses = []
for step in range(1, 11):
    run = byhand.make(gpt2, model.config, weights).run(state.tokens, targets=state.targets)
    gradients = run.backward()
    losses.append(run["loss"].item())
    print(f"step {step - 1}  loss {losses[-1]:.6f}", flush=True)
    if step == 1:
        print(f"        llm.c has {state.loss:.6f}; its logits differ by {furthest(run['logits'], state.logits):.1e}")
        worst = max(furthest(gradients[f"d:{address}"], state.gradients[address]) for address in weights)
        print(f"        and its gradients, of all {len(weights)} weights, by {worst:.1e}")
        assert abs(losses[0] - state.loss) < 1e-4 and worst < 1e-2
    for address, weight in weights.items():
        gradient = gradients[f"d:{address}"].array
        first[address] += (1 - FIRST) * (gradient - first[address])
        second[address] += (1 - SECOND) * (gradient**2 - second[address])
        size = np.sqrt(second[address] / (1 - SECOND**step)) + EPS
        weight -= RATE * (first[address] / (1 - FIRST**step) / size + DECAY * weight)

# 3 · What llm.c's test expects of the released model; any model's loss falls.
assert all(later < earlier for earlier, later in pairwise(losses))
if model.config == gpt2.SHAPES["gpt2-124m"] and abs(losses[0] - EXPECTED[0]) < 1e-2:
    assert furthest(losses, EXPECTED) < 1e-2, "the losses are not those of llm.c"
    print("These are the ten losses that llm.c's test expects.")
