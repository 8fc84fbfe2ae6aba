"""One number, its terms, and where they come from."""

import pytest

import byhand as package
from byhand.explanation import LEAF
from byhand.inputs import RULES

PLACE = "blocks.0.attn.weights"


@pytest.fixture(scope="module")
def hello():
    return package.load("gpt2-tiny").run("Hello")


def test_as_data_it_is_the_explanation(byhand, hello):
    data = byhand("explain", "gpt2-tiny", "Hello", "logits[0,4,80]", "--json").data
    assert data == hello.explain("logits", (0, 4, 80)).to_dict()


WAYS = {
    "an index": ("blocks.0.attn.weights[0,1,4,2]",),
    "named in the brackets": ("blocks.0.attn.weights[head=1,query=4,key=2]",),
    "options": (PLACE, "--head", "1", "--query", "4", "--key", "2", "--batch", "0"),
    "both": ("blocks.0.attn.weights[head=1]", "--query", "4", "--key", "2"),
    "counted from the end": ("blocks.0.attn.weights[-1,1,-1,2]",),
    "another project's name": ("blocks.0.attn.hook_pattern[0,1,4,2]",),
}


@pytest.mark.parametrize("words", WAYS.values(), ids=WAYS)
def test_ways_to_name_a_number(byhand, words):
    data = byhand("explain", "gpt2-tiny", "Hello", *words, "--json").data
    assert (data["address"], data["index"]) == (PLACE, [0, 1, 4, 2])


def test_more_axes_by_name(byhand):
    data = byhand("explain", "llama-tiny", "Hello", "blocks.0.attn.k", "--position", "3", "--group", "1",
                  "--dimension", "5", "--json").data  # fmt: skip
    assert data["index"] == [0, 3, 1, 5]


@pytest.mark.parametrize(("token", "place"), {"o": 80, "80": 80, "'8'": 25, "8": 8}.items())
def test_a_token_by_its_text_or_id(byhand, token, place):
    data = byhand("explain", "gpt2-tiny", "Hello", "logits", "--position", "4", "--token", token, "--json").data
    assert data["index"] == [0, 4, place]


def test_a_number_for_people(byhand, hello):
    answer = byhand("explain", "aab", "baa", "logits[0,2,1]")
    assert answer.lines[0] == "logits[0,2,1] = 1024.0  unembed, float32"
    assert answer.lines[1] == "position that asks 2 (a), vocabulary 1 (b)"
    assert "  sum[d](blocks.0.out[0,2,d] * token.weight[1,d])" in answer.lines
    assert "  1024  1024 * 1    blocks.0.out[0,2,6], token.weight[1,6]" in answer.lines
    assert "  and 7 that are 0" in answer.lines
    assert answer.lines[-1] == "  1024 recomputed in float64: 0 ulp from the stored value"


def test_terms_and_digits(byhand, hello):
    terms = hello.explain("logits", (0, 4, 80)).terms
    largest = sorted(terms, key=lambda term: -abs(term.value))

    def shown(*words: str) -> list[str]:
        out = byhand("explain", "gpt2-tiny", "Hello", "logits[0,4,80]", *words).out
        table = out.partition("largest first")[2].partition("check")[0].splitlines()[2:]
        return [line.split()[0] for line in table if " * " in line]

    assert shown() == [f"{term.value:.6g}" for term in largest[:8]]
    assert shown("--terms", "3", "--digits", "3") == [f"{term.value:.3g}" for term in largest[:3]]
    assert shown("--terms", "all", "--digits", "17") == [f"{term.value:.17g}" for term in largest]


def test_working_on_the_way(byhand):
    answer = byhand("explain", "aab", "baa", PLACE, "--query", "2", "--key", "1")
    assert "  total[0,0,2] = sum[s](raised[0,0,2,s]) = 2" in answer.lines
    assert answer.row(f"{PLACE.replace('weights', 'masked')}[0,0,2,2]")[1:] == ["362.039", "value"]


LEAVES = {
    "aab baa token.weight[1,0]": "a weight of the model",
    "aab baa tokens[0,1]": "given with the text",
    "aab baa positions[0,1]": "place in the text",
    "aab baa mask[0,1,0]": "causal: later positions are hidden",
    "aab baa targets[0,1]": "what should come",
    "bert-tiny ab mask[0,1,0]": "everything may be seen",
    "bert-tiny ab segments[0,1]": "its segment",
}


@pytest.mark.parametrize(("words", "said"), LEAVES.items())
def test_leaves_say_what_they_are(byhand, words, said):
    assert said in byhand("explain", *words.split()).lines


