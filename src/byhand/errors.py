"""Everything that can be wrong with what a user gave. Each message is one line: what, where, what was got, the fix."""


def one_line(text: str) -> str:
    """A text in one line that a terminal can be given: what files are called may hold anything."""
    line = " ".join(text.splitlines())
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)


class ByhandError(Exception):
    """Base of all errors a user can cause; the command line prints the line and exits with 2."""

    def __init__(self, line: object = "") -> None:
        super().__init__(one_line(str(line)))


class ByhandWarning(UserWarning):
    """Something that works, but perhaps not as it was meant; the command line prints the line and goes on."""


class ShapeError(ByhandError):
    """Two arrays of one step disagree about the size of an axis, or an array has the wrong number of axes."""


class AddressError(ByhandError, KeyError):
    """No value has this address, or an index lies outside the value."""

    __str__ = Exception.__str__  # KeyError would print the line inside quotation marks


class InputError(ByhandError, ValueError):
    """The text, tokens, settings or edit cannot be used as given."""


class MemoryRefused(ByhandError):
    """The run would not fit in memory; raised before anything is computed."""


class NotANumber(ByhandError):
    """A step of the program gave NaN; names the first such step and where it came from."""
