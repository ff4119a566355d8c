import random
from itertools import islice

import pytest

from stillhouse.core.errors import InputError
from stillhouse.data.prepare import prepare_rows
from stillhouse.recipes.rows import Prepare, SampleRows, Split
from stillhouse.tasks.sample_rows import GENERATORS, sample_rows
from stillhouse.tasks.tickets.phrases import INTENTS, MOODS, PRODUCTS, URGENCIES, VALUES
from stillhouse.tasks.tickets.rows import generate_rows


def messages(rows):
    return [row.fields["message"] for row in rows]


def test_the_same_seed_gives_the_same_rows_and_a_prefix_of_a_longer_list():
    first = list(generate_rows(50, 3, 0.2))

    assert list(islice(generate_rows(500, 3, 0.2), 50)) == first
    assert messages(generate_rows(50, 4, 0.2)) != messages(first)
    assert len({row.row_id for row in first}) == 50


def test_noise_changes_annotations_only():
    clean = list(generate_rows(200, 0, 0.0))
    noisy = list(generate_rows(200, 0, 0.3))

    assert messages(clean) == messages(noisy)
    assert [row.fields["truth"] for row in clean] == [row.fields["truth"] for row in noisy]
    assert all(row.fields["annotation"] == row.fields["truth"] for row in clean)


def test_each_value_is_redrawn_with_the_stated_probability():
    rows = list(generate_rows(5000, 0, 0.4))

    for field, values in VALUES.items():
        changed = sum(row.fields["annotation"][field] != row.fields["truth"][field] for row in rows)
        expected = 0.4 * (1 - 1 / len(values))
        assert changed / 5000 == pytest.approx(expected, abs=0.03)


def test_messages_are_short_and_nearly_all_different():
    all_messages = messages(generate_rows(10_000, 0, 0.0))

    assert len(set(all_messages)) > 9_700
    assert max(len(message.split()) for message in all_messages) <= 16
    assert sum(len(message.split()) for message in all_messages) / 10_000 < 10


def test_annotations_have_the_four_fields_in_order_and_every_value_occurs():
    rows = list(generate_rows(1000, 0, 0.1))

    for field, values in VALUES.items():
        assert {row.fields["truth"][field] for row in rows} == set(values)
    assert {tuple(row.fields["annotation"]) for row in rows} == {tuple(VALUES)}


@pytest.mark.parametrize("bank", [INTENTS, PRODUCTS, URGENCIES, MOODS])
def test_a_phrase_tells_exactly_one_value(bank):
    phrases = [phrase for options in bank.values() for phrase in set(options) if phrase]

    assert len(phrases) == len(set(phrases))
    for phrase in phrases:
        assert not any(phrase != other and f" {phrase} " in f" {other} " for other in phrases)


def test_ticket_rows_pass_through_prepare():
    rows = list(sample_rows(SampleRows(task="tickets", rows=400, noise=0.15)))
    split = Split(parts={"holdout": 80, "labelled": "rest"}, stratify_by="truth.intent")
    prepare = Prepare(user="{message}", answer="annotation", reference="truth", split=split)

    prepared = prepare_rows(random.Random(0).sample(rows, 400), prepare)

    answer = next(e.answer for e in prepared.examples if e.part == "labelled")
    assert answer.startswith('{"intent":"')


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(InputError) as caught:
        sample_rows(SampleRows(task="ticket", rows=1))

    assert 'is "ticket" (did you mean "tickets"?)' in caught.value.message
    assert caught.value.hint == f"tasks with sample rows: {', '.join(GENERATORS)}"
    assert caught.value.exit_code == 2
