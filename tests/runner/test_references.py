"""Scores on another scale than the recipe's are refused before anything is learned from them."""

import json

import pytest

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example, Message
from stillhouse.data.storage import write_examples
from stillhouse.recipes.load import load_recipe
from stillhouse.runner.references import require_prepared
from stillhouse.stages.corpus import EXAMPLES


def prepared(folder, scores):
    told = [json.dumps({"verdict": "ACCEPTABLE", "score": one, "themes": []}) for one in scores]
    parts = ("holdout", "labelled")
    write_examples(folder / EXAMPLES, [
        Example(f"{number:02}", parts[number % 2], (Message("user", "?"),), text)
        for number, text in enumerate(told)
    ])  # fmt: skip
    return folder


def test_references_that_look_like_fractions_are_refused_with_the_step_that_mends_them(tmp_path):
    recipe = load_recipe("songs-sft").recipe
    with pytest.raises(InputError, match=r"evaluate\.fields\.score goes from 0 to 100") as refused:
        require_prepared(recipe, prepared(tmp_path, [0.9, 95, 0.6]))
    assert "{name: rescale, field: ..., scale: [0, 1], to: [0, 100]}" in refused.value.hint


@pytest.mark.parametrize("scores", [[0.9, 95, 60], [0, 0.5, 1, 0.5]])
def test_a_score_above_one_and_whole_ones_alone_say_that_the_scale_is_right(tmp_path, scores):
    require_prepared(load_recipe("songs-sft").recipe, prepared(tmp_path, scores))
