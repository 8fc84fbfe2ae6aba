"""The recipe that nanoGPT gives for a processor, on characters of stories: byhand learns what PyTorch learns.

4 layers, 128 wide, 64 long, 12 texts at a time; the same weights at first, the same batches, the same schedule.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import numpy as np
import torch
from transformers import GPT2LMHeadModel

from byhand.train import Stepped, Training, begin, schedule
from byhand.train.settings import Settings

STEPS, WINDOW = 240, 40
NEAR = 0.01  # of the mean loss of a window: rounding grows from step to step, but not in any direction


def recipe() -> Settings:
    sizes = {"layers": 4, "width": 128, "heads": 4, "context": 64, "activation": "gelu_tanh"}
    often = {"evaluate": STEPS, "batches": 1, "sample": 0, "save": STEPS}
    data = {"data": "stories", "examples": 2000, "tokenizer": "characters"}
    return Settings(family="gpt2", sizes=sizes, batch=12, steps=STEPS, warmup=20, beta2=0.99, **data, **often)


def oracle(training: Training, folder: str) -> Iterator[float]:
    """The losses of PyTorch's training, step by step."""
    training.model.save(folder, format="hf")
    model, s = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32), training.settings
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    kinds = [[each for each in model.parameters() if (each.ndim > 1) == decays] for decays in (True, False)]
    groups = [
        {"params": each, "weight_decay": s.weight_decay * decays} for each, decays in zip(kinds, (1, 0), strict=True)
    ]
    optimiser = torch.optim.AdamW(groups, lr=s.rate, betas=(s.beta1, s.beta2), eps=s.eps)
    for number in range(1, s.steps + 1):
        given = training.inputs(number, 0)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(s, number)
        optimiser.zero_grad()
        logits = model(torch.from_numpy(given["tokens"])).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(given["targets"]).flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), s.clip or inf)
        optimiser.step()
        yield float(loss.detach())


def test_nanogpts_recipe_for_a_processor(tmp_path):
    training = begin(recipe(), tmp_path / "ours")
    theirs = np.array(list(oracle(training, str(tmp_path / "theirs"))))
    ours = np.array([each.loss for each in training.run() if isinstance(each, Stepped)])
    assert abs(ours[0] - theirs[0]) < 1e-5 and ours[-WINDOW:].mean() < 2.6 < 3.5 < ours[0]
    for start in range(0, STEPS, WINDOW):
        one, other = (each[start : start + WINDOW].mean() for each in (ours, theirs))
        print(f"steps {start + 1} to {start + WINDOW}: {one:.4f}, PyTorch {other:.4f}")
        assert abs(one - other) < NEAR * other
