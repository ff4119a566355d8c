"""A recipe may name what an evaluation measures, each with the scale that its values lie on."""

from __future__ import annotations

from stillhouse.evals.metrics import FIELD_TEMPLATES
from stillhouse.evals.metrics import FIXED as MEASURED
from stillhouse.recipes.metric_names import FAMILIES, FIXED


def test_every_metric_has_its_name_and_scale_in_the_language_of_recipes():
    for metric in MEASURED:
        assert metric.name in FIXED, metric.name
        assert metric.bounds in (None, FIXED[metric.name]), metric.name
    for template in (one for templates in FIELD_TEMPLATES.values() for one in templates):
        family = template.name.partition(".")[0] + "."
        assert family in FAMILIES, template.name
        assert template.bounds in (None, FAMILIES[family]), template.name
