"""A corpus of prompts over a whole run: killed, it goes on, and nothing is asked twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.e2e.searching import where
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour

import stillhouse
from stillhouse.data.shards import read_shards
from stillhouse.engines.gateway import GatewaySettings, most_under_way
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.runner.run import Place, execute

pytestmark = pytest.mark.xdist_group("remote")

_RUN = """
import json, sys
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.runner.run import Place, execute
from pathlib import Path

folder, url, rows, each = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
engine = {"kind": "openai", "model": "fake-2", "base_url": url, "concurrency": 8,
          "key_env": "TEACHER_KEY", "price": {"input": "0.15", "output": "0.60"}, "budget_usd": 5.0}
steps = [{"name": "write_prompts", "each": int(each), "engine": {"api": engine}}]
overrides = (
    f"teacher.api.base_url={url}",
    f"collect={{source: {{sample_rows: {{task: prompt_seeds, rows: {rows}}}}}}}",
    "prepare.user='{prompt}'", "prepare.answer=null", "prepare.reference=null",
    "prepare.answer_format=text", f"prepare.steps={json.dumps(steps)}",
    "prepare.split.parts={holdout: 5, validation: 5, unlabelled: rest}",
    "label={completions: teacher, targets: none, parts: [unlabelled], max_new_tokens: 24}",
    "train.parts=[unlabelled]", "evaluate.fields={}", "gate=null", "train.twin=null",
)
resolved = resolve(*open_recipe("tests/e2e/remote.yaml", overrides))
keys = [one.key for one in resolved.plan.instances]
del resolved.plan.instances[keys.index("step@write_prompts") + 1 :]
execute(resolved, Place(folder, "r"))
"""


def say(body, number):
    """A prompt of the question's own words, so that an undisturbed run says the same."""
    told = json.loads(body["messages"][-1]["content"])
    parts = [str(value) for name, value in told.items() if name != "task"]
    draw = random.Random(" ".join(parts))
    words = " ".join(parts).split()
    return "There is " + " ".join(draw.sample(words, len(words))) + f" and {' '.join(parts)}"


def start(folder, server, rows, each):
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, str(folder), server.url, str(rows), str(each)],
        env=os.environ | {"TEACHER_KEY": "sk-planted-prompts-0123456789"},
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )


