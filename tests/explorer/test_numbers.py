"""Numbers taken apart, as the page gets them: against explanations in Python, and against the arrays themselves."""

import json
import math
import random
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from byhand.explorer import Session
from byhand.explorer.bounds import agrees
from byhand.explorer.jobs import Job
from byhand.explorer.mathml import equation, formula
from byhand.explorer.numbers import MOST_TEXT
from byhand.explorer.scene import read_scene

from ..small_models import TEXTS, model
from .scenes import edit, edited, scene_of

SESSIONS: dict[str, Session] = {}
MATH = "{http://www.w3.org/1998/Math/MathML}"


def session(name):
    return SESSIONS.setdefault(name, Session(model(name)))


def asked(name, op, **params):
    answer = session(name).handle(op, json.loads(json.dumps(params)))
    json.dumps(answer.head, allow_nan=False)
    return answer.head


def with_gradient(name, **more):
    """A scene whose gradients are taken of its loss, or of one number of its last value."""
    scene = scene_of(name, **more)
    program, _ = session(name).plan(read_scene(scene))
    of = "loss" if "loss" in program else program.steps[-1].address
    return scene | {"gradient": {"of": of, "index": [0] * len(program.axes(of))}}


def places(name, scene, count, seed=0):
    """Random numbers, so many for each address that there is."""
    chance = random.Random(seed)
    for entry in asked(name, "outline", scene=scene)["entries"]:
        for _ in range(count):
            yield entry["address"], [chance.randrange(size) for size in entry["shape"]]


def is_drawn(drawn, text):
    """Whether a formula was read and drawn; one that cannot be read is a single text."""
    top = ET.fromstring(drawn)
    sides = set(text.split(" = ", 1))
    return top.get("alttext") == text and not sides & {
        part.text for part in top.iter(f"{MATH}mtext") if " " in part.text
    }


def bits_of(stored):
    return f"{int(stored.view(f'u{stored.itemsize}')):0{2 * stored.itemsize}x}"


@pytest.mark.parametrize("name", TEXTS)
def test_every_address_explains_itself(name):
    scene = with_gradient(name)
    run = session(name).run(read_scene(scene))
    for address, index in places(name, scene, 2):
        head = asked(name, "number", scene=scene, address=address, index=index, first=256)
        each = run.explain(address, index)
        assert head["stored"]["bits"] == bits_of(run.look(address)[tuple(index)])
        assert (head["kind"], head["operator"], head["count"]) == (each.kind, each.operator, len(each.terms)), address
        assert float(head["value"]) == each.value or math.isnan(each.value)
        assert head["within"], (address, index)
        if head["count"] <= 256:
            values = [float(term["value"]) for term in head["terms"]]
            assert sum(values) == each.value or math.fsum(values) == each.value, address
            assert float(head["terms"][-1]["running"]) == each.value
            assert head["others"] == "0"
        for each in [head, *head["working"]]:
            assert not each["formula"] or is_drawn(each["formula"], each["formula_text"])


def test_links_lead_five_levels_deep_with_the_same_bits():
    for name in ("gpt2-tiny", "llama-tiny", "original-tiny"):
        scene, chance = with_gradient(name), random.Random(2)
        for start, at in list(places(name, scene, 1, seed=4))[:: 3 if name == "gpt2-tiny" else 6]:
            address, index = start, at
            for _ in range(5):
                operands = [
                    each
                    for each in asked(name, "number", scene=scene, address=address, index=index)["operands"]
                    if each["kind"] != "working"
                ]
                if not operands:
                    break
                chosen = chance.choice(operands)
                there = asked(name, "number", scene=scene, address=chosen["address"], index=chosen["index"])
                assert (there["stored"]["bits"], there["stored"]["text"]) == (chosen["bits"], chosen["text"])
                address, index = chosen["address"], chosen["index"]


