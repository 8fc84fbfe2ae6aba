"""``byhand explore``: a page in which every number of a run can be seen, explained and changed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

import byhand
from byhand import engines
from byhand.cli import show
from byhand.cli.arguments import ENGINE, MODEL, Output, ids
from byhand.errors import InputError

if TYPE_CHECKING:
    from byhand.explorer import Session

EXAMPLES = (
    'explore gpt2-tiny "The cat sat"',
    "explore aab aab --port 8123 --no-open",
    'explore original-tiny "Hello" --source "Bonjour"',
)
DTYPE = "float32, float64, bfloat16 or int8: of the first run; the page can change it."
LAST_PORT = 65535


@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    model: Annotated[str, Argument(metavar="MODEL", help=MODEL, show_default=False)]
    text: Annotated[str | None, Argument(metavar="TEXT", help="The text of the first run.", show_default=False)] = None
    ids: Annotated[str | None, Option(metavar="1,2,3", help="Token ids instead of TEXT.")] = None
    source: Annotated[str | None, Option(metavar="TEXT", help="The text to translate (encoder-decoder).")] = None
    source_ids: Annotated[str | None, Option(metavar="1,2,3", help="Its token ids instead.")] = None
    dtype: Annotated[str, Option(metavar="NAME", help=DTYPE)] = "float32"
    engine: Annotated[str | None, Option(metavar="NAME", help=ENGINE, show_default=False)] = None
    seed: Annotated[int, Option(metavar="N", help="Seed of the random weights.")] = 0
    port: Annotated[int, Option(metavar="N", help="Where to serve; 0: any free port.")] = 0
    open: Annotated[bool, Option("--open/--no-open", help="Open the page in the browser.")] = True


def command(asked: Asked) -> None:
    """Open a page in which every number of a run can be seen, explained and changed.

    It is served from this machine to this machine, and works without a network. Ctrl-C ends it.
    """
    from byhand.explorer.serving import serve

    if not 0 <= asked.port <= LAST_PORT:
        raise InputError(f"--port is {asked.port}; give 1 to {LAST_PORT}, or 0 for any")

    def ready(link: str) -> None:
        """Say where the page is. Nothing else is written, so a script that reads the link need not wait for more."""
        if asked.json:
            show.document({"link": link})
        else:
            show.write(link)
        sys.stdout.flush()

    serve(session(asked), port=asked.port, browser=asked.open, ready=ready)


def session(asked: Asked) -> Session:
    """The model and its first scene; the run itself is made when the page asks."""
    from byhand.explorer import Session
    from byhand.explorer.scene import read_scene

    engines.engine(asked.engine, asked.dtype)
    model = byhand.load(asked.model, seed=asked.seed)
    given = {
        "text": asked.text,
        "tokens": asked.ids and ids(asked.ids, "--ids"),
        "source": asked.source,
        "source_tokens": asked.source_ids and ids(asked.source_ids, "--source-ids"),
        "dtype": asked.dtype,
    }
    first = read_scene(given, "the first run") if asked.text is not None or asked.ids else None
    load = f"byhand.load({asked.model!r}{f', seed={asked.seed}' if asked.seed else ''})"
    made = Session(model, engine=asked.engine, first=first, load=load)
    if first is not None:
        made.plan(first)  # refuses a text that the model cannot read before there is a page
    return made
