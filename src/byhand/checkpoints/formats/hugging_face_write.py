"""Writing a Hugging Face folder that transformers loads: config.json, safetensors, the tokenizer's files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from byhand.checkpoints.files.safetensors import SHARD, Planned
from byhand.checkpoints.files.safetensors import write as write_arrays
from byhand.checkpoints.files.saving import check_room
from byhand.checkpoints.formats import hugging_face_config as configs
from byhand.checkpoints.record import Parts, Progress, silent
from byhand.errors import InputError
from byhand.families import FAMILIES
from byhand.layouts import Layout, Row, pieces, rows_for, shape
from byhand.layouts.hugging_face import LAYOUTS, PREFIXES
from byhand.program import Program
from byhand.weights import Weights


def write(parts: Parts, path: Path, progress: Progress = silent, shard: int = SHARD) -> None:
    """Write the folder. shard: the most bytes a file of weights may have. Raises InputError for another family."""
    if parts.family not in LAYOUTS:
        raise InputError(f"{parts.name} is of the family {parts.family}, which transformers lacks; save it as byhand")
    program, weights = complete(parts)
    layout, name = chosen_layout(parts)
    arrays = [planned(row, weights, program) for row in rows_for(layout, program)]
    check_room(path, sum(each.nbytes for each in arrays))
    path.mkdir()
    dtype = arrays[0].dtype.name
    save_json(path / "config.json", {**configs.written(parts.family, parts.config, name, dtype), **ends(parts)})
    if parts.family != "bert":
        save_json(path / "generation_config.json", {"_from_model_config": True, **ends(parts)})
    write_arrays(path, arrays, shard, progress)
    if parts.tokenizer is not None:
        parts.tokenizer.write(path)


def save_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def complete(parts: Parts) -> tuple[Program, Weights]:
    """The program and its weights; a GPT-2 without biases gets zeros, as transformers cannot leave them out."""
    if parts.family != "gpt2" or parts.config.bias:
        return parts.program, parts.weights
    program = FAMILIES["gpt2"].program(replace(parts.config, bias=True))
    shapes, dtype = program.shapes(), parts.weights.dtype("token.weight")
    zeros = {address: np.zeros(shapes[address], dtype) for address in program.weights if address not in parts.weights}
    return program, Weights({**parts.weights.sources, **zeros})


def chosen_layout(parts: Parts) -> tuple[Layout, str]:
    """The table, and the class of transformers that has all of this model's parts."""
    layout, c = LAYOUTS[parts.family], parts.config
    if parts.family != "bert":
        return layout, {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM"}[parts.family]
    if c.next_sentence:
        return layout, "BertForPreTraining" if c.masked_lm else "BertForNextSentencePrediction"
    if c.masked_lm:
        return layout, "BertForMaskedLM"
    bare = {name.removeprefix(PREFIXES["bert"]): row for name, row in layout.rows.items()}
    return replace(layout, rows=bare), "BertModel"


def planned(row: Row, weights: Weights, program: Program) -> Planned:
    """A row as it will be written, made from the model's weights when its turn comes."""
    dtype = np.result_type(*{weights.dtype(address) for address in row.weights})
    return Planned(row.name, dtype, shape(row, program), lambda: pieces(row, weights, program))


def ends(parts: Parts) -> dict[str, Any]:
    """The ids that begin and end a text; none where there is no tokenizer, as GPT-2's own would lie outside."""
    if parts.family == "bert":
        return {"pad_token_id": special(parts.tokenizer, "[PAD]")}
    begin = list(getattr(parts.tokenizer, "begin", ())) or [special(parts.tokenizer, "<|endoftext|>")]
    stops = list(getattr(parts.tokenizer, "stops", ())) or [special(parts.tokenizer, "<|endoftext|>")]
    return {"bos_token_id": begin[0], "eos_token_id": stops if len(stops) > 1 else stops[0]}


def special(tokenizer: Any, name: str) -> int | None:
    return getattr(tokenizer, "special", {}).get(name)
