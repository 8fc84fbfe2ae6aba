"""The tokenizer that lies beside a model's weights."""

from __future__ import annotations

from pathlib import Path

from byhand.checkpoints.record import Finding
from byhand.tokenizer import Tokenizer, check, load


def tokenizer_beside(folder: Path, vocabulary: int) -> tuple[Tokenizer | None, tuple[Finding, ...]]:
    """The tokenizer in a folder, None where there is none, and what was found out about it.

    vocabulary: rows of the model's token table. Raises InputError for a tokenizer that does not fit them.
    """
    found = load(folder)
    if found is None:
        return None, (Finding("tokenizer", "none", "no tokenizer's file beside the weights; works on token ids"),)
    check(found, vocabulary, str(folder))
    findings = [Finding("tokenizer", found.kind, "the files beside the weights")]
    if padding := vocabulary - len(found):
        how = f"the table has {vocabulary} rows, the tokenizer {len(found)} ids"
        findings.append(Finding("padding", f"{padding} rows without a token, kept", how))
    return found, tuple(findings)
