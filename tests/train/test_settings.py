"""The settings of a training: what they may be, files, and what is said of those that they may not be."""

import re

import pytest

from byhand.errors import InputError
from byhand.train.settings import Settings, from_toml, gone_on, made, to_toml

FILE = """
[model]
family = "llama"
layers = 3
head_width = 16
[data]
data = "stories"
tokenizer = "bpe:500"
[training]
rate = 3e-4
decay = "linear"
batch = 7
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(FILE)
    return path


def test_a_file_is_read(file):
    of = made(from_toml(file))
    assert (of.family, of.sizes, of.data) == ("llama", {"layers": 3, "head_width": 16}, "stories")
    assert (of.rate, of.decay, of.batch, of.steps, of.beta2) == (3e-4, "linear", 7, 2000, 0.99)


def test_settings_are_written_as_a_file_that_says_the_same(tmp_path):
    of = Settings(
        family="llama", sizes={"layers": 2, "tied": True, "theta": 1e4}, data='a "b" \\ c', prompt="é\n", padded=True,
        rate=1e-5, trace_step=7, length=None,
    )  # fmt: skip
    path = tmp_path / "again.toml"
    path.write_text(to_toml(of), encoding="utf-8")
    assert made(from_toml(path)) == of
    started = Settings(start="some/model", data="d")
    path.write_text(to_toml(started), encoding="utf-8")
    assert 'from = "some/model"' in path.read_text() and made(from_toml(path)) == started


@pytest.mark.parametrize(
    ("text", "words"),
    {
        "[model]\nlayer = 3": r"[model] has no setting 'layer'; the nearest is layers",
        "[training]\nrat = 3": r"[training] has no setting 'rat'; the nearest is rate",
        "[training]\ndata = 3": r"[training] has no setting 'data'; it belongs under [data]",
        "[trainin]\n": r"'trainin' is no section; there are [model], [data], [training]; the nearest is training",
        "rate = 3": r"'rate' is no section; there are [model], [data], [training]",
        "[model": r"cannot read the settings in",
    }.items(),
)
def test_what_a_file_may_not_say(tmp_path, text, words):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(words)) as error:
        from_toml(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot read the settings in .*none.toml: No such file"):
        from_toml(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(InputError, match="cannot read the settings in .*latin.toml: .*decode"):
        from_toml(tmp_path / "latin.toml")


RIGHT = {"family": "gpt2", "data": "stories"}
WRONG = [
    ({"steps": 0}, "steps is 0; give a whole number, 1 or more"),
    ({"batch": 1.5}, "batch is 1.5; give a whole number"),
    ({"steps": True}, "steps is True; give a whole number"),
    ({"rate": 0}, "rate is 0; give a number above 0"),
    ({"rate": float("nan")}, "rate is nan; give a number"),
    ({"rate": "fast"}, "rate is 'fast'; give a number"),
    ({"last_rate": 1.1}, "last_rate is 1.1; give a number from 0 to 1"),
    ({"dropout": 1}, "dropout is 1; give a number from 0 on and below 1"),
    ({"beta2": 1.0}, "beta2 is 1.0; give a number from 0 on and below 1"),
    ({"validation": 0}, "validation is 0; give a number between 0 and 1"),
    ({"decay": "cosin"}, "decay is 'cosin'; give one of cosine, linear, none; the nearest is cosine"),
    ({"family": "gpt3"}, "family is 'gpt3'; give one of gpt2, llama, original, bert; the nearest is gpt2"),
    ({"engine": "gpu"}, "engine is 'gpu'; give one of cpu, reference; the nearest is cpu"),
    ({"objective": "next"}, "objective is 'next'; give one of causal, masked, translation"),
    ({"prompt": ""}, "prompt is ''; give text"),
    ({"padded": 1}, "padded is 1; give true or false"),
    ({"start": "model"}, "got both family and from"),
    ({"family": None}, "what is to be trained: give family"),
    ({"family": None, "start": "m", "sizes": {"layers": 1}}, "layers is fixed by the model that training goes on from"),
    ({"sizes": {"widht": 8}}, "gpt2 has no size 'widht'; it has layers, width, .*; the nearest is width"),
    ({"sizes": {"groups": 8}}, "gpt2 has no size 'groups'"),
    ({"sizes": {"vocabulary": 8}}, "gpt2 has no size 'vocabulary'"),
    ({"sizes": {"layers": [1]}}, r"layers is \[1\]; give a number"),
    ({"trace_step": 5, "steps": 4}, "trace_step is 5, but there are 4 steps"),
    ({"warmup": 5, "steps": 4}, "warmup is 5, but there are 4 steps"),
    ({"data": None}, "there is nothing to train on"),
    ({"lenght": 5}, "training has no setting 'lenght'; the nearest is length"),
]


@pytest.mark.parametrize(("given", "words"), WRONG, ids=[words for _, words in WRONG])
def test_what_is_refused(given, words):
    made(RIGHT)
    with pytest.raises(InputError, match=words) as error:
        made(RIGHT | given)
    assert "\n" not in str(error.value)


def test_what_may_differ_when_a_training_goes_on():
    before = made(RIGHT | {"sizes": {"layers": 2}, "rate": 0.5})
    after = gone_on(before, {"steps": 9, "save": 1, "rate": 0.5, "sizes": {"layers": 2}, "prompt": "x"})
    assert (after.steps, after.save, after.prompt, after.rate) == (9, 1, "x", 0.5)
    for given, words in (
        ({"rate": 0.1}, "rate is 0.1 now and was 0.5 when this training began"),
        ({"start": "m"}, "from is m now and was None"),
        ({"sizes": {"width": 8}}, "width is 8 now and was None"),
        ({"seed": 1, "steps": 9}, "seed is 1 now and was 0"),
    ):
        with pytest.raises(InputError, match=words):
            gone_on(before, given)
