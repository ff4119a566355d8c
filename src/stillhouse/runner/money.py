"""What asking a teacher behind an API costs in calls, dollars and time, before it is asked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from stillhouse.core.rows import Completion, Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.engines.catalog import forecast_asking
from stillhouse.engines.wire import Demands
from stillhouse.evals.judge import MOST_TOKENS as JUDGEMENT_TOKENS
from stillhouse.evals.judge import own_prompt
from stillhouse.evals.preference import SCHEMA as PREFERENCE
from stillhouse.recipes.endpoints import ApiEndpoint
from stillhouse.recipes.estimate import ROWS_BYTES, Cost
from stillhouse.recipes.measuring import Evaluate
from stillhouse.recipes.plan import Instance
from stillhouse.recipes.prompts import PromptTemplate
from stillhouse.recipes.schema import Recipe
from stillhouse.runner.preview import Preview
from stillhouse.stages.completing import is_asked
from stillhouse.stages.judging import MOST_TOKENS, PROMPT, SCHEMA, question

_CALL_S = 3.0
"""assumption: of one call of a few hundred tokens; providers differ tenfold."""

_LOCAL_TOKEN_S = 0.02
"""assumption: of a token that a model of a few billion weights writes on two cores, in batches."""

_BATCH_S = 3600.0
"""assumption: of a batch of any size; OpenAI promises a day, and is most often quicker."""

_ANSWER_BYTES = 400
"""assumption: of an answer that is kept, compressed, twice: in the account and in the artifact."""


_BYTES_A_TOKEN = 4
"""assumption: holds for English prose."""


def asking_cost(recipe: Recipe, instance: Instance, seen: Preview) -> Cost:
    """The cost of a `label` or an `evaluate` whose teacher is behind an API.

    Args:
        recipe: of the run.
        instance: one with an endpoint.
        seen: a look at the examples.

    Returns:
        Answers that are kept already are priced like the others.

    Raises:
        UsageError: the provider cannot be asked like that, or has no price under a budget.
    """
    rivals = (one for one in recipe.evaluate.baselines if one.name == instance.variant)
    rival, label = next(rivals, None), recipe.label
    api = rival.api if rival else recipe.teacher.api
    assert api is not None
    temperature = rival.temperature if rival else label.temperature
    if instance.stage == "label":
        parts, repeats, length = {*label.parts, "validation"}, float(label.most_samples), None
        examples = [one for one in seen.examples if one.part in parts and is_asked(one, label)]
    else:
        length = recipe.evaluate.max_new_tokens
        examples = _measured(recipe, seen)
        repeats = _askings(recipe.evaluate, len(examples) * seen.scale)
    sampling = Sampling(length or label.max_new_tokens, temperature)
    plain = instance.config.get("prompt")
    prompt = PromptTemplate(**plain) if plain else None
    asked = _as_seen(examples, prompt)
    manner = Demands(label.answer_schema), prompt.label if prompt else ""
    found = forecast_asking(api, asked, sampling, *manner)
    again = recipe.evaluate.repeats
    if again and instance.stage == "evaluate":
        # At another temperature, which the provider may not take.
        forecast_asking(api, asked[:1], replace(sampling, temperature=again.temperature), *manner)
    scale = seen.scale * repeats
    calls = int(found.calls * scale)
    return Cost(
        tokens=int(found.most_tokens * scale),
        memory_bytes=ROWS_BYTES,
        disk_bytes=calls * _ANSWER_BYTES,
        seconds=1.0 + _asking_s(api, calls),
        calls=calls,
        likely_usd=float(found.likely_usd) * scale,
        most_usd=float(found.most_usd) * scale,
    )


def _measured(recipe: Recipe, seen: Preview) -> list[Example]:
    """The rows that candidates are asked; without gold answers all that the teacher answers."""
    by_teacher = recipe.evaluate.reference == "teacher"
    return [one for one in seen.examples if one.part == "holdout" and (one.answer or by_teacher)]


def _askings(settings: Evaluate, size: float) -> float:
    """How often an example of the holdout is asked on average."""
    times = 1.0 + bool(settings.paraphrases)
    if settings.repeats and size:
        times += min(settings.repeats.examples, size) * settings.repeats.times / size
    return times


def with_judges(cost: Cost, recipe: Recipe, seen: Preview) -> Cost:
    """The cost of a `label`, with its judges; the same where it has none.

    Args:
        cost: without them.
        recipe: of the run.
        seen: a look at the examples.

    Returns:
        As if every answer were as long as it may be, and none failed before.
    """
    label = recipe.label
    parts = {*label.parts, "validation"}
    examples = [one for one in seen.examples if one.part in parts and is_asked(one, label)]
    answer = Completion("", "x" * (_BYTES_A_TOKEN * label.max_new_tokens), "stop", 0)
    for judge in label.judges:
        found = forecast_asking(
            judge.api,
            [question(judge, one, answer) for one in examples],
            Sampling(MOST_TOKENS, judge.temperature),
            Demands(SCHEMA),
            PROMPT.label,
        )
        scale = seen.scale * label.samples
        calls = int(found.calls * scale)
        cost = replace(
            cost,
            calls=cost.calls + calls,
            seconds=cost.seconds + _asking_s(judge.api, calls),
            likely_usd=cost.likely_usd + float(found.likely_usd) * scale,
            most_usd=cost.most_usd + float(found.most_usd) * scale,
        )
    return cost


def with_step_engines(cost: Cost, recipe: Recipe, instance: Instance, seen: Preview) -> Cost:
    """The cost of a step of the rows, with the engines that it asks.

    Args:
        cost: without them.
        recipe: of the run.
        instance: of the step, or `prepare` for `augment`.
        seen: a look at the rows, with what they are asked.

    Returns:
        As if every engine was asked about every row; nobody knows before which rows the second of
        several will hear of. A model of this machine is priced in time alone.
    """
    _, step = recipe.prepare.asking[instance.variant]
    for place, engine in step.asked.items():
        asked = seen.asked[instance.key, place]
        if engine.api is None:
            seconds = _LOCAL_TOKEN_S * engine.max_new_tokens * len(asked) * seen.scale
            cost = replace(cost, seconds=cost.seconds + seconds)
            continue
        sampling = Sampling(engine.max_new_tokens, engine.temperature)
        found = forecast_asking(engine.api, asked, sampling, Demands(step.answers_fit))
        calls = int(found.calls * seen.scale)
        cost = replace(
            cost,
            tokens=cost.tokens + int(found.most_tokens * seen.scale),
            disk_bytes=cost.disk_bytes + calls * _ANSWER_BYTES,
            calls=cost.calls + calls,
            seconds=cost.seconds + _asking_s(engine.api, calls),
            likely_usd=cost.likely_usd + float(found.likely_usd) * seen.scale,
            most_usd=cost.most_usd + float(found.most_usd) * seen.scale,
        )
    return cost


def judging_cost(recipe: Recipe, instance: Instance, seen: Preview) -> Cost:
    """The cost of a judge's comparisons and ratings of a candidate.

    Args:
        recipe: of the run, with a judge.
        instance: a `judge`.
        seen: a look at the examples.

    Returns:
        As if every answer were as long as it may be and differed from the other's.
    """
    judge = recipe.evaluate.judge
    assert judge is not None
    answer = "x" * (
        _BYTES_A_TOKEN * (recipe.evaluate.max_new_tokens or recipe.label.max_new_tokens)
    )
    holdout = _measured(recipe, seen)
    times = 2 * ("other" in instance.inputs) + len(judge.rubrics)
    questions = [
        replace(one, prompt=(*one.prompt, Message("user", answer + answer))) for one in holdout
    ]
    found = forecast_asking(
        judge.api,
        questions,
        Sampling(JUDGEMENT_TOKENS, judge.temperature),
        Demands(PREFERENCE),
        own_prompt("preference").label,
    )
    scale = seen.scale * times
    calls = int(found.calls * scale)
    return Cost(
        tokens=int(found.most_tokens * scale),
        memory_bytes=ROWS_BYTES,
        disk_bytes=4096,
        seconds=1.0 + _asking_s(judge.api, calls),
        calls=calls,
        likely_usd=float(found.likely_usd) * scale,
        most_usd=float(found.most_usd) * scale,
    )


def _as_seen(examples: Sequence[Example], prompt: PromptTemplate | None) -> Sequence[Example]:
    if prompt is None:
        return examples
    return [replace(one, prompt=prompt.apply(one.prompt)) for one in examples]


def _asking_s(api: ApiEndpoint, calls: int) -> float:
    if api.batch:
        return _BATCH_S * math.ceil(calls / api.batch_questions)
    limits, own = api.limits, _CALL_S / api.concurrency
    rates = (
        1.0 / limits.requests_per_second if limits.requests_per_second else 0.0,
        60.0 / limits.requests_per_minute if limits.requests_per_minute else 0.0,
    )
    return calls * max(own, *rates)
