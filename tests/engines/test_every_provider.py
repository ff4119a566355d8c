"""What holds for every remote engine: what it gives back, what it costs, what a fault is called."""

import sqlite3

import pytest
from pydantic import BaseModel, Field
from tests.engines.asking import PLANTED, SAMPLING, examples
from tests.engines.fakes.server import Behaviour
from tests.engines.providers import SERVERS, WITH_LOGPROBS, provider

from stillhouse.core.errors import UsageError
from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.engines.catalog import REMOTE
from stillhouse.engines.gateway import GatewaySettings
from stillhouse.engines.outcomes import ENDS, FLAWS, REASONS
from stillhouse.engines.retry import RetryPolicy
from stillhouse.engines.wire import Decoding
from stillhouse.store.account import JOURNAL
from stillhouse.store.spending import spending_by_budget

every = pytest.mark.parametrize("kind", SERVERS)
IMPATIENT = GatewaySettings(4, 0.1, retry=RetryPolicy(2, 0.001, 0.002, patience_s=0.05))

NAMED = {
    "html": "html",
    "empty_body": "empty_body",
    "truncated_json": "truncated_json",
    "wrong_encoding": "wrong_encoding",
    "wrong_shape": "wrong_shape",
    "error_in_body": "error_in_body",
    "reset": "reset",
    "hang": "timeout",
    "bad_gateway": "bad_gateway",
    "server_error": "server_error",
    "rate_limited": "waited_too_long",
    "overloaded": "waited_too_long",
    "key_refused": "no_key",
    "quota": "no_key",
    "bad_request": "bad_request",
    "refusal": "refusal",
    "empty_answer": "empty_answer",
    "no_finish_reason": "no_finish_reason",
    "thoughts": "unexpected_thinking",
    "no_logprobs": "no_logprobs",
}
"""What each fault of a server is called."""
NO_WORD_FOR_IT = {("ollama", "refusal"): "empty_answer"}


def test_the_catalog_has_a_server_for_every_engine():
    assert set(REMOTE) == set(SERVERS)


def test_every_name_of_a_fault_is_one_that_people_can_look_up():
    assert set(NAMED.values()) <= {*REASONS, *ENDS, *FLAWS}


@every
@pytest.mark.parametrize("fault", NAMED)
def test_every_fault_has_its_name(tmp_path, kind, fault):
    if fault == "no_logprobs" and kind not in WITH_LOGPROBS:
        pytest.skip("it has none, and is never asked for them")
    behaviour = Behaviour(fault_share=1.0, faults=(fault,), hang_s=0.3)
    decoding = Decoding(top_logprobs=1) if fault == "no_logprobs" else Decoding()
    with provider(kind, tmp_path, behaviour, IMPATIENT, decoding=decoding) as (_, teacher):
        (found,) = teacher.generate(examples(1), SAMPLING)
    expected = NO_WORD_FOR_IT.get((kind, fault), NAMED[fault])
    assert (found.finish, found.reason) == ("error", expected)


@every
def test_a_long_retry_after_defers_and_a_short_one_is_waited_out(tmp_path, kind):
    long = Behaviour(fault_share=1.0, faults=("rate_limited",), retry_after="600")
    with provider(kind, tmp_path / "long", long, IMPATIENT) as (server, teacher):
        (found,) = teacher.generate(examples(1), SAMPLING)
        assert (found.reason, len(server.calls)) == ("rate_limited", 1)
    short = Behaviour(fault_share=0.5, faults=("rate_limited_soon",), seed=3)
    with provider(kind, tmp_path / "short", short) as (server, teacher):
        found = list(teacher.generate(examples(6), SAMPLING))
    assert {one.finish for one in found} == {"stop"}
    assert len(server.calls) > 6


@every
def test_an_answer_is_whole_and_a_cut_one_says_so(tmp_path, kind):
    with provider(kind, tmp_path) as (server, teacher):
        (whole,) = teacher.generate(examples(1), SAMPLING)
        (cut,) = teacher.generate(examples(1), Sampling(max_new_tokens=2))
    assert (whole.finish, whole.num_tokens) == ("stop", 4)
    assert whole.text.startswith("answer ")
    assert (cut.finish, cut.num_tokens) == ("length", 2)
    assert {call.key for call in server.calls} == {PLANTED}


