"""English is told from other languages, on real questions of everyday culture in seven of them."""

import json

import pytest

from stillhouse.data.language import is_english


@pytest.mark.parametrize(
    "text",
    [
        "a red cat on a roof", "What is a popular food in Algeria?", "red cat", "", "12 + 7",
        "Kyoto 1900", "the word 東京 on a sign in the rain", "bond",
        "a café in Zürich at the edge of the lake",
    ],
)  # fmt: skip
def test_english_is_english(text):
    assert is_english(text)


@pytest.mark.parametrize(
    "text",
    [
        "ein roter Hund auf der Wiese", "eine Straße im Regen", "un chat noir sur le toit", 
        "un gato en la calle",
        "Der Baum", "kırmızı bir kedi", "красный кот", "赤い猫", "قطة حمراء", "빨간 고양이",
        "rötlich schöne Bäume",
        "uma casa na praia com o mar", "een hond in het bos",
        "kot na dachu i pies przed domem",
    ],
)  # fmt: skip
def test_other_languages_are_not(text):
    assert not is_english(text)


def test_real_questions_are_told_apart(shared_file):
    lines = shared_file("culture/blend_a.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    own = [row for row in rows if row["country"] != "US"]
    names = shared_file("prompts/partiprompts_even.tsv").read_text("utf-8").splitlines()[1:]
    prompts = [line.split("\t")[0] for line in names]

    missed = [row for row in own if is_english(row["question"])]
    blamed = [row["en_question"] for row in rows if not is_english(row["en_question"])]
    refused = [prompt for prompt in prompts if not is_english(prompt)]

    by_country = {}
    for row in missed:
        by_country[row["country"]] = by_country.get(row["country"], 0) + 1
    print(f"\ntaken for English: {len(missed)} of {len(own)} questions {by_country}")
    print(f"not taken for it: {len(blamed)} of {len(rows)}, {len(refused)} of {len(prompts)}")
    assert len(missed) / len(own) < 0.01
    assert len(blamed) / len(rows) < 0.01
    assert len(refused) / len(prompts) < 0.01
