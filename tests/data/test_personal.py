"""Personal data of the usual forms is found, other numbers are left alone; misses are told."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.personal_texts import DECOYS, FORMS, decoys, planted

from stillhouse.core.rows import Row
from stillhouse.data.personal import find_personal, is_iban, is_luhn, scrub
from stillhouse.data.text_checks import ScrubStep
from stillhouse.recipes.text_steps import ScrubPersonal

KINDS = ScrubPersonal().kinds
MISSED = {"mail: {}", "it is {}, ok?", "{} told me so.", "I met {} there."}
"""Forms without a mark of their own: an address that is spelt out, local numbers, bare names."""


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("Mail jörg.m+x@uni-köln.example.de now", "Mail [EMAIL] now"),
        ("(555) 010-1234 or +49 (0)30 901820.", "[PHONE] or [PHONE]."),
        ("to DE89 3704 0044 0532 0130 00 EUR 5", "to [IBAN] EUR 5"),
        ("4111 1111 1111 1111 exp 12/27", "[CARD] exp 12/27"),
        ("https://user:pw@host.example/x", "https://[LOGIN]@host.example/x"),
        ("203.0.113.7 and 2001:db8::1", "[IP] and [IP]"),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c3301_2025-06-01", "[DEVICE]"),
        ("Dear Ines,\nDr. Vogt said hi.\nKind regards,\nTunde Okafor", 
         "Dear [NAME],\nDr. [NAME] said hi.\nKind regards,\n[NAME]"),
        ("(555)010-1234, (555) 010 1234, [555]", "[PHONE], [PHONE], [555]"),
        ("请联系bob@example.com以便我们能够尽快为您安排相关的售后服务和退款事宜谢谢",
         "[EMAIL]以便我们能够尽快为您安排相关的售后服务和退款事宜谢谢"),
        ("Write to jane@example.com- or почта@пример.рф.", "Write to [EMAIL]- or [EMAIL]."),
        ("Hallo Aylin, mein Name ist Björn von Ahn", "Hallo [NAME], mein Name ist [NAME]"),
    ],
)  # fmt: skip
def test_each_kind_becomes_its_placeholder(text, scrubbed):
    assert scrub(text, KINDS)[0] == scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "In 2019 and 2018 revenue was 1,234,567 (4111 in 2017), 0.123 456.",
        "Genesis 1:1-2:3 at 12:30:45 on 2020-10-12, version 1.2.3.4, section 10.1.2.3",
        "std::vector<A::B>, @handle, a@b, x @ y.com",
        "4111 1111 1111 1112 is no card, DE89 3704 0044 0532 0130 01 no account",
        "Mr. President, dear God, hello world! My name is not important.",
        "Booked on 01-02-2023 10:30, call on 2023-05-12 or 12.05.2023; 05 06 2023",
        "12/10/2024, 5-6-2023, ISBN 978-3-16-148410-0",
        "東京 ½ 5% of $1,000",
    ],
)
def test_other_numbers_and_words_are_left_alone(text):
    assert scrub(text, KINDS) == (text, [])


def test_check_digits_are_those_of_the_standards():
    assert is_luhn("79927398713")
    assert not is_luhn("79927398710")
    assert is_iban("GB82 WEST 1234 5698 7654 32")
    assert not is_iban("GB82 WEST 1234 5698 7654 33")


def test_a_row_is_noted_once_for_each_kind_and_fields_can_be_chosen():
    row = Row(
        "1", {"q": ["a@b.example, c@d.example", {"k": "203.0.113.7"}], "a": "e@f.example"}, "x"
    )

    (outcome,) = ScrubStep(ScrubPersonal(fields=("q",))).process([row])

    assert outcome.row.fields == {"q": ["[EMAIL], [EMAIL]", {"k": "[IP]"}], "a": "e@f.example"}
    assert outcome.notes == ("replaced email", "replaced ip")


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec="utf-8") | st.sampled_from("0123456789 @.:-+/")))
def test_what_is_scrubbed_has_nothing_left_to_scrub(text):
    scrubbed, kinds = scrub(text, KINDS)

    assert len(find_personal(text, KINDS)) == len(kinds)
    if "name" not in kinds:
        assert scrub(scrubbed, KINDS)[1] == []


def test_planted_data_is_found_and_little_else():
    found, missed, wrong = _judged(planted(seed=7, of_each=40))

    by_kind = {kind for kind, _, _ in FORMS}
    for kind in by_kind:
        seen = [form for form in FORMS if form[0] == kind and form[1] not in MISSED]
        hits = sum(found[kind, template] for _, template, _ in seen)
        assert hits >= 0.97 * (40 * len(seen)), (kind, missed)
    assert sum(wrong.values()) <= 0.01 * sum(found.values()), wrong
    alarms = _alarms(decoys(seed=7, of_each=100))
    assert sum(alarms.values()) <= 0.01 * 100 * len(DECOYS), alarms


def _alarms(texts):
    return Counter((one.kind, form) for form, text in texts for one in find_personal(text, KINDS))


def _judged(texts):
    found, missed, wrong = Counter(), Counter(), Counter()
    for one in texts:
        seen, truth = set(find_personal(one.text, KINDS)), set(one.truth)
        (kind,) = {each.kind for each in truth}
        found[kind, one.form] += len(seen & truth)
        missed[kind, one.form] += len(truth - seen)
        wrong.update(each.kind for each in seen - truth)
    return found, missed, wrong


@pytest.mark.long
def test_precision_recall_and_false_alarms_are_told(shared_file):
    found, missed, wrong = _judged(planted(seed=1, of_each=500))
    print()
    for kind in KINDS:
        hits = sum(n for key, n in found.items() if key[0] == kind)
        lost = sum(n for key, n in missed.items() if key[0] == kind)
        usual = {key: n for key, n in missed.items() if key[0] == kind and key[1] not in MISSED}
        lost_usual = sum(usual.values())
        print(f"{kind:7} recall {hits / (hits + lost):.3f}, of forms with a mark "
              f"{hits / (hits + lost_usual):.3f}; "
              f"precision {hits / (hits + wrong[kind]):.3f}")  # fmt: skip
    print(f"of {500 * len(DECOYS)} decoys: {dict(_alarms(decoys(seed=1, of_each=500)))}")
    for name in ("instruct/nq_open_val_0_1200.jsonl", "instruct/gsm8k_test_even.jsonl",
                 "mcq/commonsense_qa_val.jsonl", "songs/openhymnal_a.jsonl",
                 "bible/kjv_books_shared.jsonl"):  # fmt: skip
        lines = shared_file(name).read_text(encoding="utf-8").splitlines()
        alarms = Counter()
        for number, line in enumerate(lines):
            row = Row(str(number), json.loads(line), name)
            alarms.update(ScrubStep(ScrubPersonal()).process([row])[0].notes)
        print(f"{name}: {len(lines)} rows, {dict(alarms)}")
    assert sum(found.values()) > 0.8 * sum(missed.values())
