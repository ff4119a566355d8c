"""Rows become examples that fit the context, also when a model has to answer them anew."""

from __future__ import annotations

import pytest

from stillhouse.core.errors import InputError
from stillhouse.data.account import check_balance
from stillhouse.data.readers import build_rows
from stillhouse.recipes.models import TrainedTokenizer
from stillhouse.recipes.rows import Prepare
from stillhouse.stages.examples import Wanted, WantedReader, make_examples
from stillhouse.tokens.encode import encode_conversation, encode_prompt

CONTEXT, ROOM = 80, 30
PARTS = {"holdout": 10, "validation": 10, "labelled": 10, "teacher": 10, "unlabelled": "rest"}


@pytest.fixture
def make(tmp_path):
    """`make(fields, asked_parts=..., ...)` gives the rows and what was made of them."""

    def run(fields, *, asked_parts=("holdout",), room=ROOM, parts=PARTS, **section):
        rows = list(build_rows((f"x:{index}", values) for index, values in enumerate(fields)))
        wanted = Wanted(
            prepare=Prepare(user="{q}", answer="a", split={"parts": parts}, **section),
            readers=(WantedReader(TrainedTokenizer(vocab_size=300), None, "chat", CONTEXT),),
            room_for_answer=room,
            asked_parts=asked_parts,
        )
        return rows, make_examples(rows, wanted, tmp_path)

    return run


def long_rows(num_rows):
    return [{"q": f"{index} word " * (index % 60), "a": "yes"} for index in range(1, num_rows)]


def parts_with_room(made):
    """The parts in which every prompt leaves room for an answer."""
    (reader,), has_room = made.readers, dict.fromkeys(PARTS, True)
    for example in made.examples:
        prompt = encode_prompt(example.prompt, reader.template, reader.tokenizer)
        has_room[example.part] &= len(prompt) + ROOM <= CONTEXT
        if example.answer is not None:
            encoded = encode_conversation(example.messages(), reader.template, reader.tokenizer)
            assert len(encoded.ids) <= CONTEXT
    return {part for part, found in has_room.items() if found}


def test_every_prompt_that_is_asked_leaves_room_and_no_other_is_cut_for_it(make):
    _, measured = make(long_rows(60))
    _, relabelled = make(long_rows(60), asked_parts=("holdout", "labelled", "validation"))

    assert parts_with_room(measured) == {"holdout", "unlabelled"}
    assert parts_with_room(relabelled) == {"holdout", "unlabelled", "labelled", "validation"}


@pytest.mark.parametrize(("room", "section"), [(CONTEXT, {}), (40, {"max_tokens": 40})])
def test_no_room_for_any_prompt_names_both_numbers_and_their_keys(make, room, section):
    with pytest.raises(InputError) as caught:
        make(long_rows(60), room=room, **section)

    for word in (f" {room} ", "label.max_new_tokens", "evaluate.max_new_tokens", "max_tokens"):
        assert word in caught.value.message
    assert caught.value.hint
    assert make(long_rows(60), room=room - 20, **section)[1].examples


def test_no_prompt_that_a_cut_made_equal_to_one_of_the_holdout_is_trained_on(make):
    # The ends are long and few: what is cut off is all that tells most prompts apart.
    fields = [{"q": f"{index} " + f"end {index % 3} " * 40, "a": "yes"} for index in range(60)]

    rows, made = make(fields, asked_parts=tuple(PARTS))

    asked = {"holdout": set(), "trained": set()}
    for example in made.examples:
        asked["holdout" if example.part == "holdout" else "trained"].add(example.prompt)
    assert asked["holdout"]
    assert not asked["holdout"] & asked["trained"]
    check_balance(made.counts, len(rows), len(made.examples))
    ended = {drop.reason for drop in made.dropped}
    assert ended == set(made.counts[-1].dropped) == {"prompt stands in the holdout"}
    assert made.num_cut == len(made.examples) == len(rows) - len(made.dropped)


def test_rows_longer_than_the_context_keep_where_they_came_from(make):
    fields = [*long_rows(60), {"q": "short", "a": "yes " * 200, "more": 1}]

    rows, made = make(fields, parts={"holdout": 10, "teacher": "rest"})

    (drop,) = made.dropped
    assert drop.row == rows[-1]
    assert drop.evidence.startswith(f"over {CONTEXT} tokens")
    assert made.counts[-1].dropped == {"longer than the context": 1}


def with_long_answers(count):
    rows = [{"q": f"what is {index}?", "a": "yes"} for index in range(60 - count)]
    return rows + [{"q": f"and {index}?", "a": f"{index} word " * 60} for index in range(count)]


def test_an_answer_that_does_not_fit_is_dropped_whole_and_counted(make):
    parts = {"holdout": 10, "labelled": "rest"}
    _, made = make(with_long_answers(9), parts=parts)
    lost = [drop for drop in made.dropped if drop.reason == "longer than the context"]
    assert len(lost) == 9
    assert {example.answer for example in made.examples} == {"yes"}


def test_more_long_answers_than_the_recipe_allows_are_refused_with_their_number(make):
    parts = {"holdout": 10, "labelled": "rest"}
    with pytest.raises(InputError, match=r"15 of 60 examples are longer than 80 .* allows 20%"):
        make(with_long_answers(15), parts=parts)
    _, made = make(with_long_answers(15), parts=parts, too_long_at_most=0.25)
    assert len(made.examples) == 45
