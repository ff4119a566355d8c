"""From a spreadsheet of real rows to examples in five versions, by one command.

Slow: some three thousand rows, over ten thousand questions to engines that stand in.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from tests.conftest import SHARED_DATA
from tests.data.accounting_rows import write_spreadsheet
from tests.e2e.stand_ins import say
from tests.engines.fakes.openai_server import FakeOpenAI
from tests.engines.fakes.server import Behaviour
from tests.faults.killed_runs import run

import stillhouse
from stillhouse.data.storage import read_examples, read_rows_file
from stillhouse.stages.corpus import EXAMPLES, MEASURED_ROWS, VERSIONS

RECIPE = Path(__file__).parents[2] / "docs" / "how-to" / "accounting-qa.yaml"
FILES = (
    "fitb_rephrased.csv", "converted_mcq.csv", "SOAP_QA.csv", "discarded_rows.csv",
    "exact_duplicate_qa_pairs.csv", "same_question_diff_answers.csv",
    "same_answer_diff_questions.csv", "deduplication_rephrasing.csv", "augmented_qa.csv",
)  # fmt: skip
# The rows are what is looked at: nothing is learned, and nothing is scored.
SHORT = [
    word
    for change in (
        "finetune.length.steps=2", "train.length.steps=2", "label.targets=none",
        "train.weights={cross_entropy: 1.0}", "label.max_new_tokens=4", "evaluate.draws=100",
    )
    for word in ("--set", change)
]  # fmt: skip
pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("remote"),
    pytest.mark.skipif(
        not (SHARED_DATA / "mcq" / "aqua_dev.jsonl").is_file(), reason="the data sets are not here"
    ),
]


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The finished run: its folder, what was planted, and what the server heard."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "data").mkdir()
    planted = write_spreadsheet(SHARED_DATA, folder / "data" / "final_qa.csv")
    with FakeOpenAI(Behaviour(say=say)) as server:
        recipe = folder / "accounting-qa.yaml"
        recipe.write_text(RECIPE.read_text().replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"))
        done = run(
            "run", recipe, "--runs", folder / "runs", *SHORT, timeout=1500,
        )  # fmt: skip
        asked = Counter(call.question + call.body["model"] for call in server.calls)
    assert done.returncode == 0, done.stderr
    return folder / "runs", planted, asked


def sheet_of(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def test_every_row_is_accounted_for_and_every_file_is_there(chain):
    runs, planted, asked = chain
    flow = stillhouse.read_report("qa-rows", runs).row_flow
    print(
        f"\n{'step':<20}{'in':>7}{'out':>7}{'changed':>9}{'made':>7}{'merged':>8}  dropped, notes"
    )
    for one in flow:
        told = " ".join(f"{name}={number}" for name, number in (one.dropped | one.notes).items())
        print(
            f"{one.step:<20}{one.rows_in:>7}{one.rows_out:>7}{one.changed:>9}{one.emitted:>7}"
            f"{one.merged:>8}  {told}"
        )
    steps = {one.step: one for one in flow}
    assert flow[0].rows_in == planted["rows"] >= 2000
    assert all(a.rows_out == b.rows_in for a, b in pairwise(flow))
    dropped = [one.dropped for one in flow if one.step == "drop_where"]
    assert dropped == [
        {"verdict is no": planted["no"]},
        {"correction is invalid": planted["invalid"]},
    ]
    sheets = {name: sheet_of(runs / "qa-rows" / "csv" / name) for name in FILES}
    for name, sheet in sheets.items():
        print(f"{name:<34}{len(sheet) - 1:>7} rows, {len(sheet[0])} columns")
        assert len(sheet) > 1
    assert len(sheets["fitb_rephrased.csv"]) - 1 == steps["convert_blanks"].rows_out
    assert len(sheets["deduplication_rephrasing.csv"]) - 1 == steps["rephrase"].rows_out
    print(f"{sum(asked.values()):,} questions asked, {len(asked):,} different ones")
    assert set(asked.values()) == {1}


def test_junk_that_was_planted_is_gone_and_copies_are_merged(chain):
    runs, planted, _ = chain
    steps = {one.step: one for one in stillhouse.read_report("qa-rows", runs).row_flow}
    assert steps["drop_outliers"].dropped == {"judged an outlier": planted["chapter"]}
    assert steps["rephrase"].merged >= planted["copy"] * 0.9


def test_no_version_of_a_measured_row_is_learned(chain):
    runs, _, _ = chain
    (prepared,) = (
        path.parent
        for path in (runs / "artifacts").glob("prepare-*/manifest.json")
        if json.loads(path.read_text())["instance"] == "prepare"
    )
    examples = read_examples(prepared / EXAMPLES)
    versions = read_rows_file(prepared / VERSIONS)
    measured = {row.row_id for row in read_rows_file(prepared / MEASURED_ROWS)}
    kinds = Counter(row.fields["version"] for row in versions)
    print(f"\nparts {dict(Counter(one.part for one in examples))}, versions {dict(kinds)}")
    assert measured.isdisjoint(row.root_id for row in versions)
    assert set(kinds) == {"original", "formal", "casual", "general", "typos"}
    asked = {
        part: {one.prompt[-1].content for one in examples if (one.part == "holdout") == part}
        for part in (True, False)
    }
    assert asked[True].isdisjoint(asked[False])
