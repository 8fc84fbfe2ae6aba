"""PyTorch at work: whole steps of training, eager and compiled.

GPT-2 is a plain module of linear layers and PyTorch's own attention, as people who train it write it; Llama is
transformers'. The optimiser is PyTorch's AdamW in its fastest form, which does everything in one pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found]
import transformers  # type: ignore[import-not-found]
from torch import nn  # type: ignore[import-not-found]
from torch.nn import functional as F  # type: ignore[import-not-found]

from byhand.bench.training import BETAS, DECAY, EPS, RATE, Trained
from byhand.bench.work import Work

Array = np.ndarray[Any, Any]


class Train(Trained):
    """A model, its loss and its optimiser; `called` is what gives the loss of a batch."""

    def __init__(self, work: Work) -> None:
        super().__init__(work, self.train)
        torch.set_num_threads(work.threads)
        transformers.utils.logging.disable_progress_bar()
        self.model = GPT.of(work.folder) if work.family == "gpt2" else Llama(work.folder)
        self.called: Any = self.model
        whole = [each for each in self.model.parameters() if each.ndim > 1]
        single = [each for each in self.model.parameters() if each.ndim < 2]
        groups = [{"params": whole, "weight_decay": DECAY}, {"params": single, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPS, fused=True)

    def train(self, tokens_BT: Array, targets_BT: Array) -> float:
        """One step: forward, backward, update."""
        loss = self.called(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss.item()


class Compiled(Train):
    """The same through torch.compile with its default settings; the first step compiles."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.called = torch.compile(self.model)


def loss_of(logits_BTV: Any, targets_BT: Any) -> Any:
    """The mean cross-entropy."""
    return F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())


class Llama(nn.Module):
    """transformers' model with its loss."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.inner = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).train()

    def forward(self, tokens_BT: Any, targets_BT: Any) -> Any:
        return loss_of(self.inner(tokens_BT, use_cache=False).logits, targets_BT)


# --- GPT-2 ----------------------------------------------------------------------------------------------------------


class GPT(nn.Module):
    """GPT-2 with its loss. Parameters have transformers' names; matrices lie the other way round."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(c.vocab_size, c.n_embd), nn.Embedding(c.n_positions, c.n_embd)
        self.h = nn.ModuleList(Block(c) for _ in range(c.n_layer))
        self.ln_f = nn.LayerNorm(c.n_embd, c.layer_norm_epsilon)

    @classmethod
    def of(cls, folder: str) -> GPT:
        """With the weights of a folder. Raises RuntimeError for any that is missing or left over."""
        found = transformers.GPT2Model.from_pretrained(folder, dtype=torch.float32)
        turned = lambda name, array: array.T if ".c_" in name and array.ndim > 1 else array  # noqa: E731
        made = cls(found.config)
        made.load_state_dict({name: turned(name, array) for name, array in found.state_dict().items()})
        return made

    def forward(self, tokens_BT: Any, targets_BT: Any) -> Any:
        x_BTD = self.wte(tokens_BT) + self.wpe.weight[: tokens_BT.shape[1]]
        for block in self.h:
            x_BTD = block(x_BTD)
        return loss_of(F.linear(self.ln_f(x_BTD), self.wte.weight), targets_BT)


class Block(nn.Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = (nn.LayerNorm(c.n_embd, c.layer_norm_epsilon) for _ in range(2))
        self.attn, self.mlp = Attention(c.n_embd, c.n_head), FeedForward(c.n_embd, c.n_inner or 4 * c.n_embd)

    def forward(self, x_BTD: Any) -> Any:
        x_BTD = x_BTD + self.attn(self.ln_1(x_BTD))
        return x_BTD + self.mlp(self.ln_2(x_BTD))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.c_attn, self.c_proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x_BTD: Any) -> Any:
        three = self.c_attn(x_BTD).chunk(3, dim=-1)
        q_BHTK, k_BHSK, v_BHSK = (each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in three)
        z_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BHSK, v_BHSK, is_causal=True)
        return self.c_proj(z_BHTK.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x_BTD: Any) -> Any:
        return self.c_proj(F.gelu(self.c_fc(x_BTD), approximate="tanh"))
