"""The tiny profile of accounting-qa: ten stages with their files, from spreadsheet to bundle."""

from __future__ import annotations

import csv

import pytest
from tests.e2e.profiles import run_tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

import stillhouse
from stillhouse.data.storage import read_completions

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("accounting-tiny")]
FILES = (
    "fitb_rephrased.csv", "converted_mcq.csv", "SOAP_QA.csv", "discarded_rows.csv",
    "exact_duplicate_qa_pairs.csv", "same_question_diff_answers.csv",
    "same_answer_diff_questions.csv", "deduplication_rephrasing.csv", "augmented_qa.csv",
    "validation_results.csv",
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return run_tiny("accounting-qa", tmp_path_factory.mktemp("accounting"))


def sheet(tiny, name):
    path = tiny.root / "accounting-qa-tiny" / "csv" / name
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_step_had_work_and_no_row_is_lost(tiny):
    flow = stillhouse.read_report("accounting-qa-tiny", str(tiny.root)).row_flow
    ended = {}
    for one in flow:
        gone = sum(one.dropped.values()) + one.merged
        assert one.rows_in + one.emitted == one.rows_out + gone, one.step
        ended[one.step] = ended.get(one.step, 0) + gone
    for step in ("require", "drop_where", "convert_choices", "drop_outliers"):
        assert ended[step] > 0, step
    changed = {one.step: one.changed for one in flow}
    assert min(changed["convert_blanks"], changed["convert_choices"]) > 100
    assert ended["merge_near_duplicates"] > 50


def test_each_of_the_ten_files_holds_what_its_stage_left(tiny):
    rows = {name: sheet(tiny, name) for name in FILES}
    assert min(map(len, rows.values())) > 0
    assert not any("__" in row["question"] for row in rows["fitb_rephrased.csv"])
    assert not any("(a)" in row["question"] for row in rows["converted_mcq.csv"])
    assert not any("chapter" in row["question"] for row in rows["SOAP_QA.csv"])
    assert {row["version"] for row in rows["augmented_qa.csv"]} == {"original", "typos"}
    measured = {row["row_id"] for row in rows["validation_results.csv"]}
    assert len(measured) == 120
    assert measured.isdisjoint(row["row_id"] for row in rows["augmented_qa.csv"])


def test_the_table_of_answers_adds_up_to_what_was_measured(tiny):
    rows = sheet(tiny, "validation_results.csv")
    for who in ("teacher", "student", "twin", "exported"):
        right = sum(float(row[f"exact_match of {who}"]) for row in rows)
        assert right / len(rows) == pytest.approx(tiny.metric(who, "exact_match"))
        assert all(0.0 <= float(row[f"bleu.answer of {who}"]) <= 100.0 for row in rows)


def test_the_student_is_nearer_to_the_teacher_than_its_twin_and_keeps_its_bleu(tiny):
    steps = [tiny.summary(f"train@{who}")["steps"] for who in ("student", "twin")]
    assert steps[0] == steps[1]
    assert tiny.metric("student", "kl_to_teacher") < tiny.metric("twin", "kl_to_teacher")
    assert tiny.holds_every_verdict()


def test_the_bundle_answers_in_plain_transformers_as_it_was_measured(tiny):
    merged = tiny.folders["export"] / "bundle" / "merged"
    model = AutoModelForCausalLM.from_pretrained(merged, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(merged, local_files_only=True)
    rows = {row["row_id"]: row for row in sheet(tiny, "validation_results.csv")}
    for one in read_completions(tiny.folders["evaluate@exported"] / "completions.parquet")[:5]:
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": rows[one.example_id]["question"]}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        said = model.generate(**asked, max_new_tokens=32, do_sample=False)
        text = tokenizer.decode(said[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
        assert text.strip() == one.text.strip()


def test_a_second_run_does_nothing(tiny):
    heard = tiny.events_of_a_second_run()
    assert heard["reused"] == [stage.key for stage in tiny.status.stages]
    assert not {"started", "finished"} & set(heard)
