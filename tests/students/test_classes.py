"""Learning whole answers: one step equals each answer read by itself, however it is laid out."""

import numpy as np
import pytest
import torch
from tiny_classes import BY_CLASS, CLASSES, class_oracle, draw_class_examples
from tiny_students import (
    CONFIGS,
    ONE_THREAD,
    build,
    data_of,
    distance,
    draw_examples,
    one_step,
    quick,
    weights_of,
)

from stillhouse.core.errors import InputError, ShapeError
from stillhouse.losses.terms import Objective, UnitWeights
from stillhouse.models.trees import can_read_trees
from stillhouse.students import train as training
from stillhouse.students.branch import install_branch
from stillhouse.students.class_batches import ClassCollator
from stillhouse.students.class_examples import NO_LABEL, ClassExample
from stillhouse.students.train import Setting, train_model
from stillhouse.tokens.answer_trees import grow_tree

LIMIT = 1e-5


@pytest.fixture(scope="module")
def eight():
    return draw_class_examples(8)


@pytest.fixture(scope="module")
def expected(eight):
    return class_oracle(build(), eight)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_step_equals_the_oracle_for_every_architecture(kind, lora, eight, tmp_path):
    loss, gradients = class_oracle(build(kind, lora=lora, attention_dropout=0.0), eight)
    student = build(kind, lora=lora, attention_dropout=0.0)

    ours, seen = one_step(student, eight, 4, 2, tmp_path, BY_CLASS)

    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("rows", ["trees", "padded"])
@pytest.mark.parametrize(("batch_size", "accumulation"), [(8, 1), (4, 2), (2, 4), (1, 8)])
def test_however_a_step_is_laid_out_it_is_the_same(
    batch_size, accumulation, rows, checkpointing, eight, expected, tmp_path, monkeypatch
):
    loss, gradients = expected
    if rows == "padded":
        monkeypatch.setattr(training, "can_read_trees", lambda _model: False)

    ours, seen = one_step(
        build(), eight, batch_size, accumulation, tmp_path, BY_CLASS,
        gradient_checkpointing=checkpointing,
    )  # fmt: skip

    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


def test_trees_share_rows_and_answers_alone_do_not(eight):
    assert len(ClassCollator()(eight)["input_ids"]) < len(eight)
    assert len(ClassCollator(is_packed=False)(eight)["input_ids"]) == len(eight) * len(CLASSES)


@pytest.mark.parametrize("is_packed", [True, False], ids=["trees", "padded"])
def test_in_float64_it_is_the_oracle_to_ten_digits(is_packed, eight):
    model = build("gpt2").double()  # the others take their norms in float32
    loss, gradients = class_oracle(model, eight)
    hard = sum(len(e.tree.tokens_of(e.hard_label)) for e in eight if e.hard_label != NO_LABEL)

    install_branch(model)
    output = model(
        **ClassCollator(is_packed)(eight),
        objective=BY_CLASS,
        token_weights=torch.tensor(1 / hard, dtype=torch.float64),
        example_weight=1 / len(eight),
    )
    output.loss.backward()

    seen = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert output.loss.item() == pytest.approx(loss, rel=1e-10)
    assert distance(seen, gradients) < 1e-10


@pytest.mark.parametrize("objective", [Objective((), class_kl=1.0), BY_CLASS])
def test_more_classes_than_a_row_has_room_for_stay_exact(objective, tmp_path):
    rng = np.random.default_rng(3)
    names = [rng.integers(3, 14, rng.integers(1, 6)).tolist() for _ in range(77)]
    names = [list(name) for name in dict.fromkeys(map(tuple, names))]
    examples = draw_class_examples(3, classes=names)

    loss, gradients = class_oracle(build(), examples, objective)
    ours, seen = one_step(build(), examples, 2, 2, tmp_path, objective)

    assert len(names) > 60
    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


