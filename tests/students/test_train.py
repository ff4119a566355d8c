"""What a training promises beside its gradient: when it stops, what it leaves, what it refuses."""

import math

import numpy as np
import pytest
import torch
from tiny_students import (
    BOTH,
    ONE_THREAD,
    build,
    data_of,
    draw_examples,
    oracle,
    quick,
    weights_of,
)

from stillhouse.core.errors import InputError, ModelError, TrainingError
from stillhouse.core.hashing import digest_folder
from stillhouse.losses.terms import CROSS_ENTROPY
from stillhouse.models.head import find_head
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import EarlyStopping, Length, Validation
from stillhouse.students.batches import Collator, ExampleDataset
from stillhouse.students.branch import install_branch
from stillhouse.students.checkpoints import delete_checkpoints
from stillhouse.students.examples import EncodedExample
from stillhouse.students.order import FILLER
from stillhouse.students.train import Setting, train_model
from stillhouse.students.trainer import StudentTrainer
from stillhouse.students.watching import has_stalled


def fit(student, data, workdir, objective=BOTH, **training):
    setting = {"progress": training.pop("progress")} if "progress" in training else {}
    section = quick(**training)
    return train_model(
        student, data, objective, section, Setting(ONE_THREAD, workdir, "plan", **setting)
    )


def with_optimizer(section, **changes):
    return section.model_copy(update={"optimizer": section.optimizer.model_copy(update=changes)})


def test_training_lowers_the_loss_and_leaves_an_ordinary_model(tmp_path):
    student, examples = build(), draw_examples(8)
    prompt = torch.tensor([[5, 6, 7]])
    result = fit(student, data_of(examples), tmp_path, steps=20)
    assert result.curve[-1].loss < 0.9 * result.curve[0].loss
    assert (result.steps, result.best_step, result.stopped_early) == (20, 20, False)
    assert not student.training
    assert student.config.use_cache
    assert "forward" not in vars(student)
    assert student.generate(prompt, max_new_tokens=3, min_new_tokens=3, do_sample=False).shape == (
        1,
        6,
    )
    student.save_pretrained(tmp_path / "saved")
    again = type(student).from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(again(prompt).logits, student(prompt).logits)


def test_the_same_training_twice_gives_the_same_bits(tmp_path):
    weights = []
    for name in ("one", "two"):
        torch.manual_seed(len(weights))
        student = build("llama", lora=True)
        fit(student, data_of(draw_examples(9)), tmp_path / name)
        weights.append(weights_of(student))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_finished_training_is_not_run_again(tmp_path):
    data = data_of(draw_examples(9), draw_examples(3, seed=1))
    results, weights = [], []
    for _ in range(2):
        student = build()
        results.append(fit(student, data, tmp_path, checkpoint_every=3))
        weights.append(weights_of(student))
    assert results[0] == results[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_bfloat16_is_autocast_inside_training_only(tmp_path):
    examples, prompt = data_of(draw_examples(4)), torch.tensor([[5, 6, 7]])
    losses = {}
    for dtype in ("float32", "bfloat16", "float32"):
        student = build()
        setting = Setting(ResolvedCompute("cpu", dtype, 1), tmp_path / f"{len(losses)}", "plan")
        result = train_model(student, examples, BOTH, quick(steps=2), setting)
        losses[dtype] = result.curve[-1].loss
        assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}
        assert not torch.equal(student(prompt).logits.bfloat16().float(), student(prompt).logits)
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)


def test_tokens_are_counted_as_often_as_they_are_seen(tmp_path):
    examples = draw_examples(6)
    once = sum(int(example.is_trained.sum()) for example in examples)
    section = quick().model_copy(update={"length": Length(epochs=2.0, batch_size=4)})
    result = train_model(
        build(), data_of(examples), BOTH, section, Setting(ONE_THREAD, tmp_path, "plan")
    )
    assert result.steps == 4
    assert result.tokens_trained == 2 * once


def test_validation_loss_is_the_exact_token_mean_at_any_batch_size(tmp_path):
    rows = draw_examples(7, seed=1)
    for batch_size in (1, 3, 8):
        student = build()
        result = fit(
            student,
            data_of(draw_examples(8), rows),
            tmp_path / str(batch_size),
            steps=1,
            batch_size=batch_size,
        )
        exact = oracle(student, rows)[0]
        assert result.curve[0].validation_loss == pytest.approx(exact, rel=1e-5)


def test_early_stopping_ends_with_the_best_weights(tmp_path):
    student, rows = build(), draw_examples(6, seed=1)
    section = quick(
        steps=40, validation=Validation(every_steps=2), early_stopping=EarlyStopping(patience=3)
    )
    section = with_optimizer(section, learning_rate=0.05, schedule="constant")
    result = train_model(
        student, data_of(draw_examples(4), rows), BOTH, section, Setting(ONE_THREAD, tmp_path, "p")
    )
    measured = {p.step: p.validation_loss for p in result.curve if p.validation_loss is not None}
    assert result.stopped_early
    assert result.best_step == min(measured, key=measured.get)
    assert result.steps == result.best_step + 6
    assert oracle(student, rows)[0] == pytest.approx(measured[result.best_step], rel=1e-5)


@pytest.mark.parametrize(
    ("losses", "stalled"),
    [
        ([], False),
        ([3.0, 2.0, 2.0], False),
        ([3.0, 2.0, 2.0, 2.1], True),
        ([3.0, 2.95, 2.94], True),
        ([3.0, 2.0, 2.0, 1.0], False),
    ],
)
def test_stalled_means_patience_without_an_improvement(losses, stalled):
    stopping = EarlyStopping(patience=2, min_delta=0.1)
    assert has_stalled(losses, stopping) is stalled


