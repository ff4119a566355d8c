"""What a student that learns from people's votes has over one that learns their majority.

Both are one student with the same first weights, steps and batches: one takes the forward KL to the
votes, the other cross-entropy with the label that most people chose. Questions with twins stay on
one side of each of five folds; every question is answered by students that saw neither it nor its
twins. The fairest opponent is the majority's student with its temperature set afterwards.

Legend: N questions, C classes, R resamples, G groups of questions.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from measure import Goal, parser, print_line, spread
from stillhouse.evals.bootstrap import Resampling, bootstrap
from stillhouse.evals.calibration import CALIBRATION_METRICS, score_confidence
from stillhouse.evals.metric import Metric
from stillhouse.evals.scores import Scores
from stillhouse.evals.votes import VOTE_METRICS, score_votes

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

CELLS = (
    ("AmbiEnt", "n-grams"),
    ("BBQ", "n-grams"),
    ("ConvAbuse", "n-grams"),
    ("GoEmotions", "n-grams"),
    ("ConvAbuse", "encoder"),
)
SHOWN = (
    "kl_to_votes",
    "jsd_to_votes",
    "entropy_correlation",
    "ece_to_votes",
    "ece",
    "auroc_confidence",
    "majority_accuracy",
    "brier_to_votes",
)
METRICS = [
    metric
    for name in SHOWN
    for metric in (*VOTE_METRICS, *CALIBRATION_METRICS)
    if metric.name == name
]
FOLDS, LOOKS, SMOOTHING, PRIOR = 5, 8, 0.1, 1.0
"""Smoothing is the usual share of the uniform distribution in a hard label; the prior is one more
vote, spread as all votes of the training questions are."""

VOTES, MAJORITY, SCALED = "votes", "majority", "majority, scaled to votes"
AGAINST = (
    MAJORITY,
    "majority, smoothed",
    "majority, scaled to majority",
    SCALED,
    "no student: all votes' shares",
)


@dataclass(frozen=True, slots=True)
class Said:
    """What students said of some questions.

    Attributes:
        validation: (looks, V, C) scores of the questions that are only looked at.
        test: (looks, N, C) scores of those that are measured.
        best: the look at which the validation loss was least, by the labels that it learns.
    """

    validation: Floats
    test: Floats
    best: int


def main() -> None:
    """Train every student on every set, fold and seed; print how they differ."""
    options = parser(__doc__, repeats=3)
    options.add_argument("--data", type=Path, help="folder of the files that voted.py names")
    told = options.parse_args()
    if told.data is None or not told.data.is_dir():
        reason = f"no folder {told.data}" if told.data else "no --data was named"
        print_line("human_votes", {"skipped": reason}, {"KL": Goal(None, at_most=0)}, told.quick)
        return
    import torch

    torch.set_num_threads(told.threads)
    cells = [cell for cell in CELLS if not told.quick or cell == ("ConvAbuse", "n-grams")]
    seeds, folds = (1, 2) if told.quick else (told.repeats, FOLDS)
    table, goals = {}, {}
    for name, student in cells:
        where = f"{name}, {student}"
        table[where] = _cell(name, student, told.data, (seeds, folds))
        for other in (MAJORITY, SCALED):
            gap = table[where]["votes minus"][other]["kl_to_votes"]
            goals[f"KL, votes minus {other}, {where}"] = Goal(gap["high"], at_most=0.0)
        print(where, table[where]["seconds"], file=sys.stderr, flush=True)
    figures = {"seeds": seeds, "folds": f"{folds} of {FOLDS}", "threads": told.threads}
    print_line("human_votes", {**figures, "cells": table}, goals, told.quick)


# One set of questions -------------------------------------------------------------------------


def _cell(name: str, student: str, folder: Path, size: tuple[int, int]) -> dict[str, Any]:
    """Every way of learning, on one set and with one student."""
    import time

    from answering import PLANS, Reading
    from voted import read_votes

    began = time.perf_counter()
    questions = read_votes(name, folder)
    reading = Reading(questions, PLANS[student])
    seeds, folds = size
    answers = Answers(questions.group_N, questions.counts_NC)
    for seed in range(seeds):
        fold_N = deal(questions.group_N, seed)
        labels_N = majority(questions.counts_NC, seed)
        for fold in range(folds):
            test = np.flatnonzero(fold_N == fold)
            validation = np.flatnonzero(fold_N == (fold + 1) % FOLDS)
            learned = np.setdiff1d(np.arange(len(questions)), [*test, *validation])
            lesson = Lesson(reading, questions.probs_NC, questions.counts_NC, labels_N, seed)
            for way, probs_NC in lesson.all_ways(learned, validation, test).items():
                answers.add(way, seed, test, probs_NC)
    found = answers.measured()
    return {
        "questions": len(questions),
        "groups": int(questions.group_N.max()) + 1,
        "classes": len(questions.classes),
        "ways": {
            way: {metric: spread(values) for metric, values in own.items()}
            for way, own in found.items()
        },
        "votes minus": {other: answers.difference(VOTES, other) for other in AGAINST},
        "scaled votes minus": {SCALED: answers.difference("votes, scaled to votes", SCALED)},
        "seconds": round(time.perf_counter() - began),
    }


def deal(group_N: Places, seed: int) -> Places:
    """(N,) the fold of each question: groups in random order, each to the smallest fold."""
    sizes = np.bincount(group_N)
    fold_of, load = np.zeros(len(sizes), dtype=np.int64), np.zeros(FOLDS)
    for group in np.random.default_rng(seed).permutation(len(sizes)):
        fold_of[group] = load.argmin()
        load[fold_of[group]] += sizes[group]
    return fold_of[group_N]


def majority(counts_NC: Floats, seed: int) -> Places:
    """(N,) the class with most votes; of equals, one that is drawn."""
    drawn = np.random.default_rng(seed).random(counts_NC.shape)
    labels: Places = (counts_NC + 0.5 * drawn).argmax(1)
    return labels


@dataclass(frozen=True, slots=True)
class Lesson:
    """The ways of learning that are compared, on one fold.

    Attributes:
        reading: the questions as the student reads them.
        probs_NC: shares of votes.
        counts_NC: votes.
        labels_N: the majority's class.
        seed: of weights, order and dropout.
    """

    reading: Any
    probs_NC: Floats
    counts_NC: Floats
    labels_N: Places
    seed: int

    def all_ways(self, learned: Places, validation: Places, test: Places) -> dict[str, Floats]:
        """(N, C) of each way: what it says of the test questions.

        Args:
            learned: places of the questions that are trained on.
            validation: of those that temperatures and best looks are chosen by.
            test: of those that are measured.

        Returns:
            Way to probabilities.
        """
        shares_C = self.probs_NC[learned].mean(0)
        hard_NC = np.eye(self.probs_NC.shape[1])[self.labels_N]
        prior_NC = self.counts_NC + PRIOR * shares_C
        targets = {
            VOTES: self.probs_NC,
            "votes and a prior": prior_NC / prior_NC.sum(1, keepdims=True),
            MAJORITY: hard_NC,
            "majority, smoothed": (1 - SMOOTHING) * hard_NC + SMOOTHING / hard_NC.shape[1],
        }
        said = {
            way: self._learn(way, target_NC, learned, validation, test)
            for way, target_NC in targets.items()
        }
        ways = {way: softmax(own.test[own.best]) for way, own in said.items()}
        for way in (VOTES, MAJORITY):
            ways[f"{way}, all steps"] = softmax(said[way].test[-1])
        for way, to, target_NC in (
            (VOTES, "votes", self.probs_NC),
            (MAJORITY, "votes", self.probs_NC),
            (MAJORITY, "majority", hard_NC),
        ):
            own = said[way]
            heat = fit_temperature(own.validation[own.best], target_NC[validation])
            ways[f"{way}, scaled to {to}"] = softmax(own.test[own.best] / heat)
        return ways | {AGAINST[-1]: np.tile(shares_C, (len(test), 1))}

    def _learn(
        self, way: str, target_NC: Floats, learned: Places, validation: Places, test: Places
    ) -> Said:
        import torch
        from torch.nn.functional import cross_entropy

        from answering import train
        from stillhouse.losses.class_level import class_divergence
        from stillhouse.losses.divergences import ForwardKL

        targets = torch.from_numpy(target_NC).float()
        labels = torch.from_numpy(self.labels_N)

        def loss(scores: Any, chosen: Places) -> Any:
            if way == MAJORITY:
                return cross_entropy(scores, labels[chosen], reduction="none")
            return class_divergence(ForwardKL(), scores, targets[chosen])

        asked = np.concatenate([validation, test])
        said = train(self.reading, learned, asked, loss, self.seed, LOOKS)
        looked, tested = said[:, : len(validation)], said[:, len(validation) :]
        losses = [mean_loss(scores, target_NC[validation]) for scores in looked]
        return Said(looked, tested, int(np.argmin(losses)))


def log_softmax(scores: Floats) -> Floats:
    """Nats over the last axis."""
    shifted = scores - scores.max(-1, keepdims=True)
    logs: Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logs


def softmax(scores: Floats) -> Floats:
    """Probabilities over the last axis."""
    probs: Floats = np.exp(log_softmax(scores))
    return probs


def mean_loss(scores_NC: Floats, target_NC: Floats) -> float:
    """Cross-entropy with the targets, nats per question."""
    return float(-(target_NC * log_softmax(scores_NC)).sum(1).mean())


def fit_temperature(scores_NC: Floats, target_NC: Floats) -> float:
    """What scores are divided by so that their cross-entropy with the targets is least.

    Args:
        scores_NC: (N, C) of questions that were not trained on.
        target_NC: (N, C) probabilities.

    Returns:
        A temperature in [0.05, 20].

    Source: Guo et al. 2017, arXiv:1706.04599, section 4.2.
    """
    from scipy.optimize import minimize_scalar

    limits = (np.log(0.05), np.log(20.0))
    found = minimize_scalar(
        lambda log_heat: mean_loss(scores_NC / np.exp(log_heat), target_NC),
        bounds=limits,
        method="bounded",
    )
    return float(np.exp(found.x))


# Measuring ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that was said, as the project's own score columns.

    Attributes:
        group_N: (N,) the group of each question.
        counts_NC: (N, C) votes.
        said: way to parts of (seed, places, probabilities).
    """

    group_N: Places
    counts_NC: Floats
    said: dict[str, list[tuple[int, Places, Floats]]] = field(default_factory=dict)

    def add(self, way: str, seed: int, places: Places, probs_NC: Floats) -> None:
        """Keep what one student said of its fold."""
        self.said.setdefault(way, []).append((seed, places, probs_NC))

    def _scores(self, way: str) -> tuple[Scores, Places, Places]:
        """Scores of every seed's answers, with their seeds and groups."""
        seeds = np.concatenate([np.full(len(at), seed) for seed, at, _ in self.said[way]])
        places = np.concatenate([at for _, at, _ in self.said[way]])
        probs_NC = np.concatenate([probs for _, _, probs in self.said[way]])
        columns = score_votes(self.counts_NC[places], probs_NC)
        columns |= score_confidence(
            columns["top_prob"].clip(0.0, 1.0).tolist(), columns["majority_right"].tolist()
        )
        ids = tuple(f"{seed}:{at}" for seed, at in zip(seeds, places, strict=True))
        return Scores(ids, columns), seeds, self.group_N[places]

    def measured(self) -> dict[str, dict[str, list[float]]]:
        """Way and metric to one value a seed; what a way cannot tell is left out."""
        found = {}
        for way in self.said:
            scores, seeds, _ = self._scores(way)
            weights = (seeds == np.unique(seeds)[:, None]).astype(np.float64)
            values = {
                metric.name: metric.statistic(metric.columns(scores), weights).tolist()
                for metric in METRICS
                if not (way == AGAINST[-1] and metric.name in _NOT_OF_ONE_ANSWER)
            }
            found[way] = values
        return found

    def difference(self, way: str, other: str) -> dict[str, dict[str, float]]:
        """Metric to one way's value minus another's, with an interval over groups and seeds."""
        own, seeds, groups = self._scores(way)
        its, _, _ = self._scores(other)
        found = {}
        for metric in METRICS:
            if other == AGAINST[-1] and metric.name in _NOT_OF_ONE_ANSWER:
                continue
            gap = _Gap(metric, (metric.columns(own), metric.columns(its)), groups, seeds)
            units = 1.0 + np.unique(groups)[:, None].astype(np.float64)
            estimate = bootstrap(units, gap, Resampling(draws=1000))
            row = dataclasses.asdict(estimate)
            found[metric.name] = {name: float(f"{row[name]:.4g}") for name in _BOUNDS}
        return found


