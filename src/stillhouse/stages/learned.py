"""What a candidate's answers have word for word from the texts that were learned.

The student, what ships, the teacher and every baseline are held against the answers that the
student learned, so that their numbers compare; a teacher before its gate, and a twin that learned
them, are held against the rows' own answers. Of JSON answers the texts alone count, because all
share their keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from stillhouse.core.files import write_json
from stillhouse.core.rows import Example, Message
from stillhouse.data.drafts import without_system
from stillhouse.data.overlap import SharedRuns
from stillhouse.data.storage import read_completions
from stillhouse.data.words import words_of
from stillhouse.evals.answers import parse_object
from stillhouse.evals.memorised import METRICS, RUN_WORDS, Copied, find_copied
from stillhouse.evals.scores import Column
from stillhouse.recipes.plan import LEARNED
from stillhouse.stages.asking_again import spread
from stillhouse.stages.comparing import Answers
from stillhouse.stages.completing import learned
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.evaluate_files import COPIED
from stillhouse.stages.label_files import COMPLETIONS

_KEPT = 20
"""assumption: whoever reads more looks into the answers themselves."""
_FRAME_WORDS, _LOOKED_AT = 5, 500
"""assumption: five words in a row that most of 500 prompts share are a template's; a prompt that
was cut to the context has lost a part of it, so that the frame is looked for everywhere."""


def score_copies(
    request: StageRequest, corpus: Corpus, answers: Answers
) -> tuple[dict[str, Column], dict[str, str]]:
    """The columns of what is copied, and what people should know of them; writes `copied.json`.

    Args:
        request: of an evaluation whose recipe asks for it.
        corpus: of the run.
        answers: of the candidate.

    Returns:
        (N,) columns as `find_copied` has them, and a note for each metric.
    """
    lessons = _lessons(corpus, request.config["learned"], request.inputs.get(LEARNED))
    texts = [_spoken(text, as_objects=answers.as_objects) for text in answers.texts]
    sources = [_spoken(item.answer or "", as_objects=answers.as_objects) for item in lessons]
    found = find_copied(texts, sources)
    seen = _seen_prompts(answers.measured.examples, lessons)
    ids = answers.measured.ids
    write_json(
        request.out / COPIED,
        {
            "learned": len(lessons),
            "copied": [_told(one, ids, lessons) for one in found.examples[:_KEPT]],
            "num_copied": len(found.examples),
            "prompts_seen": [ids[number] for number in seen],
        },
    )
    note = (
        f"against {len(lessons):,} answers that were learned; {len(seen):,} of {len(ids):,} "
        f"prompts share {RUN_WORDS} words in a row with a prompt that was learned from"
    )
    return found.columns, {metric.name: note for metric in METRICS}


def _lessons(corpus: Corpus, parts: Sequence[str], labels: Path | None) -> list[Example]:
    """The examples that were learned, each with its answer as it was learned."""
    examples = corpus.of_parts(parts)
    if labels is None:
        return [example for example in examples if example.answer is not None]
    wanted = {example.example_id for example in examples}
    said = read_completions(labels / COMPLETIONS)
    return learned(examples, [one for one in said if one.example_id in wanted])


def _told(one: Copied, ids: Sequence[str], lessons: Sequence[Example]) -> dict[str, Any]:
    return {
        "example_id": ids[one.text],
        "learned_id": lessons[one.source].example_id,
        "passage": one.passage,
        "num_words": one.num_words,
        "likeness": one.likeness,
    }


def _spoken(text: str, *, as_objects: bool) -> str:
    found = parse_object(text) if as_objects else None
    return text if found is None else "\n".join(_texts_in(found))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(one)


def _seen_prompts(measured: Sequence[Example], lessons: Sequence[Example]) -> list[int]:
    """Places of the measured examples whose prompt shares a long run with one learned from."""
    # Several answers to one prompt are learned from one prompt.
    known = dict.fromkeys(without_system(lesson.prompt) for lesson in lessons)
    learned_from = [_words(turns) for turns in known]
    runs, frame = SharedRuns(learned_from, RUN_WORDS), _frame(learned_from)
    return [
        place
        for place, example in enumerate(measured)
        if any(
            runs.longest(stretch).length
            for stretch in _own_stretches(_words(without_system(example.prompt)), frame)
        )
    ]


def _words(turns: Sequence[Message]) -> list[str]:
    return words_of("\n".join(turn.content for turn in turns))


def _frame(prompts: Sequence[list[str]]) -> set[tuple[str, ...]]:
    """Short runs of words that most prompts share: those of the recipe's template, not theirs."""
    looked = [prompts[place] for place in spread(len(prompts), _LOOKED_AT)] if prompts else []
    counts = Counter(run for words in looked for run in set(_short_runs(words)))
    return {run for run, count in counts.items() if count > max(2, len(looked) / 2)}


def _short_runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(_FRAME_WORDS)), strict=False)


def _own_stretches(words: Sequence[str], frame: Collection[tuple[str, ...]]) -> list[list[str]]:
    """What stands between the words of the frame."""
    is_frame = [False] * len(words)
    for start, run in enumerate(_short_runs(words)):
        if run in frame:
            is_frame[start : start + _FRAME_WORDS] = [True] * _FRAME_WORDS
    marked = groupby(zip(words, is_frame, strict=True), key=itemgetter(1))
    return [[word for word, _ in group] for inside, group in marked if not inside]
