"""How other projects' files hold a model's weights: one table of names a project, which reads and writes."""

from byhand.layouts.layout import Layout, Row, Source, Stored, joined, pieces, rows_for, shape, split, stored
from byhand.layouts.matching import Matched, match

__all__ = [
    "Layout",
    "Matched",
    "Row",
    "Source",
    "Stored",
    "joined",
    "match",
    "pieces",
    "rows_for",
    "shape",
    "split",
    "stored",
]
