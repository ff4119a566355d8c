"""Whoever did the work before is measured on the same examples, and is never a silent zero."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.engines.fakes.anthropic_server import FakeAnthropic

from stillhouse.core.errors import RecipeError, StillhouseError
from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.engines.analyser import HttpAnalyser
from stillhouse.engines.fake import FakeEngine
from stillhouse.recipes.load import load_recipe
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.stages.whole_answers import WholeAnswers

EXAMPLES = [
    Example(f"e{number}", "holdout", (Message("system", "s"), Message("user", f"q{number}")), "a")
    for number in range(6)
]


@contextmanager
def service(reply):
    """A service that answers `reply(number, body)` with a status and JSON; yields its address."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(body)
            status, answer = reply(len(seen), body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/analyse", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(url, examples=EXAMPLES, tries=2):
    return list(HttpAnalyser(url, 5.0, 3, tries).generate(examples, Sampling(16)))


def test_a_service_sees_the_prompt_and_never_the_answer():
    with service(lambda _, body: (200, {"answer": body["text"].upper()})) as (url, seen):
        found = ask(url)

    assert [(one.example_id, one.text, one.finish) for one in found] == [
        (example.example_id, f"Q{number}", "stop") for number, example in enumerate(EXAMPLES)
    ]
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "q0"}]
    assert {"text": "q0", "messages": turns} in seen


def test_an_object_is_taken_whole_as_json():
    with service(lambda _, body: (200, {"score": 3, "of": body["text"]})) as (url, _):
        assert ask(url)[2].text == '{"score":3,"of":"q2"}'


def test_what_fails_on_the_way_is_tried_again_and_a_refusal_is_not(monkeypatch):
    monkeypatch.setattr("stillhouse.engines.analyser._PAUSE_S", 0.01)

    with service(lambda number, _: (500 if number == 1 else 200, {"answer": "x"})) as (url, seen):
        assert [one.text for one in ask(url, EXAMPLES[:1])] == ["x"]
    assert len(seen) == 2
    with service(lambda *_: (400, {})) as (url, seen):
        (found,) = ask(url, EXAMPLES[:1])
    assert (found.finish, found.reason, len(seen)) == ("error", "bad_request", 1)


@pytest.fixture
def measure(write_recipe, run_stage, tmp_path):
    """`measure(baseline, rows)`: the evaluation of a baseline beside a tiny teacher's."""

    def run(baseline, rows, access=None, **evaluate):
        (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
        parts = {"holdout": 6, "validation": 4, "teacher": 4, "labelled": "rest"}
        path = write_recipe(
            collect={"source": {"file": "rows.jsonl"}},
            prepare={"user": "{q}", "answer": "a", "split": {"parts": parts}},
            evaluate={"draws": 100, "max_new_tokens": 4, "baselines": [baseline], **evaluate},
        )
        resolved = resolve(*open_recipe(str(path)))
        folders = {}
        for key in ("collect", "prepare", "finetune", "evaluate@teacher", "evaluate@before"):
            inputs = {name: folders[of] for name, of in resolved.plan[key].inputs.items()}
            folders[key], made = run_stage(resolved, key, inputs, access=access or {})
        return made.summary

    return run


ROWS = [{"q": f"question {n}", "a": "yes" if n % 2 else "no"} for n in range(30)]


def test_a_service_is_measured_as_any_candidate(measure):
    def answer(_, body):
        return 200, {"answer": "yes" if int(body["text"].split()[-1]) % 2 else "wrong"}

    with service(answer) as (url, seen):
        http = {"url": url, "timeout_s": 5.0, "concurrency": 2, "tries": 1}
        summary = measure({"name": "before", "http": {"url": url}}, ROWS, {"http": http})

    right = sum(int(body["text"].split()[-1]) % 2 for body in seen)
    assert summary["metrics"]["exact_match"]["value"] == pytest.approx(right / 6)
    assert summary["metrics"]["agreement"]["n"] == 6


def test_a_service_that_goes_down_while_it_is_asked_again_is_not_steady(measure):
    # given: all of the holdout is answered, then nothing is
    def answer(number, _):
        return (200, {"answer": "yes"}) if number <= 6 else (503, {})

    with service(answer) as (url, _), pytest.raises(StillhouseError, match="before yet: 2"):
        measure(
            {"name": "before", "http": {"url": url}},
            ROWS,
            {"http": {"url": url, "timeout_s": 5.0, "concurrency": 1, "tries": 1}},
            repeats={"times": 2, "examples": 2},
        )


def test_a_fence_that_checks_let_pass_is_no_part_of_an_answer():
    fenced = FakeEngine(lambda *_: '```json\n{"a": 1}\n```')

    for has_schema, text in ((True, '{"a": 1}'), (False, '```json\n{"a": 1}\n```')):
        found = WholeAnswers(fenced, "x", has_schema).generate(EXAMPLES[:2], Sampling(64))
        assert [one.text for one in found] == [text, text]


def test_a_service_that_is_down_stops_the_run_with_its_name(measure):
    url = "http://127.0.0.1:9/x"
    http = {"url": url, "timeout_s": 1.0, "concurrency": 2, "tries": 1}

    with pytest.raises(StillhouseError, match=r"evaluate\.baselines: before") as caught:
        measure({"name": "before", "http": {"url": url}}, ROWS, {"http": http})

    assert "no_connection" in caught.value.message


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["evaluate.baselines=[{name: twin, rules: songs}]"], "means something else"),
        (
            ["evaluate.baselines=[{name: a, usd_per_call: 1.0, api: {kind: openai, model: m}}]"],
            "what api costs is counted",
        ),
        (
            ["evaluate.baselines=[{name: a, temperature: 1.0, rules: songs}]"],
            "only a model under api is told one",
        ),
        (["evaluate.baselines=[{name: a}]"], "exactly one of rules, api, http and model"),
        (
            ["evaluate.baselines=[{name: a, rules: songs}, {name: a, rules: songs}]"],
            "two are called 'a'",
        ),
        (
            [
                "evaluate.baselines=[{name: rules, rules: songs}]",
                "gate={rules: [{metric: exact_match, against: rule, at_least: 0.0}]}",
            ],
            'did you mean "rules"',
        ),
    ],
)
def test_baselines_that_cannot_be_told_apart_are_refused(overrides, said):
    with pytest.raises(RecipeError, match=said):
        load_recipe("quickstart", overrides)


def test_a_rule_may_name_a_baseline():
    overrides = [
        "evaluate.baselines=[{name: rules, rules: songs}]",
        "gate={rules: [{metric: exact_match, against: rules, at_least: 0.0}]}",
    ]
    recipe = load_recipe("quickstart", overrides).recipe
    assert recipe.gate.rules[0].against == "rules"


def test_a_model_behind_an_api_is_asked_at_the_temperature_of_the_recipe(measure, tmp_path):
    with FakeAnthropic() as server:
        api = {
            "kind": "anthropic",
            "model": "claude-sonnet-5",
            "base_url": server.url,
            "price": {"input": "1", "output": "5"},
        }
        access = {"api": api, "account": str(tmp_path / "account"), "run": "run"}
        measure({"name": "before", "api": api, "temperature": 1.0}, ROWS, access)
    assert len(server.calls) == 6
    assert not any("temperature" in call.body for call in server.calls)
