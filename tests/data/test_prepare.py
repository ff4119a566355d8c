import pytest

from stillhouse.core.errors import InputError, NotBuiltError
from stillhouse.core.rows import Row
from stillhouse.data.columns import select_columns
from stillhouse.data.prepare import prepare_rows
from stillhouse.data.readers import build_row, read_rows
from stillhouse.recipes import rows as recipe
from stillhouse.recipes.rows import Prepare, Source, Split

PARTS = {"holdout": 10, "validation": 5, "labelled": 20, "teacher": 20, "unlabelled": "rest"}


def rows_of(num_rows):
    return [
        build_row("x", index, f"x:{index}", {"q": f"ask {index}", "a": f"said {index}", "t": "t"})
        for index in range(num_rows)
    ]


def test_every_row_becomes_an_example_or_a_drop():
    rows = rows_of(100)
    rows += [
        build_row("y", index, f"y:{index}", {"q": "ask 1", "a": "said 1", "t": "t"})
        for index in range(3)
    ]
    rows.append(build_row("z", 0, "z:0", {"q": "  ", "a": "x", "t": "t"}))

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
        assert example.group == example.example_id


def test_further_steps_are_not_built_yet():
    prepare = Prepare(user="{q}", steps=({"name": "augment"},), split=Split(parts={"holdout": 1}))

    with pytest.raises(NotBuiltError, match=r"prepare\.steps asks for 'augment'") as caught:
        prepare_rows(rows_of(3), prepare)
    assert caught.value.exit_code == 2


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
