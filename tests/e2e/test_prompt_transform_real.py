"""Prompts that people wrote, transformed by small models: a table of who says what, with intervals.

Slow: two and a half minutes of a processor. The texts that the teacher learns from are written by
rule; what is real are the prompts, and how often they ask for a style or name a tradition at all.
"""

from __future__ import annotations

import csv
import json

import pytest
from tests.conftest import SHARED_DATA

import stillhouse
from stillhouse.data.style_references import has_style_reference
from stillhouse.evals.coverage import own_traditions
from stillhouse.evals.tags import TagFinder

PROMPTS, ASKED = SHARED_DATA / "prompts", SHARED_DATA / "instruct" / "vicuna_80_questions.jsonl"
WHO = ("teacher", "student", "twin", "base", "rules")
FIGURES = (
    "kl_to_teacher", "cross_entropy", "agreement", "style_reference_rate", "traditions_covered",
    "traditions_entropy", "classes_top_share", "entropy", "distinct_1", "distinct_2",
    "context_spread",
)  # fmt: skip
MOST_WORDS = 25
pytestmark = [
    pytest.mark.long,
    pytest.mark.xdist_group("prompt-transform-real"),
    pytest.mark.skipif(
        not (PROMPTS / "partiprompts_even.tsv").is_file(), reason="the real prompts are not here"
    ),
]


def real_prompts():
    """Source and prompt, at most 25 words each, no two alike."""
    with (PROMPTS / "partiprompts_even.tsv").open(encoding="utf-8", newline="") as lines:
        found = [("parti", row["Prompt"]) for row in csv.DictReader(lines, delimiter="\t")]
    probes = json.loads((PROMPTS / "dalleval_bias_prompts.json").read_text())
    found += [("dalleval", text) for text in probes]
    with (PROMPTS / "awesome_chatgpt_prompts_a.csv").open(encoding="utf-8", newline="") as lines:
        # Whole cells are far too long: what the writer asks for first.
        found += [("awesome", row["prompt"].split("\n")[0].split(". ")[0])
                  for row in csv.DictReader(lines)]  # fmt: skip
    found += [("vicuna", json.loads(line)["turns"][0]) for line in ASKED.read_text().splitlines()]
    short = {text.strip(): source for source, text in found if 0 < len(text.split()) <= MOST_WORDS}
    return [(source, text) for text, source in short.items()]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Metric to candidate to its estimate, of a run on all real prompts."""
    folder = tmp_path_factory.mktemp("real")
    prompts = real_prompts()
    lines = [json.dumps({"source": source, "prompt": text}) for source, text in prompts]
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    styled = sum(has_style_reference(text) for _, text in prompts)
    finder = TagFinder(own_traditions())
    named = sum(bool(finder.find(text)) for _, text in prompts)
    print(f"\n{len(prompts):,} real prompts: {styled} ask for a style, {named} name a tradition")
    call = stillhouse.Call(
        [
            "compute.threads=1",
            f"collect={{source: {{file: {json.dumps(str(folder / 'prompts.jsonl'))}}}}}",
            "teacher.scratch.config.max_position_embeddings=320",
            "teacher.scratch.tokenizer.vocab_size=3000",
            "prepare.steps.1={name: transform_by_rule, lapses: 0.5}",
            # Few of these prompts are of a landscape at all.
            "prepare.steps.2={name: coverage, fields: [transformation], traditions_at_least: 15}",
            "prepare.split.parts={holdout: 300, labelled: 60, unlabelled: 900, teacher: rest}",
            "finetune.length.steps=450", "label.max_new_tokens=120", "gate.enforce=false",
        ],
        str(folder / "runs"), "real", profile="tiny",
    )  # fmt: skip
    status = stillhouse.run("prompt-transform", call)
    stages = {stage.key: stage.summary for stage in status.stages}
    print(f"linter: {stages['label']['unusable']} of {stages['label']['asked']} answers")
    print(f"{'':<22}" + "".join(f"{who:>28}" for who in WHO))
    found = {}
    for name in FIGURES:
        found[name] = {who: stages[f"evaluate@{who}"]["metrics"].get(name) for who in WHO}
        cells = [
            f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]" if one else "-"
            for one in found[name].values()
        ]
        print(f"{name:<22}" + "".join(f"{cell:>28}" for cell in cells))
    return found


def test_on_real_prompts_the_student_is_nearer_to_the_teacher_than_twin_and_base(told):
    distances = told["kl_to_teacher"]
    assert distances["student"]["high"] < distances["twin"]["low"]
    assert distances["student"]["high"] < distances["base"]["low"]


def test_on_real_prompts_a_linted_student_names_no_more_styles_than_the_unlinted_twin(told):
    rates = told["style_reference_rate"]
    assert rates["student"]["value"] <= rates["twin"]["value"]


def test_on_real_prompts_the_student_covers_fifteen_traditions(told):
    assert told["traditions_covered"]["student"]["value"] >= 15
