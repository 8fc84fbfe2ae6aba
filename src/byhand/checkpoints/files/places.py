"""From a path that somebody gave to one that can be looked at."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from byhand.errors import InputError


def place_of(given: Any) -> Path:
    """The path itself, with ~ for the home folder; there may be nothing yet.

    Raises InputError for what is no path, is too long, or lies in a folder that may not be looked into.
    """
    if not isinstance(given, str | os.PathLike):
        raise InputError(f"{given!r:.60} is no path; give a text or a pathlib.Path")
    path = Path(os.path.expanduser(given))
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise InputError(f"cannot look at {str(path)!r:.80}: {getattr(error, 'strerror', None) or error}") from None
    return path
