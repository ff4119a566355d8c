"""Whether a text is English, told by its script and by the small words that every sentence has.

A text of a few words without any of them, such as a name, cannot be told: it counts as English
unless it holds a letter that English has not.
"""

from __future__ import annotations

import unicodedata
from functools import cache

from stillhouse.data.words import words_of

_MOST_FOREIGN = 0.2
"""Share of the letters of other scripts.

assumption: an English sentence may quote a word of another script, not most of its words.
"""

# Function words of each language that are none, or rare, in English.
_SMALL_WORDS = {
    "English": "the of and to in is that for it with as was on are by this be from at or an which "
    "what you not have has had were who when where how do does did can will would should their "
    "its his her they he she we your our my i me him them there these those than into over under "
    "about between while during through near each every some many much more most very a if but",
    "German": "der die das und ist nicht ein eine einen einem einer mit auf für von dem den des im "
    "zu zum zur auch sich als wie aus bei nach ich du er sie es wir ihr werden wird sind war hat "
    "haben oder aber über unter durch welche welcher was wo wer kein keine mein dein sein",
    "French": "le la les des une et est dans pour qui que sur avec pas par au aux du en ce cette "
    "ces son sa ses je tu il elle nous vous ils sont était ont ou où mais quel quelle comme plus",
    "Spanish": "el la los las un una unos y es en de del que por para con no se su sus al lo como "
    "más pero este esta estos son fue hay qué cuál dónde cómo cuando muy sin sobre entre yo tú él",
    "Italian": "il lo la gli le un una e è di del della dei delle che per con non si su al alla "
    "nel nella sono era ha hanno come più ma questo questa anche dove cosa quale molto io lui lei",
    "Portuguese": "o os a as um uma e é de do da dos das que por para com não se em no na nos nas "
    "ao como mais mas este esta são foi há qual onde muito sem sobre eu ele ela você",
    "Dutch": "de het een en is van in dat op te zijn met voor niet aan er om ook als maar bij door "
    "naar uit wordt worden deze dit die wat waar wie hoe ik je hij zij wij hun heeft",
    "Turkish": "ve bir bu için ile de da ne olarak çok daha gibi ama veya olan en mi mı ki kadar "
    "sonra nasıl nedir hangi var yok ben sen biz onun her",
    "Azerbaijani": "və bir bu üçün ilə da də nə olan çox daha kimi ən hansı necə nədir edir olunur "
    "hansıdır olur var",
    "Indonesian": "yang dan di itu ini dengan untuk dari pada adalah ke tidak akan dalam apa "
    "siapa oleh atau juga bisa sebagai ada saya anda mereka kita apakah berapa paling",
    "Hausa": "da na a ta ya wani wane wace mene menene ne ce ga cikin suke aka ake yake don ko "
    "daga kan sun wanne lokacin abin ke yi suna yana tana "
    "wanda wadda duk amma kuma domin ina yaushe",
    "Polish": "i w na z do nie się jest że to o jak po co ale przez od dla są czy który która "
    "które przed oraz jego jej ich gdzie kto",
}


@cache
def _languages_of() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for language, words in _SMALL_WORDS.items():
        for word in words.split():
            found.setdefault(word, set()).add(language)
    return {word: frozenset(languages) for word, languages in found.items()}


def is_english(text: str) -> bool:
    """Whether a text is English.

    Args:
        text: any text; a text without letters is.

    Returns:
        False where most of it is of another script, or where the small words of another language
        are more than those of English.
    """
    letters = [sign for sign in text if sign.isalpha()]
    foreign = sum(not _is_latin(sign) for sign in letters)
    if foreign > _MOST_FOREIGN * len(letters):
        return False
    counts, alone = dict.fromkeys(_SMALL_WORDS, 0), 0
    for word in set(words_of(text)):
        languages = _languages_of().get(word, frozenset[str]())
        alone += languages == {"English"}
        for language in languages:
            counts[language] += 1
    english = counts.pop("English")
    most = max(counts.values())
    if english == most == 0:
        return text.isascii() or not any(sign.isalpha() and not sign.isascii() for sign in text)
    # One small word that two languages have, as in "a snail", tells nothing.
    return english > most or (english == most and (alone > 0 or most == 1))


@cache
def _is_latin(sign: str) -> bool:
    return sign.isascii() or unicodedata.name(sign, "").startswith(("LATIN", "MODIFIER LETTER"))
