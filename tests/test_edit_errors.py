"""What an edit says it did, and one clear line for every edit that cannot be made."""

import numpy as np
import pytest

from byhand.errors import AddressError, ByhandError, InputError, ShapeError

from .small_models import model, run, same_bits


def test_an_edit_says_what_it_did():
    of = run("gpt2-tiny")
    for change, text in [
        ({"head": 2, "set": 0.0}, "set blocks.0.attn.heads[:,:,2,:] to 0"),
        ({"zero": True}, "set blocks.0.attn.heads to 0"),
        ({"index": (0, slice(1, 4, 2)), "add": 0.5}, "add 0.5 to blocks.0.attn.heads[0,1:4:2,:,:]"),
        ({"index": (0, -1, 1, 2), "scale": -2}, "scale blocks.0.attn.heads[0,4,1,2] by -2"),
        ({"index": (0, 1, 1), "set": np.ones(8)}, "set blocks.0.attn.heads[0,1,1,:] to array (8,)"),
    ]:
        assert str(of.edit("blocks.0.attn.heads", **change).edits[0]) == text
    assert str(of.edit("mask", (0, 0, 0), set=True).edits[0]) == "set mask[0,0,0] to 1"


def test_other_projects_names_can_be_edited_where_they_are_the_same_array():
    of = run("gpt2-tiny")
    after = of.edit("blocks.0.attn.hook_z", head=1, zero=True)
    assert same_bits(after.look("logits"), of.edit("blocks.0.attn.heads", head=1, zero=True).look("logits"))
    with pytest.raises(AddressError, match=r"qkv is a rearrangement of blocks\.0\.attn\.q.*; name the value itself"):
        of.edit("qkv", zero=True)


Z = "blocks.0.attn.heads"
WRONG = [
    (
        (Z,),
        {},
        InputError,
        "an edit of blocks.0.attn.heads needs exactly one of set, add, scale, zero .or from_run.; got none",
    ),
    ((Z,), {"zero": False}, InputError, "exactly one of .*; got none"),
    ((Z,), {"set": 1, "scale": 2}, InputError, "exactly one of .*; got set, scale"),
    ((Z,), {"set": "x"}, InputError, "blocks.0.attn.heads: 'x' is no number; give a number or an array of numbers"),
    ((Z,), {"set": [[1, 2], [3]]}, InputError, "is no number; give a number or an array of numbers"),
    ((Z,), {"set": 1j}, InputError, "is no number"),
    (
        (Z,),
        {"set": np.ones(7)},
        ShapeError,
        r"chosen part has shape \(1, 5, 4, 8\), the value has \(7,\); give a number or",
    ),
    ((Z,), {"head": 1, "add": np.ones((9, 9, 8))}, ShapeError, r"chosen part has shape \(1, 5, 8\)"),
    (
        (Z,),
        {"head": 4, "set": 0},
        AddressError,
        r"blocks.0.attn.heads, head: index 4 is out of range; there are 4, so 0 … 3",
    ),
    ((Z,), {"head": -5, "set": 0}, AddressError, "index -5 is out of range"),
    ((Z,), {"head": 1.0, "set": 0}, AddressError, "head: 1.0 is no index; give a whole number"),
    ((Z,), {"head": "1", "set": 0}, AddressError, "head: '1' is no index"),
    ((Z,), {"head": [1, 2], "set": 0}, AddressError, r"head: \[1, 2\] is no index"),
    ((Z,), {"position": slice(7, 9), "set": 0}, AddressError, "position: 7:9 chooses nothing; there are 5, so 0 … 4"),
    ((Z,), {"position": slice("a", 2), "set": 0}, AddressError, "is no slice; give whole numbers"),
    (
        (Z,),
        {"token": 1, "set": 0},
        AddressError,
        "has axes BTHK, so no 'token'; it has: batch, position, query, head, dim",
    ),
    ((Z,), {"hed": 1, "set": 0}, AddressError, "has axes BTHK, so no 'hed'"),
    (
        (Z,),
        {"query": 1, "position": 2, "set": 0},
        AddressError,
        "'query' and 'position' are both its axis T; name it once",
    ),
    ((Z, (0, 1)), {"head": 1, "set": 0}, InputError, "got an index and also head; say where in one of the two ways"),
    ((Z, (0, 5)), {"set": 0}, AddressError, "axis T: index 5 is out of range; there are 5, so 0 … 4"),
    ((Z, (0, 1, 2, 3, 4)), {"set": 0}, AddressError, "has axes BTHK and shape .*, got 5 indices; give fewer"),
    ((Z, (0, None)), {"set": 0}, AddressError, "axis T: None is no index; give a whole number"),
    ((Z, 1.5), {"set": 0}, AddressError, "1.5 is no index; give whole numbers, such as"),
    (
        ("blocks.0.attn.head",),
        {"zero": True},
        AddressError,
        "gpt2 has no value 'blocks.0.attn.head'; the nearest are blocks.0",
    ),
    (("nonsense",), {"zero": True}, AddressError, "gpt2 has no value 'nonsense'; addresses look like|the nearest are"),
    (("d:embed.out",), {"zero": True}, InputError, "d:embed.out cannot be edited; edit embed.out"),
    (("embed.out@unedited",), {"zero": True}, InputError, "cannot be edited; edit embed.out"),
    (
        ("blocks.0.norm1.mean",),
        {"zero": True},
        InputError,
        "is only looked at: no later step reads it; edit blocks.0.norm1.out",
    ),
    (("losses.logsumexp",), {"zero": True}, InputError, "is only looked at: .*; edit losses"),
    (("tokens",), {"set": 0.5}, InputError, "tokens holds int64 values, so this cannot be done: set tokens to 0.5"),
    (("tokens",), {"set": 96}, InputError, r"tokens is 96 at \[0, 0\]; the vocabulary has 0 … 95"),
    (("tokens",), {"add": -100}, InputError, r"tokens is -59 at \[0, 0\]; the vocabulary has 0 … 95"),
    (("targets",), {"set": 96}, InputError, r"targets is 96 at \[0, 0\]"),
    (("targets",), {"set": -1}, InputError, "targets: every place says that there is none"),
    (("positions",), {"add": 60}, InputError, r"positions is 64 at \[0, 4\]; the table of positions has 0 … 63"),
    (("positions",), {"add": -1}, InputError, r"positions is -1 at \[0, 0\]"),
    (
        ("mask",),
        {"set": False},
        InputError,
        "mask leaves position 0 of text 0 with nothing to see; let every position see",
    ),
    (("mask",), {"set": 2}, InputError, "mask holds bool values, so this cannot be done: set mask to 2"),
]


