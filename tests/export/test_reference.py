"""What a form's greedy answers are held to: the student's own, and the schema that they keep."""

import numpy as np
import pytest
import torch
from tests.models.tiny_models import build

from stillhouse.core.errors import ArtifactError
from stillhouse.core.rows import Example, Message
from stillhouse.export.reference import ComparedAnswers, Reference, compare_answers, require_schema

EXAMPLE = Example("e0", "holdout", (Message("user", "the quick brown fox"),), "0")


@pytest.fixture(scope="module")
def student(tokenizer, template):
    """A student that answers the one prompt with `0`, which is JSON."""
    model = build("llama", tokenizer, seed=4).eval()
    prompt = tokenizer.encode(template.prompt_text(EXAMPLE.prompt))[0]
    with torch.no_grad():
        told = torch.from_numpy(prompt).long()[None]
        hidden_H = model.model(input_ids=told).last_hidden_state[0, -1]
        model.lm_head.weight[tokenizer.encode("0")[0][0]] = 100 * hidden_H
    return Reference(model, tokenizer, template, [EXAMPLE], 1, {"type": "integer"})


def answering(student, text):
    ids = student.tokenizer.encode(text)[0][:1].astype(np.int32)
    return compare_answers(student, lambda prompt, most, ends: ids)


def test_the_same_answer_keeps_its_schema(student):
    assert answering(student, "0") == ComparedAnswers(1.0, 1.0, 0.0)


def test_another_answer_may_keep_it_too(student):
    assert answering(student, "1") == ComparedAnswers(0.0, 1.0, 0.0)


def test_an_answer_that_loses_the_schema_is_counted_and_refused(student):
    found = answering(student, "fox")
    assert found == ComparedAnswers(0.0, 0.0, 1.0)
    with pytest.raises(ArtifactError, match=r"small is not .* 100.0% of its answers no longer"):
        require_schema("small", found, 0.5)
    require_schema("small", found, 1.0)


def test_nothing_is_lost_that_the_student_never_had(student):
    told = Reference(student.model, student.tokenizer, student.template, [EXAMPLE], 1,
                     {"type": "object"})  # fmt: skip
    assert answering(told, "fox") == ComparedAnswers(0.0, 0.0, 0.0)


def test_no_answer_is_longer_than_the_context(student):
    asked = []
    long = Reference(student.model, student.tokenizer, student.template, [EXAMPLE], 10_000)

    def greedy(prompt, most, ends):
        asked.append(len(prompt) + most)
        return np.zeros(0, np.int32)

    compare_answers(long, greedy)
    assert asked == [128]