def test_progress_hears_every_step(tmp_path):
    heard = []

    def progress(done, total, unit, **values):
        heard.append((done, total, unit, sorted(values)))

    data = data_of(draw_examples(4), draw_examples(2, seed=1))
    fit(build(), data, tmp_path, steps=2, checkpoint_every=2, progress=progress)
    assert heard == [
        (1, 2, "steps", ["learning_rate", "loss"]),
        (2, 2, "steps", ["learning_rate", "loss"]),
        (2, 2, "steps", ["validation_loss"]),
    ]


@pytest.mark.parametrize("where", ["weight", "loss"])
def test_a_nan_stops_the_run_and_names_the_step(where, tmp_path, monkeypatch):
    student = build()
    compute_loss = StudentTrainer.compute_loss

    def poisoned(trainer, model, inputs, *args, **kwargs):
        loss = compute_loss(trainer, model, inputs, *args, **kwargs)
        if trainer.state.global_step == 2 and where == "loss":
            return loss + math.inf
        if trainer.state.global_step == 2:
            return loss * math.nan
        return loss

    monkeypatch.setattr(StudentTrainer, "compute_loss", poisoned)
    with pytest.raises(TrainingError, match="step 3: the loss is"):
        fit(student, data_of(draw_examples(8)), tmp_path)
    assert all(parameter.isfinite().all() for parameter in student.parameters())
    assert "forward" not in vars(student)


def test_zero_gradients_stop_the_run(tmp_path, monkeypatch):
    compute_loss = StudentTrainer.compute_loss
    monkeypatch.setattr(
        StudentTrainer, "compute_loss", lambda *args, **kwargs: 0 * compute_loss(*args, **kwargs)
    )
    with pytest.raises(TrainingError, match="step 1: every gradient is 0"):
        fit(build(), data_of(draw_examples(4)), tmp_path)


def test_parameters_that_do_not_reach_the_loss_stop_the_run(tmp_path):
    student = build()
    student.requires_grad_(False)
    loose = torch.nn.Parameter(torch.ones(2))
    student.model.norm.register_parameter("loose", loose)
    with pytest.raises(TrainingError, match="step 1: no trainable parameter reaches the loss"):
        fit(student, data_of(draw_examples(4)), tmp_path)


def test_half_precision_weights_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"bfloat16; small updates would be lost"):
        fit(build().bfloat16(), data_of(draw_examples(4)), tmp_path)


def test_early_stopping_without_validation_is_refused(tmp_path):
    with pytest.raises(InputError, match="needs validation"):
        fit(
            build(),
            data_of(draw_examples(4)),
            tmp_path,
            validation=Validation(every_steps=1),
            early_stopping=EarlyStopping(),
        )


def test_forward_kl_without_targets_is_refused(tmp_path):
    with pytest.raises(InputError, match="no soft targets, which its loss terms need"):
        fit(build(), data_of(draw_examples(4, soft=False)), tmp_path)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_schedules_warm_up_and_then_follow_their_name(schedule, tmp_path):
    rates = []

    def progress(done, total, unit, **values):
        rates.append(values["learning_rate"])

    section = with_optimizer(quick(steps=6), schedule=schedule, warmup_steps=2)
    setting = Setting(ONE_THREAD, tmp_path, "p", progress)
    train_model(build(), data_of(draw_examples(4)), BOTH, section, setting)
    last = {"cosine": 1e-2 * (1 + math.cos(math.pi * 3 / 4)) / 2, "linear": 2.5e-3}
    assert rates[:3] == pytest.approx([0.0, 5e-3, 1e-2])
    assert rates[-1] == pytest.approx(last.get(schedule, 1e-2))


def test_padding_rows_of_the_head_are_no_part_of_the_loss(tmp_path):
    examples = draw_examples(4)
    losses = []
    for vocab_size in (61, 0):
        student = build(vocab_size=61 if vocab_size == 0 else 64)
        with torch.no_grad():
            source = build().state_dict()["model.embed_tokens.weight"]
            find_head(student).weight_VH[:61] = source
            rest = {k: v for k, v in build().state_dict().items() if v.shape != source.shape}
        student.load_state_dict(rest, strict=False)
        data = data_of(examples)
        data = type(data)(data.train, (), data.source, vocab_size)
        losses.append(fit(student, data, tmp_path / str(vocab_size), steps=1).curve[0].loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_step_without_a_trained_token_changes_nothing_and_does_not_fail():

    student = build()
    install_branch(student)
    batch = Collator(1)([ExampleDataset([])[FILLER]] * 2)
    output = student(**batch, objective=BOTH, token_weights=torch.tensor(1.0))
    output.loss.backward()
    assert output.loss.item() == 0.0
    assert all(not p.grad.any() for p in student.parameters() if p.grad is not None)


def test_nothing_stays_in_the_folder_after_the_checkpoints_are_deleted(tmp_path):
    empty = digest_folder(tmp_path)
    fit(build(lora=True), data_of(draw_examples(4)), tmp_path, checkpoint_every=1)
    assert list(tmp_path.rglob("optimizer.pt"))
    assert not list(tmp_path.rglob("training_args.bin"))
    delete_checkpoints(tmp_path)
    assert digest_folder(tmp_path) == empty


def test_examples_that_train_nothing_are_refused(tmp_path):
    idle = EncodedExample(np.array([3, 4], np.int32), np.array([False, False]))
    first = EncodedExample(np.array([3, 4], np.int32), np.array([True, True]))
    for example in (idle, first):
        with pytest.raises(InputError, match="example 0 trains no token, or its first"):
            fit(build(), data_of([example]), tmp_path, CROSS_ENTROPY)
