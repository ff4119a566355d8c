"""Real questions to a bank without their labels: measured against a teacher that learned others.

Slow: `pytest tests/e2e/test_only_prompts_real.py -m long -s` prints the table. The labels that the
run never sees say afterwards what the table cannot: how often teacher and student are right.
"""

import csv
import json

import numpy as np
import pytest
from tests.conftest import SHARED_DATA

import stillhouse
from stillhouse.data.storage import read_completions, read_examples
from stillhouse.recipes.reference_problems import needs_gold
from stillhouse.stages.corpus import EXAMPLES

ROWS = SHARED_DATA / "finance" / "banking77_train_half.csv"
pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("only_prompts_real"),
    pytest.mark.skipif(not ROWS.is_file(), reason=f"the data set is not here: {ROWS.name}"),
]
RECIPE = """
name: only-prompts-real
network: none
compute: {threads: 1}
teacher:
  scratch:
    model_type: qwen3
    config: {hidden_size: 192, intermediate_size: 576, num_hidden_layers: 2, num_attention_heads: 6,
             num_key_value_heads: 6, head_dim: 32, max_position_embeddings: 192,
             tie_word_embeddings: true}
    tokenizer: {vocab_size: 2000}
student:
  scratch:
    model_type: qwen3
    config: {hidden_size: 128, intermediate_size: 384, num_hidden_layers: 2, num_attention_heads: 4,
             num_key_value_heads: 4, head_dim: 32, max_position_embeddings: 192,
             tie_word_embeddings: true}
collect: {source: {file: questions.csv}}
prepare:
  user: "{text}"
  answer: category
  split: {parts: {teacher: 2400, unlabelled: rest, holdout: 600}}
finetune:
  parts: [teacher]
  length: {steps: 400, batch_size: 32}
  optimizer: {learning_rate: 1.0e-3, weight_decay: 0.1, beta2: 0.98, warmup_steps: 50}
label: {parts: [unlabelled], max_new_tokens: 24, batch_size: 256, cut_at_most: 0.2}
train:
  parts: [unlabelled]
  length: {steps: 500, batch_size: 32}
  optimizer: {learning_rate: 3.0e-3, weight_decay: 0.1, beta2: 0.98, warmup_steps: 50}
  twin: {text: labelled}
evaluate:
  reference: teacher
  fields: {answer: {kind: text}}
gate:
  enforce: false
  rules:
    - {metric: kl_to_teacher, against: baseline, at_most: 0.0}
    - {metric: agreement, at_least: 0.5}
"""
SHOWN = ("kl_to_teacher", "top1_agreement", "cross_entropy", "agreement", "bleu.answer",
         "rouge_l.answer")  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The summaries by candidate, the answers by candidate, and the labels that were kept away."""
    root = tmp_path_factory.mktemp("prompts-real")
    with ROWS.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    kept = np.random.default_rng(0).permutation(len(rows)) < 2500
    with (root / "questions.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ("text", "category"))
        writer.writeheader()
        writer.writerows(
            row | {"category": row["category"] if has else ""}
            for row, has in zip(rows, kept, strict=True)
        )
    (root / "recipe.yaml").write_text(RECIPE)
    status = stillhouse.run(str(root / "recipe.yaml"), stillhouse.Call(runs=str(root / "runs")))
    folders = {one.key: root / "runs" / "artifacts" / one.artifact_id for one in status.stages}
    summaries = {
        key.removeprefix("evaluate@"): json.loads((folder / "manifest.json").read_text())["summary"]
        for key, folder in folders.items()
        if key.startswith("evaluate@")
    }
    said = {
        who: {one.example_id: one.text
              for one in read_completions(folders[f"evaluate@{who}"] / "completions.parquet")}
        for who in summaries
    }  # fmt: skip
    asked = {
        one.example_id: one.prompt[-1].content
        for one in read_examples(folders["prepare"] / EXAMPLES)
        if one.part == "holdout"
    }
    label_of = {row["text"].strip(): row["category"] for row in rows}
    gold = {name: label_of[asked[name]] for name in said["teacher"]}
    return summaries, said, gold


def test_a_student_comes_nearer_to_its_teacher_than_one_that_had_its_text_alone(found):
    summaries, said, gold = found
    told = summaries["teacher"]
    print(f"\nmeasured against the teacher's answers: {told['examples']} of 600 questions; "
          f"left out: {told['left_out']}")  # fmt: skip
    for name in SHOWN:
        shown = "  ".join(
            f"{who} {one['value']:.4f} [{one['low']:.4f}, {one['high']:.4f}]"
            for who in ("teacher", "student", "twin")
            if (one := summaries[who]["metrics"].get(name))
        )
        print(f"  {name:<15} {shown}")
    right = {who: np.mean([texts[name].strip() == label for name, label in gold.items()])
             for who, texts in said.items()}  # fmt: skip
    print("  labels that nobody saw: right are", {who: round(one, 4) for who, one in right.items()})

    student, twin = (summaries[who]["metrics"]["kl_to_teacher"] for who in ("student", "twin"))
    assert student["high"] < twin["low"]


def test_nothing_in_the_tables_says_what_is_right(found):
    summaries, _, _ = found
    assert not [name for one in summaries.values() for name in one["metrics"] if needs_gold(name)]
