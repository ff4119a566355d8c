"""The engine as stages see it."""

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.engines.asking import SAMPLING, engine, examples
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import INPUT_NANO, OUTPUT_NANO, Behaviour

from stillhouse.core.errors import UsageError
from stillhouse.core.protocols import Generator
from stillhouse.core.sampling import Sampling
from stillhouse.engines.wire import Decoding
from stillhouse.store.ledger import Budget


@pytest.fixture
def server():
    with FakeOpenAI() as running:
        yield running


def test_it_is_a_generator(tmp_path, server):
    with engine(tmp_path, server.url) as teacher:
        asked: Generator = teacher
        (found,) = asked.generate(examples(1), SAMPLING)
    assert found.finish == "stop"
    assert found.text.startswith("answer ")
    assert found.num_tokens == 4


def test_no_examples_are_no_calls(tmp_path, server):
    with engine(tmp_path, server.url) as teacher:
        assert list(teacher.generate([], SAMPLING)) == []
    assert server.calls == []


def test_a_cut_answer_says_so(tmp_path, server):
    with engine(tmp_path, server.url) as teacher:
        (found,) = teacher.generate(examples(1), Sampling(max_new_tokens=2))
    assert (found.finish, found.num_tokens) == ("length", 2)


def test_own_logprobs_come_with_bytes(tmp_path, server):
    with engine(tmp_path, server.url, decoding=Decoding(top_logprobs=2)) as teacher:
        (found,) = teacher.generate(examples(1), SAMPLING)
        assert teacher.capabilities.own_logprobs
        assert teacher.capabilities.top_logprobs == 20
    assert b" ".join(one.token for one in found.logprobs).decode() == found.text
    assert found.logprobs[0].top[1] == (b"\xe2\x82", -2.5)


def test_missing_logprobs_are_an_error_of_the_answer(tmp_path):
    behaviour = Behaviour(fault_share=1.0, faults=("no_logprobs",))
    with (
        FakeOpenAI(behaviour) as server,
        engine(tmp_path, server.url, decoding=Decoding(top_logprobs=2)) as teacher,
    ):
        (found,) = teacher.generate(examples(1), SAMPLING)
    assert (found.finish, found.reason) == ("error", "no_logprobs")


def test_given_text_is_scored_by_vllm_alone(tmp_path, server):
    asked = [replace(one, answer="yes indeed") for one in examples(2)]
    with engine(tmp_path, server.url, dialect="vllm") as teacher:
        found = list(teacher.score_given(asked, top=1))
        assert teacher.capabilities.prompt_logprobs
    assert [len(each) for each in found] == [3, 3]  # "question 0 yes indeed", less the first
    assert found[0][-1].text == "indeed"
    assert found[0][-1].logprob == -1.5
    assert found[0][-1].top[0] == (7000, -0.5)
    assert server.calls[0].body["messages"][-1] == {"role": "assistant", "content": "yes indeed"}
    with (
        engine(tmp_path, server.url) as teacher,
        pytest.raises(UsageError, match="does not score given text"),
    ):
        next(teacher.score_given(asked, top=1))


def test_a_dry_run_asks_nothing_and_bounds_the_bill(tmp_path, server):
    with engine(tmp_path, server.url) as teacher:
        told = teacher.dry_run(examples(50), SAMPLING)
        assert server.calls == []
        list(teacher.generate(examples(50), SAMPLING))
    assert told.calls == 50
    assert Decimal(server.billed_nano_usd) / 10**9 <= told.most_usd
    assert told.most_usd >= Decimal(50 * (16 * OUTPUT_NANO + 10 * INPUT_NANO)) / 10**9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dialect": "tgi"}, "no server of kind 'tgi'"),
        ({"dialect": "other", "thinking": "off"}, "switch thinking"),
        ({"price": None}, "'fake-1' at openai is not in the list"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_asked(tmp_path, server, wrong, message):
    with (
        pytest.raises(UsageError, match=message),
        engine(tmp_path, server.url, Budget("test", 10**9), **wrong),
    ):
        pass
    assert server.calls == []


def test_a_local_server_needs_no_price_without_a_budget_in_money(tmp_path, server):
    with engine(tmp_path, server.url, Budget("test", None, 10_000), price=None) as teacher:
        assert [one.finish for one in teacher.generate(examples(2), SAMPLING)] == ["stop"] * 2


def test_another_prompt_template_asks_anew(tmp_path, server):
    for version in ("songs/1", "songs/2", "songs/1"):
        with engine(tmp_path, server.url, prompt=version) as teacher:
            list(teacher.generate(examples(1), SAMPLING))
    assert len(server.calls) == 2
