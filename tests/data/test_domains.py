"""Rows are dealt to domains: each with its own system message, duplicates and share."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example, Message
from stillhouse.data import storage
from stillhouse.data.prepare import prepare_rows
from stillhouse.data.readers import build_rows
from stillhouse.recipes.domains import Domain
from stillhouse.recipes.rows import Prepare, Split
from stillhouse.stages.domain_rows import by_domain, require_every_domain

DOMAINS = {"debug": Domain(system="Find the bug in {lang}."), "memory": Domain()}
PARTS = {"holdout": 10, "validation": 10, "labelled": "rest"}


def prepare(**settings):
    plain = {"user": "{q}", "answer": "a", "system": "Be kind.", "domain_field": "about.domain"}
    return Prepare(**plain | {"split": Split(parts=PARTS)} | settings)


def rows_of(*named):
    """Rows of (domain, question), answered alike."""
    return list(
        build_rows(
            (f"x:{i}", {"about": {"domain": d}, "q": q, "a": "yes", "lang": "C"})
            for i, (d, q) in enumerate(named)
        )
    )


def many(debug=60, memory=20):
    return rows_of(
        *(("debug", f"ask {i}") for i in range(debug)),
        *(("memory", f"say {i}") for i in range(memory)),
    )


def test_a_row_of_no_domain_ends_with_its_reason_and_is_accounted_for():
    rows = [*many(), *rows_of(("debugg", "a"), (" ", "b"), (None, "c"), (3, "d"))]

    prepared = prepare_rows(rows, prepare(), DOMAINS)

    assert [(drop.reason, drop.evidence) for drop in prepared.dropped] == [
        ("unknown domain", "'debugg' (did you mean \"debug\"?)"),
        ("no domain", "about.domain is empty or missing"),
        ("no domain", "about.domain is empty or missing"),
        ("unknown domain", "'3'"),
    ]
    assert len(prepared.examples) == 80
    assert [count.step for count in prepared.counts][:3] == ["clean", "domains", "shape"]


def test_a_domain_speaks_with_its_own_system_message_and_else_with_the_common_one():
    examples = prepare_rows(many(), prepare(), DOMAINS).examples

    said = {(one.domain, one.prompt[0].content) for one in examples}
    assert said == {("debug", "Find the bug in C."), ("memory", "Be kind.")}


def test_every_part_holds_each_domain_by_its_share():
    examples = prepare_rows(many(debug=60, memory=20), prepare(), DOMAINS).examples

    counts = Counter((one.part, one.domain) for one in examples)
    assert counts[("labelled", "debug")] == 45
    assert counts[("labelled", "memory")] == 15
    assert counts[("holdout", "memory")] + counts[("validation", "memory")] == 5
    assert min(counts[("holdout", "memory")], counts[("validation", "memory")]) == 2


def test_the_same_question_in_two_domains_is_no_duplicate_and_in_one_it_is():
    plain = dict.fromkeys(DOMAINS, Domain())
    rows = rows_of(
        *(("debug", f"ask {i}") for i in range(60)), ("memory", "ask 1"), ("debug", " ask 1 ")
    )

    prepared = prepare_rows(rows, prepare(), plain)

    assert [(drop.reason, drop.row.fields["about"]["domain"]) for drop in prepared.dropped] == [
        ("duplicate", "debug")
    ]


def test_a_recipe_without_domains_knows_none():
    examples = prepare_rows(many(), prepare(domain_field=None)).examples
    assert {one.domain for one in examples} == {""}


def test_examples_keep_their_domain_on_disk_and_without_domains_the_file_has_no_such_column(
    tmp_path,
):
    one = Example("1", "holdout", (Message("user", "q"),), "a", domain="debug")
    storage.write_examples(tmp_path / "with.parquet", [one])
    storage.write_examples(tmp_path / "without.parquet", [replace(one, domain="")])

    assert storage.read_examples(tmp_path / "with.parquet") == [one]
    assert storage.read_examples(tmp_path / "without.parquet") == [replace(one, domain="")]
    columns = storage.pq.read_schema(tmp_path / "without.parquet").names
    assert columns == ["example_id", "part", "prompt", "answer", "reference", "group"]


def test_examples_stand_domain_by_domain_and_those_of_one_as_they_were():
    examples = [
        Example(name, "labelled", (), None, domain=domain)
        for name, domain in (("1", "b"), ("2", "a"), ("3", "b"), ("4", "a"))
    ]
    assert [one.example_id for one in by_domain(examples, ["b", "a"])] == ["1", "3", "2", "4"]
    assert by_domain(examples, []) == examples


def check(rows, names=("debug", "memory"), **settings):
    section = prepare(**settings)
    made = prepare_rows(rows, section, {name: Domain() for name in names})
    require_every_domain(made.examples, made.dropped, names, section)


def test_a_domain_that_no_row_names_is_an_error_that_tells_what_rows_say():
    with pytest.raises(InputError, match="no row says 'memory' in its field") as caught:
        check([*many(memory=0), *rows_of(*[("memoir", f"x {i}") for i in range(3)])])
    assert "rows of domains that the recipe does not name: 'memoir' (3)" in caught.value.message


def test_a_domain_whose_rows_all_ended_is_an_error_that_tells_why():
    with pytest.raises(InputError, match="no row of the domain 'memory' is left") as caught:
        check([*many(memory=0), *rows_of(("memory", " "), ("memory", ""))])
    assert "empty prompt 2" in caught.value.message


@pytest.mark.parametrize(
    ("memory", "part"),
    [(1, "labelled or unlabelled|validation|holdout"), (2, "validation|holdout")],
)
def test_a_domain_that_cannot_be_learned_or_measured_is_an_error(memory, part):
    with pytest.raises(InputError, match=f"'memory' has no example in the part ({part})"):
        check(many(memory=memory))


def test_a_split_without_a_validation_part_needs_none_of_a_domain():
    check(many(memory=20), split=Split(parts={"holdout": 20, "labelled": "rest"}))
