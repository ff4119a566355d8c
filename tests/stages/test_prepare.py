"""Rows of every source and shape become examples, and every answer in them is learned."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:multiprocess.*")
PARTS = {"parts": {"holdout": 3, "teacher": 3, "labelled": "rest"}}
NUM_ROWS = 12


def turns_of(number):
    """A conversation of two questions and two answers."""
    return [
        ("system", "Answer in one word."),
        ("user", f"What comes after {number}?"),
        ("assistant", f"{number + 1}"),
        ("user", "And twice that?"),
        ("assistant", f"{2 * (number + 1)}"),
    ]


def as_messages(turns):
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def as_sharegpt(turns):
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    return {"conversations": [{"from": names[role], "value": text} for role, text in turns]}


def as_pair(turns):
    asked, answered = as_messages(turns[:-1])["messages"], as_messages(turns[-1:])["messages"]
    return {"prompt": asked, "completion": answered}


SHAPES = {"messages": as_messages, "sharegpt": as_sharegpt, "prompt_completion": as_pair}


def save_parquet(rows, folder):
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    return {"file": "rows.parquet"}


def save_json(rows, folder):
    (folder / "rows.json").write_text(json.dumps({"meta": {"of": "tests"}, "data": {"rows": rows}}))
    return {"file": "rows.json", "records": "data.rows"}


def save_jsonl(rows, folder):
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"file": "rows.jsonl"}


def save_dataset(rows, folder):
    datasets = pytest.importorskip("datasets")
    datasets.DatasetDict({"train": datasets.Dataset.from_list(rows)}).save_to_disk(folder / "saved")
    return {"dataset": {"id": "./saved", "split": "train"}}


SOURCES = {
    "parquet": save_parquet,
    "json with records": save_json,
    "jsonl": save_jsonl,
    "saved data set": save_dataset,
}


def trained_text(corpus, example):
    """The text of every run of trained tokens of an example, as the tokenizer writes it."""
    encoded = corpus.encode(example)
    runs, last = [], -2
    for place, token in enumerate(encoded.ids):
        if encoded.is_trained[place]:
            if place != last + 1:
                runs.append([])
            runs[-1].append(int(token))
            last = place
    return [corpus.tokenizer.decode(ids, skip_special=False) for ids in runs]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("source", SOURCES)
def test_conversations_of_every_source_become_the_same_examples(
    source, shape, write_recipe, prepare, tmp_path
):
    rows = [SHAPES[shape](turns_of(number)) for number in range(NUM_ROWS)]
    collect = {"source": SOURCES[source](rows, tmp_path)}

    made = prepare(write_recipe(collect=collect, prepare={"shape": shape, "split": PARTS}))

    assert made.rows == {"rows": NUM_ROWS}
    assert made.examples["parts"] == {"holdout": 3, "labelled": 6, "teacher": 3}
    expected = {
        tuple(Message(role, text) for role, text in turns_of(number)) for number in range(NUM_ROWS)
    }
    assert {example.messages() for example in made.corpus.examples} == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_every_answer_of_a_conversation_is_learned_and_nothing_else(
    shape, write_recipe, prepare, tmp_path
):
    rows = [SHAPES[shape](turns_of(number)) for number in range(NUM_ROWS)]
    collect = {"source": save_jsonl(rows, tmp_path)}

    corpus = prepare(write_recipe(collect=collect, prepare={"shape": shape, "split": PARTS})).corpus

    end = corpus.tokenizer.eos_token
    for example in corpus.examples:
        answers = [turn.content for turn in example.messages() if turn.role == "assistant"]
        assert len(answers) == 2
        assert trained_text(corpus, example) == [answer + end for answer in answers]


def test_thinking_off_is_sealed_in_the_tokenizer_that_every_later_stage_reads(
    write_recipe, prepare, tmp_path
):
    from tests.models.tiny_models import build
    from tests.tokens.model_families import FAMILIES, open_family
    from transformers import AutoTokenizer

    family = next(one for one in FAMILIES if one.name == "qwen3")
    tokenizer, _ = open_family(family)
    folder = tmp_path / "teacher"
    build("qwen3", tokenizer, max_position_embeddings=1024).save_pretrained(folder)
    tokenizer._backend.save(str(folder / "tokenizer.json"))
    config = {**tokenizer.specials, "chat_template": family.source}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    rows = [as_messages(turns_of(number)) for number in range(NUM_ROWS)]

    def write(**teacher):
        recipe = write_recipe(
            collect={"source": save_jsonl(rows, tmp_path)},
            prepare={"shape": "messages", "split": PARTS},
            teacher={"path": "teacher", **teacher},
        )
        return recipe, resolve(*open_recipe(str(recipe))).plan["prepare"]

    _, untold_plan = write()
    recipe, told_plan = write(thinking="off")
    made = prepare(recipe)
    told = made.corpus

    assert told_plan.artifact_id != untold_plan.artifact_id
    assert "thinking" not in untold_plan.config
    shipped = AutoTokenizer.from_pretrained(told.tokenizer_folder)
    for example in told.examples:
        asked = [{"role": turn.role, "content": turn.content} for turn in example.prompt]
        text = shipped.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        assert text == told.template.prompt_text(example.prompt)
        assert text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
        assert trained_text(told, example) == [example.answer + "<|im_end|>"]
    # each of the conversations has an answer before the last, which is asked for otherwise
    assert made.examples["answers_left_out"] == len(told.examples)
    assert "answers_behind_an_empty_thought" not in made.examples


def test_a_column_of_a_table_is_asked_and_another_answers(write_recipe, prepare, tmp_path):
    lines = ["question,reply", *(f"how much is {n} and 1?,{n + 1}" for n in range(NUM_ROWS))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    collect = {"source": {"file": "rows.csv"}, "columns": {"q": "question", "a": "reply"}}
    section = {"system": "Reckon.", "user": "Q: {q}", "answer": "a", "split": PARTS}

    corpus = prepare(write_recipe(collect=collect, prepare=section)).corpus

    expected = {
        (Message("system", "Reckon."), Message("user", f"Q: how much is {n} and 1?"))
        for n in range(NUM_ROWS)
    }
    assert {example.prompt for example in corpus.examples} == expected
    end = corpus.tokenizer.eos_token
    for example in corpus.examples:
        assert trained_text(corpus, example) == [f"{example.answer}{end}"]


def test_every_dropped_row_is_kept_with_its_reason(write_recipe, run_stage, tmp_path):
    rows = [{"q": f"how is {n}?", "a": "fine"} for n in range(NUM_ROWS)]
    rows += [{"q": "", "a": "nothing was asked"}, rows[0], {"q": "word " * 300, "a": "too long"}]
    collect = {"source": save_jsonl(rows, tmp_path)}
    split = {"parts": {"holdout": 3, "teacher": 3, "labelled": "rest"}}
    recipe = write_recipe(collect=collect, prepare={"user": "{q}", "answer": "a", "split": split})
    resolved = resolve(*open_recipe(str(recipe)))

    collected, _ = run_stage(resolved, "collect", {})
    folder, result = run_stage(resolved, "prepare", {"rows": collected})

    dropped = pq.read_table(folder / "dropped.parquet").to_pylist()
    flow = result.summary["flow"]
    counted = {reason: n for step in flow for reason, n in step["dropped"].items()}
    assert sum(counted.values()) == result.summary["dropped"] == len(dropped)
    assert result.summary["examples"] == len(rows) - len(dropped)
    assert {item["reason"] for item in dropped} == set(counted)
    assert all(item["provenance"].startswith("rows.jsonl:") for item in dropped)


def test_a_source_of_the_wrong_shape_names_the_row(write_recipe, prepare, tmp_path):
    rows = [as_sharegpt(turns_of(number)) for number in range(NUM_ROWS)]
    collect = {"source": save_jsonl(rows, tmp_path), "columns": {"messages": "conversations"}}
    recipe = write_recipe(collect=collect, prepare={"shape": "messages", "split": PARTS})

    with pytest.raises(InputError, match=r"rows\.jsonl:1: messages\[0\] has no role and content"):
        prepare(recipe)
