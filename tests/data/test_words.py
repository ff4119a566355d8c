"""Words are found in every script, and equal words are equal whatever their case and form."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data.words import words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 2 cats, isn’t it?", ["it's", "2", "cats", "isn’t", "it"]),
        ("well-known 'quoted'", ["well", "known", "quoted"]),
        ("我喜欢猫。", ["我", "喜", "欢", "猫"]),
        ("東京タワー2024年", ["東", "京", "タ", "ワ", "ー", "2024", "年"]),
        ("人々", ["人", "々"]),
        ("저는 고양이를 좋아해요", ["저는", "고양이를", "좋아해요"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("ฉันรัก", ["ฉั", "น", "รั", "ก"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("ＡＢＣ ﬁn", ["abc", "fin"]),
        ("", []),
        (" \n—!? 🎉", []),
        ("a\ud800b", ["a", "b"]),
    ],
)
def test_words_of_a_text(text, words):
    assert words_of(text) == words


@given(st.text(max_size=60))
@settings(max_examples=60)
def test_words_do_not_depend_on_case_or_on_the_form_of_accents(text):
    # given a text in two forms of Unicode
    plain = "".join(char for char in text if unicodedata.category(char) != "Cs")
    # then
    assert words_of(plain) == words_of(unicodedata.normalize("NFD", plain))
    assert all(words_of(word) == [word] for word in words_of(plain))
