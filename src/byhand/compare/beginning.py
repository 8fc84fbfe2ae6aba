"""What both sides are run on; where their tokens differ, that is the first difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from byhand import inputs as made
from byhand.compare.causes import Cause
from byhand.compare.sources import FromModel, Source, same
from byhand.compare.walk import DIFFERS, SKIPPED, Checked, Gap
from byhand.errors import InputError
from byhand.model import Model
from byhand.program import Program

Array = np.ndarray[Any, Any]
AROUND = 2  # tokens that a tokenizer puts around a text
LENGTH = 12  # fixed ids, where nothing is given
SEED = 0


@dataclass(frozen=True, eq=False)
class Texts:
    """inputs: what both are run on, by address; program: of the judge, with a loss if there are targets; own: the
    tokens of A and of B, where they differ; text: how a token is written.
    """

    inputs: dict[str, Array]
    program: Program
    own: tuple[Array, Array] | None = None
    write: Any = str

    @property
    def differ(self) -> bool:
        return self.own is not None


def agreed(sources: Sequence[Source], judge: int, text: Any, given: Mapping[str, Any]) -> Texts:
    """The inputs for both sides: a run's or dump's own, else those of the text. Raises InputError."""
    program = sources[judge].program
    assert program is not None
    with_loss = full_program(sources[judge])
    fixed = [each.fixed(with_loss) for each in sources]
    own = [tokens_of(each, held, text) for each, held in zip(sources, fixed, strict=True)]
    known = [tokens for tokens in own if tokens is not None]
    if text is not None and not known:
        raise InputError("neither side has a tokenizer, so the text cannot be read; give token ids instead")
    tokens = known[0] if known else fixed_ids(sources, program)
    differ = len(known) == 2 and not same(known[0], known[1])
    if differ:
        # the side that can be run on other tokens is run on those of the other
        other = 1 - judge
        tokens = known[judge] if isinstance(sources[other], FromModel) and fixed[judge] else known[other]
        refuse_too_high(tokens, program, sources[judge].name)
    arrays: dict[str, Any] = {**fixed[1 - judge], **fixed[judge], **plain(given)}
    if differ:
        arrays = {key: array for key, array in arrays.items() if np.shape(array)[:2] == tokens.shape}
    arrays["tokens"] = tokens
    if isinstance(sources[judge], FromModel):
        model: Model = sources[judge].model  # type: ignore[attr-defined]
        if given.get("source") is not None:
            arrays["source.tokens"] = model.token_ids(given["source"], "source text")
        arrays |= model.target_ids(arrays.get("targets"), arrays) if "logits" in program else {}
    program = with_loss if "targets" in arrays else program
    prepared = made.prepare(program, {key: array for key, array in arrays.items() if key in program.inputs})
    return Texts(prepared, program, (known[0], known[1]) if differ else None)


def plain(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None and key != "source"}


def full_program(each: Source) -> Program:
    """The program with its loss, so that the targets of a dump are known as an input."""
    if isinstance(each, FromModel):
        return each.model.program_with(True) if "logits" in each.model.program else each.model.program
    assert each.program is not None
    return each.program


def tokens_of(each: Source, held: Mapping[str, Array], text: Any) -> Array | None:
    """The tokens of one side: those it was made from, or the text in its own tokens."""
    if "tokens" in held:
        tokens = np.asarray(held["tokens"], np.int64)
        return tokens.reshape(-1, tokens.shape[-1])
    if not isinstance(each, FromModel) or text is None or (isinstance(text, str) and each.model.tokenizer is None):
        return None
    return each.model.token_ids(text)


def fixed_ids(sources: Sequence[Source], program: Program) -> Array:
    """A few token ids that both have."""
    programs = [each.program for each in sources if each.program is not None]
    vocabulary = min(each.sizes["V"] for each in programs)
    context = min(each.model.config.context for each in sources if isinstance(each, FromModel))
    return np.random.default_rng(SEED).integers(0, vocabulary, (1, min(LENGTH, context)))


def refuse_too_high(tokens: Array, program: Program, name: str) -> None:
    if tokens.max() >= program.sizes["V"]:
        raise InputError(f"the other side's tokens reach {tokens.max()}, but {name} has {program.sizes['V']}; give ids")


def token_step(texts: Texts) -> Checked:
    """The tokens as the first thing that differs: where first, and which."""
    assert texts.own is not None
    a_T, b_T = texts.own[0][0], texts.own[1][0]
    n = min(len(a_T), len(b_T))
    at = next((t for t in range(n) if a_T[t] != b_T[t]), n)
    a, b = (float(t[at]) if at < len(t) else float("nan") for t in (a_T, b_T))
    count = int((a_T[:n] != b_T[:n]).sum()) + abs(len(a_T) - len(b_T))
    also = f"{len(a_T)} tokens in A and {len(b_T)} in B" if len(a_T) != len(b_T) else ""
    return Checked("tokens", "input", DIFFERS, Gap((0, at), a, b, count, max(len(a_T), len(b_T)), also))


def token_cause(texts: Texts, checked: Sequence[Checked], judge: str) -> Cause:
    """A token at the beginning that one side lacks, and whether both agree on the longer text."""
    assert texts.own is not None
    a, b = (tokens[0].tolist() for tokens in texts.own)
    short, long, name = (a, b, "A") if len(a) < len(b) else (b, a, "B")
    clean = not any(each.state == DIFFERS for each in checked[1:])
    start = next((i for i in range(len(long) - len(short) + 1) if long[i : i + len(short)] == short), None)
    if len(short) == len(long) or start is None:
        return Cause("tokens", "none", "")
    ends = [*long[:start], *long[start + len(short) :]]
    kind = "missing begin token" if start and start + len(short) == len(long) else "missing begin or end token"
    kind = kind if len(ends) <= AROUND else "a shorter text"
    largest = max((each.gap.amount for each in checked[1:] if each.gap and each.state != SKIPPED), default=0.0)
    said = f"token{'s' * (len(ends) > 1)} {', '.join(map(str, ends))} added to the text of {name}"
    return Cause("tokens", kind, said, largest, ("tokens",) if clean else ())
