"""Losses per token with one known bug each, named by the bug; each bug was in a library in use."""

import torch


def logprobs(student, teacher, t):
    """log p and log q at T, in float32 or wider."""
    wide = (x if x.dtype == torch.float64 else x.float() for x in (teacher.detach(), student))
    return tuple((x / t).log_softmax(-1) for x in wide)


def kl(log_p, log_q):
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def sound(student, teacher, t):
    return t * t * kl(*logprobs(student, teacher, t))


def temperature_is_ignored(student, teacher, t):
    return kl(*logprobs(student, teacher, 1.0))


def temperature_acts_on_the_student_only(student, teacher, t):
    log_p, _ = logprobs(student, teacher, 1.0)
    _, log_q = logprobs(student, teacher, t)
    return t * t * kl(log_p, log_q)


def t2_is_missing(student, teacher, t):
    return kl(*logprobs(student, teacher, t))


class _ScaleValueOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value, factor):
        return value * factor

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def t2_is_in_the_value_only(student, teacher, t):
    return _ScaleValueOnly.apply(t2_is_missing(student, teacher, t), t * t)


def the_two_sides_are_swapped(student, teacher, t):
    log_p, log_q = logprobs(student, teacher, t)
    return t * t * kl(log_q, log_p)


def the_teachers_entropy_is_left_out(student, teacher, t):
    log_p, log_q = logprobs(student, teacher, t)
    return -t * t * (log_p.exp() * log_q).sum(-1)


def softmax_runs_over_the_tokens(student, teacher, t):
    log_p, log_q = ((x / t).log_softmax(0) for x in (teacher.detach(), student))
    return t * t * kl(log_p, log_q)


def nan_is_replaced_in_the_forward_only(student, teacher, t):
    p, q = (x.exp() for x in logprobs(student, teacher, t))
    return t * t * torch.nan_to_num(p * (p / q).log(), posinf=0.0, neginf=0.0).sum(-1)


def the_logs_are_taken_of_rounded_probabilities(student, teacher, t):
    p, q = (x.exp() for x in logprobs(student, teacher, t))
    return t * t * (p * (p + 1e-6).log() - p * (q + 1e-6).log()).sum(-1)


def the_teacher_is_not_detached(student, teacher, t):
    log_p, log_q = ((x / t).log_softmax(-1) for x in (teacher, student))
    return t * t * kl(log_p, log_q)


def the_mean_over_tokens_stands_for_each(student, teacher, t):
    return sound(student, teacher, t).mean().expand(len(student))


def raw_teacher_scores_are_the_probabilities(student, teacher, t):
    _, log_q = logprobs(student, teacher, t)
    weights = torch.sigmoid(teacher.detach())
    return -t * t * (weights * log_q).sum(-1)


def the_softmax_is_computed_in_half_precision(student, teacher, t):
    log_p, log_q = ((x / t).log_softmax(-1) for x in (teacher.detach(), student))
    return t * t * kl(log_p, log_q)


def softened_logits_are_written_over_the_teachers(student, teacher, t):
    with torch.no_grad():
        teacher.div_(t)
    log_p, log_q = teacher.log_softmax(-1), (student / t).log_softmax(-1)
    return t * t * kl(log_p, log_q)


class _PlainGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, student, teacher, t):
        log_p, log_q = logprobs(student, teacher, t)
        ctx.save_for_backward((log_q.exp() - log_p.exp()) * t)
        return t * t * kl(log_p, log_q)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.saved_tensors[0].to(torch.float64), None, None


def the_gradient_from_above_is_dropped(student, teacher, t):
    return _PlainGradient.apply(student, teacher, t)


def a_row_without_a_partner_is_cut(student, teacher, t):
    even = len(student) // 2 * 2
    value = sound(student[:even], teacher[:even], t)
    return torch.cat([value, student[even:].sum(-1) * 0])


def an_empty_batch_divides_by_nothing(student, teacher, t):
    width = student.numel() // len(student)
    return sound(student.reshape(-1, width), teacher, t)


def _kept(log_p, log_q, top_k):
    top = log_p.topk(top_k)
    return top.values, log_q.gather(-1, top.indices)


def top_k_is_cut_without_a_tail(top_k):
    def loss(student, teacher, t):
        return t * t * kl(*_kept(*logprobs(student, teacher, t), top_k))

    return loss


def the_tail_is_softened_as_one_bucket(top_k):
    def loss(student, teacher, t):
        order = teacher.detach().argsort(-1, descending=True)
        log_p, log_q = (x.gather(-1, order) for x in logprobs(student, teacher, 1.0))
        _, log_q = logprobs(student.gather(-1, order), teacher, t)
        kept = log_p[:, :top_k]
        bucket = log_p[:, top_k:].logsumexp(-1, keepdim=True)
        log_p = (torch.cat([kept, bucket], -1) / t).log_softmax(-1)
        tail = log_q[:, top_k:].logsumexp(-1, keepdim=True)
        return t * t * kl(log_p, torch.cat([log_q[:, :top_k], tail], -1))

    return loss


def the_kept_teacher_is_renormalised(top_k):
    """A teacher of mass 1 on the kept entries against the student's own: above the dense value."""

    def loss(student, teacher, t):
        log_p, log_q = _kept(*logprobs(student, teacher, t), top_k)
        return t * t * kl(log_p.log_softmax(-1), log_q)

    return loss


def _draw(log_p, num_draws):
    return torch.multinomial(log_p.exp(), num_draws, replacement=True)


def soundly_sampled(student, teacher, t):
    log_p, log_q = logprobs(student, teacher, t)
    if not len(student):
        return log_q.sum(-1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    return t * t * (-log_q.gather(-1, _draw(log_p, 20)).mean(-1) - entropy)


def draws_are_weighted_by_their_probability(student, teacher, t):
    log_p, log_q = logprobs(student, teacher, t)
    if not len(student):
        return log_q.sum(-1)
    ids = _draw(log_p, 20)
    weights = log_p.gather(-1, ids).softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    return t * t * (-(weights * log_q.gather(-1, ids)).sum(-1) - entropy)


def a_reverse_kl_is_made_of_draws(student, teacher, t):
    log_p, log_q = logprobs(student, teacher, t)
    ids = _draw(log_p, 20)
    ratio = log_q.gather(-1, ids) - log_p.gather(-1, ids)
    return t * t * (ratio.exp() * ratio).mean(-1)


def a_jsd_with_its_weight_on_the_wrong_side(weight):
    def loss(student, teacher, t):
        log_p, log_q = logprobs(student, teacher, t)
        log_m = ((1 - weight) * log_p.exp() + weight * log_q.exp()).log()
        return t * t * (weight * kl(log_p, log_m) + (1 - weight) * kl(log_q, log_m))

    return loss
