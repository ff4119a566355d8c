"""Rows of other people's formats go through the whole chain, conversations of many turns too."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

import stillhouse
from stillhouse.stages.corpus import open_corpus
from stillhouse.store.artifacts import ArtifactStore
from stillhouse.targets.read import TargetReader

pytestmark = [
    pytest.mark.xdist_group("e2e"),
    pytest.mark.usefixtures("in_this_process"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:multiprocess.*"),
]
ROWS = range(16)


def conversation(number, role="role", content="content", names=("user", "assistant")):
    asked, said = names
    return [
        {role: asked, content: f"What comes after {number}?"},
        {role: said, content: f"{number + 1}"},
        {role: asked, content: "And twice that?"},
        {role: said, content: f"{2 * (number + 1)}"},
    ]


def parquet_of_messages(folder):
    rows = [{"messages": conversation(number)} for number in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    return {"source": {"file": "rows.parquet"}}, {"shape": "messages"}


def json_of_sharegpt(folder):
    names = ("from", "value", ("human", "gpt"))
    rows = [{"id": number, "conversations": conversation(number, *names)} for number in ROWS]
    (folder / "rows.json").write_text(json.dumps({"rows": rows}))
    return {"source": {"file": "rows.json", "records": "rows"}}, {"shape": "sharegpt"}


def saved_pairs(folder):
    datasets = pytest.importorskip("datasets")
    rows = [
        {"prompt": conversation(number)[:3], "completion": conversation(number)[3:]}
        for number in ROWS
    ]
    datasets.Dataset.from_list(rows).save_to_disk(folder / "saved")
    return {"source": {"dataset": {"id": "./saved"}}}, {"shape": "prompt_completion"}


@pytest.mark.parametrize("source", [parquet_of_messages, json_of_sharegpt, saved_pairs])
def test_conversations_are_distilled_with_all_their_answers(source, tmp_path, tiny_recipe):
    plain = YAML(typ="safe").load(tiny_recipe)
    plain["collect"], prepare = source(tmp_path)
    parts = {"holdout": 3, "labelled": 6, "teacher": "rest"}
    plain["prepare"] = {**prepare, "split": {"parts": parts}}
    plain["label"]["parts"] = plain["train"]["parts"] = ["labelled"]
    for section in (plain["finetune"], plain["train"]):
        section["length"] = {"steps": 4, "batch_size": 4}
        for watched in ("early_stopping", "validation"):
            section.pop(watched, None)
    plain["evaluate"] = {"draws": 100}
    recipe = tmp_path / "recipe.yaml"
    YAML().dump(plain, recipe)

    status = stillhouse.run(str(recipe), stillhouse.Call(runs=str(tmp_path / "runs")))

    assert status.state == "passed"
    store = ArtifactStore(tmp_path / "runs" / "artifacts")
    folders = {stage.key: store.path(stage.artifact_id) for stage in status.stages}
    corpus = open_corpus(folders["prepare"])
    targets = TargetReader(folders["label"] / "targets")
    for example in corpus.of_parts(["labelled"]):
        encoded = corpus.encode(example)
        stored = targets.get(example.example_id)
        assert np.array_equal(stored.token_ids, encoded.ids[encoded.is_trained])
        ends = (stored.token_ids == corpus.tokenizer.eos_id).sum()
        assert ends == sum(turn.role == "assistant" for turn in example.messages()) == 2
