"""HTML for notebooks: tables, bars and pictures without a script, light or dark as the reader has it."""

from byhand.markup.grid import array
from byhand.markup.parts import bars, card, fold, heading, paragraph, table
from byhand.markup.picture import heat

__all__ = ["array", "bars", "card", "fold", "heading", "heat", "paragraph", "table"]