@pytest.mark.parametrize("place, change, kind, message", WRONG, ids=range(len(WRONG)))
def test_wrong_edits_say_so_in_one_line(place, change, kind, message):
    with pytest.raises(kind, match=message) as caught:
        run("gpt2-tiny").edit(*place, **change)
    assert isinstance(caught.value, ByhandError) and "\n" not in str(caught.value)


def test_a_run_of_another_length_cannot_be_taken_from():
    with pytest.raises(
        ShapeError, match=r"blocks.0.mid has shape \(1, 3, 32\) in the other run and \(1, 5, 32\) here; run"
    ):
        run("gpt2-tiny").edit("blocks.0.mid", position=0, from_run=model("gpt2-tiny").run("abc"))
    with pytest.raises(AddressError, match=r"llama has no value 'position.weight'"):
        run("gpt2-tiny").edit("position.weight", from_run=run("llama-tiny"))


def test_an_axis_that_is_there_twice_needs_an_index():
    with pytest.raises(AddressError, match=r"pooler.weight has axes DD: 'dimension' could mean either D; give an"):
        run("bert-tiny").edit("pooler.weight", dimension=3, zero=True)


def test_wrong_edits_of_a_model():
    with pytest.raises(AddressError, match=r"gpt2 has no value 'token.wieght'; the nearest are token.weight"):
        model("gpt2-tiny").edit("token.wieght", zero=True)
    with pytest.raises(
        InputError, match=r"embed.out is no weight; edit it in a run: model.run\(...\).edit\('embed.out'"
    ):
        model("gpt2-tiny").edit("embed.out", zero=True)
    with pytest.raises(InputError, match="exactly one of"):
        model("gpt2-tiny").edit("token.weight")
    with pytest.raises(ShapeError, match=r"the chosen part has shape \(32,\), the value has \(3,\)"):
        model("gpt2-tiny").edit("token.weight", token=1, set=[1, 2, 3])
