"""Lyrics that are too long lose their end; title, question and answer stay."""

import pytest

from stillhouse.core.errors import InputError
from stillhouse.data.readers import build_rows
from stillhouse.recipes.rows import Prepare, Split
from stillhouse.stages.examples import Wanted, WantedReader, make_examples

USER = "Analyze the song '{title}' with the lyrics:\n\n{lyrics}\n\nSay yes or no."


def made(tokenizer_folder, tmp_path, lyrics, **settings):
    rows = [{"title": f"t{at}", "lyrics": text, "a": "the answer is yes"}
            for at, text in enumerate(lyrics)]  # fmt: skip
    parts = {"holdout": 1, "labelled": "rest"}
    wanted = Wanted(
        prepare=Prepare(
            user=USER, answer="a", max_tokens=100, split=Split(parts=parts), **settings
        ),
        readers=(WantedReader(None, tokenizer_folder, "chat", 0),),
        room_for_answer=8,
        asked_parts=("holdout",),
    )
    return make_examples(
        build_rows((f"x:{at}", row) for at, row in enumerate(rows)), wanted, tmp_path
    )


def test_only_the_end_of_the_lyrics_goes(tokenizer_folder, tmp_path):
    found = made(tokenizer_folder, tmp_path, ["La la la " * 10_000, "hey", ""], cut_field="lyrics")

    asked = sorted(one.prompt[-1].content for one in found.examples)
    assert found.num_cut == 1
    assert len(asked) == 3
    assert asked[0].startswith("Analyze the song 't0' with the lyrics:\n\nLa la la ")
    assert all(text.endswith("\n\nSay yes or no.") for text in asked)
    assert {one.answer for one in found.examples} == {"the answer is yes"}


def test_without_a_named_field_the_question_itself_is_lost(tokenizer_folder, tmp_path):
    found = made(tokenizer_folder, tmp_path, ["La la la " * 500, "hey", ""])

    assert any(not one.prompt[-1].content.startswith("Analyze") for one in found.examples)


@pytest.mark.parametrize(("field", "said"), [("lyric", 'did you mean "lyrics"'), ("a", "0 times")])
def test_a_field_that_the_prompt_does_not_have_is_refused(tokenizer_folder, tmp_path, field, said):
    with pytest.raises(InputError, match=said):
        made(tokenizer_folder, tmp_path, ["x", "y"], cut_field=field)
