"""Every rule of every gate set is computed on small data of known answer: one passes, one fails."""

import json

import numpy as np
import pytest

from stillhouse.evals.answers import score_schema
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.calibration import score_confidence
from stillhouse.evals.christian import christian_columns
from stillhouse.evals.consistency import score_repeats
from stillhouse.evals.diversity import score_words
from stillhouse.evals.error_categories import error_columns
from stillhouse.evals.field_agreement import score_field_agreement
from stillhouse.evals.fields import score_fields
from stillhouse.evals.gates import decide
from stillhouse.evals.hallucination import hallucination_columns
from stillhouse.evals.improvement import improvement_columns
from stillhouse.evals.judged import Judged
from stillhouse.evals.scores import Scores
from stillhouse.evals.speed import TIMED
from stillhouse.evals.styles import score_styles
from stillhouse.recipes.answers import AnswerKind
from stillhouse.recipes.gate_sets import gate_set_names
from stillhouse.recipes.gating import Gate

N, POSITIVE = 200, 120
IDS = tuple(map(str, range(N)))
FIELDS = {
    "verdict": AnswerKind(kind="label", classes=("yes", "no"), positive=("yes",)),
    "score": AnswerKind(kind="number", low=0.0, high=100.0, within=5.0),
    "themes": AnswerKind(kind="labels"),
}


def first(number, start=0):
    """1 for `number` examples from `start` on."""
    place = np.arange(N)
    return ((place >= start) & (place < start + number)).astype(float)


def answers(verdicts, scores, themes=None):
    rows = zip(verdicts, scores, themes or [["grace"]] * N, strict=True)
    return [json.dumps({"verdict": v, "score": s, "themes": t}) for v, s, t in rows]


def verdicts_with(missed, invented):
    """The first `missed` positives and the first `invented` negatives are called the opposite."""
    wrong = first(missed) + first(invented, POSITIVE)
    return ["yes" if (i < POSITIVE) != bool(wrong[i]) else "no" for i in range(N)]


def speed(seconds, batch_s, **constants):
    columns = {TIMED: np.ones(N), "latency_s": np.full(N, seconds), "batch_s": np.full(N, batch_s)}
    return columns | {name: np.full(N, value) for name, value in constants.items()}


def songs(missed, invented, far, sure, spread, flips, timing):
    truth = verdicts_with(0, 0)
    teacher = [90.0 if i < POSITIVE else 20.0 for i in range(N)]
    verdicts = verdicts_with(missed, invented)
    scores = [value + (6.0 if far[i] else 5.0) for i, value in enumerate(teacher)]
    said, right = (
        answers(verdicts, scores),
        np.array([v == t for v, t in zip(verdicts, truth, strict=True)]),
    )
    repeats = [
        answers(["yes" if number and i < flips else "no" for i in range(N)],
                [50.0 + (spread if number == 3 else 0.0)] * N)
        for number in range(5)
    ]  # fmt: skip
    columns = score_fields(FIELDS, said, answers(truth, teacher), as_objects=True)
    columns |= score_field_agreement(
        FIELDS, said, answers(truth, teacher), together=("score", "verdict"), as_objects=True
    )
    columns |= score_confidence(np.where(right, *sure), right)
    columns |= score_repeats(FIELDS, repeats, as_objects=True)
    return {"student": Scores(IDS, columns | timing)}


def good_songs():
    timing = speed(2.0, 1.0, peak_memory_bytes=10e9)
    # 3 of 120 missed, 4 of 80 invented, 7 more that are too far from the teacher
    scores = songs(3, 4, first(7, 10), (0.97, 0.4), 3.0, 2, timing)
    return scores, {
        "score_verdict_agreement": 186 / 200,
        "accuracy.verdict": 193 / 200,
        "false_positive_rate.verdict": 4 / 80,
        "false_negative_rate.verdict": 3 / 120,
        "auroc_confidence": 1.0,
        "ece": (193 * 0.03 + 7 * 0.4) / 200,
        "repeat_range.score": 0.03,
        "flip_rate.verdict": 0.01,
        "throughput_per_minute": 60.0,
        "latency_mean_s": 2.0,
        "peak_memory_bytes": 10e9,
    }


