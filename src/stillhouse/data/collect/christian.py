"""How sure the words of a song make it that it is Christian, and which of five themes it has.

A list of words is no reader: it knows hymns and worship songs by what they name, and passes over
songs that mean God without a word for Him. Who needs better puts `christian_confidence` and
`themes` into a curated list, which is believed.
"""

from __future__ import annotations

from stillhouse.data.words import words_of

_WORDS: dict[str, str] = {
    "Christ-Centered": "jesus christ saviour savior redeemer messiah emmanuel immanuel calvary "
    "lamb cross crucified risen resurrection incarnate",
    "Gospel": "gospel salvation saved grace redeemed redemption forgiven forgiveness sin sins "
    "sinner sinners atonement ransom ransomed mercy mercies cleansed",
    "Worship": "praise praises praising worship hallelujah alleluia hosanna holy glory glorify "
    "glorious exalt adore adoration almighty majesty magnify god lord",
    "Prayer": "pray prayer prayers praying amen intercede supplication hear grant bless "
    "blessing guide guard keep shepherd",
    "Biblical": "zion sion israel jerusalem bethlehem galilee jordan psalm scripture bible moses "
    "david abraham apostle apostles prophet prophets angel angels disciples eden seraphim "
    "cherubim sabbath martyrs judah",
}
_OF_OTHERS = "hear grant bless blessing guide guard keep glorious lamb cross"
"""Common outside of churches too: they make a theme, but do not prove anything."""
_LEAN = (
    "father spirit soul souls heaven heavenly faith divine eternal everlasting thee thou thy thine "
    "king throne creator kingdom eternity blessed ghost trinity"
)
"""Half as much as the others, beside them."""

_THEME_FROM = 2
_FEWEST_WORDS = 40
_OATHS = (("oh", "my", "god"), ("god", "damn"), ("lord", "knows"), ("swear", "to", "god"))
_BY_WORDS = tuple((theme, frozenset(words.split())) for theme, words in _WORDS.items())
_PROOF = frozenset[str]().union(*(words for _, words in _BY_WORDS)) - frozenset(_OF_OTHERS.split())
_LEANING = frozenset(_LEAN.split())
_HALF_AT = 0.9
"""measured: in a hundred words; see tests/data/collect/test_christian.py for hymns and for songs
and poems that are none."""


def confidence_of(lyrics: str) -> float:
    """In [0, 1]: how much of a text names what Christian songs name.

    Args:
        lyrics: of a song.

    Returns:
        0 for a text with fewer than two such words; 0.5 at about one in a hundred, 0.8 at four.
    """
    words = words_of(lyrics)
    different = {word for word in words if word in _PROOF}
    if len(different) < _THEME_FROM:
        return 0.0
    proof = sum(word in _PROOF for word in words) - 3 * _num_oaths(words)
    leaning = min(proof, sum(word in _LEANING for word in words))
    per_hundred = max(0.0, 100.0 * (proof + leaning / 2) / max(len(words), _FEWEST_WORDS))
    breadth = min(1.0, len(different) / 3)
    return round(per_hundred / (per_hundred + _HALF_AT) * breadth, 4)


def themes_of(lyrics: str) -> tuple[str, ...]:
    """The themes of which at least two words stand in a text."""
    words = words_of(lyrics)
    return tuple(
        theme for theme, own in _BY_WORDS if sum(word in own for word in words) >= _THEME_FROM
    )


def _num_oaths(words: list[str]) -> int:
    return sum(
        tuple(words[start : start + len(oath)]) == oath
        for oath in _OATHS
        for start in range(len(words) - len(oath) + 1)
    )
