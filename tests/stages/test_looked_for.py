"""Answers are held against what was learned, and asked the recipe's own probes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ruamel.yaml import YAML

import stillhouse
from stillhouse.core.errors import RecipeError
from stillhouse.core.rows import Completion
from stillhouse.data.storage import write_completions
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.gates import decide
from stillhouse.evals.probe_file import Probe
from stillhouse.evals.spread import score_spread
from stillhouse.recipes.gating import Gate, Rule
from stillhouse.recipes.measuring import Evaluate
from stillhouse.recipes.plan import LEARNED
from stillhouse.stages.comparing import Answers, summarise
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.looked_for import look_for
from stillhouse.stages.measured import find_measured
from stillhouse.stages.probing import score_probes

PASSAGE = "the quick brown fox jumps over the lazy dog and runs into the wood"
FRAME = "Read all of the following text with care and then answer it in one or two words:"
ROWS = [
    {"q": f"{number} {'short' if number % 3 else PASSAGE} {number}", "land": "xy"[number % 2],
     "a": f"answer {number} is that one river runs slowly under the old bridge of stone {number}"}
    for number in range(40)
]  # fmt: skip
SENTENCES = {"means": "What it says.", "does_not_mean": "What it does not say."}
GENDER = {"name": "gender", "kind": "classes", "text": "answer", **SENTENCES,
          "tags": {"woman": ["she"], "man": ["he"]}}  # fmt: skip
FORM = {"name": "form", "kind": "classes", "text": "answer.kinds", **SENTENCES,
        "values": ["round", "long"], "only": {"land": ["x"]}}  # fmt: skip
PLACES = {"name": "places", "kind": "traditions", "text": "text", **SENTENCES,
          "tags": {"Japanese": ["japan*"], "Tuvan": ["tuva"]}}  # fmt: skip


@pytest.fixture
def recipe(write_recipe, tmp_path):
    """`recipe(**evaluate)`: rows whose prompts share a frame, every third one a passage too."""
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    parts = {"holdout": 10, "validation": 4, "teacher": 10, "labelled": "rest"}

    def write(answer_format="text", **evaluate):
        return write_recipe(
            collect={"source": {"file": "rows.jsonl"}},
            prepare={
                "user": FRAME + " {q}",
                "answer": "a",
                "answer_format": answer_format,
                "split": {"parts": parts},
            },
            evaluate={"draws": 100, **evaluate},
        )

    return write


@pytest.fixture
def looked(recipe, prepare, tmp_path):
    """`looked(config, texts)` looks for what a config asks in these answers; more are empty."""
    prepare(recipe())
    folder = tmp_path / "made" / "prepare"
    corpus = open_corpus(folder)
    measured = find_measured(corpus, folder)
    out = tmp_path / "out"
    out.mkdir()

    def look(config, texts, *, as_objects=False, **inputs):
        padded = [*texts, *[""] * (len(measured.ids) - len(texts))]
        said = [
            Completion(name, t, "stop", 1) for name, t in zip(measured.ids, padded, strict=True)
        ]
        answers = Answers(measured, said, Evaluate(draws=100), as_objects)
        request = StageRequest("evaluate", "student", "id", config, inputs, out, tmp_path)
        return look_for(request, corpus, answers), answers, corpus

    return look


def test_answers_are_held_against_the_labels_that_were_learned_and_no_others(looked, tmp_path):
    # given: a label that is learned, one that was cut, and one of the validation
    _, answers, corpus = looked({}, [])
    lesson, cut = corpus.of_parts(["labelled"])[:2]
    (validation, *_) = corpus.of_parts(["validation"])
    second, third = "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13", "v " * 13
    write_completions(
        tmp_path / "completions.parquet",
        [
            Completion(lesson.example_id, f"Once {PASSAGE}.", "stop", 9),
            Completion(cut.example_id, second, "length", 9),
            Completion(validation.example_id, third, "stop", 9),
        ],
    )
    # when
    found, _, _ = looked(
        {"learned": ["labelled"]}, [f"He said: {PASSAGE}", second, third], **{LEARNED: tmp_path}
    )
    # then
    assert found.columns["memorised"].tolist() == [1, *[0] * 9]
    assert found.columns["memorised_asked"].sum() == 3
    told = json.loads((tmp_path / "out" / "copied.json").read_bytes())
    assert (told["learned"], told["num_copied"]) == (1, 1)
    (copied,) = told["copied"]
    assert copied["example_id"] == answers.measured.ids[0]
    assert (copied["learned_id"], copied["passage"]) == (lesson.example_id, PASSAGE)


def test_without_labels_the_rows_own_answers_were_learned_and_prompts_count_without_their_frame(
    looked, tmp_path
):
    # given: an answer of the rows, which all but equal each other; one prompt lost its beginning
    found, answers, corpus = looked({"learned": ["labelled"]}, [ROWS[0]["a"]])
    # then
    assert found.columns["near_copy"].tolist() == [1, *[0] * 9]
    told = json.loads((tmp_path / "out" / "copied.json").read_bytes())
    assert told["learned"] == len(corpus.of_parts(["labelled"]))
    shared = [
        name
        for name, fields in zip(answers.measured.ids, answers.measured.fields, strict=True)
        if PASSAGE in fields["q"]
    ]
    assert 0 < len(shared) < 10
    assert told["prompts_seen"] == shared
    assert f"{len(shared)} of 10 prompts share 13 words in a row" in found.notes["memorised_rate"]


def test_of_json_answers_the_texts_are_held_against_each_other_and_not_their_keys(looked):
    keys = {f"key {number}": number for number in range(14)}
    texts = [json.dumps({**keys, "why": PASSAGE, "all": [PASSAGE]}), json.dumps(keys)]
    found, _, _ = looked({"learned": ["labelled"]}, texts, as_objects=True)
    assert found.columns["memorised_asked"].tolist() == [1, *[0] * 9]


def test_probes_count_in_fields_of_answers_and_each_kind_has_its_names(looked):
    # given
    probes = [Probe.model_validate_json(json.dumps(one)) for one in (GENDER, FORM, PLACES)]
    config = {"probes": [probe.model_dump(mode="json") for probe in probes]}
    texts = ['{"kinds": ["round", "long"], "who": "she"}', '{"kinds": "round", "who": "he"}',
             '{"kinds": 3, "who": "Japanese"}', "no JSON, he"]  # fmt: skip
    # when
    found, answers, _ = looked(config, texts, as_objects=True)
    # then
    in_x = [float(fields["land"] == "x") for fields in answers.measured.fields[:2]]
    assert found.columns["class@gender:man"].tolist() == [0, 1, 0, 1, *[0] * 6]
    assert found.columns["tags_texts@gender"].sum() == 10
    assert found.columns["class@form:round"].tolist() == [*in_x, *[0] * 8]
    assert found.columns["tags_texts@form"].tolist() == [2 * in_x[0], in_x[1], *[0] * 8]
    scores = answers.scores(found.columns)
    told = summarise(answers, scores)["metrics"]
    gate = Gate(rules=(Rule(metric="classes_top_share.gender", at_most=0.7, decide_by="point"),))
    (rule,) = decide(gate, {"student": scores}, "student", QUICK).rules
    assert (rule.decision, rule.n) == ("pass", 3)
    assert told["classes_top_share.gender"]["value"] == pytest.approx(2 / 3)
    assert told["traditions_covered"]["value"] == 1.0
    assert found.notes["traditions_covered"] == "What it says. What it does not say."
    assert {"classes_named.form", "traditions_named"} <= found.notes.keys()


QUICK = Resampling(draws=100)
RULE = {"metric": "classes_entropy", "at_least": 0.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "colours"}, r"probes.yaml:5 probes.0.kind: Input should be"),
        ({"tags": {"woman": ["she"], "man": ["!"]}}, r"yaml:\d+ probes.0.tags: the tag 'man'"),
        ({"text": "caption"}, r"probes.yaml:6 probes.0.text: 'caption' is nothing of an answer"),
        ({"text": "answer.who"}, r"probes.yaml:6 .* write answer$"),
        ({"kind": "words", "tags": {}}, r"probes.yaml:5 .*add it, or leave the probe to an audit"),
        ({"only": {"lend": ["x"]}}, r'yaml:\d+ probes.0.only: .*"lend" \(did you mean "land"\?\)'),
        ({"kind": "traditions"}, r"recipe.yaml:\d+ gate.rules.0.metric: no probe of probes.yaml"),
    ],
)  # fmt: skip
def test_probes_that_cannot_be_asked_are_refused_with_their_line(recipe, tmp_path, change, message):
    probe = GENDER | change
    plain = {"name": "mine", "version": "1", "probes": [probe]}
    YAML().dump(plain, tmp_path / "probes.yaml")
    path = recipe(probes="probes.yaml")
    path.write_text(path.read_text() + f"gate: {json.dumps({'rules': [RULE]})}\n")

    with pytest.raises(RecipeError, match=message):
        stillhouse.check(str(path))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("qq", r"probes.1.kind: a run has one probe of the kind"),
        ("r", r'yaml:\d+ probes.0.prompt: the rows have no column "r"'),
    ],
)
def test_a_run_compares_the_answers_of_one_column_that_is_there(recipe, tmp_path, prompts, message):
    probes = [
        {"name": f"n{at}", "kind": "contexts", "text": "answer", "prompt": name, **SENTENCES}
        for at, name in enumerate(prompts)
    ]
    YAML().dump({"name": "mine", "version": "1", "probes": probes}, tmp_path / "probes.yaml")

    with pytest.raises(RecipeError, match=message):
        stillhouse.check(str(recipe(probes="probes.yaml")))


def test_answers_to_one_prompt_are_compared_as_an_audit_compares_them(looked):
    # given: rows of two lands, of which the answers to y are not looked into
    probe = Probe(name="apart", kind="contexts", text="answer", prompt="land",
                  only={"land": ("x",)}, **SENTENCES)  # fmt: skip
    texts = [f"word{number} river" for number in range(10)]
    # when
    found, answers, _ = looked({"probes": [probe.model_dump(mode="json")]}, texts)
    # then
    lands = [fields["land"] for fields in answers.measured.fields]
    own = [text for text, land in zip(texts, lands, strict=True) if land == "x"]
    whole = score_spread([own])
    for name in ("spread", "spread_pairs"):
        assert found.columns[name].sum() == pytest.approx(whole[name].sum())
    assert "drawn whole" in found.notes["context_spread"]


def test_rows_that_name_no_prompt_are_not_answers_to_one(looked):
    probe = Probe(name="apart", kind="contexts", text="answer", prompt="pair", **SENTENCES)
    _, answers, _ = looked({}, [f"word{number} river" for number in range(10)])
    fields = [{"pair": "p"}, {"pair": "p"}, *[{"pair": None}, {}] * 4]
    paired = replace(answers, measured=replace(answers.measured, fields=fields))

    columns, _ = score_probes([probe], paired)

    assert columns["spread_pairs"].tolist() == [0.5, 0.5, *[0.0] * 8]


def test_a_file_of_probes_that_is_not_there_is_named_with_the_recipes_line(recipe):
    with pytest.raises(RecipeError, match=r"recipe.yaml:\d+ evaluate.probes: there is no file"):
        stillhouse.check(str(recipe(probes="none.yaml")))
