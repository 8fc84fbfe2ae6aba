"""What changed between two runs, for `run --edit` and the tour."""

from __future__ import annotations

from rich.text import Text

from byhand.changes import shown
from byhand.cli import show
from byhand.cli.figures import scalar
from byhand.diff import Change, Diff, best


def print_diff(diff: Diff, most: int = 5) -> None:
    """The first change, the largest ones, and the output before and after."""
    if diff.first is None:
        show.write("Nothing that was kept differs.")
        return
    rows = [row("first", diff.first)]
    rows += [row("largest" if i == 0 else "", each) for i, each in enumerate(diff.largest(most))]
    columns = {"": "left", "value": "left", "before": "right", "after": "right", "numbers that differ": "right"}
    show.write(show.table(columns, rows))
    if diff.before is not None and diff.after is not None:
        show.write("", *outcome(diff))


def row(word: str, each: Change) -> list[str]:
    where = f"{each.address}{shown(each.index)}"
    return [word, where, scalar(each.before), scalar(each.after), f"{each.count} of {each.size}"]


def outcome(diff: Diff) -> list[Text]:
    """What the model expects after the last position."""
    assert diff.before is not None and diff.after is not None
    return [
        Text.assemble(("last position before  ", "dim"), best(diff.before, diff.labels)),
        Text.assemble(("               after  ", "dim"), best(diff.after, diff.labels)),
    ]
