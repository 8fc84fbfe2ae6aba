"""llm.c's files as its train_gpt2.py makes them, from a model of transformers: weights, logits, loss and gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from byhand.checkpoints import llmc_state
from byhand.checkpoints.formats import llmc
from byhand.families import gpt2
from byhand.model import Model
from byhand.weights import given

from .checkpoint_models import gpt2 as written

PARTS = ("ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias", "attn.c_proj.weight", "attn.c_proj.bias")
PARTS += ("ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias")
L, C, T, V, PADDED = 2, 32, 48, 96, 128


def arrays(of) -> list[np.ndarray]:
    """The 16 arrays in llm.c's order; of: the tensor of a name. Conv1D is input first, llm.c output first."""
    table = np.zeros((PADDED, C), np.float32)
    table[:V] = of("wte.weight")
    stacked = []
    for name in PARTS:
        each = [of(f"h.{layer}.{name}").numpy() for layer in range(L)]
        stacked.append(np.stack([array.T if array.ndim == 2 else array for array in each]))
    return [table, of("wpe.weight").numpy(), *stacked, of("ln_f.weight").numpy(), of("ln_f.bias").numpy()]


def save(path: Path, header: list[int], contents: list[np.ndarray]) -> Path:
    data = [np.array(header + [0] * (256 - len(header)), np.int32), *contents]
    path.write_bytes(b"".join(each.tobytes() for each in data))
    return path


@pytest.mark.filterwarnings("ignore:.*loss_type.*")
def test_a_model_and_its_debug_state_are_read_and_fit(tmp_path):
    torch_model = written(tmp_path / "hf")
    tokens, targets = np.random.default_rng(1).integers(0, V, (2, 3, 20)).astype(np.int32)
    logits = torch_model(torch.tensor(tokens).long()).logits
    loss = torch.nn.functional.cross_entropy(logits.view(-1, V), torch.tensor(targets).long().view(-1))
    loss.backward()
    named = dict(torch_model.transformer.named_parameters())
    model_file = save(
        tmp_path / "model.bin", [20240326, 3, T, V, L, 4, C, PADDED], arrays(lambda name: named[name].detach())
    )
    results = [tokens, targets, logits.detach().numpy(), np.float32(loss.detach())]
    gradients = arrays(lambda name: named[name].grad)
    state_file = save(tmp_path / "state.bin", [20240327, 2, *tokens.shape], [*results, *gradients])

    found = llmc.read(model_file)
    model = Model("read", gpt2, found.config, given(gpt2.program(found.config), found.weights))
    state = llmc_state.read_state(state_file, found.config)
    run = model.run(state.tokens, targets=state.targets)
    run.backward()
    assert np.abs(run.look("logits") - state.logits).max() < 5e-5 and abs(run.look("loss") - state.loss) < 1e-5
    assert state.gradients.keys() == found.weights.keys()
    for name, gradient in state.gradients.items():
        assert np.abs(run.grad.look(name) - gradient).max() < 1e-5 + 1e-4 * np.abs(gradient).max(), name

    llmc_state.write_state(run, tmp_path / "ours.bin")
    theirs, ours = (
        np.frombuffer(path.read_bytes(), "<f4", offset=1024 + 8 * tokens.size)
        for path in (state_file, tmp_path / "ours.bin")
    )
    assert theirs.shape == ours.shape and np.abs(theirs - ours).max() < 5e-5
