"""Personal data in a text, by its form: mail addresses, numbers with check digits, names by cue.

A form is found, never a meaning: a number without its usual separators, an address that is spelt
out and a name without a cue before it stay. Check digits (Luhn; ISO 7064 for an IBAN) keep other
numbers out.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from stillhouse.data.personal_names import find_names

_MOST_TEXT = 64
"""Signs of the longest single thing that is looked for; bounds every pattern's work."""


@dataclass(frozen=True, slots=True)
class Personal:
    """One piece of personal data.

    Attributes:
        kind: such as `email`.
        start: of its first character.
        end: behind its last.
    """

    kind: str
    start: int
    end: int


_SIGNS = re.compile(r"[\d@]")
"""All but names have one of these; most texts have none."""

_PLAIN = r"[A-Za-z0-9_]"
"""A script without blanks writes on where an address in Latin letters ends."""
_EMAIL = re.compile(
    rf"(?:(?<![\w.+-])[\w.%+'-]{{1,{_MOST_TEXT}}}|(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.%+'-]{{1,{_MOST_TEXT}}})"
    rf"@(?:[^\W_](?:[\w-]{{0,61}}[^\W_])?\.){{1,5}}"
    rf"(?:[A-Za-z]{{2,24}}(?!-?{_PLAIN})|[^\W\d_]{{2,24}}(?!-?\w))"
)
_LOGIN = re.compile(
    rf"\b[a-z][a-z0-9+.-]{{1,12}}://([^\s/?#@:]{{1,{_MOST_TEXT}}}(?::[^\s/?#@]{{0,{_MOST_TEXT}}})?)@",
    re.IGNORECASE,
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\w.,+-])[3-6]\d{3}(?:[ -]?\d){9,15}(?![\w]|[.,]\d)")
_UUID = re.compile(
    r"(?<![\w-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"(?:_\d{4}-?\d{2}-?\d{2}(?:[T_]\d{2,6})?)?(?![\w-])",
    re.IGNORECASE,
)
_MAC = re.compile(
    r"(?<![\w:-])[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}(?![\w:-])", re.I
)
_IMEI = re.compile(
    r"\bIMEI(?:[ -]?(?:number|Nummer|no\.?|Nr\.?))?[ :#]{1,3}(\d(?:[ -]?\d){14})\b", re.I
)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_NOT_IPV4 = re.compile(
    r"(?:\bversion|\brelease|\bv|\bsection|§|\bchapter|\bAbschnitt|\bKapitel)\s?$", re.I
)
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}(?![\w:])", re.I)

_DIGITS_OF_A_PHONE = range(7, 16)
"""source: ITU-T E.164: at most 15; the shortest local numbers that people write have 7."""
_APART = r"(?<![\w+.,/$€£-])(?<!\d )"
_ENDS = r"(?![\w-]|[.,]\d)"
_PHONES = (
    # +49 (0)30 901820, 0044 20 7946 0958
    re.compile(rf"{_APART}(?:\+|00)[1-9]\d{{0,2}}(?:[ ./-]?\(?\d{{1,5}}\)?){{2,7}}{_ENDS}"),
    # (555) 010-1234, (555)010 1234, 555-010-1234, 1-555-010-1234
    re.compile(
        rf"{_APART}(?:1[ .-])?(?:\(?[2-9]\d{{2}}\)?[ .-]\d{{3}}[.-]\d{{4}}|"
        rf"\([2-9]\d{{2}}\)[ ]?\d{{3}}[ .-]?\d{{4}}){_ENDS}"
    ),
    # 030 901820, 0170/1234567, 06 12 34 56 78, 020 7946 0958
    re.compile(
        rf"{_APART}\(?0[1-9]\d{{0,4}}\)?[ /-]{{1,3}}\d{{2,8}}(?:[ -]\d{{2,6}}){{0,4}}{_ENDS}"
    ),
)
_PHONE_CUE = re.compile(
    r"\b(?:tel(?:ephone|efon)?|phone|mobile|cell|call|fax|handy|mobil|whatsapp|rufnummer|"
    r"telefonnummer|text)\b\.?[^\d\n+]{0,20}(\+?\d(?:[ ./()-]{0,2}\d){6,14})(?![\w]|[.,]\d)",
    re.IGNORECASE,
)


def _plain(
    kind: str, pattern: re.Pattern[str], group: int = 0
) -> Callable[[str], Iterator[Personal]]:
    def find(text: str) -> Iterator[Personal]:
        for found in pattern.finditer(text):
            yield Personal(kind, found.start(group), found.end(group))

    return find


def _ibans(text: str) -> Iterator[Personal]:
    for found in _IBAN.finditer(text):
        # A word in capitals behind the number may look like its last group.
        for end in range(found.end(), found.start() + 14, -1):
            if text[end - 1] != " " and is_iban(text[found.start() : end]):
                yield Personal("iban", found.start(), end)
                break


