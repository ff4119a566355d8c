"""SIGKILL at random moments while steps work on rows and ask an engine about them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour

ROWS, KILLS = 10_000, 50
AT_ONCE = 4
"""Questions that are on their way when a run is killed: their answers may be lost."""


def made_rows(number):
    """A fifth with blanks, which are asked about; options, copies of other rows, and drops."""
    for place in range(number):
        kinds = (
            {"question": f"The debt of company {place} is ____.", "answer": f"{place} dollars"},
            {"question": f"What is {place}?\n(a) odd\n(b) even", "answer": "ba"[place % 2]},
            {"question": f"Who owes the {place // 50}th loan to the bank?", "answer": "a debtor"},
            {"question": f"Is company {place} there?", "answer": "no", "verdict": "no"},
            {"question": f"Tell of share {place}!", "answer": f"it is share {place}"},
        )
        yield {"verdict": "yes"} | kinds[place % 5]


def say(body, number):
    """A question of a text with a blank."""
    told = body["messages"][-1]["content"]
    text = json.loads(told)["text"]
    return text.replace("The debt", "What is the debt").replace(" is ____.", "?")


def overrides(server, rows):
    """Of the recipe of tests with a teacher behind an API."""
    engine = {
        "kind": "openai", "model": "fake-2", "base_url": server.url, "concurrency": AT_ONCE,
        "key_env": "TEACHER_KEY", "price": {"input": "0.15", "output": "0.60"}, "budget_usd": 50.0,
    }  # fmt: skip
    steps = [
        {"name": "drop_where", "field": "verdict", "equals": "no"},
        {"name": "convert_blanks", "engine": {"api": engine}},
        {"name": "convert_choices"},
        {"name": "merge_near_duplicates"},
        {"name": "report_duplicates"},
    ]
    return [
        f"teacher.api.base_url={server.url}",
        f"collect={{source: {{file: {rows}}}}}",
        "prepare.user='{question}'", "prepare.answer=answer", "prepare.reference=null",
        "prepare.answer_format=text", f"prepare.steps={json.dumps(steps)}",
        "prepare.split.parts={holdout: 100, validation: 100, labelled: rest}",
        "label={completions: gold, targets: none, parts: [labelled], max_new_tokens: 24}",
        "train.parts=[labelled]", "evaluate.fields={}", "gate=null", "train.twin=null",
    ]  # fmt: skip


@pytest.mark.long
def test_a_run_that_is_killed_at_random_loses_and_doubles_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "sk-planted-rows-0123456789")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in made_rows(ROWS)))
    with FakeOpenAI(Behaviour(say=say)) as server:
        spec = {
            "recipe": "tests/e2e/remote.yaml",
            "overrides": overrides(server, rows),
            "folder": str(tmp_path),
            "kills": KILLS,
            "seed": 7,
        }
        driver = Path(__file__).with_name("killed_rows.py")
        done = subprocess.run(
            [sys.executable, str(driver), json.dumps(spec)],
            capture_output=True,
            text=True,
            check=False,
        )
        asked = Counter(call.question for call in server.calls)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])

    assert len(told["whole"]) > 10
    kills = [kill for run in told["runs"] for kill in run["kills"]]
    made = sum(code != 0 for _, _, code in kills)
    assert made == KILLS
    for run in told["runs"]:
        assert run["code"] == 0
        assert run["contents"] == told["whole"]
    undisturbed = ROWS // 5
    assert len(asked) == undisturbed
    runs = 1 + len(told["runs"])
    again = sum(asked.values()) - runs * undisturbed
    assert all(count >= runs for count in asked.values())
    assert 0 <= again <= KILLS * AT_ONCE
    print(
        f"{made} kills of {len(told['runs'])} runs of {ROWS:,} rows, each "
        f"{told['whole_s']:.0f} s when left in peace: equal bytes; {undisturbed:,} questions a "
        f"run, {again} asked again because their answers were on their way"
    )
