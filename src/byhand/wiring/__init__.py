"""Weights by hand: programs of variables, heads and tables, compiled to unmodified GPT-2 and Llama, and proven.

wiring = Wiring("ab", context=64)
with wiring.layer():
    before = wiring.head("before", offset(-1), wiring.tokens, default=wiring.begin)
    wiring.predict(wiring.table("next", [before, wiring.tokens], {("a", "a"): "b"}, default="a"))
wired = compile(wiring, "gpt2")
print(wired.report())
"""

from byhand.wiring.compiling import Wired, compile
from byhand.wiring.interpreter import interpret, predictions
from byhand.wiring.mutating import mutants
from byhand.wiring.parts import equal, everywhere, having, offset, scores
from byhand.wiring.proof import Proof, Site
from byhand.wiring.refusals import WiringError, WiringWarning
from byhand.wiring.report import Report
from byhand.wiring.variables import Form, Number, Variable
from byhand.wiring.verifying import Verification, verify
from byhand.wiring.wiring import Wiring

__all__ = [
    "Form",
    "Number",
    "Proof",
    "Report",
    "Site",
    "Variable",
    "Verification",
    "Wired",
    "Wiring",
    "WiringError",
    "WiringWarning",
    "compile",
    "equal",
    "everywhere",
    "having",
    "interpret",
    "mutants",
    "offset",
    "predictions",
    "scores",
    "verify",
]
