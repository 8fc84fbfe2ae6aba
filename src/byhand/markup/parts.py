"""The parts of a card: headings, tables, bars and what folds away. Every text that is put in is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

# Colours come from the page that it stands in; what is drawn here is mixed from them, so that it fits light and dark.
STYLE = """<style>
.byhand{font:13px/1.45 system-ui,sans-serif;overflow-x:auto;--line:color-mix(in srgb,currentColor 20%,transparent)}
.byhand table{border-collapse:collapse;margin:.3em 0;font-variant-numeric:tabular-nums}
.byhand caption{text-align:left;opacity:.75}
.byhand th,.byhand td{padding:.1em .6em;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
.byhand th{font-weight:600}.byhand .w{text-align:left}
.byhand code{font:12px ui-monospace,monospace}.byhand summary{cursor:pointer}
.byhand .t{position:relative;min-width:9em}
.byhand .t i{position:absolute;inset:15% auto 15% 0;background:#4c78a8;opacity:.35}
.byhand img{image-rendering:pixelated;display:block;margin:.3em 0;max-width:100%}
</style>"""

LEFT = ' class="w"'
Bar = tuple[str, float, str]


def card(*parts: str) -> str:
    """All of one object."""
    return f'{STYLE}<div class="byhand">{"".join(parts)}</div>'


def heading(name: str, rest: str = "") -> str:
    return f"<div><code><b>{escape(name)}</b></code> {escape(rest)}</div>"


def paragraph(text: str, code: bool = False) -> str:
    tag = "code" if code else "span"
    return f"<div><{tag}>{escape(text)}</{tag}></div>"


def table(rows: Iterable[Sequence[str]], head: Sequence[str] = (), *, words: int = 1, caption: str = "") -> str:
    """Rows of texts; words: how many first columns are words, which stand left and are the headings of their row."""

    def line(cells: Sequence[str], tag: str) -> str:
        made = []
        for i, cell in enumerate(cells):
            kind = "th" if tag == "th" or i == 0 else "td"
            scope = ' scope="col"' if tag == "th" else ' scope="row"' if i == 0 else ""
            made.append(f"<{kind}{scope}{LEFT * (i < words)}>{escape(cell)}</{kind}>")
        return f"<tr>{''.join(made)}</tr>"

    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    top = f"<thead>{line(head, 'th')}</thead>" if head else ""
    return f"<table>{above}{top}<tbody>{''.join(line(row, 'td') for row in rows)}</tbody></table>"


def bars(rows: Iterable[Bar], caption: str = "") -> str:
    """A bar a row: its name, how long it is (0 to 1), and the number beside it."""
    made = "".join(
        f'<tr><th scope="row" class="w">{escape(name)}</th><td class="t"><i style="width:{min(max(share, 0), 1):.1%}">'
        f"</i>{escape(number)}</td></tr>"
        for name, share, number in rows
    )
    return f"<table>{f'<caption>{escape(caption)}</caption>' * bool(caption)}<tbody>{made}</tbody></table>"


def fold(summary: str, inside: str, *, opened: bool = False) -> str:
    """What can be folded away by the reader."""
    return f"<details{' open' * opened}><summary>{escape(summary)}</summary>{inside}</details>"
