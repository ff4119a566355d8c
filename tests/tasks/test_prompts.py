"""Contexts stand as equals, and the rules keep a prompt's words and leave styles out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example, Message, Row
from stillhouse.core.sampling import Sampling
from stillhouse.data.account import run_step
from stillhouse.data.language import is_english
from stillhouse.data.pairing import PairStep
from stillhouse.data.style_references import has_style_reference
from stillhouse.evals.coverage import own_pairs, own_traditions
from stillhouse.evals.probe_file import load_probes, own_probes
from stillhouse.evals.tags import TagFinder
from stillhouse.recipes.data_steps import PairWith
from stillhouse.recipes.prompt_steps import TransformByRule
from stillhouse.recipes.rows import SampleRows
from stillhouse.stages.rows import read_settings
from stillhouse.tasks.prompts.contexts import context_sets, own_contexts
from stillhouse.tasks.prompts.rules import RuleBaseline, transform, without_style_references
from stillhouse.tasks.prompts.transform_step import LAPSE, TransformStep
from stillhouse.tasks.sample_rows import sample_rows

TRADITIONS = [one for one in own_contexts().values() if one.is_tradition]
STYLED = "a bridge, in the style of an old master, at noon"


def pairing(**more):
    return PairWith.model_validate({"as": "context", **more})


def paired(rows, **more):
    wanted = pairing(set="pedagogical", at_least=2, at_most=5, **more)
    step = PairStep(wanted, read_settings(wanted, Path()))
    return run_step(step, rows)[0]


def test_there_are_five_ways_of_looking_at_least_and_fifteen_traditions_each_with_its_type():
    sets = context_sets()
    assert len(sets["ways"]) >= 5
    assert len(sets["traditions"]) >= 15
    assert len(sets["pedagogical"]) == len(own_contexts())
    assert {one.type for one in TRADITIONS} == {"people", "region", "genre", "language and region"}


def test_traditions_stand_as_equals_in_number_of_sentences_and_in_length():
    # No tradition is told at twice the length of another, and each has as many sentences.
    lengths = [len(one.text.split()) for one in TRADITIONS]
    assert max(lengths) < 2 * min(lengths)
    assert {(len(one.practice), len(one.perspective), len(one.perception)) for one in TRADITIONS} \
        == {(2, 2, 2)}  # fmt: skip


@pytest.mark.parametrize("context", own_contexts().values(), ids=lambda one: one.id)
def test_every_context_is_english_and_copies_nobody(context):
    said = [context.text, *context.practice, *context.perspective, *context.perception]
    assert all(is_english(text) and not has_style_reference(text) for text in said)
    forbidden = TagFinder({"cliche": ["exotic*", "primitive", "tribal", "oriental", "mystic*"]})
    assert not any(forbidden.find(text) for text in said)


def test_every_tradition_of_the_list_and_every_other_one_is_named_by_the_rules():
    probe = next(
        one for one in load_probes(own_probes("prompts")).probes if one.name == "traditions"
    )
    finder = TagFinder(probe.tags)
    for context in TRADITIONS:
        assert all(finder.find(sentence) for sentence in context.practice), context.id
        assert finder.find(context.text), context.id
    assert set(own_traditions()) < set(probe.tags)
    assert len(probe.tags) == len(TRADITIONS)


def test_a_set_is_paired_by_its_name_with_version_and_digest_in_every_row():
    rows = paired([Row(f"r{n}", {"prompt": f"p{n}"}, f"f:{n}") for n in range(50)])

    names = {row.fields["context_set"] for row in rows}
    assert len(names) == 1
    assert names.pop().startswith("pedagogical@1#")
    assert {row.fields["context_type"] for row in rows} >= {"open", "way", "people", "genre"}
    used = Counter(row.fields["context_id"] for row in rows)
    assert max(used.values()) - min(used.values()) <= 1
    assert all(row.fields["context"] == own_contexts()[row.fields["context_id"]].text
               for row in rows)  # fmt: skip


def test_a_file_is_told_by_its_digest_and_a_change_of_it_is_seen(tmp_path):
    def labels(text):
        (tmp_path / "c.jsonl").write_text(json.dumps({"id": "a", "text": text}))
        return {one.source for one in read_settings(pairing(file="c.jsonl"), tmp_path)}

    (first,), (second,) = labels("one"), labels("other")
    assert first.startswith("#")
    assert first != second


def test_a_set_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean") as caught:
        read_settings(pairing(set="pedagogic"), Path())
    assert "pedagogical, ways, traditions" in caught.value.hint
    for both in ({}, {"set": "ways", "file": "c.jsonl"}):
        with pytest.raises(ValueError, match="one of the two"):
            pairing(**both)


@settings(max_examples=30)
@given(st.text(max_size=80), st.sampled_from([*own_contexts().values()]), st.integers(0, 3))
def test_no_transformation_has_a_style_reference_whatever_the_prompt(prompt, context, seed):
    text = transform(prompt, context, seed)
    assert not has_style_reference(" ".join(text.split(". ")[1:]))
    assert text == transform(prompt, context, seed)


@pytest.mark.parametrize(
    ("prompt", "kept"),
    [
        (STYLED, "a bridge, at noon"),
        ("A dog in the style of Hokusai", "A dog"),
        ("a cat", "a cat"),
        ("in the style of a postcard", ""),
    ],
)
def test_a_prompt_keeps_its_own_words(prompt, kept):
    assert without_style_references(prompt) == kept


def test_a_prompt_that_is_open_gets_every_tradition_about_as_often():
    finder = TagFinder(
        next(
            one for one in load_probes(own_probes("prompts")).probes if one.name == "traditions"
        ).tags
    )
    found = Counter()
    for number in range(900):
        found.update(finder.find(transform(f"music {number}", own_contexts()["open"])))
    assert set(found) == set(finder.names)
    assert min(found.values()) > 0.4 * max(found.values())


def test_pairs_that_do_without_what_is_usual_come_of_open_prompts():
    rows = sample_rows(SampleRows(task="prompts", rows=900))
    made, _, _ = run_step(TransformStep(TransformByRule()), paired([*rows]))
    texts = [f"{row.fields['prompt']} {row.fields['transformation']}" for row in made]
    for name, pair in own_pairs().items():
        seeker = TagFinder({"says": pair.says, "beside": pair.beside, "without": pair.without})
        assert sum(seeker.find(text) == {"says", "beside"} for text in texts) >= 20, name


def test_lapses_are_noted_and_a_linter_finds_all_of_them():
    rows = paired([Row(f"r{n}", {"prompt": f"{n} {STYLED}"}, f"f:{n}") for n in range(60)])
    made, _, count = run_step(TransformStep(TransformByRule(lapses=0.5)), rows)

    found = sum(has_style_reference(row.fields["transformation"]) for row in made)
    assert count.notes == {LAPSE: found}
    assert 0.35 < found / len(made) < 0.65


def test_a_row_that_was_paired_with_something_else_is_refused_by_its_place():
    row = Row("r", {"prompt": "p", "context": "c", "context_id": "mine"}, "f:1")
    with pytest.raises(InputError, match=r"f:1: context_id is 'mine'"):
        run_step(TransformStep(TransformByRule()), [row])


def test_the_rules_answer_as_a_candidate_does_and_know_contexts_by_their_text():
    context = own_contexts()["tuvan-khoomei"]
    examples = [
        Example("a", "holdout", (Message("user", f"{context.text}\n\n{STYLED}"),), None),
        Example("b", "holdout", (Message("user", "a bridge"),), None),
    ]
    first, second = RuleBaseline().generate(examples, Sampling(99))
    (cut, *_) = RuleBaseline().generate(examples, Sampling(3))

    assert first.text == transform(STYLED, context)
    assert second.text == transform("a bridge", own_contexts()["open"])
    assert (first.finish, cut.finish, cut.num_tokens) == ("stop", "length", 3)


def test_a_longer_list_of_prompts_begins_with_the_shorter_one():
    def prompts(rows, noise):
        made = sample_rows(SampleRows(task="prompts", rows=rows, noise=noise))
        return [row.fields["prompt"] for row in made]

    assert prompts(90, 0.2)[:30] == prompts(30, 0.2)
    assert not any(map(has_style_reference, prompts(90, 0.0)))
    assert all(map(has_style_reference, prompts(90, 1.0)))