def bad_songs():
    timing = speed(4.0, 4.0, peak_memory_bytes=25e9)
    scores = songs(30, 16, first(30, 40), (0.4, 0.97), 10.0, 20, timing)
    return scores, {
        "score_verdict_agreement": (200 - 76) / 200,
        "accuracy.verdict": (200 - 46) / 200,
        "false_positive_rate.verdict": 16 / 80,
        "false_negative_rate.verdict": 30 / 120,
        "auroc_confidence": 0.0,
        "ece": (154 * 0.6 + 46 * 0.97) / 200,
        "repeat_range.score": 0.1,
        "flip_rate.verdict": 0.1,
        "throughput_per_minute": 15.0,
        "latency_mean_s": 4.0,
        "peak_memory_bytes": 25e9,
    }


def sft(wrong, improved, invented, invalid, timing):
    """Judgements of which `wrong` are wrong in each of six ways."""
    known = [
        Judged(97.0 if i < POSITIVE else 20.0, "yes" if i < POSITIVE else "no",
               frozenset({"grace"}), frozenset({"John.3"})) for i in range(N)
    ]  # fmt: skip
    said = list(known)
    for i in range(wrong):
        said[i] = Judged(40.0, "no", frozenset({"hope"}), frozenset({"Luke.1"}))
        said[POSITIVE + i] = Judged(96.0, "yes", frozenset({"grace"}), frozenset({"John.3"}))
    # What is in use has the verdict wrong where the student gains.
    other = [
        Judged(one.score, "" if i >= N - improved else one.verdict) for i, one in enumerate(known)
    ]
    texts = [
        answers(["yes"], [one.score], [sorted(one.themes)])[0] if i >= invalid else "no JSON"
        for i, one in enumerate(said)
    ] if invalid else answers([one.verdict for one in said], [one.score for one in said],
                              [sorted(one.themes) for one in said])  # fmt: skip
    truth = answers([one.verdict for one in known], [one.score for one in known])
    schema = {"type": "object", "properties": {"score": {"minimum": 0, "maximum": 100}}}
    columns = score_fields(FIELDS, texts, truth, as_objects=True)
    columns |= christian_columns(said, [i < POSITIVE for i in range(N)])
    columns |= error_columns(said, known) | improvement_columns(said, other, known)
    columns |= hallucination_columns(
        [{"theme"} if i < invented else set() for i in range(N)], [False] * N
    )
    columns |= score_schema(texts, schema)
    in_use = score_fields(FIELDS, truth, truth, as_objects=True)
    return {
        "student": Scores(IDS, columns | timing),
        "production": Scores(IDS, in_use | speed(2.5, 1.0)),
    }


SIX = ("false_positive_christian", "false_negative_christian", "score_overestimate",
       "score_underestimate", "theme_misclassification", "scripture_mismatch")  # fmt: skip


def good_sft():
    timing = speed(2.0, 1.0, peak_memory_bytes=25e9, load_s=20.0, size_bytes=14e9)  # fmt: skip
    scores = sft(4, 70, 10, 0, timing)
    return scores, {
        "christian_accuracy": 192 / 200,
        "improved_share": 70 / 200,
        "hallucination_rate": 0.05,
        # 196 of 200 themes found, as many said as asked
        "micro_f1.themes": 196 / 200,
        **{f"error.{name}": 4 / 200 for name in SIX},
        "schema_valid": 1.0,
        "accuracy.verdict": 192 / 200,
        "latency_mean_s": [0.8, 2.0],
        "latency_p95_s": 2.0,
        "load_s": 20.0,
        "peak_memory_bytes": 25e9,
        "size_bytes": 14e9,
    }


def bad_sft():
    timing = speed(6.0, 1.0, peak_memory_bytes=35e9, load_s=40.0, size_bytes=42e9)  # fmt: skip
    scores = sft(40, 10, 30, 1, timing)
    return scores, {
        "christian_accuracy": 120 / 200,
        "improved_share": 10 / 200,
        "hallucination_rate": 0.15,
        # one answer cannot be read: 199 said, 200 asked, 160 found
        "micro_f1.themes": 2 * 160 / 399,
        **{f"error.{name}": 40 / 200 for name in SIX},
        "schema_valid": 199 / 200,
        # all but the first say yes: the positives but one are right
        "accuracy.verdict": 119 / 200,
        "latency_mean_s": [2.4, 6.0],
        "latency_p95_s": 6.0,
        "load_s": 40.0,
        "peak_memory_bytes": 35e9,
        "size_bytes": 42e9,
    }