def test_every_rule_of_an_input_has_its_words():
    assert set(RULES) <= set(LEAF)


def test_leaves_say_the_same_at_every_depth(byhand):
    lines = byhand("explain", "aab", "baa", "logits[0,2,1]", "--depth", "20", "--terms", "1").lines
    said = {"token.weight": "weight", "positions": "place in the text", "mask": "causal: later positions are hidden"}
    found = [(word, line) for line in lines for word in said if f"── {word}[" in line]
    assert {word for word, _ in found} == set(said)
    assert all(line.endswith(f"  {said[word]}") for word, line in found)
    assert all(line.endswith("  weight") for line in lines if ".weight[" in line and "──" in line)
    assert all(len(line) <= 80 for line in lines)


def test_products_deep_in_a_tree_keep_their_numbers(byhand):
    lines = byhand("explain", "aab", "baa", "logits[0,2,1]", "--depth", "20", "--terms", "1").lines
    assert any(line.endswith("blocks.0.attn.q[0,2,0,1] = 1024  to_heads: 1 * 1024") for line in lines)


def test_an_edited_number_says_so(byhand):
    answer = byhand("explain", "aab", "baa", "embed.out[0,1,2]", "--edit", "embed.out[0,1]=0.5")
    assert answer.lines[2:] == ["edited: set embed.out[0,1,:] to 0.5", "set by an edit"]


def test_a_gradient(byhand, hello):
    hello.backward()
    place = "d:blocks.0.attn.scores"
    data = byhand("explain", "gpt2-tiny", "Hello", f"{place}[0,1,3,2]", "--json").data
    assert data["stored"] == hello.look(place)[0, 1, 3, 2]
    assert data["kind"] == "gradient"
    data = byhand("explain", "gpt2-tiny", "Hello", "d:logits[0,1,7]", "--of", "logits[0,1,7]", "--json").data
    assert (data["stored"], data["kind"]) == (1.0, "start")


def test_the_tree_reaches_every_leaf(byhand):
    def leaves(branch):
        if not branch["from"] and not branch["repeated"]:
            yield branch["address"], branch["kind"]
        for part in branch["from"]:
            yield from leaves(part)

    tree = byhand("explain", "aab", "baa", "logits[0,2,1]", "--depth", "50", "--terms", "all", "--json").data["tree"]
    found = set(leaves(tree))
    assert {kind for _, kind in found} == {"weight", "input"}
    assert {"tokens", "positions", "mask", "token.weight", "blocks.0.attn.q.weight"} <= {name for name, _ in found}
    shallow = byhand("explain", "aab", "baa", "logits[0,2,1]", "--depth", "1", "--json").data["tree"]
    assert [part["from"] for part in shallow["from"]] == [[], []]


def test_the_tree_follows_the_largest_terms(byhand, hello):
    words = ("explain", "gpt2-tiny", "Hello", "logits[0,4,80]", "--depth", "1", "--terms", "2")
    tree = byhand(*words, "--json").data["tree"]
    largest = sorted(hello.explain("logits", (0, 4, 80)).terms, key=lambda term: -abs(term.value))[:2]
    followed = [(part["address"], tuple(part["index"])) for part in tree["from"]]
    assert followed == [(o.address, o.index) for term in largest for o in term.operands]
    assert tree["left_out"] == 60
    answer = byhand(*words)
    assert answer.lines[-1] == "└── ... 60 more"
    assert max(map(len, answer.lines)) <= 80


def test_a_split(byhand, hello):
    data = byhand("explain", "gpt2-tiny", "Hello", "logits[0,4,80]", "--split", "--json").data["split"]
    assert data == hello.split(80, 4).to_dict()
    answer = byhand("explain", "gpt2-tiny", "Hello", "logits[0,4,80]", "--split")
    assert answer.row("blocks.1.attn.out head 3")[-1] == f"{data['parts']['blocks.1.attn.out head 3']:.6g}"


@pytest.mark.parametrize("word", ["head", "H"])
def test_sums_by_head(byhand, hello, word):
    data = byhand("explain", "gpt2-tiny", "Hello", "blocks.0.attn.out[0,4,7]", "--by", word, "--json").data["by"]
    assert data == hello.explain("blocks.0.attn.out", (0, 4, 7)).by("H")
    assert byhand("explain", "gpt2-tiny", "Hello", "blocks.0.attn.out[0,4,7]", "--by", word).row("H=3")
