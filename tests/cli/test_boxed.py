"""The models in the box, from the command line."""

import pytest


@pytest.mark.parametrize("name", ["stories", "stories-llama"])
def test_it_answers_in_whole_sentences(byhand, name):
    answer = byhand("run", name, "Once")
    told = " ".join(answer.out.partition("It goes on: ")[2].split())
    assert told.startswith("Once") and told.endswith((".", "!", '."', '!"', "?", '?"')) and told.count(" ") > 15
    assert byhand("run", name, "Once", "--json").data["goes_on"].split() == told.split()[1:]


def test_sums_are_right(byhand):
    assert "It goes on: 12+34=46\n" in byhand("run", "sums", "12+34=").out