def test_terms_in_both_orders():
    scene, at = scene_of("gpt2-tiny"), {"address": "blocks.0.mlp.out", "index": [0, 2, 5]}
    each = session("gpt2-tiny").run(read_scene(scene)).explain("blocks.0.mlp.out", [0, 2, 5])
    values = [term.value for term in each.terms]
    head = asked("gpt2-tiny", "number", scene=scene, **at, first=10)
    sizes = [abs(float(term["value"])) for term in head["terms"]]
    assert sizes == sorted(map(abs, values), reverse=True)[:10]
    assert float(head["others"]) == math.fsum(sorted(values, key=abs, reverse=True)[10:])
    assert sum(term["share"] for term in head["terms"]) < 1
    plain = asked("gpt2-tiny", "terms", scene=scene, **at, **{"from": 100, "to": 120}, order="place")
    assert [term["place"] for term in plain["terms"]] == list(range(100, 120))
    assert [float(term["value"]) for term in plain["terms"]] == values[100:120]
    assert [float(term["running"]) for term in plain["terms"]] == [math.fsum(values[: n + 1]) for n in range(100, 120)]
    assert float(plain["others"]) == math.fsum(values[:100] + values[120:])
    beyond = asked("gpt2-tiny", "terms", scene=scene, **at, **{"from": 5000, "to": 5010})
    assert beyond["terms"] == [] and float(beyond["others"]) == math.fsum(values)


def test_a_long_text_is_cut_and_says_so():
    scene = scene_of("gpt2-tiny")
    head = asked("gpt2-tiny", "number", scene=scene, address="blocks.0.mlp.out", index=[0, 2, 5])
    each = session("gpt2-tiny").run(read_scene(scene)).explain("blocks.0.mlp.out", [0, 2, 5])
    assert len(head["numbers_text"]) <= MOST_TEXT + 2 < len(each.numbers)
    shown = head["numbers_text"].removesuffix(" …")
    assert each.numbers.startswith(shown) and len(shown) + head["numbers_text_cut"] == len(each.numbers)
    short = asked("gpt2-tiny", "number", scene=scene, address="embed.out", index=[0, 2, 5])
    assert short["numbers_text_cut"] == 0 and "…" not in short["numbers_text"]


def test_masked_and_infinite_numbers():
    scene = scene_of("gpt2-tiny")
    head = asked("gpt2-tiny", "number", scene=scene, address="blocks.0.attn.masked", index=[0, 1, 2, 4])
    assert (head["stored"]["text"], head["stored"]["value"], head["value"]) == ("-inf", None, "-inf")
    assert head["within"] and head["terms"][0]["share"] == 0
    hidden = asked("gpt2-tiny", "number", scene=scene, address="blocks.0.attn.weights", index=[0, 1, 2, 4])
    assert hidden["stored"]["text"] == "0" and hidden["within"]


def test_what_is_remembered_does_not_end_with_its_request():
    own, scene, job = Session(model("gpt2-tiny")), scene_of("gpt2-tiny"), Job()
    at = {"scene": scene, "address": "blocks.0.mlp.out", "index": [0, 2, 5]}
    first = own.handle("number", at, job).head
    job.stop.set()
    assert own.handle("number", at).head == first


def test_edits_are_noted():
    scene = edited(scene_of("gpt2-tiny"), edit("blocks.0.mlp.act", [0, None, 3], "scale", 2.0))
    head = asked("gpt2-tiny", "number", scene=scene, address="blocks.0.mlp.act", index=[0, 1, 3])
    assert (head["operator"], head["note"]) == ("edit", "scale blocks.0.mlp.act[0,:,3] by 2")
    assert head["operands"][0]["address"] == "blocks.0.mlp.act@unedited"
    follow = asked("gpt2-tiny", "number", scene=scene, address="blocks.0.mlp.act@unedited", index=[0, 1, 3])
    assert follow["operator"] == "gelu_tanh" and follow["within"]


# --- whether a stored number is what its formula gives ----------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_wrong_number_is_seen(dtype):
    """Numbers that are off by a few hundred last places, far less than shows in any digit, mostly do not agree."""
    name, seen, total = "gpt2-tiny", 0, 0
    scene = with_gradient(name, dtype=dtype)
    run = session(name).run(read_scene(scene))
    wrong_by = {"float32": 2.0**-14, "float64": 2.0**-43, "bfloat16": 2.0**-2}[dtype]
    for address, index in places(name, scene, 1):
        each = run.explain(address, index)
        if each.operator and each.stored and math.isfinite(each.stored):
            assert agrees(run, each)
            wrong = replace(each, stored=each.stored * (1 + wrong_by))
            seen, total = seen + (not agrees(run, wrong)), total + 1
    assert total > 100
    assert seen > 0.6 * total, (seen, total)


