"""What is measured is what the recipe names: the part, its rows' columns, and no other answers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import stillhouse
from stillhouse.core.errors import ArtifactError, InputError, RecipeError
from stillhouse.core.rows import Completion
from stillhouse.data.storage import write_completions
from stillhouse.evals.scores import Scores
from stillhouse.recipes.measuring import Evaluate
from stillhouse.stages.comparing import Answers, refuse_not_numbers, summarise
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.measured import find_measured, read_answers

ROWS = [
    {"q": f"{'word ' * (number % 7)}question {number}", "a": "yes" if number % 3 else "no",
     "about": {"genre": ["rock", "folk"][number % 2]}, "year": 1900 + number}
    for number in range(60)
]  # fmt: skip


@pytest.fixture
def recipe(write_recipe, tmp_path):
    """`recipe(**evaluate)`: rows with columns, answered with yes or no."""
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))

    def write(**evaluate):
        return write_recipe(
            collect={"source": {"file": "rows.jsonl"}},
            prepare={
                "user": "{q}",
                "answer": "a",
                "split": {
                    "parts": {"holdout": 20, "validation": 10, "teacher": 10, "labelled": "rest"}
                },
            },
            evaluate={"draws": 100, **evaluate},
        )

    return write


@pytest.fixture
def measured(recipe, prepare, tmp_path):
    prepare(recipe())
    folder = tmp_path / "made" / "prepare"
    return find_measured(open_corpus(folder), folder)


def said(measured, text="yes"):
    return [Completion(name, text, "stop", 1) for name in measured.ids]


def test_the_rows_columns_stand_beside_the_examples_of_holdout_and_validation(
    measured, prepare, tmp_path
):
    folder = tmp_path / "made" / "prepare"
    validation = find_measured(open_corpus(folder), folder, "validation")

    for found, size in ((measured, 20), (validation, 10)):
        assert len(found.examples) == size
        for example, fields in zip(found.examples, found.fields, strict=True):
            assert example.prompt[0].content == fields["q"]
            assert example.answer == fields["a"]


def test_every_slice_is_told_with_its_size(measured):
    settings = Evaluate(draws=100, slices=("about.genre", "length", "class"))
    answers = Answers(measured, said(measured), settings, as_objects=False)

    summary = summarise(answers, answers.scores({}))

    found = {(item["kind"], item["name"]): item for item in summary["slices"]}
    genres = {fields["about"]["genre"] for fields in measured.fields}
    for kind, names in {"about.genre": genres, "class": {"yes", "no"}}.items():
        assert {name for of, name in found if of == kind} == names
    assert found["class", "yes"]["value"] == 1.0
    assert found["class", "no"]["value"] == 0.0
    for kind in ("about.genre", "length", "class"):
        assert sum(item["n"] for (of, _), item in found.items() if of == kind) == 20


def test_numbers_of_a_column_fall_into_ranges(measured):
    settings = Evaluate(draws=100, slices=("year",))
    answers = Answers(measured, said(measured), settings, as_objects=False)

    names = {item["name"] for item in summarise(answers, answers.scores({}))["slices"]}

    # at most 24 different years would be names of their own; the holdout has 20
    assert names == {str(fields["year"]) for fields in measured.fields}


def test_a_slice_of_no_column_is_refused_with_its_line_and_the_nearest(recipe):
    path = recipe(slices=["about.gender"])

    with pytest.raises(RecipeError, match=r'did you mean "about.genre"\?') as caught:
        stillhouse.check(str(path))

    line = next(
        number
        for number, text in enumerate(path.read_text().splitlines(), 1)
        if "about.gender" in text
    )
    assert f"recipe.yaml:{line} evaluate.slices.0" in caught.value.message
    assert "year" in caught.value.hint


def test_answers_to_other_rows_are_refused(measured, tmp_path):
    path = tmp_path / "completions.parquet"
    own = said(measured)

    for wrong, words in (
        ([], "holds no answer"),
        (own[1:], "1 of 20 are missing"),
        ([*own, replace(own[0], example_id="other")], "1 are of other rows"),
    ):
        write_completions(path, wrong)
        with pytest.raises(ArtifactError, match=words):
            read_answers(tmp_path, measured)
    write_completions(path, own[::-1])
    assert read_answers(tmp_path, measured) == own


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_score_that_is_no_number_names_its_example(wrong):
    scores = Scores(("a", "b"), {"nll": np.array([1.0, wrong])})
    with pytest.raises(InputError, match="the score nll of example b is"):
        refuse_not_numbers(scores)
