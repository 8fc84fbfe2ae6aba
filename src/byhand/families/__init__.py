"""Which operators in which order. One family is one page with its own small config; adding one means adding it here."""

from types import ModuleType

from byhand.families import bert, gpt2, handmade, llama, original

FAMILIES: dict[str, ModuleType] = {
    "original": original,
    "gpt2": gpt2,
    "llama": llama,
    "bert": bert,
    "handmade": handmade,
}
