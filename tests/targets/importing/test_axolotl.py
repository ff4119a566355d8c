"""Data sets of axolotl, in each of its forms, become stores of what the teacher said."""

import dataclasses

import numpy as np
import pytest
from tests.targets.importing.packers import likeliest, named_entries, teacher_says, write_rows

from stillhouse.core.errors import InputError, ModelError
from stillhouse.core.rows import Message
from stillhouse.runner.imports import ImportCall, run_import
from stillhouse.targets.importing.examples import read_imported
from stillhouse.targets.read import TargetReader
from stillhouse.tokens.encode import encode_conversation

K = 6
ANSWERS = (
    "the answer has a reason: yes, no, maybe and the quick brown fox runs home",
    "a lazy dog jumps over 0123456789 and home again the quick brown fox jumps",
    "{'intent': 'refund', 'mood': 'angry'} the lazy dog and the brown fox",
)


@pytest.fixture
def call(tmp_path, tokenizer_folder):
    def build(source, **changes):
        made = ImportCall("axolotl", str(source), str(tmp_path / "to"), str(tokenizer_folder))
        return dataclasses.replace(made, **changes)

    return build


@pytest.fixture
def said(tokenizer, template):
    """Conversations with their ids, and what the teacher said about each token, (T, V)."""
    found = []
    for number, answer in enumerate(ANSWERS):
        messages = [Message("user", f"question {number}"), Message("assistant", answer)]
        encoded = encode_conversation(messages, template, tokenizer)
        teacher = teacher_says(len(encoded.ids), tokenizer.vocab_size, seed=number)
        # The answer is the teacher's own, so what it said makes each token likely.
        teacher[np.arange(len(encoded.ids)), encoded.ids] = teacher.max(axis=1) + 3
        teacher -= np.log(np.exp(teacher).sum(axis=1, keepdims=True))
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        found.append((turns, encoded, teacher))
    return found


def conversation_rows(said, *, form="named", change=lambda logprobs: logprobs):
    rows = []
    for turns, encoded, teacher in said:
        answer = teacher[encoded.is_trained]
        if form == "named":
            rows.append({"messages": turns, "logprobs": change(named_entries(answer, K))})
        else:
            ids, logprobs = likeliest(answer, K)
            row = {"logprobs": logprobs.tolist(), "target_token_ids": ids.tolist()}
            rows.append({"messages": turns} | row)
    return rows


def prepared_rows(said, alignment, *, renormalised=True):
    """As axolotl prepares them: row j is about token j + 1 (current) or token j (legacy)."""
    rows = []
    for _, encoded, teacher in said:
        ids, logprobs = likeliest(teacher, K)
        if renormalised:
            logprobs = logprobs - np.log(np.exp(logprobs).sum(axis=1, keepdims=True))
        is_known = encoded.is_trained.copy()
        if alignment == "current":
            ids, logprobs = (np.concatenate([x[1:], x[:1]]) for x in (ids, logprobs))
            is_known = np.append(is_known[1:], False)
        logprobs = np.where(is_known[:, None], logprobs, -1e9)
        rows.append(
            {
                "input_ids": encoded.ids.tolist(),
                "labels": np.where(encoded.is_trained, encoded.ids, -100).tolist(),
                "target_logprobs": logprobs.tolist(),
                "target_token_ids": ids.tolist(),
                "target_mask": np.repeat(is_known[:, None], K, axis=1).astype(int).tolist(),
            }
        )
    return rows


def assert_holds(folder, said, *, renormalised=False):
    """The store says of each trained token what the teacher said of it."""
    reader = TargetReader(folder / "targets")
    examples = list(read_imported(folder))
    assert len(examples) == len(said)
    for example, (_, encoded, teacher) in zip(examples, said, strict=True):
        assert example.ids.tolist() == encoded.ids.tolist()
        assert example.is_trained.tolist() == encoded.is_trained.tolist()
        targets = reader.get(example.example_id)
        found = reader.get_for(example.key(reader.header.tokenizer_digest))
        assert np.array_equal(found.top_ids, targets.top_ids)
        ids, logprobs = likeliest(teacher[encoded.is_trained], K)
        if renormalised:
            logprobs = logprobs - np.log(np.exp(logprobs).sum(axis=1, keepdims=True))
        assert np.array_equal(np.sort(targets.top_ids), np.sort(ids))
        np.testing.assert_allclose(targets.top_logprobs, logprobs, atol=3e-2)
        assert targets.token_ids.tolist() == encoded.ids[encoded.is_trained].tolist()


@pytest.mark.parametrize("form", ["named", "numbers"])
def test_what_was_said_about_an_answer_belongs_to_its_tokens(said, call, tmp_path, form):
    source = write_rows(tmp_path / "data.parquet", conversation_rows(said, form=form))

    imported = run_import(call(source))

    assert (imported.engine, imported.top_k, imported.examples) == ("axolotl", K, 3)
    assert imported.kept_mass < 1
    assert_holds(tmp_path / "to", said)


def test_lists_for_the_whole_conversation_are_read_from_its_end(said, call, tmp_path):
    rows = [
        {"messages": turns, "logprobs": [None, *named_entries(teacher, K)[1:]]}
        for turns, _, teacher in said
    ]
    run_import(call(write_rows(tmp_path / "data.parquet", rows)))

    assert_holds(tmp_path / "to", said)


