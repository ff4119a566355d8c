"""The teacher's word is stored in each codec, students learn from it, and from no other's."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from tests.tokens.model_families import FAMILIES, open_family

from stillhouse.core.errors import ArtifactError, InputError, RecipeError
from stillhouse.core.protocols import no_progress
from stillhouse.core.rows import Completion, Example, Message
from stillhouse.core.targets import TargetKey
from stillhouse.data.storage import read_completions, write_completions
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import Resolved, resolve
from stillhouse.stages import label, train
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import Corpus, open_corpus
from stillhouse.stages.long_answers import end_unreadable
from stillhouse.stages.table import stage_function
from stillhouse.targets.read import TargetReader

pytestmark = pytest.mark.xdist_group("stages_label")
SMALL = {
    "model_type": "qwen3",
    "config": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "max_position_embeddings": 192,
        "initializer_range": 0.5,  # so that teacher and student are far apart
    },
}
TRAINING = {"length": {"steps": 3, "batch_size": 4}}
RECIPE = {
    "name": "small",
    "compute": {"device": "cpu", "threads": 1},
    "teacher": {"scratch": {**SMALL, "tokenizer": {"vocab_size": 300}}},
    "student": {"scratch": {**SMALL, "seed": 5}},
    "collect": {"source": {"sample_rows": {"task": "tickets", "rows": 40}}},
    "prepare": {
        "system": "Read the ticket.",
        "user": "{message}",
        "answer": "annotation",
        "split": {"parts": {"holdout": 4, "validation": 4, "labelled": 12, "teacher": "rest"}},
    },
    "finetune": TRAINING,
    "label": {"parts": ["labelled"], "shard_examples": 8, "batch_size": 4},
    "train": {**TRAINING, "parts": ["labelled"]},
}
CODECS = {
    "full": {},
    "top_k": {"top_k": 16, "kd_temperatures": [1.0, 2.0]},
    "sampled": {"num_draws": 30, "kd_temperatures": [2.0]},
    "top_k_sampled": {"top_k": 4, "num_draws": 30, "kd_temperatures": [2.0]},
}


@dataclass(frozen=True)
class Bench:
    """Artifacts of the stages before `label`, and the means to run one more."""

    folder: Path
    artifacts: dict[str, Path]

    def resolve(self, **sections) -> Resolved:
        path = self.folder / "recipe.yaml"
        sections = {name: RECIPE.get(name, {}) | given for name, given in sections.items()}
        path.write_text(json.dumps(RECIPE | sections))
        return resolve(*open_recipe(str(path)))

    def request(self, resolved, key, work, **inputs) -> StageRequest:
        instance = resolved.plan[key]
        for name in ("out", "scratch"):
            (work / name).mkdir(parents=True, exist_ok=True)
        made = self.artifacts | inputs
        return StageRequest(
            stage=instance.stage,
            variant=instance.variant,
            artifact_id=instance.artifact_id,
            config=instance.config,
            inputs={name: made[of] for name, of in instance.inputs.items()},
            out=work / "out",
            scratch=work / "scratch",
            locations=resolved.locations,
        )

    def label(self, work, **settings) -> Path:
        """The folder of a labelling."""
        resolved = self.resolve(label=RECIPE["label"] | settings, train=self.learning(settings))
        label.run(self.request(resolved, "label", work), no_progress)
        return work / "out"

    def train(self, work, labelled, settings, **learning):
        """The summary of a training from a labelling."""
        training = self.learning(settings) | learning
        resolved = self.resolve(label=RECIPE["label"] | settings, train=training)
        request = self.request(resolved, "train@student", work, label=labelled)
        return train.run(request, no_progress).summary

    def learning(self, settings):
        return {"kd_temperature": settings.get("kd_temperatures", [1.0])[-1]}

    @property
    def corpus(self) -> Corpus:
        return open_corpus(self.artifacts["prepare"])


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("label")
    made: dict[str, Path] = {}
    bench = Bench(folder, made)
    resolved = bench.resolve()
    for stage in ("collect", "prepare", "finetune"):
        request = bench.request(resolved, stage, folder / stage)
        stage_function(stage, request.config)(request, no_progress)
        made[stage] = request.out
    return bench


@pytest.fixture(scope="module")
def labelled(bench, tmp_path_factory):
    """Codec to the folder of its labelling."""
    root = tmp_path_factory.mktemp("labelled")
    return {
        codec: bench.label(root / codec, targets=codec, **settings)
        for codec, settings in CODECS.items()
    }


@pytest.mark.parametrize("codec", CODECS)
def test_each_codec_stores_what_its_name_says(bench, labelled, codec):
    reader = TargetReader(labelled[codec] / "targets")

    vocab_size = bench.corpus.tokenizer.vocab_size
    kept = {"full": vocab_size, "sampled": 0}.get(codec, CODECS[codec].get("top_k"))
    header = reader.header
    assert (header.codec, header.top_k, header.vocab_size) == (codec, kept, vocab_size)
    assert header.num_draws == CODECS[codec].get("num_draws", 0)
    assert len(reader) == 16
    for example_id in reader.example_ids:
        targets = reader.get(example_id)
        assert targets.top_ids.shape[1] == kept
        if header.num_draws:
            np.testing.assert_array_equal(targets.draws.counts.sum(axis=1), header.num_draws)
        else:
            assert targets.draws is None


@pytest.mark.parametrize("codec", CODECS)
def test_a_student_learns_from_each_codec(bench, labelled, codec, tmp_path):
    settings = CODECS[codec] | {"targets": codec}

    summary = bench.train(tmp_path, labelled[codec], settings)

    steps = json.loads((tmp_path / "out" / "kd_metrics.json").read_text())["steps"]
    assert summary["examples"] == 12
    assert all(np.isfinite(one["loss"]) and one["loss"] > 0 for one in steps)


def test_all_codecs_teach_the_same_at_first(bench, labelled, tmp_path):
    """A first loss from draws is an estimate of the one from the whole vocabulary."""
    losses = {}
    for codec in ("full", "top_k", "sampled", "top_k_sampled"):
        settings = {"targets": codec, "kd_temperatures": [2.0], "top_k": 16, "num_draws": 400}
        store = bench.label(tmp_path / codec, **settings)
        bench.train(tmp_path / f"{codec}-student", store, settings)
        told = json.loads((tmp_path / f"{codec}-student" / "out" / "kd_metrics.json").read_text())
        losses[codec] = told["trend"]["first_loss"]

    assert losses["top_k"] <= losses["full"] * 1.001
    assert losses["sampled"] == pytest.approx(losses["full"], rel=0.1)
    assert losses["top_k_sampled"] == pytest.approx(losses["full"], rel=0.1)


def test_draws_are_the_same_again_and_other_with_another_seed(bench, labelled, tmp_path):
    settings = CODECS["sampled"] | {"targets": "sampled"}

    again = bench.label(tmp_path / "again", **settings)
    other = bench.label(tmp_path / "other", **settings, seed=1)

    def shard(folder):
        return (folder / "targets" / "shard-00000.parquet").read_bytes()

    assert shard(again) == shard(labelled["sampled"])
    assert shard(other) != shard(labelled["sampled"])


def test_a_large_vocabulary_is_not_kept_in_full(bench, monkeypatch, tmp_path):
    monkeypatch.setattr("stillhouse.recipes.labels.MOST_IN_FULL", 200)

    with pytest.raises(
        RecipeError, match=r"label\.targets: full keeps vocabularies of at most 200"
    ):
        bench.label(tmp_path, targets="full")


def test_an_objective_that_draws_would_bias_is_refused(bench, labelled, tmp_path):
    resolved = bench.resolve(train={"weights": {"forward_kl": 0.0, "reverse_kl": 1.0}})
    request = bench.request(resolved, "train@student", tmp_path, label=labelled["sampled"])

    with pytest.raises(ArtifactError, match="drawn tokens, from which reverse_kl would be biased"):
        train.run(request, no_progress)


def test_a_temperature_that_was_not_stored_is_refused(bench, labelled, tmp_path):
    with pytest.raises(
        ArtifactError, match=r"kd_temperatures \[1\.0\], train\.kd_temperature is 2"
    ):
        bench.train(tmp_path, labelled["full"], {"kd_temperatures": [2.0]})


@pytest.mark.parametrize(
    ("field", "value"),
    [("tokenizer_digest", "another"), ("template_digest", "another"), ("vocab_size", 299)],
)
def test_targets_of_another_tokenizer_or_template_are_refused(
    bench, labelled, tmp_path, field, value
):
    folder = shutil.copytree(labelled["top_k"], tmp_path / "copy")
    path = folder / "targets" / "header.json"
    header = json.loads(path.read_text())
    path.write_text(json.dumps(header | {field: value}))

    with pytest.raises(ArtifactError, match=f"{field} is '?{value}'?, wanted is"):
        bench.train(tmp_path / "work", folder, CODECS["top_k"])


def test_a_teacher_of_another_revision_does_not_go_on_with_a_capture(bench, tmp_path):
    resolved = bench.resolve()
    request = bench.request(resolved, "label", tmp_path)
    label.run(request, no_progress)
    (tmp_path / "scratch" / "targets" / "index.json").unlink()
    shutil.rmtree(tmp_path / "out" / "targets")
    model = request.config["model"] | {"weights": "owner/teacher@another-commit"}
    other = replace(request, config=request.config | {"model": model})

    with pytest.raises(ArtifactError, match=r"weights_digest is '\w+', wanted is '\w+'"):
        label.run(other, no_progress)


def test_another_system_prompt_is_refused(bench, labelled):
    """So is a prompt that was cut on the left: the teacher saw other messages."""
    corpus = bench.corpus
    reader = TargetReader(labelled["top_k"] / "targets")
    example = corpus.of_parts(["labelled"])[0]
    system, *rest = example.prompt
    cut = replace(rest[0], content=rest[0].content[5:])

    for prompt in ((replace(system, content="Read it twice."), *rest), (system, cut), tuple(rest)):
        encoded = corpus.encode(replace(example, prompt=prompt))
        key = TargetKey(example.example_id, encoded.completion_digest, encoded.view_digest)
        with pytest.raises(ArtifactError, match=r"saw example '.*' otherwise: view_digest is"):
            reader.get_for(key)


def test_a_shorter_and_a_longer_answer_share_their_beginning(bench, labelled):
    corpus = bench.corpus
    reader = TargetReader(labelled["top_k"] / "targets")
    example = corpus.of_parts(["labelled"])[0]
    stored = reader.get(example.example_id)
    longer = corpus.encode(example, example.answer + " and more")
    ids, spans = longer.ids[longer.is_trained], longer.byte_offsets[longer.is_trained]
    shared = int((stored.token_ids[: len(ids)] == ids[: len(stored.token_ids)]).argmin())

    shorter = reader.get_prefix(example.example_id, ids[:shared], spans[:shared])

    np.testing.assert_array_equal(shorter.top_ids, stored.top_ids[:shared])
    whole = reader.get_prefix(
        example.example_id,
        np.append(stored.token_ids, 7).astype(np.int32),
        np.append(stored.byte_offsets, [[900, 901]], axis=0).astype(np.int32),
    )
    assert len(whole.token_ids) == len(stored.token_ids)
    cut = replace(example, prompt=(replace(example.prompt[-1], content="x"),))
    encoded = corpus.encode(cut)
    with pytest.raises(ArtifactError, match="cut on the left"):
        reader.get_prefix(
            example.example_id,
            encoded.ids[encoded.is_trained],
            encoded.byte_offsets[encoded.is_trained],
        )


def test_a_teacher_in_memory_writes_what_the_schema_asks_for(bench, tmp_path):
    moods = ["angry", "calm", "calm again"]
    schema = {"type": "object", "properties": {"mood": {"enum": moods}}, "required": ["mood"],
              "additionalProperties": False}  # fmt: skip

    out = bench.label(
        tmp_path, completions="teacher", targets="top_k", answer_schema=schema, max_new_tokens=40
    )

    written = read_completions(out / "completions.parquet")
    assert len(written) == 16
    assert {one.finish for one in written} == {"stop"}
    assert {one.text for one in written} <= {f'{{"mood":"{mood}"}}' for mood in moods}


def test_a_schema_that_no_model_can_be_held_to_is_refused_before_anything_runs(bench):
    schema = {"type": "array", "uniqueItems": True}

    with pytest.raises(RecipeError, match=r"recipe\.yaml label\.answer_schema: no model can be"):
        bench.resolve(label=RECIPE["label"] | {"answer_schema": schema})


def test_an_answer_beyond_the_context_ends_alone_and_not_the_labelling(bench, tmp_path):
    """Bytes that are no UTF-8 become more tokens than were written."""
    settings = {"completions": "teacher", "shard_examples": 100}
    (tmp_path / "scratch").mkdir()
    asked = bench.corpus.of_parts(["labelled", "validation"])
    texts = ["\ufffd" * 180, *["fine"] * (len(asked) - 1)]
    said = [
        Completion(one.example_id, text, "stop", 20) for one, text in zip(asked, texts, strict=True)
    ]
    write_completions(tmp_path / "scratch" / "completions-00000.parquet", said)

    done = read_completions(bench.label(tmp_path, **settings) / "completions.parquet")

    assert [(one.finish, one.reason) for one in done[:2]] == [("error", "too_long"), ("stop", "")]
    assert len(TargetReader(tmp_path / "out" / "targets")) == len(asked) - 1


def test_an_answer_that_the_template_cannot_write_ends_alone_and_all_of_them_say_why(tmp_path):
    family = next(one for one in FAMILIES if one.name == "deepseek-r1")
    corpus = Corpus(tmp_path, tmp_path, *open_family(family))
    asked = {
        name: Example(name, "labelled", (Message("user", "Why?"),), None) for name in ("a", "b")
    }
    forgot, thought = (
        Completion(name, text, "stop", 4)
        for name, text in (("a", "Because."), ("b", "So.</think>Because."))
    )
    gold = Completion("c", "Because.", "stop", 4)

    ended = end_unreadable([forgot, thought, gold], asked, corpus, 0)

    assert [(one.finish, one.reason) for one in ended] == [
        ("error", "unreadable"),
        ("stop", ""),
        ("stop", ""),
    ]
    with pytest.raises(InputError, match="the prompt before it opens a thought"):
        end_unreadable([forgot, gold], asked, corpus, 0)


@pytest.mark.parametrize("text", ["gold", "labelled"])
def test_a_twin_takes_as_many_steps_as_a_student_some_of_whose_answers_were_cut(
    bench, tmp_path, text
):
    learning = {
        "length": {"epochs": 2.0, "batch_size": 2},
        "weights": {"cross_entropy": 1.0},
        "twin": {"text": text},
    }
    label = {"completions": "teacher", "targets": "none"}
    resolved = bench.resolve(
        label=RECIPE["label"] | label,
        train={"parts": ["labelled"], **learning},
    )
    ends = zip(bench.corpus.of_parts(["labelled"]), ["stop", "length", "error"] * 4, strict=True)
    said = [Completion(one.example_id, "fine", end, 2) for one, end in ends]
    write_completions(tmp_path / "completions.parquet", said)

    steps = {}
    for name in ("student", "twin"):
        request = bench.request(resolved, f"train@{name}", tmp_path / name, label=tmp_path)
        steps[name] = train.run(request, no_progress).summary["steps"]

    assert steps == {"student": 4, "twin": 4}
