from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Keep, Message, Row
from stillhouse.data.account import run_step
from stillhouse.data.drafts import draft_of
from stillhouse.data.shares import resolve_sizes, round_shares
from stillhouse.data.split import SplitStep, assign_parts
from stillhouse.recipes.rows import Split


def draft(index, answer="a", prompt=None, **fields):
    row = Row(f"r{index:05d}", fields, f"a.csv:{index}", root_id=fields.pop("root", ""))
    asked = (Message("system", f"s{index}"), Message("user", prompt or f"ask {index}"))
    return draft_of(row, asked, answer, answer)


def parts_of(drafts, **split):
    return {row_id: part for row_id, (part, _) in assign_parts(drafts, Split(**split)).items()}


sizes = st.dictionaries(
    st.sampled_from(["teacher", "labelled", "unlabelled", "validation"]),
    st.integers(1, 40),
    max_size=4,
).flatmap(lambda parts: st.integers(1, 40).map(lambda holdout: {**parts, "holdout": holdout}))


@settings(max_examples=40, deadline=None)
@given(sizes, st.lists(st.integers(1, 60), min_size=1, max_size=8), st.integers(0, 9))
def test_single_rows_fill_every_part_exactly_and_keep_shares_to_one_row(parts, strata, seed):
    num_rows = max(sum(parts.values()), sum(strata))
    strata = [*strata, num_rows - sum(strata)] if num_rows > sum(strata) else strata
    colours = [colour for colour, count in enumerate(strata) for _ in range(count)]
    drafts = [draft(index, colour=colour) for index, colour in enumerate(colours)]

    part_of = parts_of(drafts, parts=parts, stratify_by="colour", seed=seed)

    got = Counter(part for part in part_of.values() if part)
    assert got == parts
    cells = Counter((part_of[d.row_id], d.fields["colour"]) for d in drafts)
    for part, size in parts.items():
        for colour, count in enumerate(strata):
            assert abs(cells[part, colour] - size * count / num_rows) < 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=40, max_size=80), st.integers(0, 9), st.randoms())
def test_groups_stay_whole_and_the_order_of_rows_changes_nothing(groups, seed, random):
    drafts = [
        draft(index, prompt=f"ask {index % 37}", customer=group)
        for index, group in enumerate(groups)
    ]
    split = {"parts": {"holdout": 0.3, "labelled": "rest"}, "group_by": ("customer",), "seed": seed}
    shuffled = random.sample(drafts, len(drafts))
    try:
        part_of = parts_of(drafts, **split)
    except InputError:
        with pytest.raises(InputError):
            parts_of(shuffled, **split)
        return

    assert parts_of(shuffled, **split) == part_of
    for key in (lambda d: d.fields["customer"], lambda d: d.prompt_text):
        parts_by_key = defaultdict(set)
        for row in drafts:
            parts_by_key[key(row)].add(part_of[row.row_id])
        assert all(len(parts) == 1 for parts in parts_by_key.values())


def test_a_prompt_of_the_holdout_is_never_trained_on_even_with_another_system_message():
    drafts = [draft(index, prompt=f"ask {index // 3}") for index in range(300)]

    part_of = parts_of(drafts, parts={"holdout": 60, "labelled": "rest"})

    holdout = {d.prompt_text for d in drafts if part_of[d.row_id] == "holdout"}
    trained = {d.prompt_text for d in drafts if part_of[d.row_id] != "holdout"}
    assert not holdout & trained
    assert Counter(part_of.values()) == {"holdout": 60, "labelled": 240}


def named_anew(drafts):
    return [replace(draft, row_id=f"x{draft.row_id}") for draft in drafts]


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 300), st.integers(0, 9))
def test_a_new_row_moves_none_but_those_at_the_borders_of_the_parts(num_rows, seed):
    drafts = [draft(index) for index in range(num_rows)]
    split = {"parts": {"holdout": 0.2, "validation": 1, "labelled": "rest"}, "seed": seed}
    try:
        before = parts_of(drafts, **split)
    except InputError:
        return

    after = parts_of([draft(num_rows), *drafts], **split)

    # The new row pushes one row over each border; a fraction may grow by one row and pull it back.
    assert sum(part != after[row_id] for row_id, part in before.items()) <= 2


