"""The gateway: what is asked, what it costs, what happens when it fails; over real connections."""

import itertools
import sqlite3
import threading
import time
from collections import Counter

import pytest
from tests.engines.asking import PRICE, QUICK, SAMPLING, engine, examples, keys
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour

from stillhouse.core.rows import Example, Message
from stillhouse.engines.gateway import GatewaySettings, most_under_way
from stillhouse.engines.keys import Key
from stillhouse.engines.openai_api import OpenAIEngine
from stillhouse.engines.retry import RetryPolicy
from stillhouse.engines.wire import Endpoint
from stillhouse.store.account import JOURNAL, open_account
from stillhouse.store.ledger import Budget, Request
from stillhouse.store.slots import Limit
from stillhouse.store.spending import budgets_that_do_not_add_up, spending_by_budget


def ask(folder, server, count=8, budget=None, settings=None, key_list=None, **endpoint):
    with engine(folder, server.url, budget, settings, key_list, **endpoint) as teacher:
        return list(teacher.generate(examples(count), SAMPLING))


def reasons(found):
    return Counter(one.reason for one in found)


def rows(folder, columns="state, reason"):
    with sqlite3.connect(folder / JOURNAL) as connection:
        found = connection.execute(f"SELECT {columns} FROM calls ORDER BY id").fetchall()
    connection.close()
    return found


def test_answers_come_in_the_order_of_the_questions(tmp_path):
    with FakeOpenAI(Behaviour(latency_s=0.01, fault_share=0.3, faults=("server_error",))) as server:
        found = ask(tmp_path, server, 60)
    assert [one.example_id for one in found] == [f"e{number}" for number in range(60)]
    assert {one.finish for one in found} == {"stop"}
    assert server.most_at_once <= 64


def test_our_account_is_the_servers_bill(tmp_path):
    with FakeOpenAI() as server:
        ask(tmp_path, server, 30)
    (budget,) = spending_by_budget(tmp_path / JOURNAL)
    assert int(budget.spent_usd * 10**9) == server.billed_nano_usd > 0
    assert budgets_that_do_not_add_up(tmp_path / JOURNAL) == []


def test_nothing_is_asked_twice(tmp_path):
    with FakeOpenAI() as server:
        first = ask(tmp_path, server, 20)
        again = ask(tmp_path, server, 25)
    assert again[:20] == first
    assert len(server.calls) == 25


def test_a_damaged_answer_is_asked_again_and_only_that_one(tmp_path):
    with FakeOpenAI() as server:
        first = ask(tmp_path, server, 20)
        with sqlite3.connect(tmp_path / JOURNAL) as connection:
            connection.execute("UPDATE answers SET body = zeroblob(9) WHERE rowid = 7")
        connection.close()
        assert ask(tmp_path, server, 20) == first
    assert len(server.calls) == 21


@pytest.mark.parametrize(
    ("fault", "state", "tries"),
    [
        ("server_error", "free", 6),
        ("bad_gateway", "unknown", 6),
        ("html", "unknown", 6),
        ("empty_body", "unknown", 6),
        ("truncated_json", "unknown", 6),
        ("wrong_encoding", "unknown", 6),
        ("wrong_shape", "unknown", 6),
        ("error_in_body", "unknown", 6),
        ("reset", "unknown", 6),
        ("bad_request", "free", 1),
    ],
)
def test_what_keeps_failing_is_deferred_with_its_name(tmp_path, fault, state, tries):
    with FakeOpenAI(Behaviour(fault_share=1.0, faults=(fault,))) as server:
        (found,) = ask(tmp_path, server, 1)
    assert (found.finish, found.reason, found.text) == ("error", fault, "")
    assert rows(tmp_path) == [(state, fault)] * tries
    assert len(server.calls) == tries


def test_a_hang_ends_with_the_timeout(tmp_path):
    settings = GatewaySettings(4, timeout_s=0.1, retry=RetryPolicy(tries=2, first_s=0.01))
    with FakeOpenAI(Behaviour(fault_share=1.0, faults=("hang",), hang_s=1.0)) as server:
        (found,) = ask(tmp_path, server, 1, settings=settings)
    assert found.reason == "timeout"
    assert rows(tmp_path) == [("unknown", "timeout")] * 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("refusal", "refusal"),
        ("empty_answer", "empty_answer"),
        ("no_finish_reason", "no_finish_reason"),
    ],
)
def test_an_answer_of_no_use_is_paid_once_named_and_not_asked_again(tmp_path, fault, reason):
    with FakeOpenAI(Behaviour(fault_share=1.0, faults=(fault,))) as server:
        first = ask(tmp_path, server, 3)
        assert ask(tmp_path, server, 3) == first
    assert reasons(first) == {reason: 3}
    assert rows(tmp_path) == [("paid", "")] * 3


