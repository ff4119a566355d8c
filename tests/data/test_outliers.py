"""Rows about something else stand at the top of a ranking, repeated junk among them."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.errors import AccountingError
from stillhouse.core.rows import Drop, Keep, Row
from stillhouse.data import neighbours
from stillhouse.data.account import run_step
from stillhouse.data.neighbours import clusters_of, nearest
from stillhouse.data.outlier_step import OutlierStep, Verdict
from stillhouse.data.outliers import score_by_density, score_by_neighbours
from stillhouse.data.tfidf import tfidf
from stillhouse.recipes.meaning_steps import DropOutliers

WORDS = ["debt", "asset", "bank", "loan", "price", "firm", "book", "cash", "rate", "share", "tax"]


def topic(number, seed=0):
    rng = Random(seed)
    return [f"what is the {' of the '.join(rng.sample(WORDS, 3))}" for _ in range(number)]


def rows_of(texts):
    return [
        Row(f"{place:04}", {"question": text}, f"a:{place}") for place, text in enumerate(texts)
    ]


def step(judge=None, vectors=tfidf, **settings_):
    return OutlierStep(DropOutliers(**settings_), vectors, judge)


def unit(seed, number, size=6):
    vectors = np.random.default_rng(seed).standard_normal((number, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 8), st.booleans())
def test_the_nearest_are_those_of_all_pairs(seed, number, count, is_grouped):
    vectors = unit(seed, number)
    groups = np.random.default_rng(seed).integers(0, 4, number) if is_grouped else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_BLOCK_COSINES", 3 * number)
        found = nearest(vectors, count, groups)

    for one in range(number):
        others = [
            other
            for other in range(number)
            if other != one and (groups is None or groups[other] != groups[one])
        ]
        naive = sorted((float(vectors[one] @ vectors[o]) for o in others), reverse=True)[:count]
        seen = found.cosines[one][found.is_there[one]]
        np.testing.assert_allclose(seen, naive, atol=1e-6)
        distance = np.mean([1 - cosine for cosine in naive]) if naive else 0.0
        assert found.distances[one] == pytest.approx(distance, abs=1e-6)


def test_sparse_and_dense_vectors_have_the_same_neighbours():
    vectors = tfidf(topic(40))

    sparse, dense = nearest(vectors, 5), nearest(vectors.toarray(), 5)

    np.testing.assert_allclose(sparse.cosines, dense.cosines, atol=1e-6)


def test_alike_neighbours_are_one_cluster_and_chains_count():
    angles = np.deg2rad([0, 10, 20, 90, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)

    clusters = clusters_of(nearest(vectors, 2), float(np.cos(np.deg2rad(15))))

    assert clusters[0] == clusters[1] == clusters[2]
    assert len(set(clusters.tolist())) == 3


def test_repeated_junk_is_found_as_a_cluster_and_not_without():
    clean = topic(300)
    junk = [f"click here to subscribe and win {place} gems" for place in range(12)]
    distinct = sorted({*clean, *junk})
    is_junk = np.array([text in junk for text in distinct])
    vectors, copies = tfidf(distinct), [1] * len(distinct)

    clustered = score_by_neighbours(vectors, copies, 6, 0.6, 25)
    alone = score_by_neighbours(vectors, copies, 6, 0.6, 1)

    assert clustered.scores[is_junk].min() > clustered.scores[~is_junk].max()
    assert alone.scores[is_junk].max() < alone.scores[~is_junk].max()
    assert len(set(clustered.clusters[is_junk].tolist())) == 1


def test_a_cluster_is_one_check_and_all_its_rows_end():
    texts = topic(200) + ["win a gem now"] * 3 + ["win a gem now please", "a poem on the moon"]

    _, ended, count = run_step(step(at_most=2, suspects="drop"), rows_of(texts))

    assert {one.row.fields["question"] for one in ended} == {*texts[200:]}
    assert count.dropped == {"outlier by cluster": 4, "outlier by score": 1}
    assert "rank 1; 4 rows alike" in next(o.evidence for o in ended if "cluster" in o.reason)


def test_every_row_has_its_score_and_a_report_keeps_all():
    texts = [*topic(100), "a poem on the moon"]

    kept, ended, count = run_step(step(at_most=1), rows_of(texts))

    assert ended == []
    scores = [row.fields["question_outlier_score"] for row in kept]
    assert scores[-1] == max(scores)
    assert [row.fields.get("question_suspected_by") for row in kept[-2:]] == [None, "score"]
    assert count.notes == {"scored by tfidf": 101, "suspected by score": 1}


@pytest.mark.parametrize(
    ("suspects", "dropped"),
    [("keep", {}), ("drop_keywords", {"outlier by keyword": 2}),
     ("drop", {"outlier by keyword": 2, "outlier by score": 1})],
)  # fmt: skip
def test_keywords_are_whole_words_and_beside_the_budget(suspects, dropped):
    texts = [*topic(100), "See Chapter 3 of it", "please refer   to the book", "chapters", "hm"]
    asked = step(keywords=("chapter", "refer to"), at_most=1, suspects=suspects)

    _, _, count = run_step(asked, rows_of(texts))

    assert count.dropped == dropped


def test_a_judge_is_asked_once_about_the_top_and_what_it_says_holds():
    asked = []

    def judge(suspects):
        asked.append([(one.texts, one.rows, one.why, one.rank, len(one.near)) for one in suspects])
        said = {"a poem on the moon": "drop", "boil an egg": "keep"}
        return [Verdict(said.get(one.texts[0], "open"), "seen") for one in suspects]

    texts = [*topic(150), "a poem on the moon", "boil an egg", "where is my umbrella?"]

    outcomes = step(judge, at_most=3, suspects="keep").process(rows_of(texts))

    assert len(asked) == 1
    assert {one[:3] for one in asked[0]} == {((text,), 1, "score") for text in texts[150:]}
    assert isinstance(outcomes[150], Drop)
    assert outcomes[150].reason == "judged an outlier"
    assert outcomes[150].evidence.endswith("judge: drop seen")
    fields = [one.row.fields["question_suspected_by"] for one in outcomes[151:]]
    assert fields == ["", "score"]
    assert [one.notes[1] for one in outcomes[151:]] == ["judged no outlier", "suspected by score"]


def test_a_judge_that_leaves_one_out_is_refused():
    with pytest.raises(AccountingError, match="2 suspects, 1 verdicts"):
        step(lambda _: [Verdict("drop")], at_most=2).process(rows_of(topic(50)))


@pytest.mark.parametrize("score", ["knn", "glosh"])
@pytest.mark.parametrize(
    "texts",
    [["alone"], ["same text"] * 30, ["one text", "another text"], ["!!!", "???"], [None, "", " "]],
)
def test_few_equal_and_empty_texts_are_kept(score, texts):
    asked = (
        step(at_most=5, suspects="drop")
        if score == "knn"
        else step(
            by={"path": "m"}, score="glosh", suspects="drop", vectors=lambda t: tfidf(t).toarray()
        )
    )

    kept, ended, count = run_step(asked, rows_of(texts))

    if texts == ["one text", "another text"] and score == "knn":
        assert len(ended) == 2  # each is all that the other could be near to
    else:
        assert len(kept) == len(texts)
    assert count.balances


def test_glosh_gives_each_text_a_score_and_noise_a_high_one():
    centres = unit(1, 3, 8)
    spread = np.random.default_rng(2).standard_normal((60, 8)) * 0.05
    vectors = np.concatenate([centres.repeat(20, 0) + spread, -centres[:1]]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    found = score_by_density(vectors, 6)

    assert found.scores[-1] > 0.3
    assert found.scores[-1] == found.scores.max()
    assert len(set(found.clusters.tolist())) == 61


def test_the_outcome_does_not_depend_on_order_or_shards():
    rows = rows_of([*topic(60), "a poem on the moon", "boil an egg"])
    asked = step(at_most=2, suspects="drop")
    shuffled = Random(1).sample(rows, len(rows))

    whole = asked.decide([asked.look(rows)])
    parts = asked.decide([asked.look(shuffled[:20]), asked.look(shuffled[20:])])

    assert parts == whole
    assert all(isinstance(one, Keep | Drop) for one in asked.settle(rows, parts))


def test_texts_without_words_have_no_direction():
    vectors = tfidf(["...", "猫は動物", "Größe", ""]).toarray()

    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [0, 1, 1, 0], atol=1e-6)


def test_a_text_with_a_keyword_is_suspected_among_texts_that_are_alike_but_lack_it():
    alike = [f"what does an asset cost in year {year} of the plan" for year in range(3)]
    held = "what does an asset cost in chapter 3 of the plan"
    asked = step(keywords=("chapter",), at_most=0, suspects="drop_keywords")

    _, ended, _ = run_step(asked, rows_of([*topic(60), *alike, held]))

    assert [one.row.fields["question"] for one in ended] == [held]
