"""Programs that are wired, one short file each; PROGRAMS has them by name."""

from byhand.wiring.zoo import (
    addition,
    automaton,
    caesar,
    carrying,
    comparison,
    copying,
    counting,
    dyck,
    histogram,
    induction,
    kgram,
    modulo,
    most_frequent,
    recall,
    reverse,
    sorting,
    subtraction,
)
from byhand.wiring.zoo.program import Program

__all__ = ["PROGRAMS", "Program"]

PROGRAMS: dict[str, Program] = {
    **kgram.PROGRAMS,
    **copying.PROGRAMS,
    **induction.PROGRAMS,
    **recall.PROGRAMS,
    **reverse.PROGRAMS,
    **caesar.PROGRAMS,
    **automaton.PROGRAMS,
    **comparison.PROGRAMS,
    **addition.PROGRAMS,
    **carrying.PROGRAMS,
    **subtraction.PROGRAMS,
    **sorting.PROGRAMS,
    **most_frequent.PROGRAMS,
    **modulo.PROGRAMS,
    **histogram.PROGRAMS,
    **dyck.PROGRAMS,
    **counting.PROGRAMS,
}
