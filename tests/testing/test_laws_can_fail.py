"""Every law fails on a loss that has the bug it is there for, and holds on a sound one."""

import pytest
from tests.testing import broken_token_losses as token
from tests.testing import broken_training_losses as training

from stillhouse.testing.losses import (
    Outcome,
    TokenClaims,
    TrainingClaims,
    forward_kl,
    jsd,
    laws_for,
    reverse_kl,
    tvd,
)

FORWARD = TokenClaims(forward_kl())
SAMPLED = TokenClaims(forward_kl(), is_sampled=True)
TRAINING = TrainingClaims(forward_kl(), ce_weight=training.CE)


def top_4(make):
    return TokenClaims(forward_kl(), top_k=4, at_top_k=make)


UNSHARED = {
    token.the_teachers_entropy_is_left_out: "zero_at_equality",
    token.raw_teacher_scores_are_the_probabilities: "a_shift_of_the_teacher_changes_nothing",
    token.softmax_runs_over_the_tokens: "a_shift_of_the_student_changes_nothing",
    token.the_two_sides_are_swapped: "value_equals_the_formula",
    token.the_gradient_from_above_is_dropped: "gradient_equals_the_formula",
    token.the_logs_are_taken_of_rounded_probabilities: "float32_gradient_equals_the_formula",
    token.t2_is_in_the_value_only: "gradient_equals_finite_differences",
    token.temperature_is_ignored: "temperature_acts_on_both_sides",
    token.temperature_acts_on_the_student_only: "temperature_acts_on_both_sides",
    token.t2_is_missing: "t2_scales_value_and_gradient_alike",
    token.nan_is_replaced_in_the_forward_only: "extreme_logits_stay_finite",
    token.the_mean_over_tokens_stands_for_each: "rows_are_independent",
    token.a_row_without_a_partner_is_cut: "rows_are_independent",
    token.an_empty_batch_divides_by_nothing: "no_token_is_no_error",
    token.the_softmax_is_computed_in_half_precision: "half_precision_is_computed_in_float32",
    token.the_teacher_is_not_detached: "the_teacher_gets_no_gradient",
    token.softened_logits_are_written_over_the_teachers: "the_logits_stay_as_they_were",
}
"""Bug of a loss that claims to be the dense forward KL -> the law that it breaks."""
SPARSE = {
    token.top_k_is_cut_without_a_tail: "never_negative",
    token.the_tail_is_softened_as_one_bucket: "a_tail_uses_the_true_log_z",
    token.the_kept_teacher_is_renormalised: "sparse_is_never_above_dense",
}
TOKEN_CASES = [
    *((bug, FORWARD, law) for bug, law in UNSHARED.items()),
    *((make(4), top_4(make), law) for make, law in SPARSE.items()),
    (
        token.top_k_is_cut_without_a_tail(4),
        top_4(token.top_k_is_cut_without_a_tail),
        "more_kept_entries_come_closer",
    ),
    (
        token.draws_are_weighted_by_their_probability,
        SAMPLED,
        "sampled_targets_are_unbiased",
    ),
    (
        token.a_reverse_kl_is_made_of_draws,
        TokenClaims(reverse_kl(), is_sampled=True),
        "sampled_targets_are_unbiased",
    ),
    (token.the_two_sides_are_swapped, TokenClaims(tvd()), "a_symmetric_divergence_is_symmetric"),
    (
        token.a_jsd_with_its_weight_on_the_wrong_side(0.001),
        TokenClaims(jsd(0.001)),
        "a_jsd_ends_in_the_two_kls",
    ),
]
TRAINING_BUGS = {
    training.the_cross_entropy_is_softened_too: "the_loss_equals_the_formula",
    training.products_are_rounded_to_bfloat16: "float32_gradients_equal_the_formula",
    training.the_loss_is_summed_in_half_precision: "half_precision_is_summed_in_float32",
    training.prompt_and_padding_are_trained: "masked_positions_change_nothing",
    training.masked_by_multiplying_with_zero: "nan_at_masked_positions_changes_nothing",
    training.the_mask_is_not_shifted: "an_answer_of_one_token_trains_one_position",
    training.the_first_token_of_an_answer_is_dropped: "an_answer_of_one_token_trains_one_position",
    training.tokens_behind_the_last_whole_chunk_are_cut: "odd_lengths_are_whole",
    training.nothing_trained_is_nothing_over_nothing: "nothing_trained_is_zero",
    training.nothing_trained_has_no_graph: "nothing_trained_is_zero",
    training.divided_twice: "the_denominator_is_the_global_count",
    training.never_divided: "the_denominator_is_the_global_count",
    training.divided_by_the_micro_batchs_own_count: "micro_batches_sum_to_the_batch",
    training.mean_of_means_of_rows: "ranks_sum_to_the_batch",
    training.mean_over_all_positions: "padding_changes_nothing",
    training.a_row_counts_once_however_long: "packing_equals_padding",
    training.the_bias_is_forgotten: "a_bias_counts",
    training.the_logit_scale_is_forgotten: "a_logit_scale_counts",
    training.the_soft_cap_is_forgotten: "a_soft_cap_counts",
    training.padded_columns_are_not_masked: "padded_vocabularies_change_nothing",
    training.the_gradient_from_above_is_dropped: "the_gradient_from_above_counts",
    training.the_value_is_formed_with_the_gradient_only: "no_grad_gives_the_same_value",
    training.the_head_is_taken_to_be_trained: "a_frozen_head_is_left_alone",
    training.the_teacher_is_trained_along: "a_frozen_head_is_left_alone",
}
CASES = TOKEN_CASES + [(bug, TRAINING, law) for bug, law in TRAINING_BUGS.items()]


def name_of(value):
    if callable(value):
        return value.__qualname__.split(".")[0]
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("loss", "claims", "law"), CASES, ids=name_of)
def test_a_law_fails_on_the_bug_that_it_is_there_for(loss, claims, law):
    (found,) = (one for one in laws_for(claims) if one.name == law)
    verdict = found.check(loss)
    assert verdict.outcome is Outcome.FAILS
    assert not verdict.worst <= verdict.bound
    with pytest.raises(AssertionError, match=law):
        verdict.require()


@pytest.mark.parametrize("claims", [FORWARD, TRAINING])
def test_every_law_has_a_bug_that_it_catches(claims):
    caught = {law for _, of, law in CASES if type(of) is type(claims)}
    assert caught == {law.name for law in laws_for(claims)}


@pytest.mark.parametrize(
    ("loss", "claims"),
    [(token.sound, FORWARD), (token.soundly_sampled, SAMPLED), (training.sound, TRAINING)],
    ids=name_of,
)
def test_every_law_holds_on_a_sound_loss(loss, claims):
    for law in laws_for(claims):
        law.check(loss).require()


def test_a_refused_sampled_loss_passes():
    def refusing(student, teacher, t):
        raise NotImplementedError("reverse KL needs the teacher's probabilities")

    claims = TokenClaims(reverse_kl(), is_sampled=True)
    outcomes = {law.name: law.check(refusing).outcome for law in laws_for(claims)}
    assert outcomes.pop("sampled_targets_are_unbiased") is Outcome.HOLDS
    assert set(outcomes.values()) == {Outcome.NOT_APPLICABLE}
