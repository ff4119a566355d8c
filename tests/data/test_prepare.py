from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.data.columns import select_columns
from stillhouse.data.prepare import prepare_rows
from stillhouse.data.readers import build_rows, read_rows
from stillhouse.recipes import rows as recipe
from stillhouse.recipes.rows import Prepare, Source, Split

PARTS = {"holdout": 10, "validation": 5, "labelled": 20, "teacher": 20, "unlabelled": "rest"}


def rows_of(num_rows):
    return list(build_rows(records_of(num_rows)))


def records_of(num_rows):
    return [
        (f"x:{index}", {"q": f"ask {index}", "a": f"said {index}", "t": "t"})
        for index in range(num_rows)
    ]


def test_every_row_becomes_an_example_or_a_drop():
    records = records_of(100)
    records += [(f"y:{index}", {"q": "ask 1", "a": "said 1", "t": "t"}) for index in range(3)]
    records.append(("z:0", {"q": "  ", "a": "x", "t": "t"}))
    rows = list(build_rows(records))

    prepared = prepare_rows(rows, Prepare(user="{q}", answer="a", split=Split(parts=PARTS)))

    ids = [example.example_id for example in prepared.examples]
    assert sorted([*ids, *(drop.row.row_id for drop in prepared.dropped)]) == sorted(
        row.row_id for row in rows
    )
    assert ids == [row.row_id for row in rows[:100]]
    assert [count.step for count in prepared.counts] == ["clean", "shape", "drop", "dedup", "split"]
    assert [count.dropped for count in prepared.counts] == [
        {},
        {},
        {"empty prompt": 1},
        {"duplicate": 3},
        {},
    ]
    assert prepared.counts[0].changed == 1


def test_gold_text_never_reaches_unlabelled_and_references_only_what_is_measured():
    prepare = Prepare(user="{q}", answer="a", reference="t", split=Split(parts=PARTS))

    examples = prepare_rows(rows_of(100), prepare).examples

    for example in examples:
        assert (example.answer is None) == (example.part == "unlabelled")
        assert (example.reference == "t") == (example.part in ("validation", "holdout"))


def parts_by_prompt(records, **split):
    """The part of each prompt and answer, and how many rows ended why; or why there is none."""
    prepare = Prepare(user="{q}", answer="a", split=Split(**split))
    try:
        prepared = prepare_rows(build_rows(records), prepare)
    except InputError as error:
        return error.message
    kept = {(example.prompt, example.answer): example.part for example in prepared.examples}
    ends = Counter(drop.reason for drop in prepared.dropped)
    return kept, ends


FEW = st.integers(0, 12)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "q": FEW.map(lambda n: f"ask {n}"),
            "a": st.sampled_from(["yes", "no", None]),
            "customer": FEW,
            "kind": st.sampled_from("xy"),
        }
    ),
    min_size=8,
    max_size=60,
).map(lambda rows: [(f"x:{index}", fields) for index, fields in enumerate(rows)])
SPLITS = st.fixed_dictionaries(
    {
        "parts": st.sampled_from(
            [
                {"holdout": 3, "labelled": "rest"},
                {"holdout": 0.3, "teacher": 0.2, "unlabelled": "rest"},
            ]
        ),
        "group_by": st.sampled_from([(), ("customer",)]),
        "stratify_by": st.sampled_from([None, "kind"]),
        "seed": st.integers(0, 3),
    }
)


@settings(max_examples=150, deadline=None)
@given(RECORDS, SPLITS, st.randoms())
def test_the_order_of_the_rows_changes_no_part(records, split, random):
    shuffled = random.sample(records, len(records))

    assert parts_by_prompt(shuffled, **split) == parts_by_prompt(records, **split)


@settings(max_examples=50, deadline=None)
@given(st.integers(20, 120), SPLITS)
def test_a_column_that_the_recipe_does_not_name_changes_no_part(num_rows, split):
    records = [
        (where, fields | {"customer": index // 2, "kind": index % 2})
        for index, (where, fields) in enumerate(records_of(num_rows))
    ]
    wider = [(where, fields | {"new": index}) for index, (where, fields) in enumerate(records)]

    assert parts_by_prompt(wider, **split) == parts_by_prompt(records, **split)


def test_rows_that_all_end_say_why():
    prepare = Prepare(
        user="{q}", drop=recipe.Drop(min_chars=99), split=Split(parts={"holdout": "rest"})
    )

    with pytest.raises(InputError, match=r"none of 3 rows is left.*x:2, was: prompt too short \("):
        prepare_rows(rows_of(3), prepare)
    with pytest.raises(InputError, match="there are no rows to prepare"):
        prepare_rows([], prepare)


def test_a_row_collected_twice_is_refused():
    with pytest.raises(InputError, match="the row id a stands at x:1 and at x:2"):
        prepare_rows(
            [Row("a", {}, "x:1"), Row("a", {}, "x:2")],
            Prepare(user="q", split=Split(parts={"holdout": "rest"})),
        )


def test_real_bank_questions_split_by_intent(shared_file):
    path = shared_file("finance/banking77_train_half.csv")
    rows = list(read_rows(Source(file=path.name), path.parent))
    split = Split(
        parts={"holdout": 500, "labelled": 1000, "unlabelled": "rest"}, stratify_by="category"
    )

    prepared = prepare_rows(rows, Prepare(user="{text}", answer="category", split=split))

    num_dropped = len(prepared.dropped)
    assert len(prepared.examples) + num_dropped == 5002
    by_part = {part: [e for e in prepared.examples if e.part == part] for part in split.parts}
    assert len(by_part["labelled"]) == 1000
    assert len({example.answer for example in by_part["holdout"]}) == 77
    prompts = {part: {e.prompt for e in examples} for part, examples in by_part.items()}
    assert not prompts["holdout"] & (prompts["labelled"] | prompts["unlabelled"])


def test_real_choices_become_examples(shared_file):
    path = shared_file("mcq/commonsense_qa_val.jsonl")
    columns = {
        "q": "question",
        "options": "choices.text",
        "a": "answerKey",
        "topic": "question_concept",
    }
    rows = [select_columns(row, columns) for row in read_rows(Source(file=path.name), path.parent)]
    split = Split(parts={"holdout": 0.2, "labelled": "rest"}, group_by=("topic",))

    prepared = prepare_rows(rows, Prepare(user="{q}\n{options[0]}", answer="a", split=split))

    assert len(prepared.examples) == 1221
    part_of_topic = {}
    for row, example in zip(rows, prepared.examples, strict=True):
        assert part_of_topic.setdefault(row.fields["topic"], example.part) == example.part
