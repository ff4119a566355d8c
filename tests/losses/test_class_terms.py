"""The loss over whole answers equals the same sum written out over dense logits, in float64."""

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from stillhouse.core.errors import ShapeError, UsageError
from stillhouse.losses.class_level import class_divergence
from stillhouse.losses.class_terms import ClassRows, class_linear_loss, class_scores
from stillhouse.losses.divergences import ForwardKL
from stillhouse.losses.head import HeadTensors, LowRank
from stillhouse.losses.terms import Objective, UnitWeights

HIDDEN, VOCAB, EXAMPLES, CLASSES = 7, 19, 3, 4
BOTH = Objective((), 0.3, 4.0, class_kl=0.7)
WEIGHTS = UnitWeights(example=1 / 8, token=1 / 11)
ANSWERS = ((0, 1), (0, 2, 3), (4,), (4, 5, 6, 7))
"""The scored tokens of each class, of which two and two share their first."""


def draw(seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    scored = 8 * EXAMPLES
    head = HeadTensors(normal(VOCAB, HIDDEN), normal(VOCAB), vocab_size=VOCAB - 2)
    ids = torch.randint(0, VOCAB - 2, (scored,), generator=generator)
    answers, tokens = zip(
        *(
            (example * CLASSES + number, 8 * example + token)
            for example in range(EXAMPLES)
            for number, own in enumerate(ANSWERS)
            for token in own
        ),
        strict=True,
    )
    hard = [
        8 * example + token for example, own in ((0, ANSWERS[3]), (2, ANSWERS[0])) for token in own
    ]
    rows = ClassRows(
        ids,
        torch.tensor(answers),
        torch.tensor(tokens),
        softmax(normal(EXAMPLES, CLASSES), -1),
        torch.tensor(hard),
    )
    return normal(scored, HIDDEN), head, rows


def naive(hidden, head, rows, objective=BOTH, weights=WEIGHTS):
    """Example by example, class by class, over dense logits."""
    logprobs = log_softmax(head.logits(hidden), -1)
    each = logprobs[torch.arange(len(hidden)), rows.token_ids]
    temperature, loss = objective.kd_temperature, hidden.sum() * 0
    for example in range(EXAMPLES):
        scores = torch.stack([each[[8 * example + one for one in own]].sum() for own in ANSWERS])
        teacher = softmax(rows.teacher_probs[example].log() / temperature, -1)
        student = log_softmax(scores / temperature, -1)
        divergence = (teacher * (teacher.log() - student)).sum() * temperature**2
        loss = loss + objective.class_kl * weights.example * divergence
    return loss - objective.cross_entropy * weights.token * each[rows.hard_tokens].sum()


def gradients(loss, tensors):
    return torch.autograd.grad(loss, tensors)


def test_value_and_gradient_equal_the_sum_written_out():
    hidden, head, rows = draw()
    tensors = [hidden, head.weight_VH, head.bias_V]
    for tensor in tensors:
        tensor.requires_grad_()

    fused = class_linear_loss(hidden, head, rows, BOTH, WEIGHTS)
    dense = naive(hidden, head, rows)

    assert fused.loss.item() == pytest.approx(dense.item(), rel=1e-12)
    for ours, theirs in zip(gradients(fused.loss, tensors), gradients(dense, tensors), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_values_are_told_by_example_and_by_token():
    hidden, head, rows = draw()

    values = class_linear_loss(hidden, head, rows, BOTH, WEIGHTS).per_token

    assert values["class_kl"].shape == (EXAMPLES,)
    assert values["cross_entropy"].shape == rows.hard_tokens.shape
    alone = Objective((), 1.0)
    whole = naive(hidden, head, rows, alone, UnitWeights(1.0))
    assert values["cross_entropy"].sum().item() == pytest.approx(whole.item())


def test_over_answers_of_one_token_it_is_the_formula_for_class_logits():
    """alpha * KL(T) * T**2 + (1 - alpha) * CE, `batchmean`, as for a classifier's logits (B, C)."""
    logits, teacher = torch.randn(5, 6, dtype=torch.float64), torch.randn(5, 6, dtype=torch.float64)
    labels = torch.tensor([0, 5, 2, 2, 1])
    count = torch.arange(30)
    rows = ClassRows(count % 6, count, count, softmax(teacher, -1), torch.arange(5) * 6 + labels)
    hidden = logits.repeat_interleave(6, 0).requires_grad_()
    head = HeadTensors(torch.eye(6, dtype=torch.float64))

    fused = class_linear_loss(hidden, head, rows, BOTH, UnitWeights(1 / 5, 1 / 5))

    soft = kl_div(log_softmax(logits / 4, -1), softmax(teacher / 4, -1), reduction="batchmean")
    expected = 0.7 * soft * 16 + 0.3 * cross_entropy(logits, labels)
    assert fused.loss.item() == pytest.approx(expected.item(), rel=1e-12)


def test_the_same_formula_on_logits_that_a_classifier_gives():
    student, teacher = (
        torch.randn(5, 6, dtype=torch.float64),
        torch.randn(5, 6, dtype=torch.float64),
    )

    ours = class_divergence(ForwardKL(), student, softmax(teacher, -1), kd_temperature=4.0)

    soft = kl_div(log_softmax(student / 4, -1), softmax(teacher / 4, -1), reduction="batchmean")
    assert ours.mean().item() == pytest.approx(16 * soft.item(), rel=1e-12)


def test_t2_scaling_may_be_left_out():
    hidden, head, rows = draw()
    scaled = Objective((), 0.0, 4.0, class_kl=1.0)
    plain = Objective((), 0.0, 4.0, t2_scaling=False, class_kl=1.0)

    ours, theirs = (
        class_linear_loss(hidden, head, rows, one, WEIGHTS).loss for one in (scaled, plain)
    )

    assert ours.item() == pytest.approx(16 * theirs.item())


def test_it_is_zero_where_the_student_says_what_the_teacher_says():
    hidden, head, rows = draw()
    each = -log_softmax(head.logits(hidden), -1)[torch.arange(len(hidden)), rows.token_ids]
    taught = ClassRows(
        rows.token_ids,
        rows.answers,
        rows.tokens,
        softmax(class_scores(each, rows), -1),
        rows.hard_tokens,
    )
    hidden.requires_grad_()

    fused = class_linear_loss(hidden, head, taught, Objective((), class_kl=1.0), WEIGHTS)

    assert fused.loss.item() == pytest.approx(0.0, abs=1e-12)
    assert gradients(fused.loss, [hidden])[0].abs().max() < 1e-12


def test_dropout_on_an_adapter_of_the_head_falls_once():
    hidden, head, rows = draw(dtype=torch.float32)
    low_rank = LowRank(torch.randn(2, HIDDEN), torch.randn(VOCAB, 2), 3.0, dropout=0.5)
    adapted = HeadTensors(head.weight_VH, vocab_size=VOCAB - 2, low_rank=low_rank)
    hidden.requires_grad_()

    torch.manual_seed(1)
    fused = class_linear_loss(hidden, adapted, rows, BOTH, WEIGHTS)
    torch.manual_seed(1)
    dense = naive(hidden, adapted, rows)

    assert fused.loss.item() == pytest.approx(dense.item(), rel=1e-5)
    torch.testing.assert_close(
        *(gradients(loss, [hidden])[0] for loss in (fused.loss, dense)), rtol=1e-4, atol=1e-6
    )


def test_a_batch_without_examples_has_a_graph_and_no_loss():
    hidden, head, rows = draw()
    nothing = ClassRows(*(each[:0] for each in (rows.token_ids, rows.answers, rows.tokens)),
                        rows.teacher_probs[:0], rows.hard_tokens[:0])  # fmt: skip
    hidden.requires_grad_()

    fused = class_linear_loss(hidden[:0], head, nothing, BOTH, WEIGHTS)
    fused.loss.backward()

    assert fused.loss.item() == 0
    assert hidden.grad.abs().sum() == 0


def test_teachers_of_other_classes_are_refused():
    hidden, head, rows = draw()
    wrong = ClassRows(
        rows.token_ids, rows.answers, rows.tokens, rows.teacher_probs[:, :2], rows.hard_tokens
    )

    with pytest.raises(ShapeError, match="name the same classes"):
        class_linear_loss(hidden, head, wrong, BOTH, WEIGHTS)


def test_targets_of_two_kinds_are_refused():
    with pytest.raises(UsageError, match="class_kl is learned from whole answers, forward_kl"):
        Objective(((ForwardKL(), 1.0),), class_kl=1.0)
