"""Sentences with personal data whose places are known, drawn by a seed; also forms that are missed.

Numbers are of ranges that nobody has where such are set aside (example.com, +1 ... 555 01xx,
documentation addresses), with check digits computed here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from stillhouse.data.personal import Personal

_FIRST = (
    "Ines", "Tunde", "Aylin", "Björn", "Zoë", "Mei", "Olga", "Rafael",
    "Hanne", "Kofi", "Sina", "Pavel", "Noor", "Liam", "Édith", "Juan",
)  # fmt: skip
_LAST = (
    "Vogt", "Okafor", "Demir", "Ångström", "O'Neill", "Chen",
    "Petrova", "Sánchez", "Müller", "Mensah", "Berger", "Novák",
)  # fmt: skip
_HOSTS = ("example.com", "mail.example.org", "uni-köln.example", "example.co.uk", "a1.example.net")
_BEFORE = (
    "Please note: ", "I moved in 2019 and paid 1,250.50 for it. ", "Können Sie helfen? ", "",
    "Version 2.0.1 is out, see section 3.1.2.4. ", "Psalm 23:1-6 at 10:30 on 2024-05-01. ",
)  # fmt: skip
_AFTER = (" Thank you.", "", " It cost $ 4,111 in all.", " Danke!", "\nSee you at 18:45.")


@dataclass(frozen=True)
class Planted:
    """A text with what was put into it, and in which form."""

    text: str
    truth: tuple[Personal, ...]
    form: str


def _digits(rng: Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def _checked_by_luhn(rng: Random, start: str, length: int) -> str:
    body = start + _digits(rng, length - len(start) - 1)
    for last in "0123456789":
        total = 0
        for place, sign in enumerate(reversed(body + last)):
            doubled = int(sign) * (2 if place % 2 else 1)
            total += doubled // 10 + doubled % 10
        if total % 10 == 0:
            return body + last
    raise AssertionError(body)


def _card(rng: Random) -> str:
    start, length = rng.choice((("4", 16), ("53", 16), ("37", 15), ("6011", 16), ("36", 14)))
    plain = _checked_by_luhn(rng, start, length)
    sign = rng.choice(("", " ", "-"))
    return sign.join(plain[at : at + 4] for at in range(0, len(plain), 4))


def _iban(rng: Random) -> str:
    country, length = rng.choice((("DE", 22), ("FR", 27), ("NL", 18), ("GB", 22), ("PL", 28)))
    body = ("ABNA" if country in ("NL", "GB") else "") + _digits(rng, 30)
    body = body[: length - 4]
    number = int("".join(str(int(sign, 36)) for sign in body + country + "00"))
    plain = f"{country}{98 - number % 97:02}{body}"
    if rng.random() < 0.5:
        return plain
    return " ".join(plain[at : at + 4] for at in range(0, len(plain), 4))


def _name(rng: Random) -> str:
    return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"


def _user(rng: Random) -> str:
    first, last = rng.choice(_FIRST).lower(), rng.choice(_LAST).lower().replace("'", "")
    return rng.choice((f"{first}.{last}", f"{first[0]}{last}{_digits(rng, 2)}", f"{first}+shop"))


def _uuid(rng: Random) -> str:
    hexa = "".join(rng.choice("0123456789abcdef") for _ in range(32))
    plain = "-".join((hexa[:8], hexa[8:12], "4" + hexa[13:16], "a" + hexa[17:20], hexa[20:]))
    return plain + rng.choice(("", "_2025-06-01", "_20250601"))


def _mac(rng: Random) -> str:
    sign = rng.choice((":", "-"))
    return sign.join("".join(rng.choice("0123456789ABCDEF") for _ in "xx") for _ in range(6))


def _day(rng: Random) -> tuple[str, str, str]:
    year, month, day = rng.randrange(1900, 2030), rng.randrange(1, 13), rng.randrange(1, 29)
    return str(year), f"{month:02}", f"{day:02}"


Form = tuple[str, str, Callable[[Random], str]]
FORMS: tuple[Form, ...] = (
    ("email", "Write to {}.", lambda r: f"{_user(r)}@{r.choice(_HOSTS)}"),
    ("email", "<{}> wrote:", lambda r: f"{_user(r)}@{r.choice(_HOSTS)}"),
    ("email", "mail: {}", lambda r: f"{_user(r)} at example dot com"),
    ("phone", "Ring {} any time.", lambda r: f"+1 {r.randrange(201, 990)}-555-01{_digits(r, 2)}"),
    ("phone", "Ring {}!", lambda r: f"({r.randrange(201, 990)}) 555-01{_digits(r, 2)}"),
    ("phone", "Meine Nummer: {}.", lambda r: f"+49 (0)30 23125 {_digits(r, 3)}"),
    ("phone", "Tel. {}", lambda r: f"0{r.randrange(30, 99)}/{_digits(r, 7)}"),
    ("phone", "My mobile is {}.", lambda r: f"07700 900{_digits(r, 3)}"),
    ("phone", "le {} merci", lambda r: "06" + "".join(f" {r.randrange(10, 99)}" for _ in "abcd")),
    ("phone", "it is {}, ok?", lambda r: f"555 01{_digits(r, 2)}"),
    ("iban", "Transfer it to {} today.", _iban),
    ("iban", "IBAN: {}", _iban),
    ("card", "Card {}, valid 12/29.", _card),
    ("card", "charge {} please", _card),
    ("ip", "It came from {}.", lambda r: f"203.0.113.{r.randrange(1, 255)}"),
    ("ip", "host {}:443 failed", lambda r: f"198.51.100.{r.randrange(1, 255)}"),
    ("ip", "ping {} now", lambda r: f"2001:db8::{r.randrange(1, 9999):x}:{r.randrange(9):x}1"),
    ("login", "clone https://{}@git.example.com/x", lambda r: f"{_user(r)}:{_digits(r, 6)}"),
    ("login", "ftp://{}@files.example.org", _user),
    ("device", "device {} sent it", _uuid),
    ("device", "MAC {}", _mac),
    ("device", "IMEI: {}", lambda r: _checked_by_luhn(r, "35", 15)),
    ("name", "My name is {}.", _name),
    ("name", "Ich heiße {} und frage mich das.", _name),
    ("name", "Ask Mrs. {} about it.", lambda r: r.choice(_LAST)),
    ("name", "Frau Dr. {} ist da.", _name),
    ("name", "Best regards,\n{}", _name),
    ("name", "{} told me so.", _name),
    ("name", "I met {} there.", _name),
)  # fmt: skip

DECOYS: tuple[tuple[str, Callable[[Random], str]], ...] = (
    ("Order {} is on its way.", lambda r: _digits(r, r.choice((10, 12, 16)))),
    ("Sales were {} in those years.", lambda r: " ".join(
        f"{r.randrange(1, 999)},{_digits(r, 3)}" for _ in range(4))),
    ("At {} we turned.", lambda r: f"{r.uniform(-90, 90):.4f}, {r.uniform(-180, 180):.4f}"),
    ("ISBN {}", lambda r: f"978-{r.randrange(10)}-{_digits(r, 2)}-{_digits(r, 6)}-{_digits(r, 1)}"),
    ("On {} it rained.", lambda r: ".".join(reversed(_day(r)))),
    ("from {} on", lambda r: "-".join(_day(r))),
    ("commit {}", lambda r: "".join(r.choice("0123456789abcdef") for _ in range(40))),
    ("release {}", lambda r: ".".join(str(r.randrange(30)) for _ in range(4))),
    ("{} ({})", lambda r: f"{r.randrange(1, 99)} + {r.randrange(1, 99)} = {_digits(r, 3)}"),
    ("Lesson {}", lambda r: f"Isaiah {r.randrange(1, 66)}:{r.randrange(1, 20)}-{_digits(r, 2)}"),
    ("Part no. {}", lambda r: f"{_digits(r, 4)}-{_digits(r, 4)}-{_digits(r, 2)}"),
    ("x = {}", lambda r: f"0.{_digits(r, 12)}"),
    ("The {} of it", lambda r: f"{r.choice(_LAST)} theorem"),
)  # fmt: skip
"""Numbers and words that are nobody's."""


def decoys(seed: int, of_each: int) -> list[tuple[str, str]]:
    """So many texts of each decoy, with its form."""
    rng = Random(seed)
    return [
        (form, form.replace("{}", draw(rng)) + rng.choice(_AFTER))
        for form, draw in DECOYS
        for _ in range(of_each)
    ]


def planted(seed: int, of_each: int) -> list[Planted]:
    """So many texts of each form."""
    rng = Random(seed)
    made = []
    for kind, template, draw in FORMS:
        for _ in range(of_each):
            before, value = rng.choice(_BEFORE), draw(rng)
            head, _, tail = template.partition("{}")
            # A close of a letter stands at the start of a line.
            before = before and (before + "\n" if template.startswith("Best") else before)
            start = len(before) + len(head)
            text = (
                before
                + head
                + value
                + tail
                + rng.choice(_AFTER).replace(" ", "\n" if template.startswith("Best") else " ", 1)
            )
            made.append(Planted(text, (Personal(kind, start, start + len(value)),), template))
    return made
