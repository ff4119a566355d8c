"""songs on real hymns and other verse: teacher, student, twin and the rules, as a table.

Slow: about five processor minutes. The figures are printed, bad ones too; `verse_rows` says what
the labels are made of. Intervals count each piece as if no other were of the same song.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest
from tests.conftest import SHARED_DATA
from tests.tasks.verse_rows import verse_rows

import stillhouse
from stillhouse.data.storage import read_examples

pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("real-songs"),
    pytest.mark.skipif(
        not (SHARED_DATA / "songs" / "openhymnal_a.jsonl").is_file(),
        reason="the data sets are not here",
    ),
]
VERDICT = (
    "verdict: {kind: label, classes: [RECOMMENDED, ACCEPTABLE, CONCERNING, NOT_RECOMMENDED],"
    " positive: [RECOMMENDED]}"
)
ROWS = [
    "compute.threads=1",
    "prepare.user='Lyrics:\\n{lyrics}'",  # neither title nor author: they give the book away
    "prepare.split.group_by=[song]",
    "prepare.split.stratify_by=book",
    "teacher.scratch.tokenizer.vocab_size=1500",
    "evaluate.slices=[book]",
    "gate={enforce: false, rules: [{metric: accuracy.verdict, against: four_models, at_least: 0}]}",
]
VERDICT_ALONE = [
    "prepare.answer=judged",
    "prepare.reference=judged",
    f"evaluate.fields={{{VERDICT}}}",
]
WHOLE = [
    "prepare.answer=analysis",
    "prepare.reference=analysis",
    f"evaluate.fields={{{VERDICT}, themes: {{kind: labels}},"
    " scripture_references: {kind: labels}}",
]
SONGS = [
    "student.scratch.tokenizer.vocab_size=1500",
    "prepare.split.parts={holdout: 300, labelled: 150, unlabelled: 1000, teacher: rest}",
    "evaluate.repeats={times: 2, temperature: 0.0, examples: 10}",
    "finetune.length.steps=800",
    "train.length.steps=400",
]
GENTLY = [  # for trainings that are longer than the profile's
    "finetune.optimizer={name: adamw, learning_rate: 1.5e-3, warmup_steps: 20}",
    "train.optimizer.learning_rate=1.5e-3",
]
SFT = [
    "prepare.steps=[]",  # it would blame hymns for topics that a piece of them has no word for
    "label.answer_schema={type: object, additionalProperties: false,"
    " required: [verdict, themes, scripture_references], properties: {"
    " verdict: {enum: [RECOMMENDED, ACCEPTABLE]},"
    " themes: {type: array, items: {type: string, maxLength: 60}, maxItems: 2},"
    " scripture_references: {type: array, items: {type: string, maxLength: 60}, maxItems: 2}}}",
    "evaluate.metrics=[cross_entropy, schema_valid, accuracy.verdict, hallucination_rate,"
    " false_positive_rate.verdict, false_negative_rate.verdict, micro_f1.themes]",
    "finetune.length.steps=800",
    "train.length.steps=400",
]
TOLD = (
    "class_kl_to_teacher",
    "class_agreement",
    "class_unread",
    "agreement.verdict",
    "accuracy.verdict",
    "false_positive_rate.verdict",
    "false_negative_rate.verdict",
    "auroc_confidence",
    "ece",
    "auroc_confidence.verdict",
    "ece.verdict",
    "cross_entropy",
    "micro_f1.themes",
    "micro_f1.scripture_references",
    "hallucination_rate",
    "valid_json",
    "schema_valid",
)


@pytest.fixture(scope="module")
def pieces(shared_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("verse") / "verse.jsonl"
    rows = list(verse_rows(shared_file))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print("\n ", dict(Counter(row["book"] for row in rows)), "pieces of each book")
    return path, len(rows)


def measure(recipe, root, path, changes):
    """Run the tiny profile on the pieces; who was measured to its metrics, and the artifacts."""
    source = f"collect.source={{file: '{path}'}}"
    call = stillhouse.Call([*ROWS, source, *changes], str(root), profile="tiny")
    status = stillhouse.run(recipe, call)
    summaries = {one.key: one.summary for one in status.stages if one.summary}
    found = {
        key.partition("@")[2]: one["metrics"]
        for key, one in summaries.items()
        if key.startswith("evaluate@")
    }
    for name in TOLD:
        told = [
            f"{who} {one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
            for who, metrics in found.items()
            if (one := metrics.get(name))
        ]
        if told:
            print(f"  {name:<30}" + "  ".join(told))
    slices = next(one for key, one in summaries.items() if key == "evaluate@student")["slices"]
    for one in slices:
        if one["metric"] == "accuracy.verdict":
            within = f"[{one['low']:.3f}, {one['high']:.3f}]"
            print(f"  student, {one['name']}: {one['value']:.3f} {within}")
    seconds = sum(one.seconds or 0.0 for one in status.stages)
    print(f"  {seconds:.0f} s of stages on this machine, one thread each")
    folders = {one.key: root / "artifacts" / one.artifact_id for one in status.stages}
    return summaries, found, folders


def assert_every_row_is_accounted_for(name, root, number):
    flow = stillhouse.read_report(name, str(root)).row_flow
    for one in flow:
        print(f"  {one.step:<24}{one.rows_in:>7}{one.rows_out:>7} {dict(one.dropped)}")
        assert one.rows_in == one.rows_out + sum(one.dropped.values())
    assert flow[0].rows_in == number
    assert [one.rows_in for one in flow[1:]] == [one.rows_out for one in flow[:-1]]


def assert_no_song_is_in_two_parts(folder):
    parts, measured = {}, set()
    for path in sorted(folder.rglob("*examples*")):
        for example in read_examples(path):
            parts.setdefault(example.group, set()).add(example.part)
            measured |= {example.group} if example.part == "holdout" else set()
    print(f"  what is measured are pieces of {len(measured)} songs")
    assert len(parts) > 400
    assert all(len(one) == 1 for one in parts.values())


def assert_all_have_intervals(found):
    assert set(found) >= {"teacher", "student", "four_models"}
    for metrics in found.values():
        told = metrics["accuracy.verdict"]
        assert told["low"] <= told["value"] <= told["high"]
        assert told["low"] < told["high"]


def test_songs_on_verdicts_alone(pieces, tmp_path):
    path, number = pieces
    changes = [
        *SONGS,
        *VERDICT_ALONE,
        *GENTLY,
        # The recipe's rule of 0.3 for each token of an answer, of which this one has about 12.
        "train.weights={class_kl: 0.7, cross_entropy: 3.6}",
        "evaluate.agree_together=[verdict]",
        "finetune.length.steps=1200",  # after 400 the teacher answers what is most common
        "train.length.steps=600",
    ]

    summaries, found, folders = measure("songs", tmp_path, path, changes)

    assert_every_row_is_accounted_for("songs-tiny", tmp_path, number)
    assert_no_song_is_in_two_parts(folders["prepare"])
    assert_all_have_intervals(found)
    assert summaries["train@student"]["steps"] == summaries["train@twin"]["steps"]
    for rate in ("false_positive_rate.verdict", "false_negative_rate.verdict"):
        assert found["teacher"][rate]["high"] < 0.5  # who says one verdict always has 1 of either
    student, twin = (found[who]["class_kl_to_teacher"] for who in ("student", "twin"))
    assert student["high"] < twin["low"]


def test_songs_on_whole_answers(pieces, tmp_path):
    """Here classes are read in each one's own answer: themes behind a verdict give it away."""
    path, number = pieces
    both = "evaluate.agree_together=[verdict, themes]"

    summaries, found, folders = measure("songs", tmp_path, path, [*SONGS, *WHOLE, *GENTLY, both])

    assert_every_row_is_accounted_for("songs-tiny", tmp_path, number)
    assert_no_song_is_in_two_parts(folders["prepare"])
    assert_all_have_intervals(found)
    assert summaries["train@student"]["steps"] == summaries["train@twin"]["steps"]


def test_songs_sft_on_whole_answers(pieces, tmp_path):
    path, number = pieces

    _, found, folders = measure("songs-sft", tmp_path, path, [*SFT, *WHOLE, *GENTLY])

    assert_every_row_is_accounted_for("songs-sft-tiny", tmp_path, number)
    assert_no_song_is_in_two_parts(folders["prepare"])
    assert_all_have_intervals(found)
    assert found["student"]["schema_valid"]["value"] == 1.0
