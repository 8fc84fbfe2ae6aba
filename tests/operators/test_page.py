"""The documentation page is what the records say today, complete, and its links lead somewhere."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from byhand.operators import REGISTRY, linear, mask, rotary_angles, softmax, temperature
from byhand.operators.page import main, page, section

WRITTEN = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_written_page_is_up_to_date():
    assert WRITTEN.read_text(encoding="utf-8") == page(), "run: python -m byhand.operators.page > docs/operators.md"


@pytest.mark.parametrize("record", REGISTRY.values(), ids=str)
def test_a_section_says_all_that_the_record_says(record):
    words = " ".join(section(record).split())
    for text in (record.summary, record.source, record.shapes, record.equation, record.gradient):
        assert " ".join(text.split()) in words
    for direction in record.arithmetic.split("---"):
        assert " ".join(direction.split()) in words
    assert all(f"`{name}`" in words for name in record.settings)


def test_the_page_holds_every_section_once_and_every_link_has_its_heading():
    text = page()
    headings = re.findall(r"^### (\w+)$", text, re.MULTILINE)
    assert sorted(headings) == sorted(REGISTRY)
    assert sorted(re.findall(r"\]\(#(\w+)\)", text)) == sorted(REGISTRY)
    assert all(section(record) in text for record in REGISTRY.values())


def test_what_a_section_says_besides():
    assert "- **Kept for backward**: `weight_BHTS`\n" in section(softmax)
    assert "- **No gradient** for `allowed_BTS`\n- **Settings**: `fill` = -inf\n" in section(mask)
    assert "`J` (to be given), `theta` (to be given)" in section(rotary_angles)
    assert "**Gradient**" not in section(rotary_angles)
    assert section(linear).endswith("16,896 forward, 33,280 backward, where B = 1, T = 8, D = 16, F = 64")


def test_a_changed_record_changes_its_section():
    assert section(replace(temperature, equation="out = logits * degree")) != section(temperature)


def test_the_command_prints_one_operator_or_says_which_there_are(capsys):
    assert main(["softmax"]) == 0
    assert capsys.readouterr().out == section(softmax) + "\n"
    assert main([]) == 0
    assert capsys.readouterr().out == page()
    assert main(["softmin"]) == 2
    assert "no operator 'softmin'; there are: add," in capsys.readouterr().err
