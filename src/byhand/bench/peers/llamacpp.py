"""llama.cpp at work, through the C functions that llama-cpp-python offers: nothing of Python's inside its time."""

from __future__ import annotations

import ctypes
import os
from time import perf_counter
from typing import Any

import llama_cpp  # type: ignore[import-not-found]
import numpy as np

from byhand.bench.work import PROMPT, Work

Array = np.ndarray[Any, Any]


@llama_cpp.llama_log_callback
def silent(level: int, text: bytes, data: Any) -> None:
    """Nothing is printed."""


class LlamaCpp:
    """A model with a context for the work. Threads: one for each core; all other settings are its own defaults."""

    def __init__(self, work: Work) -> None:
        self.work, self.ids, self.facts = work, work.ids, {}
        llama_cpp.llama_log_set(silent, ctypes.c_void_p())
        llama_cpp.llama_backend_init()
        setting = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(os.fsencode(work.file), setting)
        if not self.model:
            raise RuntimeError(f"llama.cpp does not load {work.file}")
        context = llama_cpp.llama_context_default_params()
        B, T = self.ids.shape
        context.n_ctx, context.n_seq_max, context.n_batch = max(B * T, 256), B, max(B * T, 32)
        context.kv_unified = B == 1
        context.n_threads = context.n_threads_batch = work.threads
        self.context = llama_cpp.llama_init_from_model(self.model, context)
        if not self.context:
            raise RuntimeError("llama.cpp makes no context for it")
        self.batch = llama_cpp.llama_batch_init(B * T, 0, 1)

    def read(self, ids: Array, first: int) -> None:
        """Read the next ids [B,T] of all texts at once, of which the first has this position."""
        B, T = ids.shape
        batch = self.batch
        batch.n_tokens = B * T
        for place, (b, t) in enumerate(np.ndindex(B, T)):
            batch.token[place], batch.pos[place], batch.logits[place] = int(ids[b, t]), first + t, t == T - 1
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, b
        if code := llama_cpp.llama_decode(self.context, batch):
            raise RuntimeError(f"llama_decode failed with code {code}")

    def logits(self, T: int) -> Array:
        """The logits [B,V] after the last token of each text, T tokens read of each."""
        V = self.work.config["vocabulary"]
        rows = [llama_cpp.llama_get_logits_ith(self.context, (b + 1) * T - 1) for b in range(len(self.ids))]
        return np.stack([np.ctypeslib.as_array(row, (V,)) for row in rows])

    def forget(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), False)


class Decode(LlamaCpp):
    def answer(self) -> Array:
        self.run()
        return self.last

    def run(self) -> float:
        self.forget()
        self.read(self.ids[:, :PROMPT], 0)
        self.logits(PROMPT)  # llama_decode may return before it is done; to ask for the logits waits
        start = perf_counter()
        for t in range(PROMPT, self.ids.shape[1]):
            self.read(self.ids[:, t : t + 1], t)
            self.last = self.logits(1)
        return perf_counter() - start


class Prefill(LlamaCpp):
    def answer(self) -> Array:
        self.forget()
        self.read(self.ids, 0)
        return self.logits(self.ids.shape[1])

    def run(self) -> float:
        start = perf_counter()
        self.answer()
        return perf_counter() - start


CONTESTANTS = {"decode": Decode, "memory": Decode, "prefill": Prefill, "start-up": Prefill}
