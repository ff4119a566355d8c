"""What is measured is what the recipe names: the part, its rows' columns, and no other answers."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

import stillhouse
from stillhouse.core.errors import ArtifactError, InputError, RecipeError
from stillhouse.core.rows import Completion, OwnLogprob
from stillhouse.data.storage import write_completions
from stillhouse.evals.scores import Scores, read_scores, write_scores
from stillhouse.recipes.answers import AnswerKind
from stillhouse.recipes.measuring import Evaluate
from stillhouse.stages.comparing import Answers, refuse_not_numbers, summarise
from stillhouse.stages.confidence import confidence_note, score_own_confidence
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.measured import find_measured, read_answers
from stillhouse.stages.slices import cut_by_slices

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

    summary = summarise(answers, answers.scores(answers.compared()))

    found = {(item["kind"], item["name"]): item for item in summary["slices"]}
    genres = {fields["about"]["genre"] for fields in measured.fields}
    for kind, names in {"about.genre": genres, "class": {"yes", "no"}}.items():
        assert {name for of, name in found if of == kind} == names
    assert found["class", "yes"]["value"] == 1.0
    assert found["class", "no"]["value"] == 0.0
    for kind in ("about.genre", "length", "class"):
        assert sum(item["n"] for (of, _), item in found.items() if of == kind) == 20


def test_few_numbers_of_a_column_are_parts_of_their_own(measured):
    settings = Evaluate(draws=100, slices=("year",))
    answers = Answers(measured, said(measured), settings, as_objects=False)

    names = {
        item["name"] for item in summarise(answers, answers.scores(answers.compared()))["slices"]
    }

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


def test_declared_fields_are_measured_as_what_they_are(measured):
    kind = AnswerKind(kind="label", classes=("yes", "no"), positive=("no",))
    settings = Evaluate(draws=100, fields={"answer": kind})
    answers = Answers(measured, said(measured), settings, as_objects=False)

    summary = summarise(answers, answers.scores(answers.compared() | answers.of_the_teacher()))

    right = sum(example.answer == "yes" for example in measured.examples)
    assert summary["metrics"]["accuracy.answer"]["value"] == pytest.approx(right / 20)
    assert summary["metrics"]["recall.answer"]["value"] == 0.0
    assert summary["metrics"]["agreement.answer"]["value"] == 1.0


def test_an_answers_confidence_is_the_probability_of_its_tokens_and_right_or_not(measured):
    settings = Evaluate(draws=100)
    sure = [OwnLogprob(b"y", math.log(0.9)), OwnLogprob(b"", math.log(0.5))]
    answered = [replace(one, logprobs=tuple(sure)) for one in said(measured)]
    answers = Answers(measured, answered, settings, as_objects=False)
    columns = answers.compared()

    columns |= score_own_confidence(settings, answered, answers.right(columns))

    assert columns["confidence"] == pytest.approx(0.45)
    assert columns["correct"].tolist() == columns["exact"].tolist()
    told = summarise(answers, answers.scores(columns))["calibration"]
    assert sum(one["n"] for one in told[0]["bins"]) == 20
    assert told[0]["error"] == pytest.approx(abs(columns["correct"].mean() - 0.45))


@pytest.mark.parametrize("is_told", [True, False])
def test_a_stated_confidence_need_not_be_the_references(measured, is_told):
    # given references that may say how sure they are, and answers that are wrong one time in four
    told = {"sure": 0.9} if is_told else {}
    gold = json.dumps({"v": "yes", **told})
    examples = [replace(one, answer=gold, reference=None) for one in measured.examples]
    texts = [json.dumps({"v": "yes" if at % 4 else "no", "sure": 0.75}) for at in range(20)]
    answered = [replace(one, text=text) for one, text in zip(said(measured), texts, strict=True)]
    settings = Evaluate(draws=100, confidence_field="sure")
    answers = Answers(replace(measured, examples=examples), answered, settings, as_objects=True)
    columns = answers.compared()

    columns |= score_own_confidence(settings, answered, answers.right(columns))

    metrics = summarise(answers, answers.scores(columns))["metrics"]
    assert columns["correct"].mean() == 0.75
    assert metrics["ece"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert metrics["exact_match"]["value"] == 0.0


def test_a_stated_confidence_is_read_and_silence_counts_as_sure(measured):
    settings = Evaluate(draws=100, confidence_field="sure")
    texts = ['{"sure": 0.25}', '{"sure": null}', "no JSON", *['{"sure": 1}'] * 17]
    answered = [replace(one, text=text) for one, text in zip(said(measured), texts, strict=True)]

    found = score_own_confidence(settings, answered, np.zeros(20))

    assert found["confidence"].tolist() == [0.25, 1.0, 1.0, *[1.0] * 17]
    assert "no number" not in confidence_note(settings, answered)


def test_a_stated_confidence_that_is_no_probability_is_wrong_and_noted_and_ends_no_run(measured):
    settings = Evaluate(draws=100, confidence_field="sure")
    texts = [f'{{"sure": {value}}}' for value in (90, 90, '"high"', "true", -1, "1e400", "0")]
    answered = [replace(said(measured)[0], text=text) for text in texts]
    right = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0])

    found = score_own_confidence(settings, answered, right)

    assert found["confidence"].tolist() == [0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    note = confidence_note(settings, answered)
    assert "6 of 7 say what is no number from 0 to 1, such as 90" in note


def test_half_of_a_surrogate_pair_in_an_answer_ends_no_run(measured, tmp_path):
    answered = [replace(said(measured)[0], text=r'{"sure": "\ud83d"}')]
    kind = AnswerKind(kind="label")
    settings = Evaluate(confidence_field="sure", slices=("class",), fields={"v": kind})
    torn = [replace(measured.examples[0], answer=r'{"v": "a\ud83d"}', reference=None)]

    confidence_note(settings, answered).encode()
    parts = cut_by_slices(torn, [{}], settings, as_objects=True)

    write_scores(tmp_path / "scores.parquet", Scores(("a",), parts))
    assert list(read_scores(tmp_path / "scores.parquet").columns) == ["slice:class of v=a\ufffd"]
