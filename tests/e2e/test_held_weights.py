"""A quantised teacher and student, and a student out of its teacher's layers, from rows to bundle.

`pytest tests/e2e/test_held_weights.py -m long` kills the training of a quantised student, too.
"""

from __future__ import annotations

import json

import pytest
import torch
from ruamel.yaml import YAML
from tests.e2e.families import write_models, write_recipe
from tests.e2e.test_architectures import logits_on, nll_sum, run_chain
from tests.faults.killed_runs import begin_at, contents, differing, killed_at, run
from transformers import AutoModelForCausalLM

import stillhouse
from stillhouse.cli.show import show_check
from stillhouse.evals.scores import read_scores
from stillhouse.export.merge import merge_student
from stillhouse.models.load import LoadOptions, load_model
from stillhouse.targets.read import TargetReader

pytestmark = [pytest.mark.xdist_group("e2e"), pytest.mark.filterwarnings("ignore:MatMul8bitLt")]


def changed(path, **changes):
    """The recipe with dotted keys set; `__` stands for the dot."""
    recipe = YAML().load(path)
    for dotted, value in changes.items():
        *way, last = dotted.split("__")
        place = recipe
        for key in way:
            place = place[key]
        place[last] = value
    YAML().dump(recipe, path)
    return path


def quantised_recipe(root):
    write_models("qwen3", root)
    return changed(
        write_recipe("qwen3", root, lora=True),
        name="tiny",  # as runs are called that are killed
        teacher__quantization="int8",
        student__quantization="nf4",
        train__length={"steps": 8, "batch_size": 8, "checkpoint_every": 2},
    )


@pytest.fixture(scope="module")
def quantised(tmp_path_factory):
    pytest.importorskip("bitsandbytes")
    root = tmp_path_factory.mktemp("quantised")
    recipe = quantised_recipe(root)
    with pytest.MonkeyPatch.context() as patch:
        from tests.e2e.conftest import _InThisProcess

        patch.setattr("stillhouse.runner.run.StageServer", _InThisProcess)
        return root, recipe, run_chain(recipe, root, student_folder=root / "student")


def test_a_quantised_student_is_measured_as_trained_and_ships_whole(quantised):
    root, _, chain = quantised
    corpus, holdout = chain.holdout()
    encoded = [corpus.encode(example) for example in holdout]
    texts = [item.ids for item in encoded]
    adapter = chain.artifacts["train@student"] / "adapter"

    trained = load_model(adapter, base=root / "student", options=LoadOptions("nf4"))
    scores = read_scores(chain.artifacts["evaluate@student"] / "scores.parquet").columns["nll"]
    naive = [nll_sum(*pair) for pair in zip(logits_on(trained, texts), encoded, strict=True)]
    assert scores == pytest.approx(naive, rel=1e-4)

    shipped = AutoModelForCausalLM.from_pretrained(chain.bundle / "merged", local_files_only=True)
    assert {parameter.dtype for parameter in shipped.parameters()} == {torch.float32}
    expected = logits_on(merge_student(load_model(adapter, base=root / "student")), texts)
    ours = logits_on(shipped, texts)
    assert all(torch.equal(a, b) for a, b in zip(ours, expected, strict=True))

    told = chain.summaries["export"]
    assert told["trained_over"] == "nf4"
    gaps = zip(logits_on(trained, texts), ours, strict=True)
    assert told["max_logit_difference"] == pytest.approx(
        max(float((a - b).abs().max()) for a, b in gaps), rel=1e-3
    )
    exported = read_scores(chain.artifacts["evaluate@exported"] / "scores.parquet").columns["nll"]
    naive = [nll_sum(*pair) for pair in zip(ours, encoded, strict=True)]
    assert exported == pytest.approx(naive, rel=1e-4)


def test_a_quantised_teacher_labels_and_says_so(quantised):
    _, _, chain = quantised
    header = TargetReader(chain.artifacts["label"] / "targets").header
    assert header.dtype == "float32, int8"
    before, after = chain.losses("finetune")
    assert after < before


def test_check_knows_how_many_weights_will_be_trained(quantised, capsys):
    root, recipe, chain = quantised
    found = stillhouse.check(str(recipe), stillhouse.Call(runs=str(root / "runs")))
    show_check(found, as_json=False)
    said = capsys.readouterr().out
    for key in ("finetune", "train@student"):
        trained = chain.summaries[key]["trainable_parameters"]
        assert f"{trained:,} trained parameters" in said
        assert chain.summaries[key]["parameters"] > trained


@pytest.mark.long
def test_the_training_of_a_quantised_student_is_killed_and_ends_with_the_same_bytes(
    quantised, tmp_path
):
    root, recipe, _ = quantised
    reference, again = contents(root / "runs"), tmp_path / "runs"
    begin_at(root / "runs", again, "train@student")
    arguments = ["run", str(recipe), "--runs", str(again)]
    for point, count in (("progress", 5), ("checkpoint sealed", 1)):
        spec = {"instance": "train@student", "point": point, "who": "group", "count": count}
        end = killed_at(spec, arguments, tmp_path / point)
        assert end.code == -9, end.err
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert differing(again, reference) == []


@pytest.mark.long
@pytest.mark.parametrize(("family", "lora"), [("gpt2", False), ("gpt_oss", True)])
def test_a_student_starts_as_chosen_layers_of_its_finetuned_teacher(
    family, lora, tmp_path, in_this_process
):
    write_models(family, tmp_path)
    recipe = changed(
        write_recipe(family, tmp_path, lora=lora),
        student={"layers_of_teacher": [1]},
        train__twin={"parts": ["labelled"]},
    )
    chain = run_chain(recipe, tmp_path, student_folder=None)

    teacher = chain.artifacts["finetune"]
    if lora:
        whole = merge_student(load_model(teacher / "adapter", base=tmp_path / "teacher"))
        start = load_model(chain.artifacts["train@student"] / "model").state_dict()
        assert (chain.bundle / "base").is_dir()
        for name, tensor in whole.state_dict().items():
            kept = name.replace(".1.", ".0.") if ".1." in name else name
            if ".0." not in name:
                assert torch.equal(start[kept], tensor), name
    stated = json.loads((chain.bundle / "merged" / "config.json").read_text())
    assert stated.get("n_layer", stated.get("num_hidden_layers")) == 1
    assert stated.get("layer_types", ["full_attention"]) == ["full_attention"]
    for name in ("student", "twin"):
        manifest = json.loads((chain.artifacts[f"train@{name}"] / "manifest.json").read_text())
        assert manifest["inputs"]["teacher"] == teacher.name


def test_the_recipe_of_the_page_does_what_the_page_says(tmp_path, in_this_process):
    pytest.importorskip("bitsandbytes")

    chain = run_chain("docs/how-to/qlora.yaml", tmp_path, student_folder=None)

    told = chain.summaries["train@student"]
    # q: 64 in, 64 out; v: 64 in, 32 out; down: 128 in, 64 out
    assert told["trainable_parameters"] == 8 * (128 + 96 + 192)
    assert told["steps"] == 10
    base = load_model(chain.artifacts["train@student"] / "model")
    teacher = load_model(chain.artifacts["finetune"] / "model")
    assert told["parameters"] == base.num_parameters() + told["trainable_parameters"]
    ours, theirs = (model.model.layers[-1].state_dict() for model in (base, teacher))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert chain.summaries["export"]["trained_over"] == "nf4"
    curve = json.loads((chain.artifacts["train@student"] / "kd_metrics.json").read_text())
    assert len(curve["validation"]) == 10
