"""Near-duplicates are those whose word groups overlap enough, found as if all were compared."""

from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillhouse.core.rows import Keep, Merge, Row
from stillhouse.data.account import run_step
from stillhouse.data.merging import MergeStep
from stillhouse.data.near_duplicates import find_alike, join, shingle
from stillhouse.recipes.data_steps import MergeNearDuplicates


def texts_of(number, length=60, seed=0):
    rng = Random(seed)
    words = [f"w{index}" for index in range(3000)]
    return [" ".join(rng.choices(words, k=length)) for _ in range(number)]


def edited(text, rng):
    words = text.split()
    words[rng.randrange(len(words))] = "another"
    return " ".join(words)


def named(texts):
    return shingle([f"{place:06}" for place in range(len(texts))], texts, 2)


def test_every_text_with_one_word_changed_is_found_and_nothing_else():
    rng = Random(1)
    texts = texts_of(1500)
    texts += [edited(text, rng) for text in texts[:500]]

    found = find_alike(named(texts), 0.8)

    assert {name: alike.kept for name, alike in found.items()} == {
        f"{1500 + place:06}": f"{place:06}" for place in range(500)
    }


@given(st.lists(st.text(alphabet="ab c", max_size=12), max_size=12), st.floats(0.3, 1.0))
def test_what_is_found_is_what_comparing_all_pairs_finds(texts, threshold):
    shingled = named(texts)
    sets = [set(shingled.of(place).tolist()) for place in range(len(texts))]
    leader = list(range(len(texts)))
    for one, other in combinations(range(len(texts)), 2):
        union = sets[one] | sets[other]
        # A band of four numbers is missed by chance where little is shared.
        if len(sets[one] & sets[other]) / len(union) >= max(threshold, 0.99):
            low, high = sorted((leader[one], leader[other]))
            leader = [low if lead == high else lead for lead in leader]

    found = find_alike(shingled, threshold)

    for place, lead in enumerate(leader):
        if lead != place:
            assert f"{place:06}" in found
    for name, alike in found.items():
        assert alike.overlap >= threshold
        assert alike.kept < name
        assert alike.kept not in found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 5% of $1,000 in the books?", "What is 6% of $1,000 in the books?"),
        ("Is goodwill an asset of the firm?", "Is goodwill not an asset of the firm?"),
        ("It isn't a debt that the firm owes", "It is a debt that the firm owes"),
        ("It isnt a debt that the firm owes", "It is a debt that the firm owes"),
    ],
)
def test_other_numbers_or_a_denial_are_no_duplicate(one, other):
    assert find_alike(named([one, other]), 0.3) == {}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 5% of $1,000?", "what  is 5 % of $1000"),
        ("猫は動物ですか。", "猫は動物ですか？"),
        ("Größe", "GRÖSSE"),
        ("Is an important want met?", "is an IMPORTANT want met"),
    ],
)
def test_case_spaces_signs_and_thousands_do_not_matter(one, other):
    assert len(find_alike(named([one, other]), 0.9)) == (0 if "1,000" in one else 1)


def test_half_of_a_surrogate_pair_is_a_text_like_any():
    assert [*find_alike(named(["\ud83d", "\ud83d", "\ud83e", "a"]), 0.8)] == ["000001"]


def test_a_chain_is_one_kind():
    texts = ["a b c d e f g h", "a b c d e f g x", "a b c d e f y x"]

    found = find_alike(named(texts), 0.5)

    assert {name: alike.kept for name, alike in found.items()} == {
        "000001": "000000", "000002": "000000",
    }  # fmt: skip


def test_parts_give_what_the_whole_gives():
    texts = texts_of(40, 12)
    texts += [edited(text, Random(2)) for text in texts[:20]]
    whole = named(texts)
    names = list(whole.names)
    parts = [shingle(names[s : s + 7], texts[s : s + 7], 2) for s in range(0, len(texts), 7)]

    assert find_alike(join(parts), 0.6) == find_alike(whole, 0.6)
    assert find_alike(join([]), 0.6) == {}


def test_ten_thousand_equal_texts_are_one():
    found = find_alike(named(["the same text again and again"] * 10_000), 0.8)

    assert len(found) == 9_999
    assert {alike.kept for alike in found.values()} == {"000000"}


def test_the_step_merges_and_counts():
    rows = [
        Row(str(place), {"question": text}, f"a:{place}")
        for place, text in enumerate(
            ["What is a debt of a firm?", "what is a debt of a firm", "What else?"]
        )
    ]
    rows.append(Row("9", {"other": 1}, "a:9"))

    kept, ended, count = run_step(MergeStep(MergeNearDuplicates()), rows)

    assert [row.row_id for row in kept] == ["0", "2", "9"]
    assert [(one.row.row_id, one.into) for one in ended if isinstance(one, Merge)] == [("1", "0")]
    assert (count.merged, count.balances) == (1, True)
    assert isinstance(MergeStep(MergeNearDuplicates()).process(rows)[0], Keep)
