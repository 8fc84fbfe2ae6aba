"""The command line: one module a command, and here what they share: errors, exit codes, Ctrl-C, a closed pipe.

Exit codes: 0 done, 1 the answer is "no", 2 wrong use or bad input, 130 stopped with Ctrl-C, 141 the reader went away,
143 told to end (SIGTERM).
"""

import signal as signals
import sys
import warnings
from collections.abc import Sequence
from io import TextIOWrapper
from signal import SIG_DFL, SIG_IGN, getsignal, signal
from typing import Annotated, NoReturn

from typer import Exit, Option, Typer, TyperException

from byhand import __version__
from byhand.cli import (
    bench,
    compare,
    convert,
    explain,
    explore,
    generate,
    inspect,
    models,
    pseudocode,
    pull,
    run,
    tokenize,
    tour,
    trace,
    train,
    wire,
)
from byhand.cli.arguments import HELP, enter
from byhand.cli.show import CLOSED_PIPE, leave
from byhand.cli.waiting import compiling
from byhand.engines.announcing import ANNOUNCE
from byhand.errors import ByhandError, ByhandWarning, one_line

WRONG_USE, STOPPED = 2, 130
ENDINGS = [getattr(signals, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signals, name)]

app = Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False, context_settings=HELP)
for module in (
    tour,
    models,
    run,
    generate,
    trace,
    explain,
    pseudocode,
    compare,
    inspect,
    convert,
    tokenize,
    pull,
    train,
    wire,
    explore,
    bench,
):
    enter(app, module.__name__.rpartition(".")[2], module.command, module.EXAMPLES)


def version(asked: bool) -> None:
    if asked:
        print(f"byhand {__version__}")
        raise Exit


@app.callback(epilog="Start with: byhand tour")
def about(
    version: Annotated[bool, Option("--version", callback=version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """A transformer you can take apart: run it, look at every number, change it, explain it."""


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    for number in ENDINGS:
        if getsignal(number) == SIG_DFL:  # not what nohup ignores
            signal(number, end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a sign shows ? instead of failing
    ANNOUNCE.append(compiling)
    sys.exit(called(sys.argv[1:] if words is None else list(words)))


def end(number: int, frame: object) -> NoReturn:
    """Leave by way of every `finally`, so that nothing half written stays; once, however often it is asked for."""
    for each in ENDINGS:
        signal(each, SIG_IGN)
    raise SystemExit(128 + number)


def called(words: list[str]) -> int:
    """Run one command; every mistake of the user's is one line on stderr."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default", ByhandWarning)
            warnings.showwarning = warned
            code = app(words or ["--help"], prog_name="byhand", standalone_mode=False) or 0
        sys.stdout.flush()
    except ByhandError as error:
        return complain(str(error))
    except TyperException as error:
        return complain(usage(error))
    except SystemExit as end:
        return CLOSED_PIPE if end.code == 1 else int(end.code or 0)  # 1 is how typer leaves a closed pipe
    except MemoryError as error:
        return complain(f"there is not enough memory for this: {str(error) or 'none is left'}")
    except BrokenPipeError:
        leave(CLOSED_PIPE)
    except OSError as error:
        complain(f"cannot write the answer: {error.strerror or error}")
        leave(WRONG_USE)
    except KeyboardInterrupt:
        code = STOPPED
    if code == STOPPED:
        print("byhand: stopped", file=sys.stderr)
    return code


def usage(error: TyperException) -> str:
    """What was wrong with the options, and where to read about them."""
    context = getattr(error, "ctx", None)
    hint = f"; see {context.command_path} --help" if context is not None else ""
    return " ".join(error.format_message().split()).removesuffix(".") + hint


def warned(message: Warning | str, *where: object) -> None:
    print(f"byhand: warning: {one_line(str(message))}", file=sys.stderr)


def complain(line: str) -> int:
    print(f"byhand: error: {one_line(line)}", file=sys.stderr)
    return WRONG_USE
