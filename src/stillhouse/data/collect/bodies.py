"""What came over the wire for one request: its text in one encoding, and where it leads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from stillhouse.store.replies import place_of

_CHARSET = re.compile(
    r"utf-?8|utf-?16([bl]e)?|(us-)?ascii|latin-?1|iso-8859-\d{1,2}|windows-125\d|cp125\d|koi8-[ru]"
    r"|shift_jis|euc-(jp|kr)|gbk|gb2312|gb18030|big5"
)
"""Others are no encodings of text on the web, and some of Python's take their time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host sent.

    Attributes:
        status: of HTTP.
        headers: their names without regard to case.
        body: unpacked.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_page(self) -> bool:
        """Whether it is a page for people, where data was asked for."""
        return self.status == 200 and self.body.lstrip()[:1] == b"<"


def is_text(answer: Answer) -> bool:
    """Whether the body is text in the encoding that the host names; UTF-8 where it names none."""
    if not _CHARSET.fullmatch(_charset(answer)):
        return False
    try:
        answer.body.decode(_charset(answer))
    except (UnicodeError, LookupError):
        return False
    return True


def as_utf8(answer: Answer) -> bytes:
    """The body in UTF-8, whatever the host wrote it in."""
    if answer.status != 200 or _charset(answer) in ("utf-8", "utf8"):
        return answer.body
    return answer.body.decode(_charset(answer)).encode("utf-8", "replace")


def _charset(answer: Answer) -> str:
    told = answer.headers.get("Content-Type", "").lower().partition("charset=")[2]
    return told.partition(";")[0].strip(" \"'") or "utf-8"


def target_of(url: str, answer: Answer) -> str:
    """Where a redirect leads; nowhere where that is no address."""
    try:
        return urljoin(url, answer.headers.get("Location", ""))
    except ValueError:
        return ""


def site_of(url: str) -> tuple[str, str]:
    """Scheme and host with port, which a redirect may not change."""
    try:
        return urlsplit(url).scheme, place_of(url)
    except ValueError:
        return "", ""
