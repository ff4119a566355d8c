"""A candidate's wrong answers in clusters, each with a sentence that says which data to add.

A cluster by class, slice or word is told only where it is wrong more often than the rest by
Fisher's exact test, corrected for all that were looked at: among a hundred words some are
unlucky.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from stillhouse.evals.answers import parse_object

MOST_CLUSTERS = 12
_MOST_PAIRS = 5
_LEAST_PAIR = 2
_LEAST_WRONG = 3
_LEVEL = 0.05
_MOSTLY = 0.8
_SHORT = 80
"""assumption: longer answers are told in free words, and are seldom equal to a reference."""
_MOST_LABELS = 200
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True)
class Answered:
    """One example with the candidate's answer.

    Attributes:
        example_id: of the example.
        prompt: what was asked.
        expected: the reference.
        given: the candidate's answer.
        is_wrong: as the scores say.
        is_cut: the answer reached its longest.
        slices: kind to the name of the slice that it lies in, such as genre to rock.
    """

    example_id: str
    prompt: str
    expected: str
    given: str
    is_wrong: bool
    is_cut: bool = False
    slices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Wrong answers that have something in common.

    Attributes:
        kind: `cut`, `no JSON`, `confusion`, `class`, `slice` or `words`.
        title: what they have in common.
        wrong: the wrong answers in it.
        num_seen: how many examples have it, right ones included.
        advice: what to add or change, with the counts that say so.
    """

    kind: str
    title: str
    wrong: tuple[Answered, ...]
    num_seen: int
    advice: str


def can_be_wrong(answered: Sequence[Answered], *, as_objects: bool) -> bool:
    """Whether an answer that differs from its reference is an error, not another wording."""
    if as_objects:
        return True
    lengths = [len(one.expected) for one in answered]
    return bool(lengths) and (median(lengths) <= _SHORT or _is_labels(o.expected for o in answered))


def cluster_errors(answered: Sequence[Answered], *, as_objects: bool) -> list[Cluster]:
    """The clusters of a candidate's wrong answers.

    Args:
        answered: every measured example, right or wrong.
        as_objects: answers are JSON objects; their fields are looked at one by one.

    Returns:
        At most `MOST_CLUSTERS`, the largest first; an example may stand in several.
    """
    wrong = [one for one in answered if one.is_wrong]
    if not wrong:
        return []
    named = _named_values(answered, as_objects=as_objects)
    confusions = list(_confusions(wrong, named))
    found = [
        *_broken(wrong, as_objects=as_objects),
        *confusions,
        *(one for one in _above_the_rest(answered, named) if not _is_told(one, confusions)),
    ]
    return sorted(found, key=lambda one: -len(one.wrong))[:MOST_CLUSTERS]


def _is_told(cluster: Cluster, confusions: Sequence[Cluster]) -> bool:
    """Whether a class is wrong for one confusion that is told already."""
    own = {one.example_id for one in cluster.wrong}
    return cluster.kind == "class" and any(
        confusion.title.startswith(f"{cluster.title} answered as ")
        and len(own & {one.example_id for one in confusion.wrong}) >= _MOSTLY * len(own)
        for confusion in confusions
    )


def _broken(wrong: Sequence[Answered], *, as_objects: bool) -> Iterator[Cluster]:
    total = len(wrong)
    least = max(_LEAST_PAIR, _LEVEL * total)
    cut = tuple(one for one in wrong if one.is_cut)
    if len(cut) >= least:
        yield Cluster(
            "cut",
            "cut at their longest",
            cut,
            len(cut),
            f"{len(cut)} of {total} wrong answers were cut: train longer, so that the student "
            "learns to end, or raise evaluate.max_new_tokens",
        )
    formless = tuple(
        one
        for one in wrong
        if as_objects and parse_object(one.expected) and parse_object(one.given) is None
    )
    if len(formless) >= least:
        yield Cluster(
            "no JSON",
            "no JSON object",
            formless,
            len(formless),
            f"{len(formless)} of {total} wrong answers are no JSON object: the form is not learned "
            "yet, so train longer before rows are added",
        )


_Values = dict[str, tuple[str, str | None]]
"""Field to what was expected and what was given; None for an answer without it."""


def _named_values(answered: Sequence[Answered], *, as_objects: bool) -> dict[str, _Values]:
    """Example to its fields' values, those with labels alone; the field is empty for a text."""
    values = {
        one.example_id: (
            _values_of(one) if as_objects else {"": (one.expected.strip(), one.given.strip())}
        )
        for one in answered
    }
    fields = dict.fromkeys(name for own in values.values() for name in own)
    labels = {
        name
        for name in fields
        if _is_labels(own[name][0] for own in values.values() if name in own)
    }
    return {
        example_id: {name: pair for name, pair in own.items() if name in labels}
        for example_id, own in values.items()
    }


def _values_of(one: Answered) -> _Values:
    expected, given = parse_object(one.expected) or {}, parse_object(one.given)
    return {
        name: (_label(value), None if given is None or name not in given else _label(given[name]))
        for name, value in expected.items()
        if isinstance(value, str | bool | int)
    }


