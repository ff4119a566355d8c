"""Answers that must fit a schema or please a verifier."""

import json
import sqlite3

import pytest
from pydantic import BaseModel, Field
from tests.engines.asking import SAMPLING, engine, examples
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour

from stillhouse.engines.checked import Quota
from stillhouse.store.account import JOURNAL
from stillhouse.store.spending import spending_by_stage


class Verdict(BaseModel):
    score: int = Field(ge=0, le=10)
    why: str


GOOD = json.dumps({"score": 7, "why": "clear"})
WIDE = SAMPLING.__class__(max_new_tokens=200)


def checked(folder, say, count=1):
    with FakeOpenAI(Behaviour(say=say)) as server, engine(folder, server.url) as teacher:
        return list(teacher.generate_checked(examples(count), WIDE, Verdict)), server.calls


@pytest.mark.parametrize("text", [GOOD, f"```json\n{GOOD}\n```", f"\n```\n{GOOD}\n```\n"])
def test_a_fitting_answer_is_an_instance_and_needs_one_call(tmp_path, text):
    ((found,), calls) = checked(tmp_path, lambda body, n: text)
    assert found.value == Verdict(score=7, why="clear")
    assert not found.was_repaired
    assert len(calls) == 1
    sent = calls[0].body["response_format"]
    assert sent["json_schema"]["schema"]["required"] == ["score", "why"]


@pytest.mark.parametrize(
    "wrong",
    [
        '{"score": 70, "why": "x"}',
        '{"score": 7}',
        '{"score": 7, "why": "cut',
        "I would say 7.",
        "[]",
    ],
)
def test_an_answer_that_does_not_fit_is_sent_back_once_with_what_is_wrong(tmp_path, wrong):
    def say(body, _):
        return wrong if len(body["messages"]) == 1 else GOOD

    ((found,), calls) = checked(tmp_path, say)
    assert found.value == Verdict(score=7, why="clear")
    assert found.was_repaired
    repair = calls[1].body["messages"]
    assert [one["role"] for one in repair] == ["user", "assistant", "user"]
    assert repair[1]["content"] == wrong
    assert "does not fit" in repair[2]["content"]


def test_an_answer_that_never_fits_costs_two_calls_and_is_an_error(tmp_path):
    ((found,), calls) = checked(tmp_path, lambda body, n: "no")
    assert found.value is None
    assert (found.completion.finish, found.completion.reason) == ("error", "wrong_schema")
    assert len(calls) == 2


def test_a_refusal_is_not_sent_back(tmp_path):
    behaviour = Behaviour(fault_share=1.0, faults=("refusal",))
    with FakeOpenAI(behaviour) as server, engine(tmp_path, server.url) as teacher:
        (found,) = teacher.generate_checked(examples(1), WIDE, Verdict)
    assert found.completion.reason == "refusal"
    assert len(server.calls) == 1


def test_of_several_answers_the_verifier_takes_those_it_wants(tmp_path):
    def say(body, _):
        return f"number {body['seed']}"

    def is_even(_, completion):
        return int(completion.text.split()[1]) % 2 == 0

    with FakeOpenAI(Behaviour(say=say)) as server, engine(tmp_path, server.url) as teacher:
        found = list(teacher.generate_accepted(examples(3), SAMPLING, Quota(2, 5), is_even))
        assert [[one.text for one in each] for each in found] == [["number 0", "number 2"]] * 3
        assert len(server.calls) == 9  # 0, 1, 2 for each
        none = list(
            teacher.generate_accepted(examples(1, 3), SAMPLING, Quota(2, 5), lambda *_: False)
        )
        assert none == [[]]
        assert len(server.calls) == 14
    (stage,) = spending_by_stage(tmp_path / JOURNAL)
    assert (stage.accepted, stage.requests) == (6, 14)
    assert stage.usd_per_accepted == stage.spent_usd / 6


def test_what_was_verified_is_noted_with_the_call(tmp_path):
    def say(body, _):
        return GOOD if "1" in body["messages"][0]["content"] else "no"

    checked(tmp_path, say, 2)
    with sqlite3.connect(tmp_path / JOURNAL) as connection:
        rows = connection.execute("SELECT example_id, accepted FROM calls ORDER BY id").fetchall()
    connection.close()
    assert sorted(rows) == [("e0", 0), ("e0", 0), ("e1", 1)]
