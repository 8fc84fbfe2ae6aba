"""What a run can be asked to show: `run.explore()`, `run.figure()` and `run.report()`."""

from __future__ import annotations

import sys
from typing import Any

from byhand.errors import InputError
from byhand.explorer.figures import figure
from byhand.explorer.report import report
from byhand.explorer.runs import session_of
from byhand.run import Run

__all__ = ["explore", "figure", "report"]


def explore(run: Run, *, height: int = 720, port: int = 0, browser: bool = True) -> Any:
    """The page of a run: in a notebook a widget, elsewhere a server that ends with the process or with `close()`.

    height: of the widget, in CSS pixels; port: of the server, 0 for a free one; browser: open the page.
    Raises InputError for a run that the page cannot show, and where a notebook lacks anywidget.
    """
    session, scene = session_of(run)
    if not in_notebook():
        from byhand.explorer.background import Page

        return Page(session, port=port, browser=browser)
    try:
        from byhand.explorer.notebook import Explorer
    except ImportError:
        raise InputError("a notebook needs anywidget; pip install 'byhand[notebook]'") from None
    return Explorer(session, scene, height)


def in_notebook() -> bool:
    """Whether cells of a notebook are run here, rather than a script or a shell."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell else None
    return found is not None and hasattr(found, "kernel")