def test_a_larger_holdout_keeps_the_rows_of_the_smaller():
    drafts = [draft(index, kind=index % 3) for index in range(300)]

    small, large = (
        {
            row_id
            for row_id, part in parts_of(
                drafts, parts={"holdout": size, "labelled": "rest"}, stratify_by="kind"
            ).items()
            if part == "holdout"
        }
        for size in (30, 60)
    )

    assert small < large


def test_row_ids_change_no_part():
    drafts = [draft(index, customer=index // 3) for index in range(60)]
    split = {"parts": {"holdout": 20, "labelled": "rest"}, "group_by": ("customer",)}

    assert list(parts_of(named_anew(drafts), **split).values()) == list(
        parts_of(drafts, **split).values()
    )


def test_small_groups_in_many_strata_do_not_starve_a_small_part():
    drafts = [draft(index, kind=index // 6, customer=index // 3) for index in range(240)]

    part_of = parts_of(
        drafts,
        parts={"holdout": 24, "labelled": "rest"},
        stratify_by="kind",
        group_by=("customer",),
    )

    assert abs(Counter(part_of.values())["holdout"] - 24) <= 3


def test_rows_of_one_root_stay_together():
    drafts = [draft(index, root=f"root{index // 5}") for index in range(100)]

    part_of = parts_of(drafts, parts={"holdout": 20, "labelled": "rest"})

    for start in range(0, 100, 5):
        assert len({part_of[d.row_id] for d in drafts[start : start + 5]}) == 1


def test_rows_without_a_group_value_are_not_one_group():
    drafts = [draft(index, customer="") for index in range(10)]

    part_of = parts_of(drafts, parts={"holdout": 5, "labelled": 5}, group_by=("customer",))

    assert Counter(part_of.values()) == {"holdout": 5, "labelled": 5}


def test_another_seed_deals_otherwise():
    drafts = [draft(index) for index in range(100)]
    split = {"parts": {"holdout": 50, "labelled": 50}}

    assert parts_of(drafts, **split) == parts_of(drafts, **split)
    assert parts_of(drafts, **split) != parts_of(drafts, **split, seed=1)


def test_rows_beyond_all_parts_are_dropped_with_their_reason():
    drafts = [draft(index) for index in range(10)]

    outcomes = SplitStep(Split(parts={"holdout": 3, "labelled": 4})).process(drafts)

    reasons = Counter(getattr(outcome, "reason", outcome.row.part) for outcome in outcomes)
    assert reasons == {"holdout": 3, "labelled": 4, "not in any part": 3}


def test_shared_words_that_leave_nothing_to_learn_from_are_refused():
    asked = "tell me please in a few words what the capital of the country number {} is"
    drafts = [replace(draft(n), own_text=asked.format(n)) for n in range(10)]
    split = Split(parts={"holdout": 3, "labelled": "rest"}, shared_words=8)

    with pytest.raises(InputError, match="drops all 7 rows of the part labelled"):
        SplitStep(split).process(drafts)


@pytest.mark.parametrize("missing", [None, "", " "])
def test_a_row_without_a_reference_is_learned_from_and_not_measured(missing):
    drafts = [draft(index, "noisy") for index in range(40)]
    drafts = [replace(one, reference=missing if n % 2 else "true") for n, one in enumerate(drafts)]
    split = Split(parts={"holdout": 10, "validation": 10, "labelled": "rest"})

    kept, ended, count = run_step(SplitStep(split), drafts)

    assert {one.reference for one in kept if one.part != "labelled"} == {"true"}
    assert sum(one.part == "labelled" for one in kept) == 20
    assert count.dropped == {"no reference to measure against": len(ended)}
    assert 0 < len(ended) < 20
    nobody = [replace(one, reference=missing) for one in drafts]
    with pytest.raises(InputError, match=r"not one row of the holdout has a reference; a\.csv:"):
        SplitStep(split).process(nobody)
    # An answer that may be empty is its own reference.
    empty = [replace(draft(n, ""), reference="") for n in range(4)]
    assert all(
        isinstance(one, Keep) for one in SplitStep(Split(parts={"holdout": 4})).process(empty)
    )


def test_rows_without_an_answer_only_go_to_unlabelled():
    drafts = [draft(index, answer=None if index % 2 else "a") for index in range(100)]

    part_of = parts_of(drafts, parts={"holdout": 20, "labelled": 10, "unlabelled": "rest"})

    assert Counter(part_of.values()) == {"holdout": 20, "labelled": 10, "unlabelled": 70}
    assert all(part_of[d.row_id] == "unlabelled" for d in drafts if d.answer is None)


def test_the_rest_is_of_the_answered_rows_and_unanswered_ones_fill_unlabelled_first():
    drafts = [draft(index, answer="a" if index < 1000 else None) for index in range(1500)]
    parts = {"holdout": 100, "unlabelled": 50, "teacher": "rest"}

    outcomes = SplitStep(Split(parts=parts)).process(drafts)

    reasons = Counter(getattr(outcome, "reason", outcome.row.part) for outcome in outcomes)
    assert reasons == {"holdout": 100, "teacher": 900, "unlabelled": 50, "no answer": 450}
    assert all(o.row.answer is None for o in outcomes if o.row.part == "unlabelled")


def test_fractions_are_of_the_answered_rows_except_that_of_unlabelled():
    parts = {"holdout": 0.2, "labelled": 0.3, "unlabelled": 0.5}

    assert resolve_sizes(parts, 1000, 500) == {"holdout": 200, "labelled": 300, "unlabelled": 750}
    assert resolve_sizes({"holdout": 0.5, "labelled": "rest"}, 10, 90) == {
        "holdout": 5,
        "labelled": 5,
    }
    assert resolve_sizes({"holdout": 0.5, "unlabelled": "rest"}, 10, 90) == {
        "holdout": 5,
        "unlabelled": 95,
    }


@example(3, 12, [10, 2, 11, 11, 12])
@given(st.integers(1, 60), st.integers(0, 60), st.lists(st.integers(1, 50), min_size=2, max_size=5))
def test_fractions_that_add_to_one_never_need_more_rows_than_there_are(
    answered, unanswered, shares
):
    names = ["holdout", "unlabelled", "labelled", "teacher", "validation"]
    parts = {name: share / sum(shares) for name, share in zip(names, shares, strict=False)}

    sizes = resolve_sizes(parts, answered, unanswered)

    assert sizes["unlabelled"] <= answered + unanswered
    assert sum(sizes.values()) - min(sizes["unlabelled"], unanswered) <= answered


def test_rows_without_an_answer_are_dropped_when_no_part_takes_them():
    drafts = [draft(index, answer=None if index < 4 else "a") for index in range(10)]

    outcomes = SplitStep(Split(parts={"holdout": 0.5, "labelled": "rest"})).process(drafts)

    assert [getattr(outcome, "reason", "") for outcome in outcomes[:4]] == ["no answer"] * 4
    assert Counter(outcome.row.part for outcome in outcomes[4:]) == {"holdout": 3, "labelled": 3}


def test_an_unanswered_row_follows_its_group_and_ends_where_an_answer_is_needed():
    drafts = [
        draft(index, prompt=f"ask {index // 2}", answer=None if index % 2 else "a")
        for index in range(20)
    ]

    outcomes = SplitStep(Split(parts={"holdout": 5, "unlabelled": 5})).process(drafts)

    reasons = Counter(getattr(outcome, "reason", outcome.row.part) for outcome in outcomes)
    assert reasons == {"holdout": 5, "no answer": 5, "unlabelled": 10}


@pytest.mark.parametrize(
    ("num_rows", "split", "message"),
    [
        (
            10,
            {"parts": {"labelled": 8, "holdout": 3}},
            "prepare.split.parts need 11 rows (labelled 8, holdout 3), but there are 10",
        ),
        (
            10,
            {"parts": {"labelled": 8, "holdout": 0}},
            "prepare.split.parts.holdout is 0 and gets no row of 10 (labelled 8, holdout 0)",
        ),
        (
            4,
            {"parts": {"labelled": "rest", "holdout": 0.1}},
            "prepare.split.parts.holdout is 0.1 and gets no row of 4",
        ),
        (
            4,
            {"parts": {"labelled": "rest", "holdout": 4}},
            "prepare.split.parts.labelled is rest and gets no row of 4 (labelled 0, holdout 4)",
        ),
        (
            4,
            {"parts": {"labelled": 2, "holdout": 2}, "group_by": ("one",)},
            "the largest group has 4 rows",
        ),
        (
            4,
            {"parts": {"labelled": 2, "holdout": 2}, "group_by": ("on",)},
            'prepare.split.group_by names "on", which this row does not have',
        ),
        (
            4,
            {"parts": {"labelled": 2, "holdout": 2}, "stratify_by": "two"},
            'prepare.split.stratify_by names "two", which this row does not have',
        ),
    ],
)
def test_a_split_that_cannot_be_made_says_how_many_of_each(num_rows, split, message):
    with pytest.raises(InputError) as caught:
        parts_of([draft(index, one=1) for index in range(num_rows)], **split)

    assert message in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_parts_that_need_more_answers_than_there_are_say_so():
    drafts = [draft(index, answer=None if index > 2 else "a") for index in range(10)]

    with pytest.raises(InputError, match=r"need 5 rows with an answer \(holdout 5\), but 3 have"):
        parts_of(drafts, parts={"holdout": 5, "unlabelled": "rest"})
    with pytest.raises(InputError, match="none of 7 rows has an answer"):
        parts_of(drafts[3:], parts={"holdout": 1, "labelled": "rest"})


def test_fractions_that_add_to_one_use_every_row():
    parts = {"teacher": 0.7, "labelled": 0.1, "unlabelled": 0.1, "holdout": 0.1}

    assert resolve_sizes(parts, 1001) == {
        "teacher": 701,
        "labelled": 100,
        "unlabelled": 100,
        "holdout": 100,
    }
    assert resolve_sizes({"labelled": 5, "unlabelled": "rest", "holdout": 0.25}, 20) == {
        "labelled": 5,
        "unlabelled": 10,
        "holdout": 5,
    }


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rounded_shares_add_up_both_ways_and_are_off_by_less_than_one(data):
    rows = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=30))
    cuts = sorted(data.draw(st.lists(st.integers(0, sum(rows)), max_size=5)))
    columns = [end - start for start, end in zip([0, *cuts], [*cuts, sum(rows)], strict=True)]

    table = round_shares(rows, columns, seed=0)

    assert [sum(line) for line in table] == rows
    assert [sum(column) for column in zip(*table, strict=True)] == columns
    for size, line in zip(rows, table, strict=True):
        for part, cell in zip(columns, line, strict=True):
            assert abs(cell - size * part / sum(rows)) < 1


@settings(max_examples=30, deadline=None)
@given(sizes, st.integers(0, 60), st.integers(0, 120), st.integers(0, 9))
def test_rows_without_an_answer_are_measured_where_the_teacher_answers(
    parts, answered, unanswered, seed
):
    drafts = [draft(index, "a" if index < answered else None)
              for index in range(answered + unanswered)]  # fmt: skip
    learned = sum(size for name, size in parts.items() if name in ("teacher", "labelled"))
    split = Split(parts=parts, seed=seed)
    if sum(parts.values()) > len(drafts) or learned > answered:
        with pytest.raises(InputError):
            assign_parts(drafts, split, "teacher")
        return

    found = {row: part for row, (part, _) in assign_parts(drafts, split, "teacher").items()}

    assert Counter(part for part in found.values() if part) == parts
    gold = [one for one in drafts if found[one.row_id] in ("teacher", "labelled")]
    assert all(one.answer for one in gold)


def test_the_holdout_of_a_mixed_file_is_drawn_from_all_rows_alike():
    drafts = [draft(index, "a" if index < 500 else None) for index in range(1000)]
    split = Split(parts={"holdout": 400, "unlabelled": "rest"})

    found = assign_parts(drafts, split, "teacher")
    held = [one for one in drafts if found[one.row_id][0] == "holdout"]

    # Of 400 drawn from 500 and 500, 200 have an answer; three deviations are 23.
    assert len(held) == 400
    assert abs(sum(one.answer is not None for one in held) - 200) < 24
    outcomes = SplitStep(split, "teacher").process(drafts)
    noted = [one for one in outcomes if any("not looked at" in note for note in one.notes)]
    assert len(noted) == sum(one.answer is not None for one in held)
