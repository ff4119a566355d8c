"""What a teacher that is asked while training promises: its numbers, its rest, its place."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from modes import MODES, base_alone, live_teacher
from peft.tuners.lora import LoraLayer
from tiny_students import (
    BOTH,
    KD_TEMPERATURE,
    ONE_THREAD,
    VOCAB,
    build,
    distance,
    draw_examples,
    gradients_of,
    one_step,
    quick,
    weights_of,
)
from transformers import AutoModelForCausalLM, BloomConfig

from stillhouse.core.errors import InputError, ModelError
from stillhouse.losses.dense import cross_entropy, dense_divergence
from stillhouse.losses.divergences import JSD, ForwardKL, ReverseKL
from stillhouse.losses.terms import Objective
from stillhouse.models.adapters import add_lora, without_adapter
from stillhouse.models.head import find_head
from stillhouse.models.score import score_batch
from stillhouse.models.scoring import Scoring
from stillhouse.recipes.training import Lora
from stillhouse.students import target_sources
from stillhouse.students.assignment import TrainingData
from stillhouse.students.batches import Collator
from stillhouse.students.branch import install_branch, remove_branch
from stillhouse.students.target_sources import AdapterOff, Cached, Live
from stillhouse.students.train import Setting, train_model
from stillhouse.tokens.encode import EncodedConversation

LIMIT = 1e-5
ASKED = ("live", "base")


@pytest.fixture(scope="module")
def rows():
    return draw_examples(6, soft=False)


def fit(student, data, workdir, objective=BOTH, **training):
    setting = Setting(ONE_THREAD, workdir, "plan")
    return train_model(student, data, objective, quick(**{"steps": 3} | training), setting)


# Its numbers ----------------------------------------------------------------------------------


def scored(rows, teacher):
    """The same examples with all that a store can hold of the teacher, as `label` scores it."""
    conversations = [
        EncodedConversation(
            row.ids, row.is_trained, np.zeros((len(row.ids), 2), np.int32), "", "v", "c", 0
        )
        for row in rows
    ]
    scoring = Scoring(VOCAB, VOCAB, (1.0, KD_TEMPERATURE))
    texts = [(str(number), one) for number, one in enumerate(conversations)]
    stored = score_batch(teacher.eval(), texts, scoring)
    return [replace(row, targets=one) for row, one in zip(rows, stored, strict=True)]


def test_a_live_teacher_teaches_what_its_full_targets_do(rows, tmp_path):
    cached = TrainingData(scored(rows, live_teacher()), (), Cached(1), VOCAB)

    loss, gradients = one_step(build(), cached, 3, 2, tmp_path / "cached")
    ours, seen = one_step(build(), MODES["live"].data(rows), 3, 2, tmp_path / "live")

    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


def test_a_teacher_with_an_adapter_teaches_what_its_full_targets_do(rows, tmp_path):
    def teacher():
        return build("llama", lora=True, seed=3)

    cached = TrainingData(scored(rows, teacher()), (), Cached(1), VOCAB)
    live = TrainingData(rows, (), Live(teacher()), VOCAB)

    loss, gradients = one_step(build(), cached, 6, 1, tmp_path / "cached")
    ours, seen = one_step(build(), live, 6, 1, tmp_path / "live")

    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


@pytest.mark.parametrize("t2_scaling", [True, False])
@pytest.mark.parametrize("divergence", [ForwardKL(), ReverseKL(), JSD(0.3)], ids=lambda d: d.name)
@pytest.mark.parametrize("mode", ASKED)
def test_in_float64_a_step_is_the_dense_formula(mode, divergence, t2_scaling, rows):
    objective = Objective(((divergence, 0.7),), 0.3, 4.0, t2_scaling)
    batch = Collator(-1)(rows)
    places, ids = batch["targets"]["positions"], batch["targets"]["token_ids"]
    student = MODES[mode].student().double()
    source = Live(live_teacher().double()) if mode == "live" else AdapterOff()
    weight = torch.tensor(1 / len(ids), dtype=torch.float64)

    install_branch(student, vocab_size=VOCAB)
    ask = source.open(student, VOCAB).ask
    loss = student(**batch, ask=ask, objective=objective, token_weights=weight).loss
    loss.backward()
    seen = gradients_of(student)
    remove_branch(student)

    def logits_of(model):
        rows = {name: batch[name] for name in ("input_ids", "position_ids")}
        return model(**rows, use_cache=False).logits.flatten(0, 1)[places, :VOCAB]

    with torch.no_grad():
        if mode == "live":
            taught = logits_of(live_teacher().double().eval())
        else:
            with student.disable_adapter():
                taught = logits_of(student)
    own = logits_of(student)
    soft = dense_divergence(divergence, own, taught, kd_temperature=4.0, t2_scaling=t2_scaling)
    dense = (0.7 * soft + 0.3 * cross_entropy(own, ids)).mean()
    dense.backward()
    assert loss.item() == pytest.approx(dense.item(), rel=1e-10)
    assert distance(seen, gradients_of(student)) < 1e-10


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_fresh_adapter_is_at_no_distance_from_its_base(dtype, rows, monkeypatch):
    # As on a processor whose products round to bfloat16: both heads must be read in one way.
    monkeypatch.setattr("stillhouse.losses.products.onednn_offers", lambda _: "onednn bfloat16")
    student = add_lora(build(hidden_size=256), Lora(rank=4), seed=0)
    install_branch(student)
    ask = AdapterOff().open(student, VOCAB).ask
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
        output = student(
            **Collator(-1)(rows), ask=ask, objective=BOTH, token_weights=torch.tensor(1.0)
        )
    assert not output.per_token["forward_kl"].any()
    assert output.per_token["cross_entropy"].min() > 0


def test_validation_is_measured_against_the_same_teacher(rows, tmp_path):
    for name in ASKED:
        mode, held = MODES[name], draw_examples(5, seed=1, soft=False)
        data = TrainingData(rows, held, mode.source(), VOCAB)
        student = mode.student()
        result = fit(student, data, tmp_path / name, steps=1)
        # The oracle measures the student as one step has left it.
        exact = replace(mode, student=lambda kept=student: kept).oracle(held)[0]
        assert result.curve[0].validation_loss == pytest.approx(exact, rel=LIMIT)


# Its rest -------------------------------------------------------------------------------------


def test_a_live_teacher_is_frozen_and_left_as_it_was(rows, tmp_path):
    teacher = live_teacher().train()
    before = weights_of(teacher)
    student = build()
    start = weights_of(student)

    fit(student, TrainingData(rows, (), Live(teacher), VOCAB), tmp_path)

    assert all(torch.equal(before[name], value) for name, value in weights_of(teacher).items())
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert not any(module.training for module in teacher.modules())
    assert any(not torch.equal(start[name], now) for name, now in weights_of(student).items())


def test_a_live_teacher_is_asked_without_dropout(rows):
    batch = Collator(-1)(rows)
    student = build()
    ask = Live(live_teacher(attention_dropout=0.5).train()).open(student, VOCAB).ask
    once, twice = (ask(batch, batch["targets"]).hidden_NH for _ in range(2))
    assert torch.equal(once, twice)
    assert not once.requires_grad


def test_the_base_is_asked_without_adapter_and_dropout(rows):
    student = add_lora(build("llama", attention_dropout=0.5), Lora(rank=4, dropout=0.5), seed=0)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    student.train()
    batch = Collator(-1, is_packed=False)(rows)

    told = AdapterOff().open(student, VOCAB).ask(batch, batch["targets"])

    assert student.training
    assert all(module.training for module in student.modules())
    logits = told.head.logits(told.hidden_NH)
    student.eval()
    naive = [
        base_alone(student, torch.from_numpy(row.ids).long())[np.flatnonzero(row.is_trained) - 1]
        for row in rows
    ]
    torch.testing.assert_close(logits, torch.cat(naive))


def states_of(model):
    return (
        [(name, module.training) for name, module in model.named_modules()],
        [(name, parameter.requires_grad) for name, parameter in model.named_parameters()],
        [layer.disable_adapters for layer in model.modules() if isinstance(layer, LoraLayer)],
    )


@pytest.mark.parametrize("is_broken", [False, True])
def test_everything_is_as_it_was_after_the_adapter_was_off(is_broken):
    student = build("llama", lora=True)
    student.train()
    student.base_model.model.model.layers[0].eval()
    frozen = next(p for n, p in student.named_parameters() if "lora_A" in n)
    frozen.requires_grad = False  # PEFT alone would make it trainable again
    before, ids = states_of(student), torch.tensor([[5, 6, 7]])
    logits = student.eval()(ids).logits
    student.load_state_dict(student.state_dict())
    for name, mode in before[0]:
        student.get_submodule(name).training = mode

    with (
        pytest.raises(RuntimeError, match="in the middle")
        if is_broken
        else without_adapter(student)
    ):
        if is_broken:
            with without_adapter(student):
                raise RuntimeError("in the middle")
        assert not any(module.training for module in student.modules())
        assert not torch.equal(student(ids).logits, logits)

    assert states_of(student) == before
    assert torch.equal(student.eval()(ids).logits, logits)


def test_a_crash_while_the_base_is_asked_leaves_the_adapter_on(rows, tmp_path, monkeypatch):
    student = build(lora=True)
    real, calls = target_sources.answer_hidden, []

    def failing(*args):
        calls.append(args)
        if len(calls) == 3:
            raise RuntimeError("in the middle")
        return real(*args)

    monkeypatch.setattr(target_sources, "answer_hidden", failing)
    with pytest.raises(RuntimeError, match="in the middle"):
        fit(student, MODES["base"].data(rows), tmp_path)

    adapted = [layer for layer in student.modules() if isinstance(layer, LoraLayer)]
    assert adapted
    assert not any(layer.disable_adapters for layer in adapted)
    assert all(p.requires_grad == ("lora_" in n) for n, p in student.named_parameters())
    assert not torch.equal(
        student(torch.tensor([[5, 6]])).logits[0], base_alone(student, torch.tensor([5, 6]))
    )


# Its place ------------------------------------------------------------------------------------


def test_a_base_holds_no_weight_of_its_own(rows):
    student = build(lora=True)
    batch = Collator(-1)(rows)
    head = AdapterOff().open(student, VOCAB).ask(batch, batch["targets"]).head
    assert head.weight_VH is find_head(student).weight_VH


@pytest.mark.long
def test_a_base_takes_no_memory_of_a_second_model(tmp_path):
    driver = Path(__file__).with_name("memory_of_modes.py")
    done = subprocess.run(
        [sys.executable, str(driver), str(tmp_path)], capture_output=True, text=True, timeout=600
    )
    assert (tmp_path / "told.json").is_file(), done.stderr[-3000:]
    told = json.loads((tmp_path / "told.json").read_text())
    weights = told["text"]["weights"]
    more = {name: (one["peak"] - told["text"]["peak"]) / weights for name, one in told.items()}
    print(f"\nmodels of {weights / 1e6:.0f} MB; more than for text alone: {more}")
    assert more["base"] < 0.1
    assert 0.9 < more["live"] < 1.3


def test_a_teacher_that_reads_no_packed_rows_has_them_padded(rows, tmp_path):
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=VOCAB, hidden_size=16, n_layer=1, n_head=2)
    bloom = AutoModelForCausalLM.from_config(config)
    told = {
        name: fit(build(), TrainingData(rows, (), source, VOCAB), tmp_path / name)
        for name, source in (("bloom", Live(bloom)), ("llama", Live(live_teacher())))
    }
    assert (told["bloom"].is_packed, told["llama"].is_packed) == (False, True)
    assert math.isfinite(told["bloom"].curve[-1].loss)


def test_a_teacher_of_a_shorter_context_is_refused(rows, tmp_path):
    longest = max(len(row.ids) for row in rows)
    teacher = live_teacher(max_position_embeddings=longest - 1)
    data = TrainingData(rows, (), Live(teacher), VOCAB)
    said = f"an example has {longest} tokens, but the teacher has positions for {longest - 1}"
    with pytest.raises(InputError, match=said):
        fit(build(), data, tmp_path)


def test_a_head_with_too_few_rows_is_refused(rows, tmp_path):
    data = TrainingData(rows, (), Live(live_teacher(vocab_size=VOCAB - 1)), VOCAB)
    with pytest.raises(ModelError, match="the tokenizer has 61 ids, the teacher's head 60 rows"):
        fit(build(), data, tmp_path)


def test_a_student_without_an_adapter_has_no_base(rows, tmp_path):
    with pytest.raises(ModelError, match="no adapter to switch off"):
        fit(build(), TrainingData(rows, (), AdapterOff(), VOCAB), tmp_path)
