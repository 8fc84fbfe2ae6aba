"""What a model's files say about the ends of a text: what is put before and after it, and what ends it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from byhand.errors import InputError
from byhand.shapes import whole
from byhand.tokenizer.base import Ends, Ids
from byhand.tokenizer.reading import read, read_json, vocabulary

CONFIG, MAP, GENERATION = "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"
ADDED = "added_tokens.json"
SPECIAL = re.compile(r"[<\[].*[>\]]", re.DOTALL)  # how every project writes the tokens that are no text
STOPS = ("<|endoftext|>", "</s>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>")
BEGINS = ("<s>", "<|begin_of_text|>")

IdOf = Callable[[str], int | None]


class Configs:
    """The settings that lie beside a tokenizer: tokenizer_config.json and its like, those that there are."""

    def __init__(self, files: Mapping[str, bytes] | None = None, folder: Path | None = None) -> None:
        """folder: where they lie, for messages."""
        self.files = dict(files or {})
        self.read = {
            name: self.mapping(str(folder / name) if folder else name, data) for name, data in self.files.items()
        }

    @classmethod
    def beside(cls, folder: Path) -> Configs:
        """Raises InputError for a file that cannot be read."""
        names = [name for name in (CONFIG, MAP, GENERATION, ADDED) if (folder / name).is_file()]
        return cls({name: read(folder / name) for name in names}, folder)

    @staticmethod
    def mapping(where: str, data: bytes) -> Mapping[str, Any]:
        found = read_json(data, where)
        if not isinstance(found, Mapping):
            raise InputError(f"{where} must be a JSON object, not {type(found).__name__}")
        return found

    def get(self, key: str) -> Any:
        """A setting of tokenizer_config.json, or of the older special_tokens_map.json."""
        return next((self.read[name][key] for name in (CONFIG, MAP) if key in self.read.get(name, {})), None)

    def more_tokens(self) -> dict[str, int]:
        """The tokens that added_tokens.json adds to the vocabulary. Raises InputError."""
        return vocabulary(self.read[ADDED], ADDED) if self.read.get(ADDED) else {}

    def flag(self, key: str) -> bool | None:
        found = self.get(key)
        if found is not None and not isinstance(found, bool):
            raise InputError(f"{CONFIG}: {key} is {found!r:.40}; it must be true or false")
        return found

    def token(self, key: str) -> str | None:
        """The name of a special token, which some files write as an object with more about it. Raises InputError."""
        found = self.get(key)
        name = found.get("content") if isinstance(found, Mapping) else found
        if name is not None and not isinstance(name, str):
            raise InputError(f"{CONFIG}: {key} is {found!r:.40}; it must be the token's text")
        return name

    def ends(self, id_of: IdOf, default: Ends) -> Ends:
        """What the settings say where they say something, and `default` elsewhere. Raises InputError."""
        begin = self.added("add_bos_token", "bos_token", id_of, default.begin, BEGINS)
        end = self.added("add_eos_token", "eos_token", id_of, default.end, STOPS)
        return Ends(begin, end, self.stops(id_of) or default.stops or known(STOPS, id_of))

    def added(self, flag: str, key: str, id_of: IdOf, default: Ids, names: Iterable[str]) -> Ids:
        asked = self.flag(flag)
        if asked is None:
            return default
        if not asked:
            return ()
        name = self.token(key)
        found = known(names, id_of)[:1] if name is None else known([name], id_of)
        if not found:
            raise InputError(f"{CONFIG} says {flag}, but its {key} {name!r:.40} is not in the vocabulary")
        return found

    def stops(self, id_of: IdOf) -> Ids:
        """The ids of generation_config.json and the eos_token; nothing where no file says."""
        given = self.read.get(GENERATION, {}).get("eos_token_id")
        listed = [] if given is None else given if isinstance(given, list) else [given]
        for each in listed:
            if whole(each) is None or each < 0:
                raise InputError(f"{GENERATION}: eos_token_id is {each!r:.40}; ids are whole numbers from 0")
        name = self.token("eos_token")
        return tuple(dict.fromkeys([*listed, *(() if name is None else known([name], id_of))]))


def known(names: Iterable[str], id_of: IdOf) -> Ids:
    """The ids of those tokens that there are."""
    return tuple(found for found in map(id_of, names) if found is not None)


def template_ends(step: Any, id_of: IdOf, where: str) -> Ends:
    """What the post-processor of a tokenizer.json puts around one text. Raises InputError for a kind it cannot tell."""
    kind = step.get("type") if isinstance(step, Mapping) else None
    if step is None or kind == "ByteLevel":
        return Ends()
    if kind == "Sequence":
        inside = [template_ends(each, id_of, where) for each in step["processors"]]
        begin = tuple(token for each in reversed(inside) for token in each.begin)
        return Ends(begin, tuple(token for each in inside for token in each.end))
    if kind in ("BertProcessing", "RobertaProcessing"):
        return Ends((step["cls"][1],), (step["sep"][1],))
    if kind != "TemplateProcessing":
        raise InputError(f"{where}: the post-processor {kind!r:.40} is unknown; use another form of the tokenizer")
    around: tuple[list[int], list[int]] = ([], [])
    after = 0
    for each in step["single"]:
        if "Sequence" in each:
            after = 1
        else:
            around[after].extend(step["special_tokens"][each["SpecialToken"]["id"]]["ids"])
    return Ends(tuple(around[0]), tuple(around[1]))


def template(ends: Ends, names: Mapping[int, str]) -> dict[str, Any] | None:
    """The post-processor that puts these ids around a text; names: the token of each id."""
    if not (ends.begin or ends.end):
        return None

    def special(token: int, segment: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": names[token], "type_id": segment}}

    def text(which: str, segment: int) -> dict[str, Any]:
        return {"Sequence": {"id": which, "type_id": segment}}

    def around(which: str, segment: int) -> list[Any]:
        before, after = ([special(token, segment) for token in ids] for ids in (ends.begin, ends.end))
        return [*before, text(which, segment), *after]

    used = {names[token]: token for token in (*ends.begin, *ends.end)}
    tokens = {name: {"id": name, "ids": [token], "tokens": [name]} for name, token in used.items()}
    pair = [*around("A", 0), *around("B", 1)]
    return {"type": "TemplateProcessing", "single": around("A", 0), "pair": pair, "special_tokens": tokens}


def settings(ends: Ends, names: Mapping[int, str]) -> dict[str, bytes]:
    """The files that say this beside a tokenizer.json, for transformers and for byhand; names: the token of each id."""
    begin, stop = (next((names[token] for token in ids if token in names), None) for ids in (ends.begin, ends.stops))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": begin, "eos_token": stop}
    made: dict[str, Any] = {CONFIG: {key: value for key, value in config.items() if value is not None}}
    if len(ends.stops) > 1:
        made[GENERATION] = {"eos_token_id": [*ends.stops]}
    return {name: json.dumps(each).encode() for name, each in made.items()}
