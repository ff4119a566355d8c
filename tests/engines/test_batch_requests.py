"""Requests of a batch that fail, are answered late, or not at all: nothing is lost by them."""

import json
import sqlite3
from dataclasses import replace
from itertools import pairwise

import pytest
from tests.engines.asking import PATIENT, SAMPLING, engine, examples, keys
from tests.engines.batching import SETTINGS, ask, assert_books, reasons, states
from tests.engines.fakes.openai_batches import Plan
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour

from stillhouse.engines.retry import RetryPolicy
from stillhouse.store.account import JOURNAL
from stillhouse.store.slots import Limit
from stillhouse.store.spending import spending_by_budget

HASTY = replace(SETTINGS, batch=replace(PATIENT, patience_s=0.0))


def test_a_torn_file_is_fetched_again(tmp_path):
    with FakeOpenAI(plan=Plan(torn=2)) as server:
        found = ask(tmp_path, server, 10)
        assert server.batches.count("content") == 3
    assert reasons(found) == {"": 10}
    assert_books(tmp_path, server)


def test_a_file_that_stays_torn_counts_as_billed_and_its_whole_lines_are_kept(tmp_path):
    with FakeOpenAI(plan=Plan(torn=10**6)) as server:
        found = ask(tmp_path, server, 10)
        assert reasons(found) == {"": 4, "truncated_json": 6}
        (budget,) = spending_by_budget(tmp_path / JOURNAL)
        assert budget.spent_usd * 10**9 > server.billed_nano_usd
        server.batches.plan.torn = 0
        assert reasons(ask(tmp_path, server, 10)) == {"": 10}


def test_a_lost_reply_to_the_creation_makes_no_second_batch(tmp_path):
    with FakeOpenAI(plan=Plan(lost=1)) as server:
        found = ask(tmp_path, server, 6)
        assert len(server.batches.made) == 1
        assert server.batches.count("list") == 1
    assert reasons(found) == {"": 6}
    assert_books(tmp_path, server)


def test_a_creation_that_never_arrived_is_made_again_with_the_same_file(tmp_path):
    with FakeOpenAI(plan=Plan(dropped=2)) as server:
        found = ask(tmp_path, server, 6)
        assert len(server.batches.made) == 1
        assert server.batches.count("files") == 1
    assert reasons(found) == {"": 6}
    assert_books(tmp_path, server)


def test_a_batch_among_many_is_found_in_a_long_list(tmp_path):
    with FakeOpenAI() as server:
        batches = server.batches
        batches.answer("POST /v1/files HTTP/1.1", *_form())
        first = next(iter(batches.files))
        told = json.dumps({
            "input_file_id": first, "endpoint": "/v1/chat/completions", "completion_window": "24h",
        })  # fmt: skip
        # ours is older than a page of others
        batches.plan.looks = 10**6
        ask(tmp_path, server, 3, settings=HASTY)
        with sqlite3.connect(tmp_path / JOURNAL) as connection:
            connection.execute("UPDATE batches SET remote = ''")
        connection.close()
        for _ in range(230):
            batches.answer("POST /v1/batches HTTP/1.1", {}, told.encode())
        batches.plan.looks = 0
        found = ask(tmp_path, server, 3)
        assert batches.count("list") == 3
    assert reasons(found) == {"": 3}
    assert len(batches.made) == 231


def _form():
    content = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b\r\n'
        b'Content-Disposition: form-data; name="file"; filename="x"\r\n\r\n\r\n--b--\r\n'
    )
    return {"content-type": "multipart/form-data; boundary=b"}, content


@pytest.mark.parametrize("what", ["files", "batches", "look", "content"])
def test_every_request_obeys_the_pause_that_the_provider_asks_for(tmp_path, what):
    plan = Plan(refused={what: ["rate_limited", "rate_limited"]}, retry_after="0.3")
    with FakeOpenAI(plan=plan) as server:
        found = ask(tmp_path, server, 3)
        times = [at for at, one, _ in server.batches.log if one == what]
    assert reasons(found) == {"": 3}
    assert all(later - earlier >= 0.29 for earlier, later in pairwise(times[:3]))


@pytest.mark.parametrize("what", ["files", "batches", "look", "content"])
@pytest.mark.parametrize("fault", ["server_error", "overloaded", "error_in_body"])
def test_a_request_that_fails_is_made_again_and_nothing_is_asked_twice(tmp_path, what, fault):
    with FakeOpenAI(plan=Plan(looks=3, refused={what: [fault, fault, fault]})) as server:
        found = ask(tmp_path, server, 3)
        assert len(server.batches.made) == 1
        assert len(server.calls) == 3
    assert reasons(found) == {"": 3}
    assert_books(tmp_path, server)


def test_limits_on_requests_hold_for_looks_too(tmp_path):
    limits = (Limit("openai:requests", "requests", 5, 1.0),)
    with FakeOpenAI(plan=Plan(looks=4)) as server:
        ask(tmp_path, server, 3, settings=replace(SETTINGS, limits=limits))
        times = [at for at, _, _ in server.batches.log]
    assert len(times) >= 7
    assert all(later - earlier > 0.15 for earlier, later in pairwise(times))


