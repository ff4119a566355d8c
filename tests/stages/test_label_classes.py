"""Classes are labelled, learned and measured by whole answers, and no store serves another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.stages.test_label import SMALL, TRAINING

from stillhouse.core.errors import ArtifactError, InputError
from stillhouse.core.protocols import no_progress
from stillhouse.data.storage import read_completions
from stillhouse.evals.scores import read_scores
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.stages import label
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.table import stage_function
from stillhouse.targets.class_store import ClassReader

pytestmark = pytest.mark.xdist_group("stages_label_classes")
VERDICTS = ["RECOMMENDED", "RECOMMENDED WITH CAUTION", "NOT RECOMMENDED"]
ROWS = [
    {
        "text": f"song {number} of {'joy' if number % 3 else 'war'}",
        "verdict": "unsure" if number == 5 else VERDICTS[number % 3],
        "told": {"score": number, "verdict": VERDICTS[number % 3], "why": f"reason {number}"},
        "votes": {VERDICTS[number % 3]: 3, VERDICTS[(number + 1) % 3]: 1},
    }
    for number in range(40)
]
RECIPE = {
    "name": "small",
    "compute": {"device": "cpu", "threads": 1},
    "teacher": {"scratch": {**SMALL, "tokenizer": {"vocab_size": 300}}},
    "student": {"scratch": {**SMALL, "seed": 5}},
    "collect": {"source": {"file": "rows.jsonl"}},
    "prepare": {
        "user": "{text}",
        "answer": "verdict",
        "split": {"parts": {"holdout": 6, "validation": 4, "unlabelled": 6, "labelled": "rest"}},
    },
    "finetune": {**TRAINING, "parts": ["labelled"]},
    "label": {
        "targets": "classes",
        "classes": VERDICTS,
        "shard_examples": 8,
        "batch_size": 4,
        "max_new_tokens": 40,
    },
    "train": {
        **TRAINING,
        "weights": {"class_kl": 0.7, "cross_entropy": 0.3},
        "kd_temperature": 4.0,
    },
    "evaluate": {"draws": 100, "max_new_tokens": 4},
}


@dataclass
class Bench:
    """A recipe's stages, called one by one."""

    folder: Path
    made: dict[str, Path]

    def resolve(self, changes):
        plain = json.loads(json.dumps(RECIPE))
        for section, values in changes.items():
            plain[section] |= values
        path = self.folder / "recipe.yaml"
        path.write_text(json.dumps(plain))
        return resolve(*open_recipe(str(path)))

    def run(self, key, work, changes=None, **inputs):
        """The folder and summary of one stage; what it stands on is made where it is not there."""
        resolved = self.resolve(changes or {})
        instance = resolved.plan[key]
        for name in ("out", "scratch"):
            (work / name).mkdir(parents=True, exist_ok=True)
        given = self.made | inputs
        request = StageRequest(
            stage=instance.stage,
            variant=instance.variant,
            artifact_id=instance.artifact_id,
            config=instance.config,
            inputs={name: given[of] for name, of in instance.inputs.items()},
            out=work / "out",
            scratch=work / "scratch",
            locations=resolved.locations,
        )
        found = stage_function(instance.stage, instance.config)(request, no_progress)
        return request.out, found.summary


def start(folder, changes=None):
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    bench = Bench(folder, {})
    for stage in ("collect", "prepare", "finetune"):
        bench.made[stage], _ = bench.run(stage, folder / stage, changes)
    return bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return start(tmp_path_factory.mktemp("classes"), {"prepare": {"votes": "votes"}})


@pytest.fixture(scope="module")
def plain(bench, tmp_path_factory):
    """Folder and summary of the labelling of plain verdicts."""
    return bench.run("label", tmp_path_factory.mktemp("plain"), VOTED)


VOTED = {"prepare": {"votes": "votes"}}
AS_JSON = {
    "prepare": {"answer": "told", "answer_format": "json"},
    "label": {"class_field": "verdict"},
}