@every
def test_our_account_is_the_servers_bill(tmp_path, kind):
    with provider(kind, tmp_path) as (server, teacher):
        list(teacher.generate(examples(10), SAMPLING))
        again = list(teacher.generate(examples(10), SAMPLING))
        assert len(server.calls) == 10
    (budget,) = spending_by_budget(tmp_path / JOURNAL)
    assert int(budget.spent_usd * 10**9) == server.billed_nano_usd > 0
    assert {one.finish for one in again} == {"stop"}


@every
def test_an_answer_without_usage_costs_the_most_that_it_can(tmp_path, kind):
    behaviour = Behaviour(fault_share=1.0, faults=("no_usage",))
    with provider(kind, tmp_path, behaviour) as (_, teacher):
        (found,) = teacher.generate(examples(1), SAMPLING)
        most = teacher.dry_run(examples(1), SAMPLING).most_usd
    assert found.finish == "stop"
    (budget,) = spending_by_budget(tmp_path / JOURNAL)
    assert budget.spent_usd == most
    with sqlite3.connect(tmp_path / JOURNAL) as connection:
        states = connection.execute("SELECT state, reason FROM calls").fetchall()
    connection.close()
    assert states == [("assumed", "no_usage")]


@every
def test_logprobs_come_or_are_refused_before_anything_is_asked(tmp_path, kind):
    with provider(kind, tmp_path, decoding=Decoding(top_logprobs=2)) as (server, teacher):
        assert teacher.capabilities.own_logprobs == (kind in WITH_LOGPROBS)
        if kind in WITH_LOGPROBS:
            (found,) = teacher.generate(examples(1), SAMPLING)
            assert b" ".join(one.token for one in found.logprobs).decode() == found.text
            assert [len(one.top) for one in found.logprobs] == [2] * 4
            assert found.logprobs[0].top[0] == (found.logprobs[0].token, -0.25)
        else:
            with pytest.raises(UsageError, match="gives no log-probabilities"):
                list(teacher.generate(examples(1), SAMPLING))
            assert server.calls == []


@every
def test_thoughts_that_were_asked_for_are_kept_apart(tmp_path, kind):
    thinks = {"thinking": "on"}
    if kind in ("anthropic", "bedrock"):
        thinks |= {"dialect": "2026-10-21" if kind == "anthropic" else "claude"}
    with provider(kind, tmp_path, **thinks) as (_, teacher):
        behaviour = Sampling(max_new_tokens=16, temperature=1.0)
        (found,) = teacher.generate(examples(1), behaviour)
    assert found.finish == "stop"
    # the server of OpenAI's form shows no thoughts, as OpenAI shows none
    assert found.reasoning == ("" if kind == "openai" else "Let me see.")
    assert "Let me see" not in found.text


class Verdict(BaseModel):
    score: int = Field(ge=0, le=10)
    why: str


@every
def test_a_schema_is_asked_for_in_the_providers_words_and_an_answer_is_mended(tmp_path, kind):
    good = '{"score": 7, "why": "clear"}'

    def say(body, _):
        return good if "does not fit" in str(body) else '{"score": 70, "why": "x"}'

    wide = Sampling(max_new_tokens=200)
    with provider(kind, tmp_path, Behaviour(say=say)) as (server, teacher):
        (found,) = teacher.generate_checked(examples(1), wide, Verdict)
    assert (found.value, found.was_repaired) == (Verdict(score=7, why="clear"), True)
    assert "score" in str(server.calls[0].body)
    assert len(server.calls) == 2


@every
def test_a_system_prompt_arrives_and_shapes_the_key(tmp_path, kind):
    turns = (Message("system", "Be brief."), Message("user", "Hi"))
    asked = [Example("a", "x", turns, None), Example("b", "x", turns[1:], None)]
    with provider(kind, tmp_path) as (server, teacher):
        found = list(teacher.generate(asked, SAMPLING))
    assert [one.finish for one in found] == ["stop"] * 2
    assert sorted("Be brief." in str(call.body) for call in server.calls) == [False, True]


def test_bedrock_has_no_address_of_its_own(tmp_path):
    with (
        pytest.raises(UsageError, match="no address of bedrock"),
        provider("bedrock", tmp_path, base_url=""),
    ):
        pass