def test_an_answer_without_usage_costs_the_upper_price(tmp_path):
    with FakeOpenAI(Behaviour(fault_share=1.0, faults=("no_usage",))) as server:
        (found,) = ask(tmp_path, server, 1)
    assert found.finish == "stop"
    ((state, spent, upper),) = rows(tmp_path, "state, nano_usd, upper_nano_usd")
    assert (state, spent) == ("assumed", upper)


def test_a_pause_uses_up_no_try_and_is_as_long_as_the_server_asks(tmp_path):
    def say(_, number):
        return "yes"

    behaviour = Behaviour(fault_share=1.0, faults=("rate_limited",), retry_after="0.05", say=say)
    settings = GatewaySettings(16, retry=RetryPolicy(tries=1, patience_s=30.0))
    with (
        FakeOpenAI(behaviour) as server,
        engine(tmp_path, server.url, settings=settings) as teacher,
    ):
        stream = teacher.generate(examples(16), SAMPLING)
        started = time.monotonic()

        def recover():
            while time.monotonic() - started < 0.4:
                time.sleep(0.01)
            behaviour.fault_share = 0.0

        healing = threading.Thread(target=recover)
        healing.start()
        found = list(stream)
        healing.join()
    assert reasons(found) == {"": 16}
    refused = [call.at for call in server.calls if call.fault]
    assert len(refused) > 16  # more refusals than the one try that each question has
    # while a rest lasts nobody asks: each wave of refusals is a rest after the one before it
    waves = sum(b - a > 0.045 for a, b in itertools.pairwise(refused))
    assert waves >= 3


@pytest.mark.parametrize("again", [None, "0", "0.001", "Mon, 30 Nov 2020 00:00:00 GMT"])
def test_a_provider_that_only_asks_to_wait_is_given_up(tmp_path, again):
    settings = GatewaySettings(8, retry=RetryPolicy(first_s=0.01, longest_s=0.02, patience_s=0.2))
    behaviour = Behaviour(fault_share=1.0, faults=("rate_limited",), retry_after=again)
    with FakeOpenAI(behaviour) as server:
        started = time.monotonic()
        found = ask(tmp_path, server, 40, settings=settings)
    assert set(reasons(found)) <= {"waited_too_long", "rate_limited"}
    assert time.monotonic() - started < 5.0
    assert {state for state, _ in rows(tmp_path)} == {"free"}


def test_a_pause_longer_than_patience_defers_at_once(tmp_path):
    behaviour = Behaviour(fault_share=1.0, faults=("rate_limited",), retry_after="3000")
    with FakeOpenAI(behaviour) as server:
        found = ask(tmp_path, server, 40)
    assert set(reasons(found)) <= {"waited_too_long", "rate_limited"}
    assert len(server.calls) <= most_under_way(GatewaySettings(64))


@pytest.mark.parametrize("fault", ["key_refused", "quota"])
def test_a_key_that_fails_rests_while_another_goes_on(tmp_path, fault):
    behaviour = Behaviour(keys={"sk-old": fault, "sk-new": ""})
    settings = GatewaySettings(4, retry=QUICK)
    with FakeOpenAI(behaviour) as server:
        found = ask(tmp_path, server, 40, settings=settings, key_list=keys("sk-old", "sk-new"))
    assert reasons(found) == {"": 40}
    used = Counter(call.key for call in server.calls)
    assert used["sk-new"] == 40
    assert used["sk-old"] <= most_under_way(settings)


def test_without_a_key_that_works_everything_is_deferred_and_nothing_is_paid(tmp_path):
    with FakeOpenAI(Behaviour(keys={"sk-other": ""})) as server:
        found = ask(tmp_path, server, 100)
    assert set(reasons(found)) == {"no_key"}
    assert len(server.calls) <= most_under_way(GatewaySettings(64))
    assert spending_by_budget(tmp_path / JOURNAL)[0].spent_usd == 0


def test_a_pause_of_the_provider_is_not_gone_round_with_another_key(tmp_path):
    behaviour = Behaviour(keys={"sk-a": "rate_limited", "sk-b": ""}, retry_after="1000")
    with FakeOpenAI(behaviour) as server:
        ask(tmp_path, server, 20, key_list=keys("sk-a", "sk-b"))
    assert {call.key for call in server.calls} == {"sk-a"}


def test_a_server_without_keys_is_sent_none(tmp_path):
    with FakeOpenAI() as server:
        ask(tmp_path, server, 1, key_list=[Key("none", None)])
    assert server.calls[0].key == ""


