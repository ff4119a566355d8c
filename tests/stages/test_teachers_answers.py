"""Which of the teacher's answers others are measured against, and why the rest is left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.tokens.model_families import FAMILIES, open_family

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion, Example, Message
from stillhouse.data.storage import read_completions
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.measured import Measured
from stillhouse.stages.teachers_answers import is_reference, settle

SCHEMA = {"type": "object", "required": ["mood"]}
SAID = {
    "good": ('{"mood": "gr\u00fc\u00df \u4f60\u597d \U0001f600"}', "stop"),
    "fenced": ('```json\n{"mood": "calm"}\n```', "stop"),
    "cut": ('{"mood": "ca', "length"),
    "blank": (" \n", "stop"),
    "no object": ("calm", "stop"),
    "refused": ('{"mood": "As an AI I have none"}', "stop"),
    "failed": ("", "error"),
}


@dataclass
class Request:
    out: Path
    config: dict = field(default_factory=dict)
    variant: str = "teacher"


def asked(names):
    examples = [Example(name, "holdout", (Message("user", name),), None) for name in names]
    return Measured("holdout", examples, [{"row": name} for name in names])


def settled(tmp_path, names, schema=SCHEMA):
    checks = {"answer_schema": schema, "reject": ["as an ai"]}
    config = {**checks, "reference": "teacher", "max_tokens": 0}
    corpus = Corpus(tmp_path, tmp_path, *open_family(FAMILIES[-1]))
    said = [
        Completion(name, *SAID[name], 1, reason="refusal" if name == "failed" else "")
        for name in names
    ]
    return settle(Request(tmp_path, config), corpus, asked(names), said)


def test_answers_that_came_whole_are_measured_against_and_the_others_are_counted(tmp_path):
    found = settled(tmp_path, list(SAID))

    assert found.measured.ids == ("good", "fenced")
    assert found.measured.reference == "teacher"
    assert found.measured.references() == [one.text for one in found.said]
    assert found.measured.references() == [SAID["good"][0], '{"mood": "calm"}']
    assert found.measured.fields == [{"row": "good"}, {"row": "fenced"}]
    left = read_completions(tmp_path / "left_out.parquet")
    assert {one.example_id for one in left} == SAID.keys() - {"good", "fenced"}
    # A blank answer keeps no schema; without one it is empty.
    assert found.left_out == {"cut": 1, "refusal": 1, "wrong_schema": 2, "wrong_style": 1}


def test_an_empty_answer_is_no_reference_where_any_text_would_do(tmp_path):
    found = settled(tmp_path, ["good", "blank", "no object"], schema=None)

    assert found.measured.ids == ("good", "no object")
    assert found.left_out == {"empty": 1}


def test_one_measured_row_is_enough_and_none_is_refused_with_the_reasons(tmp_path):
    assert settled(tmp_path, ["good"]).left_out == {}

    with pytest.raises(
        InputError, match=r"no answer to 3 measured rows.*1 cut, 1 refusal, 1 wrong"
    ):
        settled(tmp_path, ["cut", "failed", "refused"])


def test_only_the_teachers_own_evaluation_is_what_others_are_measured_against(tmp_path):
    by_teacher = {"reference": "teacher"}
    assert is_reference(Request(tmp_path, by_teacher))
    assert not is_reference(Request(tmp_path, by_teacher, "student"))
    assert not is_reference(Request(tmp_path, by_teacher, "finetuned"))
    assert not is_reference(Request(tmp_path, {}))
