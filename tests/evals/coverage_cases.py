"""Populations of known truth, and how often intervals and gate decisions are right about them."""

import numpy as np

from stillhouse.evals.bootstrap import Resampling, bootstrap, of_sums, ratio
from stillhouse.evals.compare import compare
from stillhouse.evals.estimates import estimate_metric
from stillhouse.evals.gates import decide
from stillhouse.evals.metrics import metric_by_name
from stillhouse.evals.scores import Scores
from stillhouse.recipes.gating import Gate, Rule

MEAN = of_sums(ratio)


def difference_of_means(sums):
    return sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 1]


def plain_mean(values):
    return np.stack([values, np.ones(len(values))], axis=1)


def normal(generator, n):
    return plain_mean(generator.normal(1.0, 1.0, n))


def exponential(generator, n):
    return plain_mean(generator.exponential(1.0, n))


def ratio_of_sums(generator, n):
    """Losses of texts of unequal length: 0.5 a token, with noise that grows with the length."""
    tokens = generator.integers(5, 60, n).astype(float)
    return np.stack([0.5 * tokens + generator.normal(0, 1, n) * np.sqrt(tokens), tokens], axis=1)


def correlated_pair(generator, n):
    shared = generator.normal(0, 1, n)
    one = 0.3 + shared + generator.normal(0, 0.5, n)
    two = shared + generator.normal(0, 0.5, n)
    return np.stack([one, np.ones(n), two], axis=1)


def heavy_tailed_pair(generator, n):
    """Losses whose difference is nothing on most examples and large on a few hard ones."""
    hard = generator.exponential(1.0, n)
    one, two = (hard * generator.uniform(0.5, 1.5, n) for _ in range(2))
    return np.stack([one, np.ones(n), two], axis=1)


CONTINUOUS = {
    "normal": (normal, MEAN, 1.0),
    "exponential": (exponential, MEAN, 1.0),
    "ratio of sums": (ratio_of_sums, MEAN, 0.5),
    "paired difference": (correlated_pair, of_sums(difference_of_means), 0.3),
    "heavy-tailed pair": (heavy_tailed_pair, of_sums(difference_of_means), 0.0),
}


def coverage(name, n, simulations, draws):
    """The share of simulations whose interval holds the truth, and the misses on either side."""
    draw, statistic, truth = CONTINUOUS[name]
    below = above = 0
    for number in range(simulations):
        columns = draw(np.random.default_rng([n, number]), n)
        found = bootstrap(columns, statistic, Resampling(draws, seed=number))
        below += found.high < truth
        above += found.low > truth
    return 1 - (below + above) / simulations, below / simulations, above / simulations


def table(right, *, units=None, kl=None):
    ids = tuple(map(str, range(len(right))))
    columns = {"exact": np.asarray(right, float)}
    if units is not None:
        columns = {"field:f": columns["exact"], "field_asked:f": np.asarray(units, float)}
    if kl is not None:
        columns |= {"kl": np.asarray(kl, float), "tokens": np.ones(len(kl))}
    return Scores(ids, columns)


def fraction_coverage(p, n, simulations):
    """As `coverage`, of the interval of a fraction."""
    hits = 0
    for number in range(simulations):
        scores = table(np.random.default_rng([n, number]).random(n) < p)
        found = estimate_metric(metric_by_name("exact_match", scores), scores, Resampling())
        hits += found.low <= p <= found.high
    return hits / simulations


def paired_fractions(generator, n, p_one, p_two, p_both):
    """Who is right on each example, with the three probabilities as given."""
    cells = [p_both, p_one - p_both, p_two - p_both, 1 - p_one - p_two + p_both]
    which = generator.choice(4, n, p=np.round(cells, 12))
    return (which == 0) | (which == 1), (which == 0) | (which == 2)


def paired_coverage(relation, n, probabilities, simulations):
    """As `coverage`, of the interval of two fractions on the same examples."""
    p_one, p_two, _ = probabilities
    truth = p_one - p_two if relation == "difference" else p_one / p_two
    hits = 0
    for number in range(simulations):
        generator = np.random.default_rng([n, number])
        one, two = (table(each) for each in paired_fractions(generator, n, *probabilities))
        metric = metric_by_name("exact_match", one)
        found = compare(metric, one, two, relation, Resampling())
        hits += found.low <= truth <= found.high
    return hits / simulations


def share_of_passes(rule, make_scores, simulations, draws=400):
    """How often a gate of one rule passes."""
    gate = Gate(rules=(Rule(**rule),))
    passes = 0
    for number in range(simulations):
        scores = make_scores(np.random.default_rng(number))
        passes += decide(gate, scores, "student", Resampling(draws, seed=number)).passed
    return passes / simulations