def rows_of(folder):
    files = sorted((folder / "classes").glob("*.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def test_any_parquet_reader_finds_probabilities_label_and_confidence(plain):
    folder, summary = plain

    rows = rows_of(folder)

    assert len(rows) == summary["class_examples"] == 34  # all but the holdout
    for row in rows:
        assert row["classes"] == VERDICTS
        assert sum(row["probs"]) == pytest.approx(1.0, abs=1e-12)
        assert row["hard_label"] == VERDICTS[int(np.argmax(row["probs"]))]
        assert row["confidence"] == max(row["probs"])
        assert row["input"].startswith("song ")
    assert 0 < summary["class_mass"] <= 1


def test_probabilities_are_those_of_the_whole_answers(bench, plain):
    from stillhouse.engines.transformers import TransformersEngine
    from stillhouse.models.load import load_model
    from stillhouse.stages.corpus import open_corpus

    corpus = open_corpus(bench.made["prepare"])
    teacher = load_model(bench.made["finetune"] / "model", device="cpu", dtype="float32")
    engine = TransformersEngine(teacher, corpus.tokenizer, corpus.template)
    wanted = {row["example_id"]: row["probs"] for row in rows_of(plain[0])}
    asked = [one for one in corpus.examples if one.example_id in wanted][:3]

    for example, found in zip(asked, engine.classify(asked, VERDICTS), strict=True):
        np.testing.assert_allclose(np.exp(found.logprobs), wanted[example.example_id], atol=1e-6)


@pytest.mark.parametrize(
    ("policy", "sources"),
    [
        ("mix", {"gold": 27, "teacher": 7, "none": 0}),
        ("gold", {"gold": 27, "teacher": 0, "none": 7}),
        ("teacher", {"gold": 0, "teacher": 34, "none": 0}),
    ],
)
def test_the_policy_says_whose_the_hard_labels_are(policy, sources, bench, plain, tmp_path):
    changes = VOTED | {"label": {"completions": policy}}
    folder, summary = plain if policy == "mix" else bench.run("label", tmp_path, changes)

    texts = {one.example_id: one.text for one in read_completions(folder / "completions.parquet")}
    _, trained = bench.run("train@student", tmp_path / "student", changes, label=folder)

    assert summary["hard_labels"] == sources
    assert set(texts.values()) <= set(VERDICTS)
    assert len(texts) == 34 - sources["none"]
    assert trained["examples"] == 30  # the validation is watched, not learned
    assert trained["rows"] == "packed"
    if policy == "teacher":
        assert texts == {row["example_id"]: row["hard_label"] for row in rows_of(folder)}
    else:
        assert summary["gold_not_a_class"] == {"count": 1, "most_frequent": {"unsure": 1}}


def test_one_field_of_a_json_answer_is_asked_and_the_rest_stays(tmp_path):
    bench = start(tmp_path, AS_JSON)
    folder, summary = bench.run("label", tmp_path / "label", AS_JSON)

    by_id = {one.example_id: one.text for one in read_completions(folder / "completions.parquet")}
    _, trained = bench.run("train@student", tmp_path / "student", AS_JSON, label=folder)

    told = {row["told"]["score"]: row["told"] for row in ROWS}
    answers = [json.loads(row["answer"]) for row in rows_of(folder)]
    confidences = [row["confidence"] for row in rows_of(folder)]
    assert summary["class_confidence"] == pytest.approx(np.mean(confidences))
    assert summary["without_a_field"] == 6  # a teacher of three steps writes no JSON
    assert summary["hard_labels"] == {"gold": 28, "teacher": 0, "none": 6}
    assert all(one["why"] == told[one["score"]]["why"] for one in answers)
    assert all(list(one) == ["score", "verdict", "why"] for one in answers)
    assert all(json.loads(text) in told.values() for text in by_id.values())
    assert trained["examples"] == 24


def test_votes_become_targets_as_they_were_cast(bench, tmp_path):
    changes = VOTED | {"label": {"targets": "votes"}}

    folder, summary = bench.run("label", tmp_path / "label", changes)
    _, trained = bench.run("train@student", tmp_path / "student", changes, label=folder)

    rows = rows_of(folder)
    assert {tuple(sorted(row["probs"])) for row in rows} == {(0.0, 0.25, 0.75)}
    assert ClassReader(folder / "classes").header.engine == "votes"
    assert summary["class_mass"] == 1
    assert trained["examples"] == 30


def test_an_evaluation_measures_classes_against_teacher_and_votes(bench, plain, tmp_path):
    student, _ = bench.run("train@student", tmp_path / "student", VOTED, label=plain[0])
    teacher, own = bench.run("evaluate@teacher", tmp_path / "teacher", VOTED)
    folder, found = bench.run(
        "evaluate@student", tmp_path / "evaluated", VOTED,
        **{"train@student": student, "evaluate@teacher": teacher},
    )  # fmt: skip

    assert own["metrics"]["class_kl_to_teacher"]["value"] == 0
    assert own["metrics"]["class_agreement"]["value"] == 1
    assert found["metrics"]["class_kl_to_teacher"]["value"] > 0
    assert found["metrics"]["class_kl_to_teacher"]["n"] == 6
    assert found["metrics"]["kl_to_votes"]["value"] > 0
    scores = read_scores(folder / "scores.parquet")
    assert scores.column("class_jsd").max() <= np.log(2)


def test_a_killed_labelling_goes_on_after_its_last_whole_shard(bench, plain, tmp_path, monkeypatch):
    seen = []
    real = label.TransformersEngine.classify

    def dying(engine, examples, *rest):
        asked = list(examples)
        seen.append(len(asked))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(engine, asked, *rest)

    monkeypatch.setattr(label.TransformersEngine, "classify", dying)
    with pytest.raises(KeyboardInterrupt):
        bench.run("label", tmp_path, VOTED)
    monkeypatch.setattr(label.TransformersEngine, "classify", real)
    folder, _ = bench.run("label", tmp_path, VOTED)

    assert seen == [8, 8, 8]
    for name in ("index.json", "header.json", "shard-00000.parquet", "shard-00004.parquet"):
        ours = (folder / "classes" / name).read_bytes()
        assert ours == (plain[0] / "classes" / name).read_bytes()


def test_a_damaged_store_is_found(bench, plain, tmp_path):
    import shutil

    torn = tmp_path / "torn"
    shutil.copytree(plain[0], torn)
    path = torn / "classes" / "shard-00001.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    with pytest.raises(ArtifactError, match=r"shard-00001\.parquet is damaged"):
        bench.run("train@student", tmp_path, VOTED, label=torn)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": {"classes": VERDICTS[::-1]}}, "classes is"),
        ({"teacher": {"template": {"user": "Q {content}\n"}}}, "template_digest is"),
    ],
)
def test_a_store_of_other_classes_or_another_template_is_refused(
    changes, message, bench, plain, tmp_path
):
    made = bench.made
    if "teacher" in changes:
        made = {name: bench.run(name, tmp_path / name, VOTED | changes, **made)[0]
                for name in ("collect", "prepare")}  # fmt: skip
        made["prepare"] = bench.run("prepare", tmp_path / "again", VOTED | changes, **made)[0]

    with pytest.raises(ArtifactError, match=message):
        bench.run("train@student", tmp_path / "student", VOTED | changes, **made, label=plain[0])


