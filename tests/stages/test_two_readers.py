"""Teacher and student read by words of their own: the same laws hold, and nothing else changes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from tests.stages.test_label_classes import (
    AS_JSON,
    ROWS,
    SMALL,
    VERDICTS,
    Bench,
    rows_of,
    start,
)
from tests.tokens.model_families import FAMILIES, base
from tokenizers import AddedToken, Tokenizer

from stillhouse.core.errors import ArtifactError, InputError, RecipeError
from stillhouse.core.rows import Completion
from stillhouse.evals.scores import read_scores
from stillhouse.models.scratch import build_scratch, save_model
from stillhouse.recipes.models import Scratch
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.long_answers import end_unreadable
from stillhouse.tokens.reader import Reader
from stillhouse.tokens.show import explain_mask
from stillhouse.tokens.tokenizer import load_tokenizer
from stillhouse.tokens.train import train_tokenizer

pytestmark = pytest.mark.xdist_group("stages_two_readers")


def student(vocab_size, **config):
    """Changes of the recipe: a student that learns a tokenizer of its own."""
    small = {**SMALL, "config": SMALL["config"] | config}
    return {"student": {"scratch": {**small, "seed": 5, "tokenizer": {"vocab_size": vocab_size}}}}


SAME, OTHER = student(300), student(270)
# A teacher of three steps ends few of its answers.
TEXT = {
    "label": {"targets": "none", "cut_at_most": 1.0},
    "train": {"weights": {"cross_entropy": 1.0, "forward_kl": 0.0}},
}


@pytest.fixture(scope="module")
def benches(tmp_path_factory):
    """One reader; two that are equal; two that differ: each up to the fine-tuned teacher."""
    kinds = {"one": {}, "same": SAME, "other": OTHER}
    return {
        name: (start(tmp_path_factory.mktemp(name), changes), changes)
        for name, changes in kinds.items()
    }


@pytest.fixture(scope="module")
def labelled(benches, tmp_path_factory):
    """What `label` made of classes in each of them."""
    return {
        name: bench.run("label", tmp_path_factory.mktemp(name), changes)
        for name, (bench, changes) in benches.items()
    }


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def weights_of(bench, work, changes, **inputs):
    folder, found = bench.run("train@student", work, changes, **inputs)
    return (folder / "model" / "model.safetensors").read_bytes(), found


def test_a_student_of_the_same_tokenizer_learns_the_same_bits_on_either_way(
    benches, labelled, tmp_path
):
    (one, _), (two, _) = benches["one"], benches["same"]
    corpora = [open_corpus(bench.made["prepare"]) for bench in (one, two)]

    trained = [
        weights_of(benches[name][0], tmp_path / name, benches[name][1], label=labelled[name][0])
        for name in ("one", "same")
    ]

    assert [corpus.has_two_readers for corpus in corpora] == [False, True]
    assert corpora[0].tokenizer.digest == corpora[1].tokenizer.digest
    assert files_of(labelled["one"][0] / "classes") == files_of(labelled["same"][0] / "classes")
    assert trained[0] == trained[1]


def test_a_text_is_learned_alike_on_either_way(benches, tmp_path):
    trained = []
    for name in ("one", "same"):
        bench, changes = benches[name]
        changes = changes | TEXT
        folder, _ = bench.run("label", tmp_path / f"label-{name}", changes)
        trained.append(weights_of(bench, tmp_path / name, changes, label=folder))

    assert trained[0] == trained[1]


def test_class_targets_do_not_depend_on_the_students_tokenizer(benches, labelled, tmp_path):
    assert files_of(labelled["other"][0] / "classes") == files_of(labelled["one"][0] / "classes")

    bench, changes = benches["other"]
    _, found = weights_of(bench, tmp_path, changes, label=labelled["other"][0])

    corpus = open_corpus(bench.made["prepare"])
    assert corpus.tokenizer.vocab_size == 270
    assert corpus.read_by("teacher").tokenizer.vocab_size == 300
    assert found["examples"] == 30
    assert found["rows"] == "packed"  # verdicts that begin alike are branches of one tree


def test_an_evaluation_compares_classes_and_bytes_and_no_tokens(benches, labelled, tmp_path):
    bench, changes = benches["other"]
    model, _ = bench.run("train@student", tmp_path / "m", changes, label=labelled["other"][0])
    teacher, taught = bench.run("evaluate@teacher", tmp_path / "t", changes)
    folder, found = bench.run(
        "evaluate@student", tmp_path / "s", changes,
        **{"train@student": model, "evaluate@teacher": teacher},
    )  # fmt: skip

    for metrics in (taught["metrics"], found["metrics"]):
        assert {"agreement", "class_kl_to_teacher", "bits_per_byte", "perplexity"} <= set(metrics)
        assert not {"kl_to_teacher", "jsd_to_teacher", "top1_agreement"} & set(metrics)
        assert "bits per byte compares" in metrics["cross_entropy"]["note"]
    scores = [read_scores(path / "scores.parquet") for path in (teacher, folder)]
    examples = open_corpus(bench.made["prepare"]).of_parts(["holdout"])
    assert scores[0].column("bytes").tolist() == [len(one.answer.encode()) for one in examples]
    assert scores[0].column("bytes").tolist() == scores[1].column("bytes").tolist()
    assert scores[0].column("tokens").tolist() != scores[1].column("tokens").tolist()


@pytest.mark.parametrize(
    ("section", "is_refused"),
    [("teacher", True), ("student", False)],
)
def test_a_store_is_of_the_teachers_template_whatever_the_students(
    section, is_refused, benches, labelled, tmp_path
):
    bench, changes = benches["other"]
    template = {"template": {"user": "Q {content}\n"}}
    changed = changes | {section: changes.get(section, {}) | template}
    made = bench.made | {"prepare": bench.run("prepare", tmp_path / "prepare", changed)[0]}

    def train():
        return weights_of(bench, tmp_path / "s", changed, **made, label=labelled["other"][0])

    if is_refused:
        with pytest.raises(ArtifactError, match="template_digest is"):
            train()
    else:
        assert train()[1]["examples"] == 30


def test_a_conversation_that_is_not_what_was_labelled_is_refused(benches, labelled, tmp_path):
    bench, changes = benches["other"]
    changed = changes | {"prepare": {"user": "a song: {text}"}}
    made = bench.made | {"prepare": bench.run("prepare", tmp_path / "prepare", changed)[0]}

    with pytest.raises(ArtifactError):
        weights_of(bench, tmp_path / "s", changed, **made, label=labelled["other"][0])


def test_prompts_are_cut_for_whoever_reads_less_and_told_by_whom(tmp_path):
    few = student(261, max_position_embeddings=60)  # bytes alone: more tokens than the teacher's
    changed = few | {"label": {"max_new_tokens": 32}, "prepare": {"user": "{text} " * 3}}
    bench = start(tmp_path, changed)

    _, found = bench.run("prepare", tmp_path / "again", changed)

    count = found["flow"][-1]
    assert count["step"] == "fit_to_context"
    assert count["notes"] == {"cut to the student's context": found["cut_prompts"]}
    assert found["cut_prompts"] > 0
    assert found["readers"] == ["student", "teacher"]


def test_rows_that_fit_one_reader_and_not_the_other_end_by_name(tmp_path):
    few = student(261, max_position_embeddings=40)
    changed = few | {
        "prepare": {"too_long_at_most": 1.0, "answer": "told", "answer_format": "json"},
        "label": {"max_new_tokens": 8, "class_field": "verdict"},
    }
    with pytest.raises(InputError, match=r"no holdout example fits the context"):
        start(tmp_path, changed)
    changed["prepare"] = {**changed["prepare"], "too_long_at_most": 0.0}
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(InputError, match=r"longer than 40 or 192 tokens \(34 than the student's\)"):
        start(again, changed)


def test_an_example_whose_longest_class_the_student_cannot_read_is_left_out_and_counted(tmp_path):
    # The gold answers fit; with RECOMMENDED WITH CAUTION in them some do not.
    few = student(261, max_position_embeddings=84)
    changed = few | AS_JSON | {"label": AS_JSON["label"] | {"completions": "gold"}}
    changed["prepare"] = changed["prepare"] | {
        "split": {"parts": {"holdout": 6, "validation": 4, "labelled": "rest"}}
    }
    changed["train"] = {"parts": ["labelled"]}
    changed["label"] |= {"max_new_tokens": 8, "parts": ["labelled"]}
    bench = start(tmp_path, changed)

    folder, found = bench.run("label", tmp_path / "label", changed)

    corpus = open_corpus(bench.made["prepare"])
    assert found["too_long_for_student"] > 0
    assert found["class_examples"] == len(rows_of(folder)) > 0
    known = {one.example_id: one for one in corpus.examples}
    for row in rows_of(folder):
        for verdict in VERDICTS:
            said = json.loads(row["answer"]) | {"verdict": verdict}
            answer = json.dumps(said, separators=(",", ":"))
            assert len(corpus.encode(known[row["example_id"]], answer).ids) <= 84


def test_an_answer_that_only_its_teacher_could_read_whole_is_not_learned(benches):
    corpus = open_corpus(benches["other"][0].made["prepare"])
    example = corpus.of_parts(["unlabelled"])[0]
    asked = {example.example_id: example}
    short, long = (Completion(example.example_id, text, "stop", 2) for text in ("a", "a " * 50))
    length = len(corpus.encode(example, "a").ids)

    assert end_unreadable([short, long], asked, corpus, 0) == [short, long]
    kept, ended = end_unreadable([short, long], asked, corpus, length)
    assert kept == short
    assert (ended.finish, ended.reason) == ("error", "too_long")


def test_two_classes_that_are_one_to_the_students_tokenizer_are_refused(benches, tmp_path):
    bench, changes = benches["other"]
    prepared = tmp_path / "prepared"
    shutil.copytree(bench.made["prepare"], prepared)
    path = prepared / "tokenizer" / "tokenizer.json"
    plain = json.loads(path.read_text())
    path.write_text(json.dumps(plain | {"normalizer": {"type": "Lowercase"}}))
    changed = changes | {"label": {"classes": [*VERDICTS, "recommended"]}}

    with pytest.raises(InputError, match="'recommended' and 'RECOMMENDED' are the same tokens"):
        bench.run("label", tmp_path / "label", changed, prepare=prepared)


def test_a_student_without_a_chat_template_is_refused_by_line(benches, tmp_path):
    bench, changes = benches["other"]
    corpus = open_corpus(bench.made["prepare"])
    for name, reader in (("student", corpus), ("teacher", corpus.read_by("teacher"))):
        model = build_scratch(Scratch(**SMALL), reader.tokenizer, seed=1)
        save_model(model, reader.tokenizer_folder, tmp_path / name)
    config = tmp_path / "student" / "tokenizer_config.json"
    plain = json.loads(config.read_text())
    plain.pop("chat_template")
    config.write_text(json.dumps(plain))
    folders = {
        "teacher": {"path": str(tmp_path / "teacher"), "scratch": None},
        "student": {"path": str(tmp_path / "student"), "scratch": None},
    }

    with pytest.raises(RecipeError, match=r"student\.template: chat takes the tokenizer's own"):
        bench.resolve(changes | folders)

    folders["student"]["template"] = {"user": "Q {content}\n"}
    found = bench.resolve(changes | folders)
    assert found.difference == "student.template is not teacher.template"
    (tmp_path / "student" / "chat_template.jinja").write_text(corpus.tokenizer.chat_template)
    folders["student"]["template"] = "chat"
    found = bench.resolve(changes | folders)
    assert found.difference == "300 ids against 270"
    assert set(found.locations) >= {"tokenizer of the student", "tokenizer of the teacher"}


def test_targets_cut_to_another_vocabulary_teach_another_text(tmp_path):
    its = train_tokenizer(VERDICTS * 9, 300, tmp_path / "teacher")
    mine = train_tokenizer([verdict.lower() for verdict in VERDICTS] * 9, 280, tmp_path / "student")
    ids, _ = its.encode("NOT RECOMMENDED")
    sure_TV = np.eye(its.vocab_size)[ids]

    cut_TV = sure_TV[:, : mine.vocab_size]

    # A student that fits these perfectly writes what nobody said.
    learned = cut_TV.argmax(axis=1).astype(np.int32)
    assert its.decode(ids) == "NOT RECOMMENDED"
    assert mine.decode(learned) != "NOT RECOMMENDED"


def test_a_mask_shows_the_same_answer_to_each_reader(benches):
    corpus = open_corpus(benches["other"][0].made["prepare"])
    example = corpus.of_parts(["labelled"])[0]
    readers = [
        Reader(name, own.tokenizer, own.template, 192)
        for name, own in (("student", corpus), ("teacher", corpus.read_by("teacher")))
    ]

    views = [explain_mask(example.messages(), one.template, one.tokenizer) for one in readers]

    said = ["".join(one.text for one in view.tokens if one.is_trained) for view in views]
    assert said[0] == said[1]
    assert len(views[0].tokens) > len(views[1].tokens)


def write_family(name, folder, model_type, **config):
    """A tiny model with the tokenizer and chat template of a family."""
    family = next(one for one in FAMILIES if one.name == name)
    backend = Tokenizer.from_str(base())
    backend.add_special_tokens([AddedToken(text, special=True) for text in family.specials])
    backend.add_tokens([AddedToken(text, special=False) for text in family.words])
    folder.mkdir()
    backend.save(str(folder / "tokenizer.json"))
    named = {"eos_token": family.eos, "chat_template": family.source}
    named |= {"bos_token": family.bos} if family.bos else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    sizes = SMALL["config"] | {"max_position_embeddings": 1024} | config
    scratch = Scratch(model_type=model_type, config=sizes)
    save_model(build_scratch(scratch, load_tokenizer(folder), seed=1), folder, folder)
    return {"path": str(folder), "scratch": None}


def test_a_silent_qwen_teaches_a_gpt_oss_that_writes_into_channels(tmp_path):
    teacher = write_family("qwen3", tmp_path / "qwen3", "qwen3") | {"thinking": "off"}
    experts = {"num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": 16}
    student = write_family("gpt-oss", tmp_path / "gpt-oss", "gpt_oss", **experts)
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    changes = AS_JSON | {"teacher": teacher, "student": student}
    changes["label"] = changes["label"] | {"completions": "gold", "parts": ["labelled"]}
    changes["train"] = {"parts": ["labelled"]}
    changes["prepare"] = changes["prepare"] | {"system": "Judge the song."}
    bench = Bench(tmp_path, {})
    for stage in ("collect", "prepare", "finetune", "label", "train@student"):
        bench.made[stage], found = bench.run(stage, tmp_path / stage, changes)

    corpus = open_corpus(bench.made["prepare"])
    example = corpus.of_parts(["labelled"])[0]
    by_student, by_teacher = corpus.encode(example), corpus.read_by("teacher").encode(example)
    learned = by_student.text.encode()[by_student.byte_offsets[by_student.last_answer][0][0] :]
    assert learned.decode().endswith(f"<|message|>{example.answer}<|return|>")
    assert by_teacher.text.endswith(f"<think>\n\n</think>\n\n{example.answer}<|im_end|>\n")
    assert len(rows_of(bench.made["label"])) == 28
    assert found["examples"] == 24
