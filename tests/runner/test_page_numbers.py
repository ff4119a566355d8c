"""Every metric that is known stands in one section of the page."""

from __future__ import annotations

from typing import get_args

import pytest

from stillhouse.recipes.metric_names import FAMILIES
from stillhouse.report.content import MetricRow
from stillhouse.runner.page_numbers import _GROUPS, _group_of


@pytest.mark.parametrize(
    ("name", "group"),
    [("exact_match", ""), ("accuracy.mood", ""), ("distinct_2", "diversity"),
     ("entropy", "diversity"), ("traditions_covered", "diversity"), ("num_parameters", "size")],
)  # fmt: skip
def test_a_metric_stands_where_it_is_looked_for(name, group):
    assert _group_of(name) == group


def test_every_group_is_one_of_the_page():
    allowed = get_args(MetricRow.model_fields["group"].annotation)

    assert set(_GROUPS.values()) <= set(allowed)
    assert all(_group_of(name) in allowed for name in FAMILIES)
