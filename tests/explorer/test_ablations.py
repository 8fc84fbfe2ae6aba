"""The parts that the menus offer are there, are complete, and switching one off is an ordinary edit."""

import numpy as np
import pytest

from byhand.explorer import Session
from byhand.explorer.scene import read_scene

from ..small_models import TEXTS, model
from .scenes import edit, edited, scene_of


def parts_of(name):
    session = Session(model(name))
    return session, session.handle("ablations", {"scene": scene_of(name)}).head["parts"]


def test_the_parts_of_a_gpt2():
    _, parts = parts_of("gpt2-tiny")
    assert [(each["name"], each["address"], each["count"]) for each in parts] == [
        ("embedding: token", "embed.token", 1),
        ("embedding: position", "embed.position", 1),
        ("embedding: out", "embed.out", 1),
        ("attention head", "blocks.*.attn.heads", 4),
        ("attention of a layer", "blocks.*.attn.out", 1),
        ("stream: mid", "blocks.*.mid", 32),
        ("neuron", "blocks.*.mlp.act", 128),
        ("feed-forward of a layer", "blocks.*.mlp.out", 1),
        ("stream: out", "blocks.*.out", 32),
    ]
    assert all(each["layers"] == ([0, 1] if "*" in each["address"] else []) for each in parts)


def test_a_gated_neuron_is_what_the_last_product_reads():
    _, parts = parts_of("llama-tiny")
    assert next(each["address"] for each in parts if each["name"] == "neuron") == "blocks.*.mlp.gated"


def test_a_translation_model_has_parts_on_both_sides():
    names = [each["name"] for each in parts_of("original-tiny")[1]]
    assert {"source attention head", "cross-attention head", "attention head", "source neuron"} <= set(names)


@pytest.mark.parametrize("name", TEXTS)
def test_every_part_can_be_switched_off(name):
    session, parts = parts_of(name)
    scene = scene_of(name)
    plain = session.run(read_scene(scene))
    for each in parts:
        for layer in each["layers"] or [0]:
            address = each["address"].replace("*", str(layer))
            assert plain.program.axes(address) == each["axes"]
            assert each["axis"] is None or plain.shape(address)[each["axis"]] == each["count"]
            index: list = [None] * len(each["axes"])
            if each["axis"] is not None:
                index[each["axis"]] = each["count"] - 1
            off = session.run(read_scene(edited(scene, edit(address, index)))).look(address)
            expected = plain.look(address).copy()
            expected[tuple(slice(None) if i is None else i for i in index)] = 0
            np.testing.assert_array_equal(off, expected)


@pytest.mark.parametrize("name", TEXTS)
def test_heads_and_neurons_are_what_the_last_product_reads(name):
    session, parts = parts_of(name)
    for each in parts:
        if each["name"].endswith(("head", "neuron")):
            readers = session.model.program.readers(each["address"].replace("*", "0"))
            assert [step.operator.name for step in readers] in (["from_heads"], ["linear"])
