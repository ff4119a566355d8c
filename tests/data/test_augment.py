"""Versions of training rows: counted, checked, and never of what is measured."""

import json
from collections import Counter

import pytest

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.core.sampling import Sampling
from stillhouse.data.asking import AskedEngine
from stillhouse.data.prepare import prepare_rows
from stillhouse.engines.fake import FakeEngine
from stillhouse.recipes.rows import Prepare

SPLIT = {"parts": {"holdout": 4, "validation": 2, "labelled": "rest"}}


def prepare(**augment):
    engines = {"formal": {"path": "."}} if "formal" in augment.get("versions", ()) else {}
    step = {"name": "augment", "engines": engines} | augment
    plain = {"user": "{question}", "answer": "answer", "split": SPLIT, "steps": [step]}
    return Prepare.model_validate_json(json.dumps(plain)).after_steps


def rows(number=20):
    return [
        Row(f"{at:02}" * 10, {"question": f"What is the price of {at} loans?", "answer": f"{at}0"},
            f"r:{at}")
        for at in range(number)
    ]  # fmt: skip


def writer(say, faults=None):
    fake = FakeEngine(lambda turns, _: say(json.loads(turns[-1].content)["text"]), faults)
    return {"engines.formal": AskedEngine(fake, None, Sampling(50), frozenset({"budget"}))}


def test_every_training_row_has_its_versions_and_every_measured_one_itself():
    wanted = prepare(versions=["original", "formal", "typos"])
    made = prepare_rows(rows(), wanted, engines=writer(lambda text: f"Kindly tell, {text}"))

    parts = Counter(one.part for one in made.examples)
    assert parts == {"holdout": 4, "validation": 2, "labelled": 3 * 14}
    versions = Counter(row.fields["version"] for row in made.versions)
    assert versions == {"original": 14, "formal": 14, "typos": 14}
    measured = {row.row_id for row in made.measured}
    assert measured <= {row.row_id for row in rows()}
    assert measured.isdisjoint(row.root_id for row in made.versions)
    by_root = {}
    for row in made.versions:
        by_root.setdefault(row.root_id, {})[row.fields["version"]] = row.fields
    for family in by_root.values():
        assert family["formal"]["question"] == f"Kindly tell, {family['original']['question']}"
        assert family["typos"]["question"] != family["original"]["question"]
        assert len({fields["answer"] for fields in family.values()}) == 1


def test_a_version_of_no_use_is_dropped_with_what_was_said_and_one_without_answer_waits():
    bad = {"3 ": "What is the price of 4 loans?", "5 ": "No.", "7 ": "It is 70, is it?"}
    learned = {row.root_id for row in prepare_rows(rows(), prepare()).versions}
    silent = next(row for row in rows() if row.row_id in learned and " 1" in str(row.fields))

    def say(text):
        wrong = next((said for number, said in bad.items() if f"of {number}" in text), "")
        return wrong or f"Kindly tell, {text}"

    wanted = prepare(versions=["original", "formal"])
    made = prepare_rows(rows(), wanted, engines=writer(say, {silent.row_id: "budget"}))

    count = made.counts[-1]
    assert count.balances
    assert count.deferred == {"formal: budget": 1}
    ended = {one.row.provenance: (one.reason, one.evidence) for one in made.dropped}
    assert ended[silent.provenance] == ("formal: budget", "")
    flaws = {
        "r:3": ("formal: other_numbers", bad["3 "]), "r:5": ("formal: no_question", bad["5 "]),
        "r:7": ("formal: other_numbers", bad["7 "]),
    }  # fmt: skip
    roots = {row.row_id: row.provenance for row in rows()}
    for root in learned:
        if roots[root] in flaws:
            assert ended[roots[root]] == flaws[roots[root]]


def test_a_version_that_asks_what_is_measured_is_no_training_row():
    asked = {row.fields["question"] for row in rows()}
    made = prepare_rows(
        rows(), prepare(versions=["original", "formal"]), engines=writer(lambda text: text.upper())
    )
    # shouted words are the same words
    assert made.counts[-1].dropped == {"formal: same_words": 14}
    assert {one.prompt[-1].content for one in made.examples} == asked
    alike = [
        Row(f"{at:02}" * 10, {"question": f"{word} is the price of a loan?", "answer": "5"}, "r")
        for at, word in enumerate(("What", "Which", "How much", "So what"))
    ]
    wanted = prepare(versions=["original", "formal"]).model_copy(
        update={
            "split": prepare().split.model_copy(update={"parts": {"holdout": 1, "labelled": 3}})
        }
    )
    found = prepare_rows(alike, wanted)
    (held,) = (one.prompt[-1].content for one in found.examples if one.part == "holdout")
    again = prepare_rows(alike, wanted, engines=writer(lambda _: held))
    assert again.counts[-1].dropped == {"formal: prompt stands in the holdout": 3}


def test_typos_are_the_same_whatever_stands_beside_a_row():
    few = {row.root_id: row for row in prepare_rows(rows(), prepare()).versions
           if row.fields["version"] == "typos"}  # fmt: skip
    more = {row.root_id: row for row in prepare_rows(rows(40)[::-1], prepare()).versions
            if row.fields["version"] == "typos"}  # fmt: skip
    both = few.keys() & more.keys()
    assert both
    assert all(few[root] == more[root] for root in both)


def test_a_field_that_no_row_has_or_no_prompt_shows_is_refused():
    with pytest.raises(InputError, match="not one of 14 training rows has a text in 'text'"):
        prepare_rows(rows(), prepare(field="text"))
    beside = [Row(r.row_id, r.fields | {"other": "many other words"}, "r") for r in rows()]
    with pytest.raises(InputError, match="the prompt is the same in other words"):
        prepare_rows(beside, prepare(field="other"))


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"versions": ["original", "formal"], "engines": {}}, "no engine writes formal"),
        ({"versions": ["typos"]}, "versions name original"),
        ({"engines": {"casual": {"path": "."}}}, "engines.casual writes nothing"),
    ],
)
def test_versions_and_engines_must_fit(step, told):
    with pytest.raises(ValueError, match=told):
        prepare(**step)
