"""Metrics of classes and of sets of classes are those of scikit-learn."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn
from sklearn.preprocessing import MultiLabelBinarizer
from tests.evals.test_fields import measure

from stillhouse.recipes.answers import AnswerKind

CLASSES = ("a", "b", "c")
THREE = AnswerKind(kind="label", classes=CLASSES, positive=("a", "b"))
PAIRS = st.lists(
    st.tuples(st.sampled_from([*CLASSES, "stranger"]), st.sampled_from(CLASSES)),
    min_size=1,
    max_size=12,
)
few = settings(max_examples=40, deadline=None)


def texts(values, name="f"):
    return [json.dumps({name: value}) for value in values]


def measure_pairs(kind, pairs):
    said, wanted = zip(*pairs, strict=True)
    return measure({"f": kind}, texts(said), texts(wanted))


@few
@given(PAIRS)
def test_averages_over_classes_are_scikit_learns(pairs):
    # given answers of which a stranger is no class, which no label of scikit-learn's averages is
    said, wanted = zip(*pairs, strict=True)
    read = [name if name in CLASSES else "none" for name in said]
    labels = sorted({*read, *wanted} - {"none"})
    # when
    found = measure_pairs(THREE, pairs)
    # then
    for average in ("macro", "micro"):
        precision, recall, f1, _ = sklearn.precision_recall_fscore_support(
            wanted, read, labels=labels, average=average, zero_division=0
        )
        assert found[f"{average}_f1.f"] == pytest.approx(f1)
        if average == "macro":
            assert found["macro_precision.f"] == pytest.approx(precision)
            assert found["macro_recall.f"] == pytest.approx(recall)
    assert found["accuracy.f"] == pytest.approx(sklearn.accuracy_score(wanted, read))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kappa = sklearn.cohen_kappa_score(wanted, read)
    assert found["kappa.f"] == pytest.approx(kappa, nan_ok=True)
    assert found["unreadable.f"] == pytest.approx(np.mean([name == "none" for name in read]))


@few
@given(PAIRS)
def test_the_positive_side_is_scikit_learns_with_unreadable_answers_turned_against_the_truth(pairs):
    # given
    truth = [want != "c" for _, want in pairs]
    said = [
        (got != "c") if got in CLASSES else not side
        for (got, _), side in zip(pairs, truth, strict=True)
    ]
    # when
    found = measure_pairs(THREE, pairs)
    # then
    precision, recall, f1, _ = sklearn.precision_recall_fscore_support(
        truth, said, average="binary", zero_division=np.nan
    )
    expected = {"precision.f": precision, "recall.f": recall, "f1.f": f1}
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    tn, fp, fn, tp = sklearn.confusion_matrix(truth, said, labels=[False, True]).ravel()
    expected = {
        "false_positive_rate.f": fp / (fp + tn) if fp + tn else np.nan,
        "false_negative_rate.f": fn / (fn + tp) if fn + tp else np.nan,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_a_candidate_is_not_safe_by_its_silence():
    # given a reference on each side, and two answers that cannot be read
    found = measure_pairs(THREE, [("stranger", "a"), ("stranger", "c")])
    # then
    assert found["false_positive_rate.f"] == found["false_negative_rate.f"] == 1.0
    assert found["precision.f"] == found["recall.f"] == found["accuracy.f"] == 0.0


def test_without_a_positive_side_only_averages_are_measured():
    found = measure_pairs(AnswerKind(kind="label"), [("a", "a"), ("b", "a")])
    assert {name.partition(".")[0] for name in found} == {
        "unreadable", "accuracy", "macro_f1", "macro_precision", "macro_recall", "micro_f1", "kappa"
    }  # fmt: skip


def test_without_declared_classes_those_of_the_references_are_all_there_are():
    # given an answer that no reference has: it is wrong, unreadable, and no class of the average
    found = measure_pairs(AnswerKind(kind="label"), [("a", "a"), ("b", "b"), ("invented", "b")])
    assert found["unreadable.f"] == pytest.approx(1 / 3)
    assert found["macro_f1.f"] == pytest.approx((1.0 + 2 / 3) / 2)


def test_a_class_may_be_true_or_a_number():
    kind = AnswerKind(kind="label", classes=(True, False), positive=(True,))
    found = measure_pairs(kind, [(True, True), (False, True), ("true", False), (1, False)])
    assert found["recall.f"] == 0.5
    assert found["false_positive_rate.f"] == 1.0
    assert found["unreadable.f"] == 0.25


SETS = st.sets(st.sampled_from(CLASSES))


@few
@given(st.lists(st.tuples(SETS, SETS), min_size=1, max_size=8))
def test_sets_of_classes_are_measured_as_by_scikit_learn(pairs):
    # given
    said, wanted = ([sorted(own) for own in side] for side in zip(*pairs, strict=True))
    binarizer = MultiLabelBinarizer(classes=CLASSES).fit([CLASSES])
    matrices = binarizer.transform(wanted), binarizer.transform(said)
    occurring = [
        place for place in range(3) if matrices[0][:, place].any() or matrices[1][:, place].any()
    ]
    # when
    found = measure({"f": AnswerKind(kind="labels", classes=CLASSES)}, texts(said), texts(wanted))
    # then
    precision, recall, f1, _ = sklearn.precision_recall_fscore_support(
        *matrices, average="micro", zero_division=np.nan
    )
    expected = {"micro_precision.f": precision, "micro_recall.f": recall, "micro_f1.f": f1}
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert found["subset_accuracy.f"] == pytest.approx(sklearn.accuracy_score(*matrices))
    macro = (
        sklearn.f1_score(*matrices, labels=occurring, average="macro", zero_division=0)
        if occurring
        else np.nan
    )
    assert found["macro_f1.f"] == pytest.approx(macro, nan_ok=True)


def test_an_invented_label_is_a_false_one_and_a_repeated_one_is_one():
    kind = AnswerKind(kind="labels", classes=CLASSES)
    found = measure({"f": kind}, texts([["a", "a", "invented"]]), texts([["a"]]))
    assert found["micro_precision.f"] == 0.5
    assert found["micro_recall.f"] == found["macro_f1.f"] == 1.0
    assert found["subset_accuracy.f"] == found["unreadable.f"] == 0.0


def test_an_unreadable_set_is_wrong_even_where_nothing_is_asked_for():
    found = measure({"f": AnswerKind(kind="labels")}, texts(["none"]), texts([[]]))
    assert found["subset_accuracy.f"] == 0.0
    assert found["unreadable.f"] == 1.0