def prompts_of(folder, named="preset"):
    """Name, preset and prompt of the rows of the last step."""
    folders = {path.parent for path in folder.glob("artifacts/step-*/rows-00000.parquet")}
    rows = [list(read_shards(one)) for one in folders]
    rows = rows if named == "preset" else rows[:1]
    return sorted(
        (row.row_id, row.fields[named], row.fields["prompt"])
        for some in rows for row in some if "prompt" in row.fields
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize(("rows", "each", "kills"), [(240, 60, 2), (3600, 1000, 6)])
def test_a_killed_corpus_goes_on_and_nothing_is_asked_twice(tmp_path, rows, each, kills):
    with FakeOpenAI(Behaviour(say=say)) as server:
        plain = start(tmp_path / "plain", server, rows, each)
        assert plain.wait() == 0
        undisturbed = len(server.calls)
    with FakeOpenAI(Behaviour(say=say)) as server:
        killed = 0
        while killed < kills:
            process = start(tmp_path / "killed", server, rows, each)
            due = undisturbed * (killed + 1) // (kills + 1)
            while len(server.calls) < due and process.poll() is None:
                time.sleep(0.01)
            if process.poll() is not None:
                break
            os.killpg(process.pid, 9)
            process.wait()
            killed += 1
        assert start(tmp_path / "killed", server, rows, each).wait() == 0
        asked = Counter(call.question for call in server.calls)

    found = prompts_of(tmp_path / "killed")
    again = sum(asked.values()) - len(asked)
    print(f"\n{killed} kills: {len(found):,} prompts, {undisturbed:,} calls undisturbed, "
          f"{sum(asked.values()):,} with kills, {again} of them again "
          "(in flight when the process died)")  # fmt: skip
    assert found == prompts_of(tmp_path / "plain")
    assert Counter(preset for _, preset, _ in found) == dict.fromkeys(
        ("clean_image", "photo", "artform"), each
    )
    assert killed == kills
    # Only what was under way when a process died may be asked once more.
    assert again <= kills * most_under_way(GatewaySettings(concurrency=8))


LOG = [
    ("0b7c6f0e-8a52-4a8b-9f3e-2f6b5a1c7d1{0}_2026-05-3{1}", "Ein roter Hund auf der Wiese {0}"),
    ("0b7c6f0e-8a52-4a8b-9f3e-2f6b5a1c7d2{0}_2026-05-3{1}", "A cat on the wall number {0}"),
    ("dev_{0}{1}", "A developer's own test prompt {0}"),
]


def test_a_log_is_filtered_hashed_and_translated(tmp_path, monkeypatch, in_this_process):
    monkeypatch.setenv("TEACHER_KEY", "sk-planted-prompts-0123456789")
    monkeypatch.setenv("ROWS_SALT", "a salt of more than sixteen")
    rows = [
        {"device_id": name.format(n, n % 2), "prompt": text.format(n), "consent": n != 7}
        for n in range(10) for name, text in LOG
    ]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rights = {"licence": "own", "consent_field": "consent", "subject_field": "device",
              "hash_fields": ["device"], "salt_env": "ROWS_SALT"}  # fmt: skip
    collect = {"source": {"file": str(tmp_path / "log.jsonl")}, "log": {}, "rights": rights}

    def translate(body, _):
        text = json.loads(body["messages"][-1]["content"])["text"]
        return f"A red dog on the meadow {text.split()[-1]}"

    with FakeOpenAI(Behaviour(say=translate)) as server:
        engine = {"kind": "openai", "model": "fake-2", "base_url": server.url,
                  "key_env": "TEACHER_KEY"}  # fmt: skip
        steps = [{"name": "translate", "engine": {"api": engine}},
                 {"name": "coverage", "traditions": {"dog": ["dog"], "cat": ["cat"]},
                  "ratio_at_least": 1.0}]  # fmt: skip
        overrides = (
            f"teacher.api.base_url={server.url}", f"collect={json.dumps(collect)}",
            "prepare.user='{prompt}'", "prepare.answer=null", "prepare.reference=null",
            "prepare.answer_format=text", f"prepare.steps={json.dumps(steps)}",
            "prepare.split.parts={holdout: 5, validation: 5, unlabelled: rest}",
            "label={completions: teacher, targets: none, parts: [unlabelled], max_new_tokens: 24}",
            "train.parts=[unlabelled]", "evaluate.fields={}", "gate=null", "train.twin=null",
        )  # fmt: skip
        resolved = resolve(*open_recipe("tests/e2e/remote.yaml", overrides))
        keys = [one.key for one in resolved.plan.instances]
        del resolved.plan.instances[keys.index("prepare") :]
        execute(resolved, Place(tmp_path / "runs", "r"))
        asked = len(server.calls)

    report = stillhouse.read_report("r", str(tmp_path / "runs"))
    flow = {one.step: one for one in report.row_flow}
    assert flow["log"].dropped == {"excluded: dev_*": 10}
    assert flow["rights"].dropped == {"no consent": 2}
    assert flow["translate"].notes == {"translated": 9}
    assert asked == 9
    [traditions, _] = report.row_tables
    assert dict(traditions.numbers) == {"dog": 9, "cat": 9, "none of them": 0, "all rows": 18}
    assert where(tmp_path / "runs", "0b7c6f0e") == []
    stored = prompts_of(tmp_path / "runs", "device")
    assert len(stored) == 18
    assert all(device.startswith("h-") for _, device, _ in stored)