def test_other_names_of_columns_are_found(said, call, tmp_path):
    rows = [{"turns": row["messages"], "vllm": row["logprobs"]} for row in conversation_rows(said)]
    source = write_rows(tmp_path / "data.parquet", rows)
    with pytest.raises(InputError, match="neither the columns messages and logprobs, nor") as told:
        run_import(call(source))
    assert told.value.hint.startswith("it has: turns, vllm; ")

    run_import(call(source, messages_field="turns", logprobs_field="vllm"))

    assert_holds(tmp_path / "to", said)


@pytest.mark.parametrize("alignment", ["current", "legacy"])
def test_prepared_columns_are_read_by_their_alignment(said, call, tmp_path, alignment):
    source = write_rows(tmp_path / "data.parquet", prepared_rows(said, alignment))

    with pytest.raises(InputError, match=r"sum to 1: .* which is lost with the tail"):
        run_import(call(source, alignment=alignment))
    imported = run_import(call(source, alignment=alignment, accept_renormalised=True))

    assert imported.engine == "axolotl-renormalised"
    assert_holds(tmp_path / "to", said, renormalised=True)


@pytest.mark.parametrize(
    ("written", "read", "word"), [("legacy", "current", "before"), ("current", "legacy", "behind")]
)
def test_the_wrong_alignment_is_refused_by_what_the_numbers_say(
    said, call, tmp_path, written, read, word
):
    rows = prepared_rows(said, written)
    for row in rows:
        # Labels everywhere, so that a shifted row still has a mask.
        row["labels"] = row["input_ids"]
        row["target_mask"] = np.ones_like(row["target_mask"]).tolist()
    for row, (_, _, teacher) in zip(rows, said, strict=True):
        ids, logprobs = likeliest(teacher, K)
        if written == "current":
            ids, logprobs = (np.concatenate([x[1:], x[:1]]) for x in (ids, logprobs))
        row |= {"target_token_ids": ids.tolist(), "target_logprobs": logprobs.tolist()}
    source = write_rows(tmp_path / "data.parquet", rows)

    with pytest.raises(InputError, match=f"one position off: .* to the one {word} it") as told:
        run_import(call(source, alignment=read))

    assert f"--alignment {written}" in told.value.hint


def _at(row, position, value):
    def change(logprobs):
        logprobs[row][position] = value
        return logprobs

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:-1], r"data.parquet:1: \d+ rows of log-probabilities; the last answer"),
        (lambda rows: rows * 9, r"data.parquet:1: \d+ rows of log-probabilities; the last answer"),
        (lambda rows: [], r"data.parquet:1: 0 rows of log-probabilities"),
        (_at(2, 0, {"token": "token_id:70000", "logprob": -1.0}), r"name the token id 70000"),
        (_at(2, 0, {"token": "token_id:7", "logprob": 0.4}), r"holds a positive log-probability"),
        (_at(2, 0, {"token": "token_id:7", "logprob": float("nan")}), r"no finite number"),
        (_at(2, 0, {"token": "seven", "logprob": -1.0}), r"row 2 of logprobs is \[\{"),
        (lambda rows: [*rows[:3], [], *rows[4:]], r"row 3 of logprobs is empty"),
        (lambda rows: [*rows[:3], [rows[3][0]] * K, *rows[4:]], r"names a token twice"),
    ],
    ids=["rows cut", "rows too many", "no rows", "foreign id", "positive", "NaN", "no id",
         "an empty row", "an id twice"],
)  # fmt: skip
def test_a_damaged_row_is_refused_and_leaves_nothing(said, call, tmp_path, change, words):
    source = write_rows(tmp_path / "data.parquet", conversation_rows(said, change=change))

    with pytest.raises(InputError, match=words):
        run_import(call(source))

    assert [path.name for path in tmp_path.iterdir()] == ["data.parquet"]


def test_positions_with_fewer_entries_ask_for_a_smaller_k(said, call, tmp_path):
    rows = conversation_rows(said)
    rows[2]["logprobs"][4] = rows[2]["logprobs"][4][-3:]
    source = write_rows(tmp_path / "data.parquet", rows)

    with pytest.raises(InputError, match=r"data.parquet:3: 3 entries a position, 6 are") as told:
        run_import(call(source))
    assert told.value.hint == "keep fewer with --top-k 3"
    assert run_import(call(source, top_k=3)).top_k == 3


def test_prepared_lists_that_do_not_fit_their_tokens_are_refused(said, call, tmp_path):
    for name in ("target_logprobs", "target_token_ids", "target_mask", "labels"):
        rows = prepared_rows(said, "current")
        rows[1][name] = rows[1][name][:-1]
        source = write_rows(tmp_path / "data.parquet", rows)
        with pytest.raises(InputError, match=r"data.parquet:2: \d+ tokens with lists of other"):
            run_import(call(source, accept_renormalised=True))


def test_turns_without_content_are_refused(said, call, tmp_path):
    rows = conversation_rows(said)
    for row in rows:
        row["messages"] = [{"from": "human", "value": "a"}]
    with pytest.raises(InputError, match=r"data.parquet:1: messages is no list of turns"):
        run_import(call(write_rows(tmp_path / "data.parquet", rows)))


def test_conversations_need_a_chat_template(said, call, tmp_path, tokenizer_folder):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "tokenizer.json").write_bytes((tokenizer_folder / "tokenizer.json").read_bytes())
    source = write_rows(tmp_path / "data.parquet", conversation_rows(said))
    with pytest.raises(ModelError, match="no chat template"):
        run_import(call(source, tokenizer=str(bare)))
