"""nanoGPT's names: Hugging Face's of GPT-2, but every matrix is a Linear, output first. Source: nanoGPT's model.py."""

from byhand.layouts.hugging_face import GPT2 as HUGGING_FACE
from byhand.layouts.layout import Layout, Stored, stored

TURNED = {"D +HK": "+HK D", "HK D": "D HK", "D F": "F D", "F D": "D F"}


def turned(row: Stored) -> Stored:
    """A row of Conv1D's as a Linear has it; the tables and biases stay as they are."""
    return stored(TURNED.get(row.axes, row.axes), *row.weights)


GPT2 = Layout(
    "nanoGPT GPT-2",
    {name: turned(row) for name, row in HUGGING_FACE.rows.items()},
    ignored={"transformer.h.*.attn.bias": HUGGING_FACE.ignored["transformer.h.*.attn.bias"]},
    copies=HUGGING_FACE.copies,
)
