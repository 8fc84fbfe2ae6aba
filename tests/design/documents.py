"""What the tests read out of a Markdown page."""

import re
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from .tree import ROOT

README = ROOT / "README.md"
HTML_LINK = re.compile(r"""(?:src|href|srcset)=["']([^"']+)["']""")


def pages() -> list[Path]:
    """Every page that a person reads: those beside the README, and docs."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def tokens(text: str) -> Iterator[Token]:
    """All tokens of a page, those within its lines too."""
    for token in MarkdownIt("commonmark").parse(text):
        yield token
        yield from token.children or []


def fences(text: str) -> Iterator[Token]:
    return (token for token in tokens(text) if token.type == "fence")


def python_of(text: str) -> str:
    """The page's Python, every line of it where it stands in the page, so that an error names the page's line."""
    lines = [""] * len(text.splitlines())
    for fence in fences(text):
        if fence.info.split()[:1] == ["python"] and fence.map:
            code = fence.content.splitlines()
            lines[fence.map[0] + 1 : fence.map[0] + 1 + len(code)] = code
    return "\n".join(lines)


def links(text: str) -> Iterator[str]:
    """The targets of links and pictures, written as Markdown or as HTML."""
    for token in tokens(text):
        if token.type in ("html_block", "html_inline"):
            yield from HTML_LINK.findall(token.content)
        for name in ("href", "src"):
            if token.attrGet(name):
                yield str(token.attrGet(name))


def commands(text: str) -> set[str]:
    """The make commands that a page shows as code, such as ``make test``."""
    code = [token.content for token in tokens(text) if token.type in ("fence", "code_block", "code_inline")]
    return {f"make {name}" for piece in code for name in re.findall(r"^(?:\$ )?make ([a-z]+)", piece, re.MULTILINE)}
