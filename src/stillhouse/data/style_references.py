"""Style references in a text, in English and German: "in the style of", "-esque", "im Stil von".

Whoever describes by a name ("in the style of Hokusai") leaves unsaid what is meant: how the lines
run, what is left out, from where one looks. The list is of phrases, so it finds what people write
often and nothing else. A manner of writing, as in "in a clear style", is none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MEDIA = (
    "art|artwork|paintings?|illustration|drawing|sketch|sculpture|photo|photograph|portrait|print|"
    "engraving|etching|woodcut|Gemälde|Zeichnung|Skulptur|Holzschnitt"
)
_WORKS = "works?|art|paintings?|music|poems?|poetry|novels?|films?|prints?|style"
_WERKE = "Kunst|Werken?|Malerei|Musik|Bildern?|Gedichten?|Filmen?|Stil"
_NAME = r"[^\W\d_a-zäöüßàáâãåæçèéêëìíîïñòóôõøùúûýœš]"
"""A letter that is not small: where a name begins."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_MANNERS = _set(
    "a academic accessible all an any appropriate argumentative brief casual certain chosen clear "
    "coherent concise consistent conversational convincing correct creative current descriptive "
    "desired different direct distinct dramatic easy elegant engaging every fancy fine formal free "
    "friendly good great her his humorous informal its lively my narrative natural new no numeric "
    "objective old our own particular personal persuasive plain playful poetic polite precise "
    "professional proper readable rich right same scholarly serious short similar simple single "
    "some specific specified standard strict stunning technical that the their this unique visual "
    "what whatever which writing your"
)
"""Before "style": how somebody writes, or a word that only points."""
_COMPOUNDS = _set(
    "bullet buffet cafeteria citation code coding doc docs doggy family font free hair life line "
    "list markdown old question self"
)
"""Before "-style": no style of anybody."""
_PLAIN_ESQUE = _set("arab burl grot humor picture pictur plater roman statu humoresqu pittor")
"""Before "-esque" and "-esk": words of their own, or the name of an epoch."""
_KINDS_OF_STIL = _set("lebens schreib bau fahr führungs sprach ex eigenen guten")
"""Before "stil" in German."""


@dataclass(frozen=True, slots=True)
class _Phrase:
    name: str
    pattern: re.Pattern[str]
    plain: frozenset[str] = frozenset()
    """Makes the phrase an ordinary one, as the pattern's first group."""


_PHRASES = (
    _Phrase("in the style of", re.compile(r"(?i:\bin\s+(?:[\w-]+\s+){0,2}styles?\s+of\b)")),
    _Phrase(
        "the style of",
        re.compile(
            r"(?i:\b(?:art|artistic|drawing|musical|painting|poetic|visual|writing)\s+style\s+of\b)"
        ),
    ),
    _Phrase(
        "in ... style",
        re.compile(r"(?i:\bin\s+(?:[\w-]+\s+){0,2}?([\w-]+)(?:['’]s?)?\s+style\b(?!\s+of\b))"),
        _MANNERS,
    ),
    _Phrase("...-style", re.compile(r"(?i:\b([^\W_]+)-style\b)"), _COMPOUNDS | _MANNERS),
    _Phrase("in the manner of", re.compile(r"(?i:\b(?:in|after)\s+the\s+(?:manner|vein)\s+of\b)")),
    _Phrase("-esque", re.compile(r"(?i:\b([^\W_]{2,}?)-?esque\b)"), _PLAIN_ESQUE),
    _Phrase(
        "inspired by",
        re.compile(
            rf"(?i:\binspired\s+by\s+)(?:(?i:the|an?)\s+)?(?:(?i:{_WORKS})\s+(?i:of)\b|{_NAME})"
        ),
    ),
    _Phrase("reminiscent of", re.compile(r"(?i:\breminiscent\s+of\b)")),
    _Phrase("à la", re.compile(rf"(?i:(?<!\w)(?:à|á|a)\s+la\s+){_NAME}")),
    _Phrase("styled after", re.compile(r"(?i:\b(?:styled|modell?ed)\s+after\b)")),
    _Phrase(
        "imitating a style",
        re.compile(r"(?i:\b(?:copy|emulat|imitat|mimic)\w*\s+(?:the\s+)?(?:[\w-]+\s+)?style\b)"),
    ),
    _Phrase(
        "a work by", re.compile(rf"(?i:\b(?:{_MEDIA})\s+(?:by|von)\s+){_NAME}[\w.’'-]*\s+{_NAME}")
    ),
    _Phrase(
        "im Stil von",
        re.compile(
            r"(?i:\b(?:im|in\s+(?:dem|einem|seinem|ihrem))\s+(?:\w+\s+)?stile?\s+"
            r"(?:von|vom|der|des|eines|einer)\b)"
        ),
    ),
    _Phrase(
        "im ...stil",
        re.compile(r"(?i:\b(?:im|in\s+einem)\s+(?:\w+\s+)?([^\W_]{2,}?)-?stil\b)"),
        _KINDS_OF_STIL,
    ),
    _Phrase("im ...en Stil", re.compile(r"(?i:\bim\s+\w+(?:ischen|esken)\s+stil\b)")),
    _Phrase(
        "nach Art von",
        re.compile(
            r"(?i:\b(?:nach|in)\s+(?:der\s+)?(?:art|manier)\s+(?:von|vom|der|des|eines|einer)\b)"
        ),
    ),
    _Phrase(
        "inspiriert von",
        re.compile(
            rf"(?i:\binspiriert\s+(?:von|vom|durch)\s+)"
            rf"(?:(?i:den|der|dem|die)\s+(?:{_WERKE})\b|{_NAME})"
        ),
    ),
    _Phrase("angelehnt an", re.compile(r"(?i:\b(?:angelehnt|in\s+anlehnung)\s+an\b)")),
    _Phrase("-esk", re.compile(r"(?i:\b([^\W_]{3,}?)(?<!d)esk(?:e[nmrs]?)?\b)"), _PLAIN_ESQUE),
)


@dataclass(frozen=True, slots=True)
class StyleReference:
    """One phrase that was found.

    Attributes:
        phrase: its name, such as `in the style of`.
        found: as it stands in the text.
        start: of its first character.
    """

    phrase: str
    found: str
    start: int


def find_style_references(text: str) -> list[StyleReference]:
    """The style references of a text, in their order.

    Args:
        text: any text.

    Returns:
        None of them where there is none; a place that two phrases fit is told once.
    """
    hits = sorted(
        (one for phrase in _PHRASES for one in _hits(phrase, text)),
        key=lambda one: (one.start, -len(one.found)),
    )
    kept: list[StyleReference] = []
    for one in hits:
        if not kept or one.start >= kept[-1].start + len(kept[-1].found):
            kept.append(one)
    return kept


def _hits(phrase: _Phrase, text: str) -> Iterator[StyleReference]:
    for found in phrase.pattern.finditer(text):
        if phrase.plain and found[1].casefold() in phrase.plain:
            continue
        yield StyleReference(phrase.name, found[0], found.start())


def has_style_reference(text: str) -> bool:
    """Whether a text has a style reference."""
    return next((True for phrase in _PHRASES for _ in _hits(phrase, text)), False)