def test_the_pause_between_two_looks_grows_to_its_limit(tmp_path):
    batch = replace(PATIENT, first_poll_s=0.02, longest_poll_s=0.1)
    with FakeOpenAI(plan=Plan(looks=8)) as server:
        ask(tmp_path, server, 3, settings=replace(SETTINGS, batch=batch))
        times = [at for at, one, _ in server.batches.log if one == "look"]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert all(pause >= 0.02 for pause in pauses)
    assert all(pause >= 0.1 for pause in pauses[-3:])
    assert max(pauses) < 0.5


def test_an_outage_in_the_middle_of_a_batch_leaves_it_for_the_next_run(tmp_path):
    settings = replace(SETTINGS, retry=RetryPolicy(tries=2, first_s=0.01, patience_s=0.1))
    plan = Plan(looks=3, refused={"look": ["server_error"] * 1000})
    with FakeOpenAI(plan=plan) as server:
        found = ask(tmp_path, server, 3, settings=settings)
        plan.refused = {}
        again = ask(tmp_path, server, 3)
        assert len(server.batches.made) == 1
    assert reasons(found) == {"server_error": 3}
    assert reasons(again) == {"": 3}
    assert_books(tmp_path, server)


def test_a_batch_that_nobody_knows_any_more_counts_as_billed_and_is_asked_anew(tmp_path):
    plan = Plan(looks=10**6)
    with FakeOpenAI(plan=plan) as server:
        ask(tmp_path, server, 3, settings=HASTY)
        server.batches.made.clear()
        plan.looks = 0
        found = ask(tmp_path, server, 3)
    assert reasons(found) == {"": 3}
    assert states(tmp_path) == {("unknown", "missing_line"): 3, ("paid", ""): 3}
    (budget,) = spending_by_budget(tmp_path / JOURNAL)
    assert budget.spent_usd * 10**9 >= server.billed_nano_usd


def test_a_server_without_the_endpoint_ends_with_its_reason(tmp_path):
    plan = Plan(refused={"files": ["bad_request"]})
    with FakeOpenAI(plan=plan) as server:
        found = ask(tmp_path, server, 3)
    assert reasons(found) == {"batch_refused": 3}
    assert_books(tmp_path, server)


def test_another_key_serves_when_one_is_refused_and_looks_with_it(tmp_path):
    behaviour = Behaviour(keys={"sk-good": ""})
    with FakeOpenAI(behaviour) as server:
        found = ask(tmp_path, server, 3, key_list=keys("sk-bad", "sk-good"))
        none = ask(tmp_path / "none", server, 3, key_list=keys("sk-bad"))
    assert reasons(found) == {"": 3}
    assert reasons(none) == {"no_key": 3}


def test_files_that_are_gone_count_as_billed_and_the_next_run_asks_again(tmp_path):
    with FakeOpenAI(plan=Plan(looks=10**6)) as server:
        ask(tmp_path, server, 3, settings=HASTY)
        for name in [one for one in server.batches.files if one.startswith("file-out")]:
            del server.batches.files[name]
        server.batches.plan.looks = 0
        found = ask(tmp_path, server, 3)
    assert reasons(found) == {"": 3}
    assert states(tmp_path) == {("unknown", "missing_line"): 3, ("paid", ""): 3}


def test_what_lies_in_an_old_batch_is_waited_for_there_whenever_it_is_asked(tmp_path):
    def looks(name):
        return 15 if name == "batch_0" else 1

    two = replace(SETTINGS, batch=replace(PATIENT, most_questions=2))
    with FakeOpenAI(plan=Plan(looks=looks)) as server:
        ask(tmp_path, server, 4, settings=HASTY)
        with engine(tmp_path, server.url, settings=two, batch=True) as teacher:
            asked = [*examples(2, start=4), *examples(4)]
            found = list(teacher.generate(asked, SAMPLING))
        assert server.batches.made["batch_0"]["looks"] >= 15
        assert [one["counts"][0] for one in server.batches.made.values()] == [4, 2]
    assert [one.example_id for one in found] == ["e4", "e5", "e0", "e1", "e2", "e3"]
    assert reasons(found) == {"": 6}
    assert_books(tmp_path, server)


def test_a_batch_that_patience_left_is_found_again_by_the_same_stage(tmp_path):
    with (
        FakeOpenAI(plan=Plan(looks=4)) as server,
        engine(tmp_path, server.url, settings=HASTY, batch=True) as teacher,
    ):
        first = list(teacher.generate(examples(3), SAMPLING))
        server.batches.plan.looks = 0
        again = list(teacher.generate(examples(3), SAMPLING))
    assert reasons(first) == {"waited_too_long": 3}
    assert reasons(again) == {"": 3}
    assert len(server.batches.made) == 1