def upper_nano(folder, url):
    with engine(folder, url) as teacher:
        return int(teacher.dry_run(examples(200)[-1:], SAMPLING).most_usd * 10**9)


def test_a_budget_is_used_to_the_end_and_never_passed(tmp_path):
    # given a cap for about half of the questions
    with FakeOpenAI(Behaviour(latency_s=0.002)) as server:
        one = upper_nano(tmp_path / "price", server.url)
        # when 64 at once ask for more than it holds
        found = ask(tmp_path, server, 200, Budget("test", 20 * one))
        (budget,) = spending_by_budget(tmp_path / JOURNAL)
        # then what is left does not pay for one more
        assert server.billed_nano_usd <= budget.spent_usd * 10**9 <= 20 * one
        assert 0 <= budget.left_usd * 10**9 < one
        # and only what did not fit was deferred, to be asked when there is more
        assert set(reasons(found)) == {"", "budget"}
        assert reasons(found)[""] == len(server.calls)
        richer = ask(tmp_path, server, 200, Budget("test", 20_000 * one))
    assert reasons(richer) == {"": 200}
    assert len(server.calls) == 200


def test_a_budget_of_zero_asks_nothing(tmp_path):
    with FakeOpenAI() as server:
        assert reasons(ask(tmp_path, server, 5, Budget("test", 0))) == {"budget": 5}
        assert reasons(ask(tmp_path, server, 5, Budget("test", None, 0))) == {"budget": 5}
    assert server.calls == []


def test_a_caller_that_stops_early_stops_the_asking_and_keeps_what_was_paid(tmp_path):
    settings = GatewaySettings(4, retry=QUICK)
    with FakeOpenAI(Behaviour(latency_s=0.01)) as server:
        with engine(tmp_path, server.url, settings=settings) as teacher:
            stream = teacher.generate(examples(5000), SAMPLING)
            next(stream)
            stream.close()
        asked = len(server.calls)
        assert asked < 500
        assert {state for state, _ in rows(tmp_path)} == {"paid"}
        ask(tmp_path, server, asked)
        assert len(server.calls) == asked


def test_progress_tells_money_spent_and_left(tmp_path):
    told = []

    def progress(done, total, unit, **values):
        told.append((done, total, unit, values))

    with (
        FakeOpenAI() as server,
        open_account(tmp_path, Budget("b", 10**9), "run", "label") as account,
    ):
        end = Endpoint("m", server.url, price=PRICE)
        teacher = OpenAIEngine(end, account, keys(), GatewaySettings(4), progress)
        list(teacher.generate(examples(5), SAMPLING))
    done, total, unit, values = told[-1]
    assert (done, total, unit) == (5, 5, "answers")
    assert values["spent_usd"] + values["left_usd"] == pytest.approx(1.0)
    assert values["spent_usd"] == pytest.approx(server.billed_nano_usd / 1e9)


def test_tokens_a_minute_count_what_was_used_and_not_what_was_reserved(tmp_path):
    # given room for the upper counts of three questions, and for the real ones of twenty
    limit = Limit("p", "tokens", 200, 60.0)
    settings = GatewaySettings(2, limits=(limit,), retry=QUICK)
    with FakeOpenAI() as server:
        started = time.monotonic()
        found = ask(tmp_path, server, 10, settings=settings)
    assert reasons(found) == {"": 10}
    assert time.monotonic() - started < 20.0


def test_of_equal_questions_at_once_one_is_sent_and_all_get_its_answer(tmp_path):
    texts = iter(range(100))
    alike = [Example(f"e{n}", "unlabelled", (Message("user", "same"),), None) for n in range(8)]
    with FakeOpenAI(Behaviour(0.02, say=lambda body, number: f"text {next(texts)}")) as server:
        with engine(tmp_path, server.url) as teacher:
            found = list(teacher.generate(alike, SAMPLING))
        asked = len(server.calls)
    assert asked == 1
    assert len({one.text for one in found}) == 1


def test_nobody_waits_for_money_that_a_killed_process_holds(tmp_path):
    cap = Budget("test", 1_000_000)
    with FakeOpenAI() as server, open_account(tmp_path, cap, "run", "label") as other:
        session = other.session
        request = Request("k", "e", 0, "openai", "fake-1", 1_000_000, 1)
        session.journal.write_now(lambda c: session.reserve(c, request, "KEY"))
        with engine(tmp_path, server.url, cap) as teacher:
            killed = threading.Timer(0.3, session._held.close)
            killed.start()
            (found,) = teacher.generate(examples(1), SAMPLING)
            killed.join()
    assert found.reason == "budget"
    assert rows(tmp_path) == [("unknown", "killed")]
