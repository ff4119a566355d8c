"""Texts met one by one are found alike as they are in a whole."""

import random

from stillhouse.data.near_duplicates import find_alike, shingle
from stillhouse.data.near_index import NearIndex


def test_one_by_one_finds_what_the_whole_finds():
    draw = random.Random(3)
    words = [f"word{number}" for number in range(400)]
    texts = []
    for _ in range(60):
        text = draw.choices(words, k=40)
        texts.append(" ".join(text))
        if draw.random() < 0.5:
            text[draw.randrange(40)] = "other"
            texts.append(" ".join(text))
    names = [f"{number:03}" for number in range(len(texts))]
    whole = set(find_alike(shingle(names, texts, 2), 0.8))

    index, found = NearIndex(0.8), set()
    for name, text in zip(names, texts, strict=True):
        alike = index.find(text)
        if alike:
            assert alike.overlap >= 0.8
            found.add(name)
        else:
            index.add(name, text)

    assert found == whole != set()