def _label(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _is_labels(texts: Iterable[str]) -> bool:
    """Whether texts are names of classes: few, and most of them more than once."""
    counts = Counter(text.strip() for text in texts)
    return 1 < len(counts) <= min(_MOST_LABELS, sum(counts.values()) / 2)


def _confusions(wrong: Sequence[Answered], named: Mapping[str, _Values]) -> Iterator[Cluster]:
    pairs: dict[tuple[str, str, str], list[Answered]] = defaultdict(list)
    per_field: Counter[str] = Counter()
    for one in wrong:
        for name, (expected, given) in named[one.example_id].items():
            if expected != given:
                per_field[name] += 1
                if given:
                    pairs[name, expected, given].append(one)
    chosen = sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0]))[:_MOST_PAIRS]
    for (name, expected, given), members in chosen:
        if len(members) < _LEAST_PAIR:
            continue
        seen = sum(own.get(name, ("", ""))[0] == expected for own in named.values())
        of = f" in {name}" if name else ""
        yield Cluster(
            "confusion",
            f"{_titled(name)}{expected} answered as {given}",
            tuple(members),
            seen,
            f"{len(members)} of {per_field[name]} errors{of} confuse {expected} with {given}: add "
            f"rows of {expected}, most of all such as these",
        )


def _titled(name: str) -> str:
    return f"{name}: " if name else ""


def _above_the_rest(
    answered: Sequence[Answered], named: Mapping[str, _Values]
) -> Iterator[Cluster]:
    """Classes, slices and words that are wrong more often than the rest."""
    groups: dict[tuple[str, str, str], list[Answered]] = defaultdict(list)
    wrong_in: dict[tuple[str, str, str], list[Answered]] = defaultdict(list)
    for one in answered:
        for key, is_wrong in _groups_of(one, named[one.example_id]):
            groups[key].append(one)
            if is_wrong:
                wrong_in[key].append(one)
    totals: Counter[tuple[str, str]] = Counter()
    wrong_totals: Counter[tuple[str, str]] = Counter()
    for one in answered:
        for scope, is_wrong in _scopes_of(one, named[one.example_id]):
            totals[scope] += 1
            wrong_totals[scope] += is_wrong
    tried = [key for key in groups if len(wrong_in[key]) >= _LEAST_WRONG]
    for key in tried:
        kind, name, value = key
        scope = (kind, name) if kind == "class" else ("", "")
        counts = (len(wrong_in[key]), len(groups[key]), wrong_totals[scope], totals[scope])
        # Bonferroni's correction: that many were looked at.
        if chance_of(*counts) * len(tried) <= _LEVEL:
            yield _told(kind, name, value, tuple(wrong_in[key]), counts)


def _groups_of(one: Answered, values: _Values) -> Iterator[tuple[tuple[str, str, str], bool]]:
    for name, (expected, given) in values.items():
        yield ("class", name, expected), expected != given
    for kind, value in one.slices.items():
        yield ("slice", kind, value), one.is_wrong
    for word in sorted(set(_WORD.findall(one.prompt.lower()))):
        yield ("words", "", word), one.is_wrong


def _scopes_of(one: Answered, values: _Values) -> Iterator[tuple[tuple[str, str], bool]]:
    yield ("", ""), one.is_wrong
    for name, (expected, given) in values.items():
        yield ("class", name), expected != given


def chance_of(wrong: int, seen: int, all_wrong: int, total: int) -> float:
    """The chance of so many wrong ones or more in a group, were it as any other.

    Args:
        wrong: of the group.
        seen: size of the group.
        all_wrong: of all.
        total: of all.

    Returns:
        The upper tail of the hypergeometric distribution: Fisher's exact test, one-sided.
        Written out, because a report must not wait for scipy.stats to be imported.

    Source: Fisher 1935, The Design of Experiments, section 21.1.
    """
    most = min(seen, all_wrong)
    whole = _log_choices(total, seen)
    logs = [
        _log_choices(all_wrong, k) + _log_choices(total - all_wrong, seen - k) - whole
        for k in range(max(wrong, seen - (total - all_wrong), 0), most + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, logs)))


def _log_choices(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _told(
    kind: str,
    name: str,
    value: str,
    wrong: tuple[Answered, ...],
    counts: tuple[int, int, int, int],
) -> Cluster:
    num_wrong, seen, all_wrong, total = counts
    rest = f"{all_wrong - num_wrong} of {total - seen} elsewhere"
    titles = {
        "class": f"{_titled(name)}{value}",
        "slice": f"{name}: {value}",
        "words": f"prompts with the word {value}",
    }
    wanted = {
        "class": f"rows of {value}",
        "slice": f"rows whose {name} is {value}",
        "words": f"rows whose prompt holds {value}",
    }
    advice = f"{num_wrong} of {seen} are wrong, {rest}: add {wanted[kind]}"
    return Cluster(kind, titles[kind], wrong, seen, advice)
