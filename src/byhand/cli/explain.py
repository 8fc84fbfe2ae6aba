from dataclasses import dataclass
from byhand.cli.arguments import Output
EXAMPLES = ("x",)
@dataclass(frozen=True, kw_only=True)
class Asked(Output):
    pass
def command(asked: Asked) -> None:
    "stub"
