"""The parts of a first recipe for rows that hold only prompts, which a teacher answers."""

from __future__ import annotations


def stages_of_prompts(training: str, *, is_api: bool) -> str:
    """The sections `label` and `train`.

    Args:
        training: the lines of `train` that say how long and how fast.
        is_api: the teacher gives text alone.

    Returns:
        YAML.
    """
    if is_api:
        return f"""
label:
  parts: [unlabelled]
  completions: teacher
  targets: none  # an API gives text alone
  max_new_tokens: 256  # an answer that is longer is cut, and not learned
train:
  parts: [unlabelled]
  weights: {{forward_kl: 0.0, cross_entropy: 1.0}}
{training}
"""
    return f"""
label:  # the teacher answers, and its probabilities are kept
  parts: [unlabelled]
  max_new_tokens: 256  # an answer that is longer is cut, and not learned
train:
  parts: [unlabelled]
{training}
  twin: {{text: labelled}}  # the same text without the probabilities: what the student must beat
"""


def measures_of_prompts(*, is_api: bool, is_json: bool) -> list[str]:
    """The lines of `evaluate` and `gate`.

    Args:
        is_api: the teacher gives text alone.
        is_json: answers are JSON objects.

    Returns:
        YAML, line by line.
    """
    near = "field_agreement" if is_json else "rouge_l.answer"
    fields = [] if is_json else ["  fields: {answer: {kind: text}}  # BLEU, chrF and ROUGE-L"]
    metric = "cross_entropy" if is_api else "kl_to_teacher"
    rule = (
        f"{{metric: {near}, at_least: 0.3, decide_by: point}}]  # set the limit to what you need"
        if is_api
        else "{metric: kl_to_teacher, against: baseline, at_most: 0.0, decide_by: point}]"
    )
    return [
        "evaluate:",
        "  reference: teacher  # its answers to the holdout; nobody knows whether they are right",
        *fields,
        f"  metrics: [{metric}, agreement]",
        "gate:",
        "  enforce: false  # true refuses a student that breaks a rule",
        f"  rules: [{rule}",
    ]