def test_gold_answers_that_are_all_no_class_are_refused_with_both_lists(bench, tmp_path):
    changes = VOTED | {"label": {"classes": ["recommended", "not recommended"]}}

    with pytest.raises(
        InputError, match=r"not one of 28 gold answers is among label\.classes"
    ) as told:
        bench.run("label", tmp_path, changes)

    assert "'NOT RECOMMENDED'" in str(told.value)


def test_votes_for_what_is_no_class_are_refused(bench, tmp_path):
    changes = VOTED | {"label": {"targets": "votes", "classes": [*VERDICTS[:2], "other"]}}

    with pytest.raises(InputError, match=r"votes for 'NOT RECOMMENDED', which is none of label"):
        bench.run("label", tmp_path, changes)


def test_a_twin_takes_the_steps_of_a_student_that_learns_classes(bench, plain, tmp_path):
    length = {"epochs": 1, "batch_size": 4}
    changes = VOTED | {"train": {"length": length, "twin": {"parts": ["labelled"]}}}

    steps = {
        name: bench.run(f"train@{name}", tmp_path / name, changes, label=plain[0])[1]["steps"]
        for name in ("student", "twin")
    }

    learned = len(rows_of(plain[0])) - 4  # without the part validation
    assert steps == dict.fromkeys(("student", "twin"), -(-learned // 4))
