"""The usual cleaning loses no letter of any script; the founding one says what it deletes."""

import json
import re
import sys
import unicodedata
from collections import Counter

import pytest

from stillhouse.core.rows import Row
from stillhouse.data.steps import CleanStep, clean_text
from stillhouse.recipes.cautions import cautions
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.rows import CLEAN_PROFILES, Clean

SAFE, NFKC, ASCII = (Clean.model_validate(name) for name in CLEAN_PROFILES)
SENTENCES = {
    "latin": "Ænima: où l'été à Łódź, İstanbul'da ğüşöç, Việt Nam, Þór, ŋ, ẞ, ſ, ﬁne x² ½",
    "greek": "Ἐν ἀρχῇ ἦν ὁ λόγος, η μουσική μας αρέσει",
    "cyrillic": "Съешь ещё этих мягких булок, їжак, ђак, Ѳита",
    "armenian": "Երգը գեղեցիկ է և հին",
    "georgian": "სიმღერა ძველია და ლამაზი",
    "hebrew": "שִׁיר חָדָשׁ לַיהוה",
    "arabic": "أغنيةٌ قديمةٌ وجميلة، نیم‌فاصله فارسی",
    "syriac": "ܙܡܝܪܬܐ ܥܬܝܩܬܐ",
    "thaana": "ލަވަ ރީތި",
    "ethiopic": "ዘፈኑ ያረጀና ያማረ ነው።",
    "devanagari": "यह गीत पुराना और क़ीमती है, क्‍ष",
    "bengali": "গানটি পুরনো ও সুন্দর, ড়",
    "gurmukhi": "ਗੀਤ ਪੁਰਾਣਾ ਤੇ ਸੋਹਣਾ ਹੈ",
    "gujarati": "ગીત જૂનું અને સુંદર છે",
    "oriya": "ଗୀତଟି ପୁରୁଣା ଓ ସୁନ୍ଦର",
    "tamil": "பாடல் பழையது, அழகானது",
    "telugu": "పాట పాతది, అందమైనది",
    "kannada": "ಹಾಡು ಹಳೆಯದು, ಸುಂದರ",
    "malayalam": "പാട്ട് പഴയതും മനോഹരവുമാണ്, ന്‍",
    "sinhala": "ගීතය පැරණි හා ලස්සනයි, ශ්‍රී",
    "thai": "เพลงเก่าและไพเราะ น้ำ",
    "lao": "ເພງເກົ່າ ແລະ ມ່ວນ",
    "khmer": "ចម្រៀងចាស់ ហើយពីរោះ",
    "burmese": "သီချင်းဟောင်းနှင့် လှပသည်",
    "tibetan": "གཞས་འདི་རྙིང་པ་དང་སྙན་པོ་རེད།",
    "korean": "노래는 오래되고 아름답다, 한글",
    "japanese": "この歌は古くて美しい。カタカナ、ｶﾀｶﾅ",
    "chinese": "這首歌又老又好聽，这首歌很好听 𠮷",
    "cherokee": "ᎧᏃᎩᏍᏗ ᎠᎦᏴᎵ",
    "mongolian": "ᠳᠠᠭᠤᠤ ᠬᠠᠭᠤᠴᠢᠨ",
    "canadian": "ᐃᓐᖏᐅᑎ ᐱᑐᖃᖅ",
    "nko": "ߘߐ߲߬ߞߟߌ߬ ߞߘߐ",
}
SIGNS = "5 % of $1,000 = 50 €/£/¥/₹/₿ + 3 & @x #y ~ ^ | \\ * < > [ ] { } § ° © “quoted” ‘so’ – — …"


def letters(text):
    """Everything that is no blank: letters, marks, digits, signs."""
    return Counter(sign for sign in unicodedata.normalize("NFC", text) if not sign.isspace())


@pytest.mark.parametrize("script", SENTENCES)
def test_no_letter_mark_or_sign_of_a_script_is_lost(script):
    text = f"{SENTENCES[script]} {SIGNS}"

    assert letters(clean_text(text, SAFE)) == letters(text)


def test_there_are_twenty_scripts_and_more():
    names = {
        unicodedata.name(sign).split()[0]
        for text in SENTENCES.values()
        for sign in text
        if sign.isalpha()
    }

    assert len(names) >= 30


@pytest.mark.parametrize(
    ("name", "scripts"),
    [
        ("culture/blend_a.jsonl", {"ARABIC", "ETHIOPIC", "LATIN"}),
        ("prompts/chatgpt_role_prompts_zh.json", {"CJK", "LATIN"}),
        ("songs/openhymnal_a.jsonl", {"LATIN"}),
        ("prompts/awesome_chatgpt_prompts_a.csv", {"LATIN", "CJK", "CYRILLIC", "ARABIC", "GREEK"}),
    ],
)
def test_real_rows_lose_no_letter(shared_file, name, scripts):
    text = shared_file(name).read_text(encoding="utf-8")
    if name.endswith("jsonl"):
        rows = [json.loads(line) for line in text.splitlines()]
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    lines = text.split("\n")

    lost = [line for line in lines if letters(clean_text(line, SAFE)) != letters(line)]

    assert lost == []
    seen = {unicodedata.name(sign, "?").split()[0] for sign in text if sign.isalpha()}
    assert scripts <= seen


@pytest.mark.long
def test_every_letter_that_there_is_stays_among_others():
    count, lost = 0, []
    for code in range(sys.maxunicode + 1):
        sign = chr(code)
        if unicodedata.category(sign)[0] not in "LMN":
            continue
        count += 1
        text = f"word {sign} word"
        if letters(clean_text(text, SAFE)) != letters(text):
            lost.append(f"U+{code:04X}")
    print(f"\n{count} letters, marks and digits alone between words; lost or changed: {lost}")
    assert lost == []


def founding(text):
    """The founding description's own code, with its last step, written out."""
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("utf-8")
    text = re.sub(r'[^\w\s.,;:!?"\'()\-]', "", text)
    return " ".join(text.split())


@pytest.mark.parametrize("text", [*SENTENCES.values(), SIGNS, "a_b  c\t(d)-e: \"f\"; 'g'!", ""])
def test_ascii_is_the_founding_form_to_the_letter(text):
    assert clean_text(text, ASCII) == founding(text)


def test_real_accounting_rows_in_the_founding_form_say_what_they_lost(shared_file):
    tables = json.loads(shared_file("finance/tatqa_dev_half.json").read_text(encoding="utf-8"))
    rows = [
        Row(f"{number}-{place}", {"q": asked["question"], "a": str(asked["answer"])}, "tatqa")
        for number, table in enumerate(tables)
        for place, asked in enumerate(table["questions"])
    ]

    outcomes = CleanStep(ASCII).process(rows)

    notes = Counter(note for one in outcomes for note in one.notes)
    assert notes["deleted $"] > 100
    assert notes["deleted %"] > 10
    assert all("$" not in one.row.fields["a"] for one in outcomes)


def test_profiles_are_settings_and_the_one_that_deletes_is_warned_of(tiny_recipe):
    def cleaned(name):
        return load_recipe(str(tiny_recipe), [f"prepare.clean={name}"]).recipe

    assert cleaned("safe").prepare.clean == Clean()
    assert cleaned("nfkc").prepare.clean == NFKC
    assert cautions(cleaned("safe")) == ()
    (said,) = cautions(cleaned("ascii"))
    for sign in "$%/=+&@":
        assert sign in said
    with pytest.raises(Exception, match="'nfkd' is no profile; there are safe, nfkc, ascii"):
        cleaned("nfkd")
