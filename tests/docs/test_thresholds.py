"""The page of thresholds tells what the gate sets hold, and names metrics that exist."""

import re
from pathlib import Path

import pytest

from stillhouse.recipes.gate_sets import gate_set_names
from stillhouse.recipes.gating import Gate
from stillhouse.recipes.metric_names import FAMILIES, scale_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "thresholds.md"
LIMIT = re.compile(r"^(at least|at most) (-?[0-9.e+]+)( \(ours\))?$")


def rows():
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "what"]


ROWS = rows()


def test_every_row_has_all_that_a_reader_asks_for():
    assert len(ROWS) >= 80
    for row in ROWS:
        assert len(row) == 5, row
        assert all(row), row
    assert len({row[0] for row in ROWS}) == len(ROWS)


def test_a_row_has_a_limit_where_a_set_holds_it_and_only_there():
    for what, limit, _, sets, _ in ROWS:
        assert (limit == "none") == (sets == "none"), what
        assert limit == "none" or LIMIT.match(limit), what


@pytest.mark.parametrize("name", gate_set_names())
def test_the_page_and_the_set_hold_the_same_rules(name):
    # given what the page says of this set
    told = set()
    for _, limit, computed_by, sets, _ in ROWS:
        if f"`{name}`" in sets.split(", "):
            word, number, _ = LIMIT.match(limit).groups()
            # The metrics of the rule stand before the first semicolon, what is beside it behind.
            metrics = re.findall(r"`([^`]+)`", computed_by.partition(";")[0])
            told |= {(metric, word, float(number)) for metric in metrics}
    # then
    rules = Gate(set=name).rules
    held = {(rule.metric, rule.bound.replace("_", " "), rule.limit) for rule in rules}
    assert told == held


def test_what_looks_like_a_metric_is_one():
    # Underscores and the heads of families tell metrics from sections and keys of a recipe.
    heads = {family.rstrip(".") for family in FAMILIES}
    others = {"each_slice", "budget_usd", "trainable_parameters", "drop_outliers",
              "optimizer_bytes", "pair_with", "stratify_by"}  # fmt: skip
    named = {name for row in ROWS for name in re.findall(r"`([^`]+)`", row[2])}
    metrics = {
        name for name in named
        if name.partition(".")[0] in heads or re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", name)
    }  # fmt: skip
    assert len(metrics) > 30
    assert [name for name in metrics - others if scale_of(name) is None] == []