_BOUNDS = ("value", "low", "high")
_NOT_OF_ONE_ANSWER = ("entropy_correlation", "auroc_confidence")
"""What says the same of every question of a fold has no order of its own."""


class _Gap:
    """A difference as a statistic of groups: whole groups and whole seeds are drawn.

    Args:
        metric: what is compared.
        columns: (N, S) of both.
        groups: (N,) the group of each answer.
        seeds: (N,) the seed of each answer.
    """

    def __init__(
        self, metric: Metric, columns: tuple[Floats, Floats], groups: Places, seeds: Places
    ) -> None:
        self._metric, self._columns = metric, columns
        _, self._group_N = np.unique(groups, return_inverse=True)
        _, self._seed_N = np.unique(seeds, return_inverse=True)
        self._random = np.random.default_rng(0)

    def __call__(self, _units: Floats, weights_RG: Floats) -> Floats:
        """(R,) differences under the weights of groups (R, G)."""
        step = max(1, (4 << 20) // len(self._group_N) // 8)
        parts = range(0, len(weights_RG), step)
        return np.concatenate([self._of(weights_RG[at : at + step]) for at in parts])

    def _of(self, weights_RG: Floats) -> Floats:
        num_seeds = int(self._seed_N.max()) + 1
        shares = np.full(num_seeds, 1.0 / num_seeds)
        drawn_RS = self._random.multinomial(num_seeds, shares, len(weights_RG)).astype(np.float64)
        # Weights without a repeat are no resample but the whole, or the whole without a few.
        drawn_RS[weights_RG.max(1) <= 1.0] = 1.0
        weights_RN = weights_RG[:, self._group_N] * drawn_RS[:, self._seed_N]
        first, second = (self._metric.statistic(one, weights_RN) for one in self._columns)
        return first - second


if __name__ == "__main__":
    main()
