"""Four families go through the whole chain, all weights or an adapter, and come out whole.

The bundle is loaded by plain transformers and PEFT alone, as whoever receives it would.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from tests.e2e.families import FAMILIES, write_models, write_recipe
from transformers import AutoModelForCausalLM, AutoTokenizer

import stillhouse
from stillhouse.core.hashing import digest_folder, digest_value
from stillhouse.evals.scores import read_scores
from stillhouse.registry.versions import Registry
from stillhouse.stages.corpus import open_corpus
from stillhouse.stages.weights import finished_model
from stillhouse.store.artifacts import ArtifactStore
from stillhouse.targets.read import TargetReader

pytestmark = [
    pytest.mark.xdist_group("e2e"),
    pytest.mark.usefixtures("in_this_process"),
]
MODES = ("full", "lora")


@dataclass(frozen=True)
class Chain:
    """A finished run of one family.

    Attributes:
        artifacts: the key of each instance to its folder.
        student_folder: the weights it started from, as the recipe names them.
    """

    root: Path
    artifacts: dict[str, Path]
    summaries: dict[str, dict]
    student_folder: Path | None

    @property
    def bundle(self) -> Path:
        return self.artifacts["export"] / "bundle"

    def holdout(self):
        corpus = open_corpus(self.artifacts["prepare"])
        return corpus, corpus.of_parts(["holdout"])

    def evaluated_student(self):
        """The model that `evaluate` asked, loaded as it loads it."""
        config = {"device": "cpu", "dtype": "float32"}
        folder = str(self.student_folder) if self.student_folder else None
        return finished_model(config, self.artifacts["train@student"], folder)

    def losses(self, key):
        trend = json.loads((self.artifacts[key] / "kd_metrics.json").read_text())["trend"]
        return trend["first_loss"], trend["last_loss"]


def run_chain(recipe, root, *, student_folder):
    status = stillhouse.run(str(recipe), stillhouse.Call(runs=str(root / "runs")))
    store = ArtifactStore(root / "runs" / "artifacts")
    for stage in status.stages:
        store.verify(stage.artifact_id)
    return Chain(
        root / "runs",
        {stage.key: store.path(stage.artifact_id) for stage in status.stages},
        {stage.key: stage.summary for stage in status.stages},
        student_folder,
    )


def logits_on(model, texts):
    model.eval()
    with torch.no_grad():
        return [model(input_ids=torch.from_numpy(ids).long()[None]).logits[0] for ids in texts]


def largest_difference(ours, theirs):
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


def nll_sum(logits, encoded):
    """The naive sum over trained tokens of -log p, from a model's own logits."""
    logprobs = torch.log_softmax(logits.double(), -1)
    places = np.flatnonzero(encoded.is_trained)
    chosen = logprobs[torch.from_numpy(places - 1), torch.from_numpy(encoded.ids[places]).long()]
    return -float(chosen.sum())


def check_chain(chain, *, lora):
    """What holds for every family; gives the largest difference of a logit."""
    corpus, holdout = chain.holdout()
    encoded = [corpus.encode(example) for example in holdout]
    texts = [item.ids for item in encoded]
    asked = logits_on(chain.evaluated_student(), texts)

    merged = AutoModelForCausalLM.from_pretrained(chain.bundle / "merged", local_files_only=True)
    reloaded = logits_on(merged, texts)
    worst = largest_difference(reloaded, asked)
    scale = max(float(logits.abs().max()) for logits in asked)
    assert worst <= (1e-5 * max(1.0, scale) if lora else 0.0)

    # The numbers in the report are those of the weights that ship, by a second way of counting.
    scores = read_scores(chain.artifacts["evaluate@student"] / "scores.parquet")
    naive = [nll_sum(logits, item) for logits, item in zip(reloaded, encoded, strict=True)]
    np.testing.assert_allclose(scores.columns["nll"], naive, rtol=1e-4)

    tokenizer = AutoTokenizer.from_pretrained(chain.bundle / "merged", local_files_only=True)
    for example, item in zip(holdout, encoded, strict=True):
        text = corpus.template.render(example.messages()).text
        assert tokenizer.encode(text, add_special_tokens=False) == item.ids.tolist()
    if lora:
        check_adapter(chain, texts, asked)
    check_version(chain)
    check_header(chain)
    return worst


def check_adapter(chain, texts, asked):
    """The adapter alone, on the model that the student started from, is the student bit by bit."""
    stated = json.loads((chain.bundle / "adapter" / "adapter_config.json").read_text())
    named = stated["base_model_name_or_path"]
    start = chain.student_folder or (chain.bundle / "adapter" / named).resolve()
    assert named == ("student" if chain.student_folder else "../base")
    base = AutoModelForCausalLM.from_pretrained(start, local_files_only=True)
    adapted = PeftModel.from_pretrained(base, str(chain.bundle / "adapter"))
    assert largest_difference(logits_on(adapted, texts), asked) == 0.0


def check_header(chain):
    """The targets name the weights that answered: those of `finetune`, not those before it."""
    stated = TargetReader(chain.artifacts["label"] / "targets").header.weights_digest
    base = json.loads((chain.artifacts["label"] / "manifest.json").read_text())
    made = [chain.artifacts["finetune"] / name for name in ("model", "adapter")]
    parts = [digest_folder(folder) for folder in made if folder.is_dir()]
    assert parts
    assert stated == digest_value([base["config"]["model"]["weights"], *parts])


def check_version(chain):
    registry = Registry(chain.root / "registry")
    record = json.loads((chain.artifacts["register"] / "version.json").read_text())
    version = registry.read(record["name"], record["version_id"])
    registry.verify(version)
    shipped = {
        path.relative_to(chain.bundle).as_posix()
        for path in chain.bundle.rglob("*")
        if path.is_file()
    }
    assert {file.path for file in version.files} == shipped


@pytest.fixture(scope="module")
def table():
    """One line a family and mode, printed when all have run (see it with `pytest -s`)."""
    lines = []
    yield lines
    form = "{:<10} {:<6} {:>15} {:>15} {:>11} {:>10} {:>9}"
    head = ("family", "mode", "teacher loss", "student loss", "trained", "max diff", "reload")
    print("\n" + form.format(*head))
    for line in lines:
        print(form.format(*line))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_distilled_shipped_and_loads_elsewhere_as_it_was_measured(
    family, mode, tmp_path, table
):
    write_models(family, tmp_path)
    recipe = write_recipe(family, tmp_path, lora=mode == "lora")

    chain = run_chain(recipe, tmp_path, student_folder=tmp_path / "student")
    worst = check_chain(chain, lora=mode == "lora")

    table.append(line_of(family, mode, chain, worst))
    for key in ("finetune", "train@student"):
        before, after = chain.losses(key)
        assert after < before


def test_a_scratch_student_with_an_adapter_ships_the_base_that_nobody_else_has(tmp_path, table):
    recipe = write_recipe("qwen3", tmp_path, lora=True, scratch=True)

    chain = run_chain(recipe, tmp_path, student_folder=None)
    worst = check_chain(chain, lora=True)

    table.append(line_of("qwen3", "scratch", chain, worst))


def line_of(family, mode, chain, worst):
    losses = [f"{a:.3f} > {b:.3f}" for a, b in map(chain.losses, ("finetune", "train@student"))]
    trained = chain.summaries["train@student"]["trainable_parameters"]
    return (family, mode, *losses, f"{trained:,}", f"{worst:.1e}", "ok")
