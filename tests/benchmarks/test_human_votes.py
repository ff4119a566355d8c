"""The experiment on people's votes: nothing leaks over a fold, and both students have one start."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stillhouse.data.prepare import prepare_rows
from stillhouse.data.readers import build_rows
from stillhouse.recipes.rows import Drop, Prepare, Split

HOME = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch):
    monkeypatch.syspath_prepend(str(HOME))


def write_votes(folder):
    row = {
        "hypothesis": "one can go in",
        "ambiguous_sent": "premise",
    } | {f"q{number}_gold": ["neutral"] * 6 + ["entailment"] * 3 for number in range(4)}
    rows = [
        row
        | {
            "id": number // 2,
            "premise": f"door {number} is open",
            "interpretations": [
                f"door {number} {state}" for state in ("swings", "opens", "stands")
            ],
        }
        for number in range(12)
    ]
    path = folder / "ambient_crowd9_even.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def test_shares_of_votes_become_class_targets(tmp_path):
    from voted import read_votes

    questions = read_votes("AmbiEnt", write_votes(tmp_path))

    assert questions.targets[0].classes == ("entailment", "neutral", "contradiction")
    np.testing.assert_allclose(questions.probs_NC, [[1 / 3, 2 / 3, 0]] * 48)


def test_a_question_and_its_twins_are_in_one_fold(tmp_path):
    from human_votes import deal
    from voted import read_votes

    questions = read_votes("AmbiEnt", write_votes(tmp_path))

    fold_N = deal(questions.group_N, seed=1).reshape(6, 8)

    assert np.all(fold_N == fold_N[:, :1])
    assert sorted(np.bincount(fold_N[:, 0])) == [1, 1, 1, 1, 2]


def test_the_class_with_most_votes_wins_and_equals_are_drawn():
    from human_votes import majority

    counts_NC = np.array([[1.0, 3, 2]] + [[2.0, 2, 0]] * 40)

    labels_N = majority(counts_NC, seed=0)

    assert labels_N[0] == 1
    assert set(labels_N[1:]) == {0, 1}


def test_a_temperature_undoes_what_scores_were_multiplied_by():
    from human_votes import fit_temperature, softmax

    scores_NC = np.random.default_rng(0).normal(size=(200, 3))

    assert fit_temperature(4.0 * scores_NC, softmax(scores_NC)) == pytest.approx(4.0, rel=1e-2)


def test_one_vote_each_is_plain_cross_entropy(tmp_path):
    torch = pytest.importorskip("torch")
    from torch.nn.functional import cross_entropy

    from answering import PLANS, Reading, train
    from stillhouse.losses.class_level import class_divergence
    from stillhouse.losses.divergences import ForwardKL
    from voted import read_votes

    reading = Reading(read_votes("AmbiEnt", write_votes(tmp_path)), PLANS["n-grams"])
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 3, 48))
    hard = torch.eye(3)[labels]
    losses = (
        lambda scores, chosen: cross_entropy(scores, labels[chosen], reduction="none"),
        lambda scores, chosen: class_divergence(ForwardKL(), scores, hard[chosen]),
    )

    first, second = (train(reading, np.arange(32), np.arange(32, 48), one, 0, 2) for one in losses)

    np.testing.assert_allclose(first, second, atol=1e-4)


def test_a_recipe_learns_from_votes_as_rows_when_equal_rows_stay():
    rows = [
        (f"votes:{number}", {"text": "is it open?", "vote": vote, "person": number})
        for number, vote in enumerate(["yes"] * 6 + ["no"] * 3)
    ] + [("votes:9", {"text": "is it shut?", "vote": "no", "person": 0})]

    def kept(drop):
        split = Split(parts={"holdout": 1, "labelled": "rest"})
        prepare = Prepare(user="{text}", answer="vote", drop=drop, split=split)
        return [one.answer for one in prepare_rows(build_rows(rows), prepare).examples]

    assert sorted(kept(Drop(duplicates=False))) == ["no"] * 4 + ["yes"] * 6
    assert sorted(kept(Drop())) == ["no", "no", "yes"]


def test_without_data_it_says_so_and_no_goal_is_kept_or_missed():
    done = subprocess.run(
        [sys.executable, str(HOME / "human_votes.py"), "--quick"], capture_output=True, timeout=60
    )

    line = json.loads(done.stdout)

    assert line["figures"]["skipped"] == "no --data was named"
    assert line["holds"] is None
