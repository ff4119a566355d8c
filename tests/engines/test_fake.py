"""The engine for tests, ours and our users'."""

import math

import pytest
from pydantic import BaseModel
from tests.engines.asking import SAMPLING, examples

from stillhouse.core.errors import UsageError
from stillhouse.core.protocols import Generator
from stillhouse.core.sampling import Sampling
from stillhouse.engines.checked import Quota
from stillhouse.engines.fake import FakeEngine, by_seed, by_table
from stillhouse.engines.wire import Decoding, Endpoint

TABLE = by_table({f"question {number}": f"answer {number}" for number in range(5)})


def test_it_is_a_generator_that_answers_by_a_table_in_order():
    asked: Generator = FakeEngine(TABLE)
    found = list(asked.generate(examples(5), SAMPLING))
    assert [one.text for one in found] == [f"answer {number}" for number in range(5)]
    assert {(one.finish, one.num_tokens) for one in found} == {("stop", 2)}


def test_a_question_that_is_not_in_the_table_says_so():
    with pytest.raises(UsageError, match="no answer to 'question 5'"):
        list(FakeEngine(TABLE).generate(examples(6), SAMPLING))


def test_a_seed_gives_the_same_answers_each_time_and_another_seed_gives_others():
    def said(seed):
        return [one.text for one in FakeEngine(by_seed(seed)).generate(examples(8), SAMPLING)]

    assert said(1) == said(1) != said(2)
    assert len(set(said(1))) > 5


def test_faults_have_the_names_that_remote_engines_give_them():
    faults = {"e0": "rate_limited", "e1": "refusal", "e2": "empty_answer", "e3": "budget"}
    teacher = FakeEngine(TABLE, faults)
    found = list(teacher.generate(examples(5), SAMPLING))
    assert [one.reason for one in found] == [*faults.values(), ""]
    assert teacher.num_asked == 5
    with pytest.raises(UsageError, match="nothing fails as 'boom'"):
        FakeEngine(TABLE, {"e0": "boom"})


@pytest.mark.parametrize(
    ("fault", "endpoint"),
    [
        ("no_logprobs", Endpoint("m", decoding=Decoding(top_logprobs=1))),
        ("no_finish_reason", Endpoint("m")),
        ("unexpected_thinking", Endpoint("m")),
    ],
)
def test_a_flaw_is_noticed_as_in_a_real_answer(fault, endpoint):
    (found,) = FakeEngine(TABLE, {"e0": fault}, endpoint).generate(examples(1), SAMPLING)
    assert (found.finish, found.reason) == ("error", fault)


def test_a_long_answer_is_cut():
    (found,) = FakeEngine(TABLE).generate(examples(1), Sampling(max_new_tokens=1))
    assert (found.text, found.finish) == ("answer", "length")


def test_logprobs_are_probabilities_whose_sum_stays_below_one():
    end = Endpoint("m", decoding=Decoding(top_logprobs=20))
    found = list(FakeEngine(by_seed(3), endpoint=end).generate(examples(20), SAMPLING))
    for one in (token for each in found for token in each.logprobs):
        assert one.top[0] == (one.token, one.logprob)
        assert len(one.top) == 20
        assert 0.9 < sum(math.exp(logprob) for _, logprob in one.top) < 1.0
        assert [pair[1] for pair in one.top] == sorted((pair[1] for pair in one.top), reverse=True)
    assert b"".join(one.token for one in found[0].logprobs).decode() == found[0].text


class Verdict(BaseModel):
    score: int


def test_an_answer_is_mended_as_by_a_remote_engine():
    def say(messages, _):
        return '{"score": 1}' if len(messages) > 1 else "one"

    teacher = FakeEngine(say)
    (found,) = teacher.generate_checked(examples(1), SAMPLING, Verdict)
    assert (found.value, found.was_repaired) == (Verdict(score=1), True)
    assert teacher.num_asked == 2


def test_of_several_answers_the_verifier_takes_those_it_wants():
    teacher = FakeEngine(lambda _, index: f"number {index}")
    (found,) = teacher.generate_accepted(
        examples(1), SAMPLING, Quota(2, 5), lambda _, one: int(one.text.split()[1]) % 2 == 0
    )
    assert [one.text for one in found] == ["number 0", "number 2"]
