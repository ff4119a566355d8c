"""How far apart answers to one prompt lie, and how sure that is: prompts are drawn, not answers.

`pytest tests/evals/test_spread.py -m long -s` prints the intervals' coverage, with and without.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom
from tests.evals.test_estimates import scores_of

from stillhouse.evals import spread
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.spread import score_spread, spread_of_answers

(METRIC,) = spread.METRICS
PROMPTS, CONTEXTS, WORDS = 20, 4, 8


def answers_of(generator, prompts=PROMPTS):
    """Answers whose words change from context to context in a share of the prompt's own."""
    texts, names = [], []
    for prompt in range(prompts):
        share = generator.beta(0.7, 0.7)
        for _ in range(CONTEXTS):
            changed = generator.random(WORDS) < share
            words = [f"w{place}x{generator.integers(1000) if new else 0}"
                     for place, new in enumerate(changed)]  # fmt: skip
            texts.append(" ".join(words))
            names.append(f"prompt {prompt}")
    return texts, names


def interval_of(metric, columns, draws=300):
    return estimate_metric(metric, scores_of(columns), Resampling(draws=draws))


def test_a_prompt_that_stands_in_many_rows_counts_as_one_that_stands_in_one():
    texts, names = answers_of(np.random.default_rng(0))
    order = np.random.default_rng(1).permutation(len(texts))

    apart = spread_of_answers([texts[at] for at in order], [names[at] for at in order])
    whole = score_spread([texts[at : at + CONTEXTS] for at in range(0, len(texts), CONTEXTS)])

    ours, audits = (interval_of(METRIC, one) for one in (apart, whole))
    assert ours.value == pytest.approx(audits.value)
    assert ours.n == audits.n == PROMPTS * CONTEXTS * (CONTEXTS - 1) // 2
    # The prompts come in another order, and other draws of them.
    assert ours.high - ours.low == pytest.approx(audits.high - audits.low, rel=0.15)


def coverage_of(metric, trials):
    """How many of the 95 % intervals hold the value that many prompts have."""
    generator = np.random.default_rng(7)
    texts, names = answers_of(generator, 4000)
    columns = spread_of_answers(texts, names)
    truth = columns["spread"].sum() / columns["spread_pairs"].sum()
    found = 0
    for _ in range(trials):
        estimate = interval_of(metric, spread_of_answers(*answers_of(generator)))
        found += estimate.low <= truth <= estimate.high
    return found


def test_the_intervals_hold_the_truth_as_often_as_they_say():
    trials = 120

    # Of 120 intervals of 95 %, fewer than 107 hold it by chance one time in a thousand.
    assert coverage_of(METRIC, trials) >= binom.ppf(0.001, trials, 0.95)


@pytest.mark.long
def test_intervals_of_answers_drawn_one_by_one_are_too_narrow():
    trials = 600
    drawn_alone = replace(METRIC, together="")
    whole, alone = coverage_of(METRIC, trials), coverage_of(drawn_alone, trials)
    print(
        f"\ncoverage of 95 % intervals: prompts {whole / trials:.3f}, answers {alone / trials:.3f}"
    )
    assert alone < binom.ppf(0.001, trials, 0.95) <= whole
