"""Wired models in transformers: the saved folder, loaded as it is, predicts what the wiring says."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from byhand import load
from byhand.wiring import Wiring, compile, equal, predictions
from byhand.wiring.zoo.addition import addition, task
from byhand.wiring.zoo.induction import induction
from byhand.wiring.zoo.kgram import aab


def histogram():
    """How often the current letter came so far, as a digit."""
    wiring = Wiring("ab0123456789", context=32, name="histogram")
    with wiring.layer():
        count = wiring.count("count", equal(wiring.tokens, wiring.tokens), most=9)
    with wiring.layer():
        wiring.predict(wiring.function("digit", [count], str))
    return wiring


MADE = {
    "histogram": histogram,
    "aab": aab,
    "induction": lambda: induction("abcd", context=64),
    "addition": lambda: addition(10),
}
FAMILIES = ("gpt2", "llama")


def texts(wiring, count=64):
    rng = np.random.default_rng(0)
    if wiring.name.startswith("addition"):
        return [task(int(a), int(b), 10) for a, b in rng.integers(10**10, size=(count, 2))]
    return ["".join(rng.choice(list(wiring.alphabet), wiring.context - 1)) for _ in range(count)]


@pytest.fixture(scope="module", params=[(name, family) for name in MADE for family in FAMILIES], ids=str)
def saved(request, tmp_path_factory):
    name, family = request.param
    wired = compile(MADE[name](), family)
    return wired, wired.save(tmp_path_factory.mktemp("wired") / name)


def logits(folder, ids, attention, cached=False):
    """Of all positions, at once or one by one with keys and values kept."""
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention, dtype=torch.float32).eval()
    with torch.no_grad():
        if not cached:
            return model(ids).logits.numpy()
        past, made = None, []
        for at in range(ids.shape[1]):
            found = model(ids[:, at : at + 1], past_key_values=past, use_cache=True)
            past = found.past_key_values
            made.append(found.logits)
        return torch.cat(made, 1).numpy()


@pytest.mark.parametrize("attention, cached", [("eager", False), ("sdpa", False), ("eager", True), ("sdpa", True)])
def test_transformers_predicts_what_the_wiring_says(saved, attention, cached):
    wired, folder = saved
    some = texts(wired.wiring)
    ids = torch.tensor([wired.model.tokenizer.prepared(text) for text in some])
    found = logits(folder, ids, attention, cached)
    tokens = wired.wiring.tokens.domain
    assert [[tokens[i] for i in row] for row in found.argmax(-1)] == [predictions(wired.wiring, text) for text in some]
    site = wired.prove().sites["float32"][-1]
    top = np.sort(found, -1)
    assert (top[..., -1] - top[..., -2]).min() >= site.margin - site.noise


def test_its_tokenizer_puts_the_begin_token(saved):
    wired, folder = saved
    text = texts(wired.wiring, 1)[0]
    theirs = AutoTokenizer.from_pretrained(folder)
    assert theirs(text)["input_ids"] == wired.model.tokenizer.prepared(text)


def test_generation_continues_the_text(saved):
    wired, folder = saved
    text = texts(wired.wiring, 1)[0]
    start = text[: text.index("=") + 1] if "=" in text else text[:20]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    made = model.generate(**tokenizer(start, return_tensors="pt"), max_new_tokens=11, do_sample=False, pad_token_id=0)
    theirs = tokenizer.decode(made[0], skip_special_tokens=False).removeprefix("^")
    ours = wired.model.generate(start, max_tokens=11).finish().text
    assert theirs.replace(" ", "") == start + ours
    if "=" in text:
        assert theirs.replace(" ", "") == text


def test_byhand_loads_the_folder_bit_for_bit(saved):
    wired, folder = saved
    back = load(folder)
    assert wired.report(back).fingerprint == wired.report().fingerprint
    text = texts(wired.wiring, 1)[0]
    assert back.tokenizer.prepared(text) == wired.model.tokenizer.prepared(text)
