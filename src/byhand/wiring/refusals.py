"""What cannot be wired, said in one line: the site and the reason."""

from typing import NoReturn

from byhand.errors import ByhandWarning, InputError


class WiringError(InputError):
    """A wiring that cannot be made exactly, refused before any text is run: where, why, and mostly what to do."""


class WiringWarning(ByhandWarning):
    """A wiring that works, but holds something that can never take effect."""


def refuse(site: str, reason: str) -> NoReturn:
    """Raise WiringError naming the site."""
    raise WiringError(f"{site}: {reason}")