TEXT = {"answer": AnswerKind(kind="text")}
REFERENCES = [f"the debit of account {i} is {i * 7} dollars" for i in range(N)]


def qa(said, kl):
    def scored(texts, divergence):
        columns = score_fields(TEXT, texts, REFERENCES, as_objects=False)
        return Scores(IDS, columns | {"kl": np.full(N, divergence), "tokens": np.ones(N)})

    return {
        "student": scored(said, kl),
        "teacher": scored(REFERENCES, 0.0),
        "twin": scored(REFERENCES, 0.5),
    }


def good_qa():
    return qa(REFERENCES, 0.2), {"bleu.answer": 1.0, "kl_to_teacher": -0.3}


def bad_qa():
    # The teacher has 100 of 100; no word of the student is right.
    return qa(["no idea at all"] * N, 0.75), {"bleu.answer": 0.0, "kl_to_teacher": 0.25}


def prompts(texts, fidelity):
    def scored(own, rating):
        judged = {"context_fidelity": np.full(N, rating), "context_fidelity_judged": np.ones(N)}
        return Scores(IDS, score_words(own) | score_styles(own) | judged)

    other = [f"a b{i}" for i in range(N)]
    return {
        "student": scored(texts, fidelity),
        "teacher": scored(other, 4.5),
        "production": scored(other, 3.0),
    }


def good_prompts():
    return prompts([f"a b{i}" for i in range(N)], 4.5), {
        "style_reference_rate": 0.0, "entropy": 1.0, "context_fidelity": 0.0,
    }  # fmt: skip


def bad_prompts():
    texts = ["in the style of someone", *["a b"] * (N - 1)]
    return prompts(texts, 4.0), {
        "style_reference_rate": 1 / 200, "entropy": None, "context_fidelity": -0.5,
    }  # fmt: skip


def neurons(kl):
    return {"student": Scores(IDS, {"kl": np.full(N, kl), "tokens": np.ones(N)})}


CASES = {
    "songs": (good_songs, bad_songs),
    "songs-sft": (good_sft, bad_sft),
    "qa": (good_qa, bad_qa),
    "prompts": (good_prompts, bad_prompts),
    "neurons": (
        lambda: (neurons(0.5), {"kl_to_teacher": 0.5}),
        lambda: (neurons(1.5), {"kl_to_teacher": 1.5}),
    ),
}


def test_every_set_has_its_cases():
    assert sorted(CASES) == gate_set_names()


@pytest.mark.parametrize("decision", ["pass", "fail"])
@pytest.mark.parametrize("name", CASES)
def test_every_rule_of_a_set_computes_the_known_answer_and_decides_by_it(name, decision):
    # given
    scores, known = CASES[name][decision == "fail"]()
    # when
    verdict = decide(Gate(set=name), scores, "student", Resampling(draws=100))
    # then
    seen = {}
    for rule in verdict.rules:
        seen.setdefault(rule.metric, []).append(rule)
    assert set(seen) == set(known)
    for metric, expected in known.items():
        values = expected if isinstance(expected, list) else [expected]
        for rule, value in zip(seen[metric], values, strict=True):
            assert rule.decision == decision, (metric, rule.reason)
            if value is not None:
                assert rule.value == pytest.approx(value), metric


def test_strict_songs_need_189_of_200():
    scores, _ = good_songs()
    verdict = decide(Gate(set="songs", strict=True), scores, "student", Resampling(draws=100))
    said = {rule.metric: rule for rule in verdict.rules}
    assert said["score_verdict_agreement"].decision == "not enough data"
    assert said["accuracy.verdict"].decision == "pass"
    assert not verdict.passed
    near = songs(1, 1, first(9, 20), (0.97, 0.4), 3.0, 2, speed(2.0, 1.0, peak_memory_bytes=1e9))
    found = decide(Gate(set="songs", strict=True), near, "student", Resampling(draws=100))
    (agreement,) = [r for r in found.rules if r.metric == "score_verdict_agreement"]
    assert (round(agreement.value * 200), agreement.decision) == (189, "pass")
