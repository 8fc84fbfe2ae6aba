"""One token a character: the smallest tokenizer there is, and how nanoGPT keeps it."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from byhand.errors import InputError
from byhand.shapes import whole
from byhand.tokenizer.base import Ends, Tokenizer
from byhand.tokenizer.document import described
from byhand.tokenizer.ends import settings, template
from byhand.tokenizer.trace import Piece

NO_ENDS = Ends()
PRINTABLE = "\n" + "".join(map(chr, range(32, 127)))


WHOLE = ("INT", "LONG", "LONG1", "LONG4")
LARGEST = 1 << 60  # larger numbers can be chosen so that all have the same hash, and a dict of them takes hours


class Characters(Tokenizer):
    """One token a character of a fixed alphabet; its place there is its id. Special tokens follow the alphabet."""

    def __init__(
        self, alphabet: str, files: Mapping[str, bytes] | None = None, special: Sequence[str] = (), ends: Ends = NO_ENDS
    ) -> None:
        self.alphabet = alphabet
        self.places = {character: i for i, character in enumerate(alphabet)}
        names = {name: len(alphabet) + i for i, name in enumerate(special)}
        table = {i: character.encode("utf-8", "surrogatepass") for i, character in enumerate(alphabet)}
        super().__init__(table | {i: name.encode() for name, i in names.items()}, names, ends, files or {})
        self.kind = f"characters, {len(self):,} tokens"

    def ids(self, text: str, special: bool) -> list[int]:
        """Raises InputError naming the first character that is not in the alphabet."""
        parts = self.parts(text, special)
        return [token for part, found in parts for token in ([found] if found is not None else self.letters(part))]

    def letters(self, text: str) -> list[int]:
        for place, character in enumerate(text):
            if character not in self.places:
                some = self.alphabet if len(self.alphabet) < 20 else f"{self.alphabet[1:12]}..."
                raise InputError(
                    f"character {character!r} at {place} is not in the alphabet {some!r} of this model; use only those"
                )
        return [self.places[character] for character in text]

    def pieces(self, text: str, special: bool) -> Iterator[Piece]:
        for part, found in self.parts(text, special):
            if found is not None:
                yield Piece(part, (found,), (part,), note="added token")
                continue
            for token, character in zip(self.letters(part), part, strict=True):
                yield Piece(character, (token,), (character,))

    def files_to_write(self) -> dict[str, bytes]:
        """A tokenizer.json with no merges, what it says of the ends of a text, and the file that this was read from."""
        model = {"type": "BPE", "vocab": self.places, "merges": []}
        ends, names = Ends(self.begin, self.end, self.stops), {token: name for name, token in self.special.items()}
        document = described(model, self.special, decoder={"type": "Fuse"}, post_processor=template(ends, names))
        said = settings(ends, names) if self.special else {}
        return {**self.files, **said, "tokenizer.json": json.dumps(document).encode()}


def of_characters(document: Mapping[str, Any]) -> Characters | None:
    """The tokenizer of a tokenizer.json that is nothing but characters and special tokens; None for any other."""
    model, added = document["model"], document.get("added_tokens") or []
    steps = (document.get(name) for name in ("normalizer", "pre_tokenizer"))
    if model.get("type") != "BPE" or model.get("merges") or model.get("unk_token") or any(steps):
        return None
    names = sorted(model["vocab"], key=model["vocab"].get)
    alone = all(len(name) == 1 for name in names) and all(each["special"] for each in added)
    ids = [*sorted(model["vocab"].values()), *(each["id"] for each in added)]
    special = [each["content"] for each in added]
    return Characters("".join(names), special=special) if alone and ids == [*range(len(ids))] else None


class PlainData(pickle.Unpickler):
    """Reads numbers, texts, lists and dicts; whatever else a file asks for, which could run code, is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise InputError(f"asks for {module}.{name}, which could run code; it must hold only plain data"[:200])

    def persistent_load(self, pid: Any) -> NoReturn:
        raise InputError("refers to data outside the file; it must hold only plain data")


def read_meta(data: bytes, where: str) -> Characters:
    """nanoGPT's meta.pkl: `itos`, the character of each id. Nothing in it is run. Raises InputError."""
    check_pickle(data, where)
    try:
        meta = PlainData(io.BytesIO(data)).load()
    except InputError as error:
        raise InputError(f"{where} {error}") from None
    except Exception as error:  # a damaged pickle fails in every way there is
        raise InputError(f"{where} is no pickle that can be read ({type(error).__name__}); it is damaged") from None
    table = meta.get("itos") if isinstance(meta, dict) else None
    if not isinstance(table, dict) or not table:
        raise InputError(f"{where} has no itos, the character of each id, so it is no character tokenizer")
    characters = [table.get(i) for i in range(len(table))]
    if not all(isinstance(each, str) and len(each) == 1 for each in characters) or not all(
        whole(each) is not None for each in table
    ):
        raise InputError(f"{where}: itos must give each id from 0 to {len(table) - 1} one character")
    if len(set(characters)) < len(characters):
        raise InputError(f"{where}: itos gives two ids the same character")
    return Characters("".join(map(str, characters)), {"meta.pkl": data})


def check_pickle(data: bytes, where: str) -> None:
    """Refuse what would make the reader allocate more than the file has, before it is read. Raises InputError."""
    import pickletools

    try:
        for code, argument, _ in pickletools.genops(data):
            size = argument if isinstance(argument, int) else 0
            if code.name in ("PUT", "LONG_BINPUT", "BINPUT") and size > len(data):
                raise InputError(f"{where}: its memo has place {size}, more than its bytes; it is damaged")
            if code.name in WHOLE and abs(size) > LARGEST:
                raise InputError(f"{where}: it holds a number of more than 60 bits, which is no id; it is damaged")
            if code.name in ("FRAME", "EXT1", "EXT2", "EXT4") and (code.name != "FRAME" or size > len(data)):
                raise InputError(f"{where} is no plain pickle ({code.name}); it is damaged")
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{where} is no pickle that can be read ({type(error).__name__}); it is damaged") from None
