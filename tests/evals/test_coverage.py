"""Which traditions and unexpected pairs rows hold, and rules that can end a run."""

import json

import pytest
from pydantic import ValidationError

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Row
from stillhouse.data.account import run_step
from stillhouse.evals.coverage import PAIRS, TRADITIONS, CoverageStep, own_pairs, own_traditions
from stillhouse.recipes.coverage import Coverage


def rows_of(*prompts, **more):
    return [Row(str(n), {"prompt": one} | more, f"rows:{n}") for n, one in enumerate(prompts)]


def tell(rows, **settings):
    return CoverageStep(Coverage(**settings)).tell(rows)


def test_fifteen_traditions_come_with_stillhouse_each_with_its_kind():
    tables = tell(rows_of("a raga on the sitar"))

    assert len(own_traditions()) == 15
    shown = list(tables[TRADITIONS])
    assert shown[:2] == ["Ukrainian (people)", "Yoruba (people)"]
    assert tables[TRADITIONS]["Hindustani (genre)"] == 1
    assert sum(tables[TRADITIONS].values()) == 2


def test_every_row_is_kept():
    kept, ended, count = run_step(CoverageStep(Coverage()), rows_of("a", "b"))

    assert (len(kept), ended, count.changed) == (2, [], 0)


def test_a_row_is_counted_in_each_tradition_that_it_names():
    tables = tell(rows_of("a Korean pansori singer and a Yoruba drummer", "a cat"))

    found = tables[TRADITIONS]
    assert (found["Korean (people)"], found["Yoruba (people)"], found["none of them"]) == (1, 1, 1)


def test_a_field_that_names_the_tradition_is_believed():
    rows = [*rows_of("a cat", tradition="romani"), *rows_of("a raga", tradition="Basque"),
            *rows_of("a raga", tradition=None)]  # fmt: skip

    found = tell(rows, tradition_field="tradition")[TRADITIONS]

    assert (found["Romani (people)"], found["Basque"], found["none of them"]) == (1, 1, 1)
    assert found["Hindustani (genre)"] == 0


@pytest.mark.parametrize(
    ("prompt", "pair"),
    [
        ("a wide landscape of baobabs at dawn", "a landscape that is not European"),
        ("a landscape of the Alps and of baobabs", None),
        ("a beautiful landscape", None),
        ("she sings a maqam to the oud", "music that is not of Western tonality"),
        ("an orchestra plays a raga", None),
        ("an artist weaves kente at the loom", "art that is not in a museum"),
        ("art in a museum, next to a mask", None),
    ],
)
def test_a_pair_is_a_general_word_beside_what_is_not_taken_for_granted(prompt, pair):
    found = tell(rows_of(prompt))[PAIRS]

    assert [name for name, count in found.items() if count] == ([pair] if pair else [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"traditions_at_least": 3}, "2 traditions are there, traditions_at_least is 3; not one "
                                     "row of c"),
        ({"rows_at_least": 2}, "rows_at_least is 2: c 0, b 1"),
        ({"ratio_at_least": 0.5}, "the ratio of fewest to most rows is 0 to 2"),
        ({"pairs_at_least": 1}, "pairs_at_least is 1: p 0"),
    ],
)  # fmt: skip
def test_a_limit_that_is_not_kept_ends_the_run(settings, message):
    traditions = {"a": ("apple",), "b": ("berry",), "c": ("cherry",)}
    pairs = {"p": {"says": ("apple",), "beside": ("pear",)}}
    rows = rows_of("apple", "apple berry")

    with pytest.raises(InputError, match=message):
        tell(rows, traditions=traditions, pairs=pairs, **settings)
    assert tell(rows, traditions=traditions, pairs=pairs)[PAIRS] == {"p": 0}


def test_limits_that_are_kept_say_nothing():
    prompts = [f"{words[0].rstrip('*')} music" for words in own_traditions().values()]

    found = tell(
        rows_of(*prompts), traditions_at_least=15, rows_at_least=1, ratio_at_least=1.0
    )[TRADITIONS]  # fmt: skip

    assert set([*found.values()][:15]) == {1}


def test_words_are_needed():
    with pytest.raises(ValidationError, match="at least 1 item"):
        Coverage(traditions={"a": ()})


def test_real_prompts_cover_little(shared_file):
    # given the prompts of two public collections, and questions on everyday culture
    lines = shared_file("prompts/partiprompts_even.tsv").read_text("utf-8").splitlines()[1:]
    prompts = [line.split("\t")[0] for line in lines]
    culture = shared_file("culture/blend_a.jsonl").read_text("utf-8").splitlines()
    questions = [json.loads(line)["en_question"] for line in culture]
    # when
    for name, texts in (("PartiPrompts", prompts), ("BLEnD", questions)):
        tables = tell(rows_of(*texts))
        print(f"\n{name}: {tables[TRADITIONS]}\n  {tables[PAIRS]}")
    # then
    with pytest.raises(InputError, match="traditions are there, traditions_at_least is 15"):
        tell(rows_of(*prompts), traditions_at_least=15)
    assert len(own_pairs()) == 3
