"""A student learns from an imported store: the rows and the targets fit each other."""

import numpy as np
import pytest
import torch
from tests.models.tiny_models import build
from tests.targets.importing.packers import (
    DISTILLKIT,
    likeliest,
    pack_row,
    teacher_says,
    write_rows,
)

from stillhouse.losses.divergences import ForwardKL
from stillhouse.losses.terms import Objective
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import Length, Optimizer, Training
from stillhouse.runner.imports import ImportCall, run_import
from stillhouse.students.assignment import TrainingData
from stillhouse.students.examples import EncodedExample
from stillhouse.students.train import Setting, train_model
from stillhouse.targets.importing.examples import read_imported
from stillhouse.targets.read import TargetReader

K = 16


@pytest.fixture
def imported(tmp_path, tokenizer, tokenizer_folder):
    """A folder of imported targets, and what the teacher says behind each token, (V, V)."""
    vocab = tokenizer.vocab_size
    teacher = teacher_says(vocab, vocab, seed=0)
    config = {"d": vocab, "k": K, "exact_k": K, "exact_dtype": "float32", "residual_bins": []}
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(16):
        tokens = [int(rng.integers(vocab))]
        for _ in range(11):
            tokens.append(int(rng.choice(vocab, p=np.exp(teacher[tokens[-1]]))))
        rows.append(pack_row(tokens, *likeliest(teacher[tokens], K), config))
    write_rows(tmp_path / "source" / "data_0.parquet", rows, DISTILLKIT)
    (tmp_path / "source" / "compression_config.yaml").write_text(
        "\n".join(f"{name}: {value}" for name, value in config.items())
    )
    folder = tmp_path / "imported"
    run_import(ImportCall("distillkit", f"{tmp_path}/source", str(folder), str(tokenizer_folder)))
    return folder, teacher


def held_kl(model, examples, teacher):
    """KL of the teacher's whole distribution against the student's, in nats a token."""
    sums = []
    for example in examples:
        with torch.no_grad():
            logits = model(torch.from_numpy(example.ids).long()[None]).logits[0, :-1]
        student = logits[:, : teacher.shape[1]].double().log_softmax(-1).numpy()
        said = teacher[example.ids[:-1]]
        sums.append((np.exp(said) * (said - student)).sum(axis=1))
    return np.concatenate(sums).mean()


def test_a_student_comes_nearer_to_the_teacher_of_an_imported_store(imported, tokenizer, tmp_path):
    folder, teacher = imported
    reader = TargetReader(folder / "targets", {"tokenizer_digest": tokenizer.digest})
    examples = []
    for row in read_imported(folder):
        reader.get_for(row.key(tokenizer.digest))
        targets = reader.get(row.example_id)
        examples.append(EncodedExample(row.ids, row.is_trained, targets))
    student = build("llama", tokenizer)
    before = held_kl(student, examples, teacher)
    section = Training(
        length=Length(steps=30, batch_size=8), optimizer=Optimizer(learning_rate=3e-2)
    )

    result = train_model(
        student,
        TrainingData(examples, vocab_size=tokenizer.vocab_size),
        Objective(((ForwardKL(), 1.0),), 0.0, 1.0),
        section,
        Setting(ResolvedCompute("cpu", "float32", 1), tmp_path / "work", "plan"),
    )

    after = held_kl(student, examples, teacher)
    print(f"KL to the teacher: {before:.3f} before, {after:.3f} after 30 steps")
    assert result.curve[-1].loss < 0.6 * result.curve[0].loss
    assert after < 0.6 * before
