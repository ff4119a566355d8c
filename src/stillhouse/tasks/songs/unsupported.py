"""Claims of an analysis that neither the lyrics nor the Bible support, each with what was seen.

Only what letters and tables can show is found: a theme without any word for it, a verse that is
not there, a name that the lyrics do not have. A theme that the lexicon does not know is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stillhouse.evals.judged import HIGH
from stillhouse.evals.scripture.find import find_entry_problem, find_references
from stillhouse.evals.scripture.references import find_problem
from stillhouse.evals.scripture.support import Verses, supports
from stillhouse.tasks.songs.analysis import Analysis, has_words
from stillhouse.tasks.songs.criteria import VERDICTS
from stillhouse.tasks.songs.lexicon import evidence_for, lexicon, plain_text, themes_named

_QUOTED = re.compile(r"[\"“„»]([^\"“”„»«]{8,500})[\"”“«]")
_NEAR = 60  # characters; assumption: a quotation further away is not of that verse


@dataclass(frozen=True, slots=True)
class Unsupported:
    """One claim without support.

    Attributes:
        kind: one of `evals.hallucination.KINDS`.
        what: the claim, and what is wrong with it, in words.
    """

    kind: str
    what: str


def find_unsupported(
    analysis: Analysis, lyrics: str, verses: Verses | None = None
) -> list[Unsupported]:
    """The claims of an analysis that nothing supports.

    Args:
        analysis: of the song.
        lyrics: empty for an instrumental.
        verses: the text of verses, for quotations; without it none is checked.

    Returns:
        In the order scripture, quotations, then claims about the lyrics.
    """
    text = plain_text(lyrics)
    found = [*_scripture(analysis), *_quotes(analysis, text, verses or {})]
    if not has_words(lyrics):
        return found + list(_claims(analysis))
    return [*found, *_themes(analysis, text), *_names(analysis, text)]


def _scripture(analysis: Analysis) -> Iterator[Unsupported]:
    for entry in analysis.scripture:
        problem = find_entry_problem(entry)
        if problem and not _is_a_title(entry):
            yield Unsupported("scripture", problem)
    for reference in find_references(analysis.free_text):
        problem = find_problem(reference)
        if problem:
            yield Unsupported("scripture", problem)


def _quotes(analysis: Analysis, lyrics: str, verses: Verses) -> Iterator[Unsupported]:
    """Words in quotation marks near a reference, unless the lyrics say them."""
    for text in (*analysis.scripture, analysis.free_text):
        references = find_references(text)
        for quotation in _QUOTED.finditer(text):
            near = [one for one in references if _gap(one.span, quotation.span()) < _NEAR]
            if plain_text(quotation[1]) in lyrics:
                continue
            told = [supports(one, quotation[1], verses) for one in near]
            if told and all(one is not None and not one.is_enough for one in told):
                yield Unsupported("quote", f"{near[0].text} does not say {quotation[1]!r}")


def _gap(first: tuple[int, int], second: tuple[int, int]) -> int:
    return max(0, first[0] - second[1], second[0] - first[1])


def _themes(analysis: Analysis, text: str) -> Iterator[Unsupported]:
    for name in analysis.themes:
        themes = themes_named(name)
        if themes and not any(evidence_for(theme, text) for theme in themes):
            yield Unsupported("theme", f"no word of the lyrics speaks for {name!r}")


def _claims(analysis: Analysis) -> Iterator[Unsupported]:
    claims: Mapping[str, object] = {
        f"themes {', '.join(analysis.themes)}": analysis.themes,
        f"scripture {', '.join(analysis.scripture)}": analysis.scripture,
        f"a score of {analysis.score}": analysis.score is not None and analysis.score >= HIGH,
        f"the verdict {analysis.verdict}": analysis.verdict in (VERDICTS[0], VERDICTS[-1]),
    }
    for claim, is_made in claims.items():
        if is_made:
            yield Unsupported("claim", f"{claim}, though there are no words to judge")


def _names(analysis: Analysis, text: str) -> Iterator[Unsupported]:
    """Names that the explanation affirms; "does not mention God" names none."""
    explained = plain_text(analysis.free_text)
    for name, (said, words) in lexicon().names.items():
        if said.affirmed(explained) and not words.find(text):
            yield Unsupported("biblical", f"it speaks of {name}, whom the lyrics do not name")


def _is_a_title(entry: str) -> bool:
    """Whether an entry names a passage without a number, such as the Beatitudes."""
    return not any(sign.isdecimal() for sign in entry)


def find_unjudged(analysis: Analysis) -> list[str]:
    """The claims of an analysis that cannot be judged: unknown themes, and titles of passages."""
    themes = [name for name in analysis.themes if not themes_named(name)]
    titles = [entry for entry in analysis.scripture if _is_a_title(entry)]
    return themes + [entry for entry in titles if find_entry_problem(entry)]
