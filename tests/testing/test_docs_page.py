"""The page on loss laws: its examples run, and its tables are the laws that there are."""

import re
from pathlib import Path

import pytest

from stillhouse.testing.losses import (
    Outcome,
    TokenClaims,
    TrainingClaims,
    check_laws,
    forward_kl,
    laws_for,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ideas" / "loss-laws.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def names():
    """What the page's blocks define, run one after the other."""
    defined = {}
    for block in re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S):
        exec(compile(block, str(PAGE), "exec"), defined)
    return defined


def test_the_first_example_is_short_and_keeps_every_law(names, capsys):
    block = re.search(r"^```python\n(.*?)^```", TEXT, re.M | re.S).group(1)
    assert len([line for line in block.splitlines() if line.strip()]) <= 15
    names["report"].require()


def test_the_training_example_keeps_every_law(names):
    names["training_report"].require()


def test_the_page_says_what_a_false_claim_of_t2_costs(names):
    claims = TokenClaims(forward_kl(), t2_scaling=True, computes_in=names["torch"].float32)
    report = check_laws(names["my_loss"], claims)
    (said,) = (v for v in report.failures if v.law == "t2_scales_value_and_gradient_alike")
    assert len(report.failures) == 6
    assert "six laws would fail" in TEXT
    assert said.detail in " ".join(TEXT.split())


def test_the_parametrised_form_is_one_test_a_law(names):
    for law in laws_for(names["claims"]):
        assert law.check(names["my_loss"]).outcome is not Outcome.FAILS
    assert "test_my_loss" in names


def test_the_tables_are_the_laws():
    laws = laws_for(TokenClaims(forward_kl())) + laws_for(TrainingClaims(forward_kl()))
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", TEXT, re.M)
    assert rows == [(law.name, law.statement) for law in laws]
    assert f"states {len(laws)} of them" in TEXT
