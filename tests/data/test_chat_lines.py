"""Examples come out as the chat lines that others train on, to the byte."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.core.rows import PARTS, Example, Message, Row, ToolCall
from stillhouse.data.chat_lines import chat_line, write_chat_files
from stillhouse.data.conversations import build_shaper
from stillhouse.recipes.rows import Prepare, Split

SPLIT = Split(parts={"holdout": 1})
SONG = {
    "title": "Grace",
    "artist": "Trad.",
    "genre": "hymn",
    "lyrics": 'Amazing grace\nhow "sweet"',
    "analysis": {"verdict": "RECOMMENDED", "score": 0.95, "themes": ["grace"],
                 "scripture_references": ["Ephesians 2:8-9"]},
    "told": "Score: 95. Concern level: Very Low. Biblical themes: grace.",
}  # fmt: skip

FIRST = Prepare(
    system="You are a music analysis AI that evaluates song lyrics based on Christian theological "
    "criteria. Provide verdict, score, themes, sentiment, safety, emotion, and scripture "
    "references.",
    user="Analyze the song '{title}' by '{artist}' with the following lyrics:\n\n{lyrics}",
    answer="analysis",
    answer_indent=2,
    split=SPLIT,
)
SECOND = Prepare(
    system="You are an expert music analyst specializing in Christian content evaluation. Analyze "
    "songs across all genres using biblical standards.",
    user="Analyze this song:\n\nTitle: {title}\nArtist: {artist}\nGenre: {genre}\nLyrics: {lyrics}"
    "\n\nProvide a comprehensive analysis including score, concern level, biblical themes, and "
    "supporting scripture.",
    answer="told",
    split=SPLIT,
)
GOLDEN = (
    (FIRST, r'{"messages": [{"role": "system", "content": "You are a music analysis AI that '
     r'evaluates song lyrics based on Christian theological criteria. Provide verdict, score, '
     r'themes, sentiment, safety, emotion, and scripture references."}, {"role": "user", '
     r'''"content": "Analyze the song 'Grace' by 'Trad.' with the following lyrics:\n\n'''
     r'Amazing grace\nhow \"sweet\""}, {"role": "assistant", "content": "{\n  \"verdict\": '
     r'\"RECOMMENDED\",\n  \"score\": 0.95,\n  \"themes\": [\n    \"grace\"\n  ],\n  '
     r'\"scripture_references\": [\n    \"Ephesians 2:8-9\"\n  ]\n}"}]}'),
    (SECOND, r'{"messages": [{"role": "system", "content": "You are an expert music analyst '
     r'specializing in Christian content evaluation. Analyze songs across all genres using '
     r'biblical standards."}, {"role": "user", "content": "Analyze this song:\n\nTitle: Grace\n'
     r'Artist: Trad.\nGenre: hymn\nLyrics: Amazing grace\nhow \"sweet\"\n\nProvide a '
     r'comprehensive analysis including score, concern level, biblical themes, and supporting '
     r'scripture."}, {"role": "assistant", "content": "Score: 95. Concern level: Very Low. '
     r'Biblical themes: grace."}]}'),
)  # fmt: skip


def messages_of(prepare, song=SONG):
    draft = build_shaper(prepare)(Row("1", song, "songs.jsonl:1"))
    return (*draft.prompt, Message("assistant", draft.answer))


@pytest.mark.parametrize(("prepare", "line"), GOLDEN)
def test_both_forms_of_the_songs_come_out_to_the_byte(prepare, line):
    assert chat_line(messages_of(prepare)) == line


def test_the_lines_are_those_that_plain_python_writes():
    plain = {
        "messages": [
            {"role": "system", "content": FIRST.system},
            {
                "role": "user",
                "content": f"Analyze the song '{SONG['title']}' by '{SONG['artist']}' with the "
                f"following lyrics:\n\n{SONG['lyrics']}",
            },
            {"role": "assistant", "content": json.dumps(SONG["analysis"], indent=2)},
        ]
    }

    assert chat_line(messages_of(FIRST)) == json.dumps(plain)


@pytest.mark.parametrize(
    ("name", "prepare"),
    [("000_ca4025606a0a220e.txt", FIRST), ("001_160e183f04c7e1eb.txt", SECOND)],
)
def test_the_prompts_are_those_of_the_founding_descriptions(shared_file, name, prepare):
    folder = shared_file("INDEX.md").parents[1] / "founding"
    if not (Path(folder) / name).is_file():
        pytest.skip(f"no founding description here: {name}")
    text = (folder / name).read_text(encoding="utf-8")
    user = prepare.user.replace("\n", "\\n")
    for field in ("title", "artist", "genre", "lyrics"):
        user = user.replace(f"{{{field}}}", f"{{{'' if prepare is FIRST else 'song.'}{field}}}")

    assert f'"{prepare.system}"' in text
    assert f'f"{user}"' in text


turns = st.lists(
    st.builds(Message, st.sampled_from(("system", "user", "assistant")), st.text()), max_size=5
)


@settings(max_examples=30, deadline=None)
@given(turns)
def test_a_line_is_one_line_and_holds_every_letter(messages):
    line = chat_line(messages)

    assert "\n" not in line
    held = json.loads(line)["messages"]
    assert [(one["role"], one["content"]) for one in held] == [
        (one.role, one.content) for one in messages
    ]


def test_calls_of_tools_read_back_as_they_were():
    messages = (
        Message("user", "weather?"),
        Message("assistant", "", (ToolCall("look", '{"at": "x"}'), ToolCall("ask", "{}"))),
        Message("tool", "sun"),
        Message("tool", "yes"),
        Message("assistant", "It is sunny."),
    )
    read = build_shaper(Prepare(shape="messages", split=SPLIT))

    draft = read(Row("1", json.loads(chat_line(messages)), "x:1"))

    assert (*draft.prompt, Message("assistant", draft.answer)) == messages


def test_parts_go_into_their_files_and_a_failed_write_leaves_the_old_ones(tmp_path):
    def examples(stop_at=None):
        for number, part in enumerate(PARTS * 2):
            if number == stop_at:
                raise OSError("no space left")
            yield Example(f"e{number}", part, (Message("user", f"q{number}"),), "a")

    files = {"train": ("teacher", "labelled"), "val": ("validation",), "none": ()}
    written = write_chat_files(tmp_path, examples(), files)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    assert written == {"train": 4, "val": 2, "none": 0}
    assert sorted(before) == ["train.jsonl", "val.jsonl"]
    with pytest.raises(OSError, match="no space"):
        write_chat_files(tmp_path, examples(stop_at=7), files)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
