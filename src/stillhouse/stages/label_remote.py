"""Label with a teacher behind an API: its text, every answer kept before it is built on.

There is no work of its own to resume: answers lie in the account, where a second run finds them.
"""

from __future__ import annotations

from stillhouse.core.errors import StillhouseError
from stillhouse.core.protocols import Progress
from stillhouse.data.storage import write_completions
from stillhouse.recipes.labels import Label
from stillhouse.stages.completing import (
    checks_of,
    is_asked,
    label_examples,
    refuse_many_cut,
    summary,
)
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.endpoint import DEFERRED, open_teacher, refuse_deferred
from stillhouse.stages.judging import judge_answers
from stillhouse.stages.label_files import COMPLETIONS
from stillhouse.stages.long_answers import end_unreadable
from stillhouse.stages.sections import section_of


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `completions.parquet`."""
    label = section_of(Label, request.config["label"])
    corpus = open_corpus(request.inputs["examples"])
    examples = corpus.of_parts({*label.parts, "validation"})
    asked = {example.example_id: example for example in examples if is_asked(example, label)}
    with open_teacher(request, progress, checks_of(label), label.answer_schema) as teacher:
        done = label_examples(teacher, corpus, examples, label, hopeless=DEFERRED)
        deferred = refuse_deferred(done, len(asked), request.access["deferred_at_most"])
        done = end_unreadable(done, asked, corpus, request.config["max_tokens"])
        refuse_many_cut(examples, label, done)
        done = judge_answers(request, label, examples, done, progress)
        teacher.account_for(done)
    told = summary(examples, label, done)
    if asked and not any(one.finish == "stop" and one.example_id in asked for one in done):
        reasons = ", ".join(f"{count} {reason}" for reason, count in told["unusable"].items())
        raise StillhouseError(
            f"not one of {len(asked):,} prompts got an answer that can be learned: {reasons}",
            "docs/how-to/api-teacher.md says what the reasons mean; mend the recipe and run again",
        )
    write_completions(request.out / COMPLETIONS, done)
    return StageResult(told | {"deferred": deferred})