def test_a_model_that_cannot_read_trees_learns_the_same(tmp_path):
    from tests.models.test_packing import PADDING
    from tests.models.test_packing import build as build_other

    examples = draw_class_examples(4)
    kind, changes = PADDING["bloom, takes no positions"]
    student = build_other(kind, changes)
    assert not can_read_trees(student)

    loss, gradients = class_oracle(build_other(kind, changes), examples)
    ours, seen = one_step(student, examples, 2, 2, tmp_path, BY_CLASS)

    assert ours == pytest.approx(loss, rel=LIMIT)
    assert distance(seen, gradients) < LIMIT


def test_the_student_comes_nearer_to_its_teacher(eight, tmp_path):
    student = build()
    section = quick(steps=30, batch_size=8)

    result = train_model(
        student, data_of(eight, eight[:4]), BY_CLASS, section, Setting(ONE_THREAD, tmp_path, "plan")
    )

    losses = [point.loss for point in result.curve]
    measured = [p.validation_loss for p in result.curve if p.validation_loss is not None]
    assert losses[-1] < 0.5 * losses[0]
    assert measured[-1] < measured[0]
    assert result.is_packed


def test_validation_does_not_depend_on_the_batch(eight, tmp_path):
    measured = []
    for batch_size in (1, 3, 8):
        section = quick(steps=1, batch_size=batch_size, accumulation=1, checkpoint_every=1)
        result = train_model(
            build(), data_of(eight[:1], eight), BY_CLASS, section,
            Setting(ONE_THREAD, tmp_path / str(batch_size), "plan"),
        )  # fmt: skip
        measured.append(result.curve[-1].validation_loss)

    assert measured[1:] == pytest.approx([measured[0]] * 2, rel=1e-6)


def test_a_filler_alone_has_a_graph_and_no_loss():
    from stillhouse.students.batches import ExampleDataset
    from stillhouse.students.order import FILLER

    student = build()
    install_branch(student)
    filler = ExampleDataset([])[FILLER]

    for is_packed in (True, False):
        output = student(
            **ClassCollator(is_packed)([filler, filler]),
            objective=BY_CLASS,
            token_weights=torch.tensor(1.0),
            example_weight=1.0,
        )
        output.loss.backward()
        assert output.loss.item() == 0
        assert all(parameter.grad is not None for parameter in student.parameters())


def test_the_classes_of_all_examples_must_be_the_same(eight, tmp_path):
    other = draw_class_examples(1, classes=CLASSES[:3])

    with pytest.raises(ShapeError, match="same classes"):
        one_step(build(), [*eight, *other], 4, 1, tmp_path, BY_CLASS)


def test_no_hard_label_at_all_is_refused_where_its_text_is_learned(eight, tmp_path):
    unlabelled = [ClassExample(one.tree, one.teacher_probs) for one in eight]

    with pytest.raises(InputError, match="not one of 8 examples has a hard label"):
        one_step(build(), unlabelled, 4, 1, tmp_path, BY_CLASS)
    one_step(build(), unlabelled, 4, 1, tmp_path, Objective((), class_kl=1.0))


def test_an_answer_longer_than_the_students_context_is_refused(tmp_path):
    from tiny_classes import conversation

    long = grow_tree([conversation(range(3, 40), answer) for answer in ([3] * 30, [4])])
    example = ClassExample(long, np.array([0.5, 0.5], np.float32), 0)

    with pytest.raises(InputError, match="68 tokens with its longest class"):
        one_step(build(), [example], 1, 1, tmp_path, BY_CLASS)


def test_examples_of_the_other_kind_are_refused(eight, tmp_path):
    with pytest.raises(InputError, match="named answers"):
        one_step(build(), eight, 4, 1, tmp_path)
    with pytest.raises(InputError, match="named answers"):
        one_step(build(), draw_examples(4), 4, 1, tmp_path, BY_CLASS)


def test_weights_of_zero_give_values_alone(eight):
    student = build()
    install_branch(student)
    before = weights_of(student)

    with torch.no_grad():
        output = student(
            **ClassCollator()(eight), objective=BY_CLASS, token_weights=torch.tensor(0.0)
        )

    assert output.loss.item() == 0
    assert output.per_token["class_kl"].shape == (8,)
    assert UnitWeights(0.0).example == 0.0
    assert distance(weights_of(student), before) == 0
