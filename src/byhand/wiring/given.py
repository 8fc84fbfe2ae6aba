"""What a person gives, checked: functions that are asked for values, numbers, levels of a score table."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from byhand.wiring.refusals import WiringError, refuse


def answer(site: str, of: Callable[..., Any], *values: Any) -> Any:
    """What a function says to values. Raises WiringError naming the site where it is none, fails, or cannot be used."""
    if not callable(of):
        refuse(site, f"it needs a function, and got {of!r:.40}")
    said = f"{', '.join(map(shown, values))}"
    try:
        found = of(*values)
    except WiringError:
        raise
    except Exception as error:
        refuse(site, f"its function fails for {said or 'no value'}: {type(error).__name__}: {error}")
    if not isinstance(found, Hashable):
        refuse(site, f"its function gives {found!r:.40} for {said}, which is no value: use strings, numbers or tuples")
    return found


def shown(value: Any) -> str:
    return str(value) if isinstance(value, Fraction) else repr(value)


def number(site: str, given: Any) -> Fraction:
    """A number as a fraction. Raises WiringError for anything else."""
    try:
        return Fraction(given)
    except (TypeError, ValueError, OverflowError):
        hint = "; a variable has them by .numbers({...})" if hasattr(given, "domain") else ""
        refuse(site, f"it needs a number, and got {given!r:.40}{hint}")


def known(site: str, given: Mapping[Any, Any], allowed: Iterable[Any], what: str) -> None:
    """Raises WiringError for keys of a mapping that never occur."""
    if not isinstance(given, Mapping):
        refuse(site, f"it needs a dictionary, and got {given!r:.40}")
    left = set(given) - set(allowed)
    if left:
        refuse(site, f"{what} never {min(left, key=repr)!r}")


def level(site: str, given: Any) -> float | None:
    """How much a key is wanted: a number, or None for not at all; True and False also do. Raises WiringError."""
    if given is None or isinstance(given, bool):
        return 1 if given else None
    if not isinstance(given, int | float | Fraction) or given != given:
        refuse(site, f"a level is a number, higher is better, or None for never, and not {given!r:.40}")
    return float(given)