def test_a_planted_number_is_said_to_disagree():
    own, scene, address = Session(model("gpt2-tiny")), scene_of("gpt2-tiny"), "blocks.0.mlp.act"
    run = own.run(read_scene(scene))
    planted = run.kept[address].copy()
    planted[0, 1, 3] *= np.float32(1.00001)
    run.kept[address] = planted
    within = [
        own.handle("number", {"scene": scene, "address": address, "index": [0, 1, k]}).head["within"] for k in (2, 3, 4)
    ]
    assert within == [True, False, True]


def test_nan_or_infinity_in_place_of_a_number_is_seen():
    run = session("gpt2-tiny").run(read_scene(scene_of("gpt2-tiny")))
    each = run.explain("blocks.0.mlp.act", [0, 1, 3])
    assert not agrees(run, replace(each, stored=math.nan))
    assert not agrees(run, replace(each, stored=math.inf))


# --- formulas ---------------------------------------------------------------------------------------------------


def tags(text):
    return [each.tag.removeprefix(MATH) for each in ET.fromstring(text).iter()]


def test_signs_become_their_own_elements():
    assert tags(formula("a / b")) == ["math", "mfrac", "mi", "mi"]
    assert tags(formula("(a + b) / c")) == ["math", "mfrac", "mrow", "mi", "mo", "mi", "mi"]
    assert tags(formula("sqrt(x)")) == ["math", "msqrt", "mi"]
    assert tags(formula("x ** 3")) == ["math", "msup", "mi", "mn"]
    assert tags(formula("a.b[0,1]"))[1:4] == ["msub", "mtext", "mrow"]
    assert "mtable" in tags(formula("where(mask[0,3,2], scores[0,1,3,2], -inf)"))
    assert "munder" in tags(formula("sum[d](x[0,d] * y[d])"))


def texts_in(text):
    return "".join(ET.fromstring(text).itertext())


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("a * (b + c)", "a·(b+c)"),
        ("a * b + c", "a·b+c"),
        ("(a + b) * c", "(a+b)·c"),
        ("a - (b - c)", "a−(b−c)"),
        ("-x ** 2", "−x2"),
        ("(-x) ** 2", "(−x)2"),
        ("(-3) * x", "−3·x"),
        ("sum[b,t](a[b,t] + 1) / n", "∑b,t(ab,t+1)n"),
        ("exp(a - max[s](b[s])) <= inf", "exp\u2061(a−maxsbs)≤∞"),
        ("token.weight[tokens[0,1],2*j+1]", "token.weighttokens0,1,2·j+1"),
        ("i % 2 == 0 and j // 2 < 1e-05", "imod2=0and⌊j2⌋<1e-05"),
        ("d:a.out@b.c[0] + d:a.out@unedited[0]", "d:a.out@b.c0+d:a.out@unedited0"),
    ],
)
def test_brackets_stand_where_they_are_needed(text, drawn):
    assert texts_in(formula(text)) == drawn


def test_what_cannot_be_read_is_shown_as_it_is():
    for text in ("a +", "", "<script>alert(1)</script>", "a & b", "((((" * 500, "x" + "-" * 5000):
        drawn = formula(text)
        assert texts_in(drawn) == text
        assert ET.fromstring(drawn).get("alttext") == text


def test_an_equation_keeps_its_text():
    made = ET.fromstring(equation('a<b>&"', "c"))
    assert made.get("alttext") == 'a<b>&" = c'


def test_numbers_of_a_run_that_keeps_little():
    """What is not kept is computed again, and explains with the same bits."""
    full, small = Session(model("gpt2-tiny")), Session(model("gpt2-tiny"))
    small.most_bytes = 30_000
    scene = scene_of("gpt2-tiny")
    assert not small.handle("run", {"scene": scene}).head["keeps_all"]
    assert full.handle("run", {"scene": scene}).head["keeps_all"]
    for address, index in places("gpt2-tiny", scene, 1):
        heads = [
            each.handle("number", {"scene": scene, "address": address, "index": index}).head for each in (full, small)
        ]
        assert heads[0] == heads[1], address
    assert np.array_equal(*(each.look(read_scene(scene), "blocks.0.attn.q") for each in (full, small)))
