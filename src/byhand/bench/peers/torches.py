"""PyTorch at work: transformers' models continuing a text, and their forward run, eager and compiled."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found]
import transformers  # type: ignore[import-not-found]

from byhand.bench.peers import trainers
from byhand.bench.work import PROMPT, Work

Array = np.ndarray[Any, Any]
TYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Transformers:
    """transformers' model of a folder, ready to be asked. types: by kind of weights; float32 for all others."""

    types = TYPES

    def __init__(self, work: Work) -> None:
        torch.set_num_threads(work.threads)
        torch.set_grad_enabled(False)
        transformers.utils.logging.disable_progress_bar()
        self.work, self.facts = work, {}
        self.ids = torch.from_numpy(work.ids)
        dtype = self.types.get(work.kind, torch.float32)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(work.folder, dtype=dtype).eval()

    def answer(self) -> Array:
        raise NotImplementedError

    def run(self) -> float:
        start = perf_counter()
        self.answer()
        return perf_counter() - start


class Decode(Transformers):
    """Its cache, one token after the other."""

    def answer(self) -> Array:
        self.run()
        return self.last.float().numpy()

    def run(self) -> float:
        made = self.model(self.ids[:, :PROMPT], use_cache=True)
        start = perf_counter()
        for t in range(PROMPT, self.ids.shape[1]):
            made = self.model(self.ids[:, t : t + 1], past_key_values=made.past_key_values, use_cache=True)
        seconds = perf_counter() - start
        self.last = made.logits[:, -1]
        return seconds


class Prefill(Transformers):
    """A prompt into its cache; logits of the last position only."""

    def answer(self) -> Array:
        return self.model(self.ids, use_cache=True, logits_to_keep=1).logits[:, -1].float().numpy()


class Forward(Transformers):
    """Logits of all positions, without a cache. In float32 whatever the kind, which is the fastest there is for it."""

    types: dict[str, Any] = {}

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.called: Any = self.model

    def answer(self) -> Array:
        return self.called(self.ids, use_cache=False).logits.numpy()


class Compiled(Forward):
    """The same through torch.compile with its default settings; the first run compiles."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.called = torch.compile(self.model)


CONTESTANTS = {"decode": Decode, "memory": Decode, "prefill": Prefill, "start-up": Prefill}
EAGER = {"forward": Forward, "train": trainers.Train}
COMPILED = {"forward": Compiled, "train": trainers.Compiled}
