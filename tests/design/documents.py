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


# The file tree: a fenced block of `name   description` lines, two spaces deeper for each folder, folders ending in "/".


def tree_block(page: str) -> str:
    """The block that starts at src/byhand/."""
    blocks = [fence.content for fence in fences(page) if fence.content.startswith("src/byhand/ ")]
    assert len(blocks) == 1, f"one fenced block must start with src/byhand/, {len(blocks)} do"
    return blocks[0]


def listed(block: str) -> Iterator[str]:
    """The path of every line; a line that is not well formed, or says nothing, is a failure."""
    folders: list[str] = []
    for line in filter(str.strip, block.splitlines()):
        parts = re.fullmatch(r"((?:  )*)(\S+)  +\S.*", line)
        assert parts, f"not an indented `name  description`: {line!r}"
        depth = len(parts[1]) // 2
        assert depth <= len(folders), f"deeper than the folder above it: {line!r}"
        folders[depth:] = [parts[2]]
        assert all(folder.endswith("/") for folder in folders[:-1]), f"its folder does not end in /: {line!r}"
        yield "".join(folders)
