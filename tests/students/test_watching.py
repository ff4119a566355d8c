"""What a training records of itself, and what it stops by."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from killed_trainings import share_right
from tiny_students import BOTH, ONE_THREAD, build, data_of, draw_examples, naive_terms, quick

from stillhouse.core.errors import TrainingError
from stillhouse.core.protocols import Reading
from stillhouse.recipes.training import EarlyStopping, Length, Validation
from stillhouse.students.checkpoints import checkpoint_folder, load_trainable
from stillhouse.students.train import Setting, train_model
from stillhouse.students.watching import has_stalled, stopping_key


def train(tmp_path, *, data=None, stopping=None, steps=8, every=2, rate=1e-2):
    section = quick(steps=steps, validation=Validation(every_steps=every), early_stopping=stopping)
    section = section.model_copy(
        update={"optimizer": section.optimizer.model_copy(update={"learning_rate": rate})}
    )
    student = build()
    data = data or data_of(draw_examples(10), draw_examples(5, seed=1))
    examiner = share_right(student, data.validation)
    data = replace(data, examiner=examiner)
    setting = Setting(ONE_THREAD, tmp_path, "plan")
    return student, examiner, train_model(student, data, BOTH, section, setting)


def test_every_step_tells_its_terms_rate_norm_and_tokens(tmp_path):
    # given a student before its first step
    data = data_of(draw_examples(4), draw_examples(5, seed=1))
    student = build()
    with torch.no_grad():
        sums = [naive_terms(student, example) for example in data.train]
    tokens = sum(count for *_, count in sums)
    # when
    _, _, result = train(tmp_path, data=data, steps=3)
    first, *_, last = result.record.steps
    # then
    assert first.tokens == tokens
    assert first.terms["forward_kl"] == pytest.approx(float(sum(kl for kl, *_ in sums)) / tokens)
    assert first.terms["cross_entropy"] == pytest.approx(
        float(sum(ce for _, ce, _ in sums)) / tokens
    )
    for one in result.record.steps:
        assert one.loss == pytest.approx(
            sum(result.record.weights[name] * value for name, value in one.terms.items())
        )
    assert (first.step, last.step) == (1, 3)
    assert first.learning_rate == pytest.approx(1e-2)
    assert last.learning_rate < first.learning_rate
    assert first.grad_norm > 0


def test_terms_of_a_step_are_the_same_however_it_is_cut_into_batches(tmp_path):
    found = []
    for batch_size, accumulation in ((8, 1), (2, 4)):
        section = quick(steps=2, batch_size=batch_size, accumulation=accumulation)
        setting = Setting(ONE_THREAD, tmp_path / str(batch_size), "plan")
        result = train_model(build(), data_of(draw_examples(8)), BOTH, section, setting)
        found.append(result.record.steps[1])
    assert found[0].terms == pytest.approx(found[1].terms, rel=1e-5)
    assert found[0].tokens == found[1].tokens


def test_a_measurement_tells_loss_terms_perplexity_and_what_was_examined(tmp_path):
    _, examiner, result = train(tmp_path)
    assert [one.step for one in result.record.validation] == [2, 4, 6, 8]
    last = result.record.validation[-1]
    assert last.metrics["perplexity"] == pytest.approx(np.exp(last.terms["cross_entropy"]))
    # the last measurement is of the student that is left
    assert last.metrics["right"] == examiner()["right"].value
    assert last.loss == pytest.approx(
        0.7 * last.terms["forward_kl"] + 0.3 * last.terms["cross_entropy"]
    )


def test_examining_changes_no_step_of_a_training(tmp_path):
    _, _, watched = train(tmp_path / "watched", every=1)
    section = quick(steps=8, validation=Validation(every_steps=8))
    setting = Setting(ONE_THREAD, tmp_path / "alone", "plan")
    alone = train_model(build(), data_of(draw_examples(10)), BOTH, section, setting)
    assert watched.record.steps == alone.record.steps


def test_seconds_and_memory_have_a_place_beside_the_record(tmp_path):
    _, _, result = train(tmp_path)
    series = result.series
    assert series["step"] == [1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8]
    assert all(seconds > 0 for seconds in series["seconds"])
    assert series["peak_rss_bytes"] == sorted(series["peak_rss_bytes"])
    assert series["peak_rss_bytes"][0] > 50 << 20


CURVES = {
    "falls to the end": ([4.0, 3.0, 2.5, 2.2, 2.1, 2.0, 1.9, 1.8], None),
    "lowest at the third": ([4.0, 3.0, 2.0, 2.1, 2.2, 2.3, 2.4, 1.0], 7),
    "comes back in time": ([4.0, 3.0, 3.1, 3.2, 3.3, 2.9, 3.0, 3.0], None),
    "never better than the first": ([1.0, 2.0, 2.0, 2.0, 2.0, 0.5], 5),
    "undefined": ([float("nan")] * 5, 4),
}


@pytest.mark.parametrize("name", CURVES)
def test_patience_four_stops_at_the_fourth_measurement_without_gain(name):
    curve, expected = CURVES[name]
    stopping = EarlyStopping(patience=4)
    stops = [count for count in range(len(curve) + 1) if has_stalled(curve[:count], stopping)]
    assert (stops[0] if stops else None) == expected


def test_stopping_by_a_metric_keeps_the_weights_of_its_best_measurement(tmp_path):
    # given a metric of which more is better, and a rate that spoils what was learned
    student, examiner, result = train(
        tmp_path,
        stopping=EarlyStopping(metric="right", patience=3),
        steps=60,
        every=1,
        rate=0.1,
    )
    seen = {one.step: one.metrics["right"] for one in result.record.validation}
    # then
    assert result.stopped_early
    assert result.steps == result.best_step + 3
    assert seen[result.best_step] == max(seen.values())
    assert examiner()["right"].value == seen[result.best_step]
    load_trainable(student, checkpoint_folder(tmp_path, result.steps))
    assert examiner()["right"].value == seen[result.steps]


def test_stopping_by_a_term_is_stopping_by_its_lowest_value(tmp_path):
    stopping = EarlyStopping(metric="cross_entropy", patience=2)
    _, _, result = train(tmp_path, stopping=stopping, steps=40, every=1, rate=0.1)
    seen = {one.step: one.terms["cross_entropy"] for one in result.record.validation}
    assert result.stopped_early
    assert result.best_step == min(seen, key=seen.get)
    assert stopping_key(stopping, BOTH) == "eval_cross_entropy"


def test_a_metric_that_nobody_measures_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(TrainingError, match="'rihgt', which was not measured") as caught:
        train(tmp_path, stopping=EarlyStopping(metric="rihgt"))
    assert 'did you mean "right"?' in caught.value.hint


def test_an_undefined_metric_is_no_gain_and_not_recorded(tmp_path):
    data = data_of(draw_examples(4), draw_examples(2, seed=1))
    data = replace(data, examiner=lambda: {"f1": Reading(float("nan"), is_higher_better=True)})
    section = quick(
        steps=9,
        validation=Validation(every_steps=1),
        early_stopping=EarlyStopping(metric="f1", patience=2),
    )
    result = train_model(build(), data, BOTH, section, Setting(ONE_THREAD, tmp_path, "plan"))
    assert (result.steps, result.stopped_early) == (2, True)
    assert all("f1" not in one.metrics for one in result.record.validation)


def test_a_plateau_is_told_in_progress_and_in_the_record(tmp_path):
    # given a training that learns nothing
    heard = {}

    def progress(done, total, unit, **values):
        if "level_since" in values:
            heard.setdefault(done, values["level_since"])

    section = quick().model_copy(update={"length": Length(steps=24, batch_size=4)})
    section = section.model_copy(
        update={"optimizer": section.optimizer.model_copy(update={"learning_rate": 1e-7})}
    )
    examples = draw_examples(4)
    setting = Setting(ONE_THREAD, tmp_path, "plan", progress)
    torch.manual_seed(0)
    result = train_model(build(), data_of(examples), BOTH, section, setting)
    assert min(heard) == 20
    assert heard[20] == 10
    assert result.steps == 24
    assert result.record.trend.level_since == 10
    assert not result.record.trend.falls
