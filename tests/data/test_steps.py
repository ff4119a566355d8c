import time
import unicodedata

import ftfy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import AccountingError
from stillhouse.core.rows import Drop, Keep, Message, Row
from stillhouse.data.drafts import draft_of
from stillhouse.data.steps import _REPAIRS, CleanStep, DedupStep, DropStep, clean_text
from stillhouse.recipes import rows as recipe


def draft(row_id, prompt="ask", answer="a", role="user"):
    row = Row(row_id, {}, f"a.csv:{row_id}")
    return draft_of(row, (Message("system", "s"), Message(role, prompt)), answer, answer)


def judge(step, *drafts):
    return [
        (outcome.reason, outcome.evidence) if isinstance(outcome, Drop) else "kept"
        for outcome in step.process(list(drafts))
    ]


def test_mojibake_is_undone_and_what_was_written_is_kept():
    settings = recipe.Clean()

    assert clean_text("  schÃ¶n ", settings) == "schön"
    assert clean_text("“ﬁne” Ａ &amp; x²", settings) == "“ﬁne” Ａ &amp; x²"
    assert clean_text("e\u0301", settings) == "é"
    assert clean_text("voilÃ\xa0 le cafÃ©, the operator Â of Ã", settings) == (
        "voilà le café, the operator Â of Ã"
    )
    assert clean_text("torn \ud83d", settings) == "torn \ufffd"


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_way_for_plain_text_changes_no_result(text):
    slow = unicodedata.normalize("NFC", ftfy.fix_text(text, _REPAIRS)).strip()

    assert clean_text(text, recipe.Clean()) == slow


def test_every_repair_can_be_switched_off():
    off = recipe.Clean(fix_text=False, normalize="none", strip=False)

    assert clean_text(" schÃ¶n e\u0301 ", off) == " schÃ¶n e\u0301 "
    assert clean_text("x²", recipe.Clean(normalize="NFKC")) == "x2"


@pytest.mark.parametrize(
    "text", ["東京の天気", "Привет, мир", "שלום", "สวัสดี", "नमस्ते", "안녕하세요"]
)
def test_no_script_loses_a_letter(text):
    assert clean_text(text, recipe.Clean()) == text


def test_clean_reaches_into_objects_but_not_their_keys():
    row = Row("1", {" k ": {" schÃ¶n ": [" a ", 1, None]}}, "a:1")

    (outcome,) = CleanStep(recipe.Clean()).process([row])

    assert outcome == Keep(Row("1", {" k ": {" schÃ¶n ": ["a", 1, None]}}, "a:1"))


def test_a_row_that_is_clean_is_not_changed():
    row = Row("1", {"a": "b"}, "a:1")

    assert CleanStep(recipe.Clean()).process([row])[0].row is row


def test_length_rules_count_the_prompt_without_the_system_message():
    step = DropStep(recipe.Drop(min_chars=3, max_chars=5), needs_answer=True)

    assert judge(step, draft("1", "ab"), draft("2", "abc"), draft("3", "abcdef")) == [
        ("prompt too short", "2 < 3 chars"),
        "kept",
        ("prompt too long", "6 > 5 chars"),
    ]


def test_an_empty_answer_ends_the_row_only_where_one_is_required():
    required = DropStep(recipe.Drop(), needs_answer=True)
    optional = DropStep(recipe.Drop(), needs_answer=False)
    allowed = DropStep(recipe.Drop(empty=False), needs_answer=True)

    assert judge(required, draft("1", answer=" ")) == [("empty answer", "")]
    assert optional.process([draft("1", answer=" ")])[0].row.answer is None
    assert allowed.process([draft("1", answer=" ")])[0].row.answer == " "


def test_a_prompt_must_end_with_a_user_or_tool_turn():
    step = DropStep(recipe.Drop(empty=False), needs_answer=False)

    assert judge(step, draft("1", role="assistant"))[0][0] == "no user turn"
    assert judge(step, draft("1", role="tool")) == ["kept"]


def test_of_equal_rows_the_smallest_id_stays_whatever_their_order():
    rows = [draft("2"), draft("1"), draft("3")]

    assert judge(DedupStep(recipe.Drop()), *rows) == [
        ("duplicate", "duplicate of 1"),
        "kept",
        ("duplicate", "duplicate of 1"),
    ]


def test_one_of_equal_rows_stays():
    rows = [draft("1"), draft("2"), draft("3", answer="b"), draft("4", answer=None), draft("5")]

    assert judge(DedupStep(recipe.Drop()), *rows) == [
        "kept",
        ("duplicate", "duplicate of 1"),
        "kept",
        "kept",
        ("duplicate", "duplicate of 1"),
    ]
    assert judge(DedupStep(recipe.Drop(duplicates=False)), *rows) == ["kept"] * 5


def test_conflicts_end_every_row_that_another_contradicts():
    rows = [
        draft("1"),
        draft("2"),
        draft("3", answer="b"),
        draft("4", "other"),
        draft("5", answer=None),
    ]

    assert judge(DedupStep(recipe.Drop(conflicts=True)), *rows) == [
        ("conflicting answer", "3 has another answer to this prompt"),
        ("duplicate", "duplicate of 1"),
        ("conflicting answer", "1 has another answer to this prompt"),
        "kept",
        "kept",
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from(["a", "b", "c", None]))))
def test_a_conflict_names_the_smallest_row_with_another_answer(asked):
    drafts = [draft(f"r{n:02}", prompt, said) for n, (prompt, said) in enumerate(asked)]

    found = judge(DedupStep(recipe.Drop(duplicates=False, conflicts=True)), *drafts)

    for one, outcome in zip(drafts, found, strict=True):
        others = [
            other.row_id
            for other in drafts
            if other.prompt == one.prompt and None not in (one.answer, other.answer)
            and other.answer != one.answer
        ]  # fmt: skip
        named = f"{min(others)} has another answer to this prompt" if others else ""
        assert outcome == (("conflicting answer", named) if others else "kept")


def test_many_answers_to_one_prompt_take_time_by_their_number():
    drafts = [draft(f"r{n:05}", "ask", f"answer {n}") for n in range(20_000)]
    start = time.process_time()

    found = judge(DedupStep(recipe.Drop(conflicts=True)), *drafts)

    assert len({outcome[1] for outcome in found}) == 2
    # Comparing each with all took 19 seconds of a processor.
    assert time.process_time() - start < 3


def test_a_step_that_needs_prompts_refuses_plain_rows():
    with pytest.raises(AccountingError, match="before the step shape"):
        DedupStep(recipe.Drop()).process([Row("1", {}, "a:1")])


def test_ascii_deletes_what_the_founding_form_deletes_and_says_so():
    row = Row("1", {"q": "5 % of $1,000 is 東京 ½ naïve (ok)."}, "a:1")

    (outcome,) = CleanStep(recipe.Clean(normalize="ascii")).process([row])

    assert outcome.row.fields == {"q": "5 of 1,000 is 12 naive (ok)."}
    assert outcome.notes == (
        "deleted $", "deleted %", "deleted an accent", "deleted cjk letters", "deleted ⁄",
    )  # fmt: skip
