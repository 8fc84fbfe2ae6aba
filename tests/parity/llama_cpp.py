"""llama.cpp itself: what it makes of a file, and its quantiser. The package xllamacpp brings it compiled.

Its C interface is called as llama.h of the release named in pyproject.toml has it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int8, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from pathlib import Path

import numpy as np
from xllamacpp import xllamacpp

from .harness import Array

lib = ctypes.CDLL(xllamacpp.__file__)

KINDS = {"f16": 1, "q4_0": 2, "q8_0": 8, "bf16": 30}
FLOAT32 = 0


class ModelSetting(ctypes.Structure):
    _fields_ = [
        ("pointers", c_void_p * 2),
        ("numbers", c_int32 * 5),
        ("more_pointers", c_void_p * 4),
        ("vocab_only", c_bool),
        ("rest", c_int8 * 255),
    ]


class ContextSetting(ctypes.Structure):
    _fields_ = [
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("counts", c_uint32 * 4),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("kinds", c_int32 * 4),
        ("flash_attention", c_int32),
        ("numbers", c_float * 8),
        ("pointers", c_void_p * 2),
        ("type_k", c_int32),
        ("type_v", c_int32),
        ("rest", c_int8 * 384),
    ]


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    ]


FUNCTIONS = {
    "llama_model_default_params": (ModelSetting, []),
    "llama_context_default_params": (ContextSetting, []),
    "llama_model_load_from_file": (c_void_p, [c_char_p, ModelSetting]),
    "llama_init_from_model": (c_void_p, [c_void_p, ContextSetting]),
    "llama_model_free": (None, [c_void_p]),
    "llama_free": (None, [c_void_p]),
    "llama_batch_init": (Batch, [c_int32, c_int32, c_int32]),
    "llama_batch_free": (None, [Batch]),
    "llama_decode": (c_int32, [c_void_p, Batch]),
    "llama_get_logits_ith": (POINTER(c_float), [c_void_p, c_int32]),
    "llama_model_get_vocab": (c_void_p, [c_void_p]),
    "llama_vocab_n_tokens": (c_int32, [c_void_p]),
    "llama_tokenize": (c_int32, [c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool]),
    "ggml_quantize_chunk": (c_size_t, [c_int32, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p]),
}
for name, (result, arguments) in FUNCTIONS.items():
    getattr(lib, name).restype, getattr(lib, name).argtypes = result, arguments

SAID: list[str] = []


@ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)
def log(level: int, text: bytes, data: int) -> None:
    """llama.cpp writes much; only errors are kept, for the message of a failed test."""
    if level == 4:
        SAID.append(text.decode(errors="replace").strip())


lib.llama_log_set(log, None)
lib.llama_backend_init()


def check_settings() -> None:
    """Raise AssertionError when another release has its settings in other places."""
    setting = lib.llama_context_default_params()
    assert (setting.n_ctx, setting.n_batch, setting.n_ubatch) == (512, 2048, 512)
    assert (setting.flash_attention, setting.type_k, setting.type_v) == (-1, 1, 1)
    assert not lib.llama_model_default_params().vocab_only


@contextmanager
def loaded(path: Path, vocab_only: bool = False) -> Iterator[int]:
    SAID.clear()
    setting = lib.llama_model_default_params()
    setting.vocab_only = vocab_only
    model = lib.llama_model_load_from_file(os.fsencode(path), setting)
    assert model, f"llama.cpp does not load it: {' '.join(SAID)}"
    try:
        yield model
    finally:
        lib.llama_model_free(model)


@contextmanager
def batch_of(tokens: Sequence[int]) -> Iterator[Batch]:
    batch = lib.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for place, token in enumerate(tokens):
        batch.token[place], batch.pos[place], batch.logits[place] = token, place, 1
        batch.n_seq_id[place], batch.seq_id[place][0] = 1, 0
    try:
        yield batch
    finally:
        lib.llama_batch_free(batch)


def logits(path: Path, tokens: Sequence[int]) -> Array:
    """What llama.cpp computes of a file for some tokens, float32 [T,V], its keys and values in float32."""
    setting = lib.llama_context_default_params()
    setting.n_ctx = setting.n_batch = setting.n_ubatch = max(32, len(tokens))
    setting.n_threads = setting.n_threads_batch = 2
    setting.type_k = setting.type_v = FLOAT32
    setting.flash_attention = 0
    with loaded(path) as model, batch_of(tokens) as batch:
        context = lib.llama_init_from_model(model, setting)
        assert context, f"llama.cpp does not run it: {' '.join(SAID)}"
        try:
            assert lib.llama_decode(context, batch) == 0, " ".join(SAID)
            size = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
            rows = [lib.llama_get_logits_ith(context, place) for place in range(len(tokens))]
            return np.stack([np.ctypeslib.as_array(row, (size,)).copy() for row in rows])
        finally:
            lib.llama_free(context)


def tokens_of(path: Path, text: str) -> list[int]:
    """The token ids that llama.cpp gives a text, with the tokens it adds; nothing in it is a special token."""
    data = text.encode()
    room = (c_int32 * (4 * len(data) + 8))()
    with loaded(path, vocab_only=True) as model:
        count = lib.llama_tokenize(lib.llama_model_get_vocab(model), data, len(data), room, len(room), True, False)
    assert count >= 0
    return room[:count]


def quantized(kind: str, rows: Array) -> Array:
    """What llama.cpp's quantiser makes of float32 [rows, columns], uint8 [rows, bytes]."""
    plain = np.ascontiguousarray(rows, np.float32)
    made = np.zeros(plain.nbytes, np.uint8)
    size = lib.ggml_quantize_chunk(KINDS[kind], plain.ctypes.data, made.ctypes.data, 0, *plain.shape, None)
    return made[:size].reshape(len(plain), -1)