def _cards(text: str) -> Iterator[Personal]:
    for found in _CARD.finditer(text):
        digits = _digits(found[0])
        if 13 <= len(digits) <= 19 and _is_of_a_network(digits) and is_luhn(digits):
            yield Personal("card", found.start(), found.end())


def _is_of_a_network(digits: str) -> bool:
    """Whether the first digits are those of a large card network, with its length."""
    first2, first4 = int(digits[:2]), int(digits[:4])
    by_length = {
        13: digits[0] == "4",
        14: first2 in (30, 36, 38, 39),
        15: first2 in (34, 37),
        16: digits[0] == "4"
        or first2 in (35, *range(51, 56), 60, 62, 64, 65)
        or 2221 <= first4 <= 2720,
        19: digits[0] == "4" or first2 == 62,
    }  # fmt: skip
    return by_length.get(len(digits), False)


def _imeis(text: str) -> Iterator[Personal]:
    for found in _IMEI.finditer(text):
        if is_luhn(_digits(found[1])):
            yield Personal("device", found.start(1), found.end(1))


def _addresses(text: str) -> Iterator[Personal]:
    for found in chain(_IPV4.finditer(text), _IPV6.finditer(text)):
        shown = found[0]
        before = text[max(0, found.start() - 10) : found.start()]
        if "." in shown and (_NOT_IPV4.search(before) or shown.startswith("0.")):
            continue
        # `a::b` is an address to the letter, and a name in half the programming languages.
        if ":" in shown and (len(shown) < 7 or not any(map(str.isdigit, shown))):
            continue
        if _is_address(shown):
            yield Personal("ip", found.start(), found.end())


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _phones(text: str) -> Iterator[Personal]:
    for pattern in _PHONES:
        for found in pattern.finditer(text):
            if len(_digits(found[0])) in _DIGITS_OF_A_PHONE and not _is_a_date(found[0]):
                yield Personal("phone", found.start(), found.end())
    for found in _PHONE_CUE.finditer(text):
        if len(_digits(found[1])) in _DIGITS_OF_A_PHONE and not _is_a_date(found[1]):
            yield Personal("phone", found.start(1), found.end(1))


_DATE = re.compile(
    r"(?:(?:[0-2]?\d|3[01])[-/. ]\d{1,2}[-/. ](?:19|20)\d\d|(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2})"
    r"(?:[ ][0-2]?\d)?"
)
"""A day, and the hour behind it where a colon ends what looked like a number."""


def _is_a_date(text: str) -> bool:
    return bool(_DATE.fullmatch(text.strip()))


def _names(text: str) -> Iterator[Personal]:
    for start, end in find_names(text):
        yield Personal("name", start, end)


def _devices(text: str) -> Iterator[Personal]:
    return chain(_plain("device", _UUID)(text), _plain("device", _MAC)(text), _imeis(text))


_FINDERS: dict[str, Callable[[str], Iterator[Personal]]] = {
    "login": _plain("login", _LOGIN, 1),
    "email": _plain("email", _EMAIL),
    "device": _devices,
    "iban": _ibans,
    "card": _cards,
    "ip": _addresses,
    "phone": _phones,
    "name": _names,
}
"""In this order: of two that overlap the first counts."""


def find_personal(text: str, kinds: Sequence[str]) -> list[Personal]:
    """The personal data of a text, in their order, none within another.

    Args:
        text: any text.
        kinds: what is looked for.

    Returns:
        Empty for most texts.
    """
    found: list[Personal] = []  # in order
    has_signs = _SIGNS.search(text)
    for kind, finder in _FINDERS.items():
        if kind not in kinds or not (has_signs or kind == "name"):
            continue
        for one in finder(text):
            place = bisect(found, one.start, key=_start_of)
            is_behind = place == 0 or found[place - 1].end <= one.start
            if is_behind and (place == len(found) or one.end <= found[place].start):
                found.insert(place, one)
    return found


def _start_of(one: Personal) -> int:
    return one.start


def scrub(text: str, kinds: Sequence[str]) -> tuple[str, list[str]]:
    """The text with placeholders in the place of personal data, and the kinds of these.

    Args:
        text: any text.
        kinds: what is replaced.

    Returns:
        (text, one kind for each placeholder in order).
    """
    found = find_personal(text, kinds)
    pieces, start = [], 0
    for one in found:
        pieces += [text[start : one.start], f"[{one.kind.upper()}]"]
        start = one.end
    return "".join([*pieces, text[start:]]), [one.kind for one in found]


def _digits(text: str) -> str:
    return "".join(sign for sign in text if sign.isdigit())


def is_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, sign in enumerate(reversed(digits)):
        value = int(sign) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_iban(text: str) -> bool:
    """Whether its check digits hold (ISO 13616, by ISO 7064 MOD 97-10); blanks do not matter."""
    plain = text.replace(" ", "")
    if not 15 <= len(plain) <= 34:
        return False
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1
