"""The full profile of prompt-transform, planned from small files of the hub; slips told by name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from tests.e2e.families import write_tokenizer
from tests.models.fake_hub import FakeHub, Repo

from stillhouse.core.errors import ModelError, RecipeError
from stillhouse.recipes.facts import facts_for, refuse_known_bad
from stillhouse.recipes.load import load_recipe
from stillhouse.runner.pairing import check_pairing

pytestmark = pytest.mark.xdist_group("hub")
MODELS = ("Qwen/Qwen3-8B", "Qwen/Qwen3-4B-Instruct-2507")
PROMPTS = Path(str(resources.files("stillhouse.tasks.prompts"))) / "transformer.yaml"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The two models' configs as the facts have them, with a small tokenizer that can think."""
    folder = write_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    path = folder / "tokenizer_config.json"
    switch = (Path(__file__).parents[1] / "tokens" / "families" / "qwen3.jinja").read_text()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": switch}))
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    repos = {}
    for name in MODELS:
        facts = facts_for(name)
        config = json.dumps(facts.shape.config() | {"model_type": "qwen3"}).encode()
        repos[name] = Repo(
            files | {"config.json": config},
            branches={"main": facts.revision},
        )
    with FakeHub(repos) as served:
        yield served


@pytest.fixture
def check(hub, tmp_path):
    """`check(*changes)`: what `stillhouse check prompt-transform` says, plan and error."""

    def run(*changes):
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_HOME": str(tmp_path / "hub"),
            "HF_ENDPOINT": hub.endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        words = ["check", "prompt-transform", "--runs", str(tmp_path / "runs")]
        words += [word for change in changes for word in ("--set", change)]
        done = subprocess.run(
            [sys.executable, "-m", "stillhouse.cli.main", *words],
            capture_output=True, text=True, env=environment,
        )  # fmt: skip
        assert done.returncode in (0, 2), done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return run


@pytest.mark.long
def test_the_plan_needs_no_file_and_tells_memory_time_money_and_licence(check):
    said = check()

    print(said)
    for stage in ("step@write_prompts", "step@pair_with", "evaluate@base", "judge@student"):
        assert stage in said
    assert "66,060,288 trained parameters" in said
    assert "apache-2.0" in said
    assert "take care: prepare.system" not in said
    pairs = re.search(r"unlabelled ([\d,]+)", said)[1]
    assert 8_000 <= int(pairs.replace(",", "")) <= 20_000


def test_the_founding_prompt_is_kept_word_for_word(shared_file):
    prompts = YAML(typ="safe").load(PROMPTS)["versions"]
    assert load_recipe("prompt-transform").recipe.prepare.system == prompts["2"]
    found = [*(shared_file("INDEX.md").parents[1] / "founding").glob("003_*.txt")]
    if not found:
        pytest.skip("the founding description is not here")
    assert f'"""{prompts["1"]}"""' in found[0].read_text(encoding="utf-8")


@pytest.mark.long
def test_slips_of_the_founding_plan_are_told_by_name(check):
    founding = YAML(typ="safe").load(PROMPTS)["versions"]["1"]
    served = "{formats: [adapter, gguf_adapter, modelfile], modelfile: {name: m, base: 'qwen3:4b'}}"

    said = check(f"prepare.system={json.dumps(founding)}", "train.length.epochs=5")

    assert "take care: prepare.system: 'WIE-Regeln' is German" in said
    assert "take care: prepare.system: holds 'in the style of'" in said
    assert "take care: train.length.epochs: 5: text that is read more than 3 times" in said
    assert (
        "export.modelfile.base: the tag qwen3:4b of Ollama is Qwen/Qwen3-4B, and the student's "
        "adapter is trained on Qwen/Qwen3-4B-Instruct-2507"
    ) in check(f"export={served}")


@pytest.mark.parametrize("name", ["unsloth/Qwen3-4B-Instruct-unsloth-bnb-4bit", "qwen3:4b"])
def test_ids_that_the_plan_took_for_models_of_the_hub_are_refused(name):
    with pytest.raises(ModelError, match=r"no model|a tag of Ollama") as caught:
        refuse_known_bad(name)
    assert "use " in caught.value.hint


def test_a_teacher_whose_terms_limit_training_waits_for_a_word_of_the_user():
    bedrock = "{api: {kind: bedrock, model: eu.anthropic.claude-sonnet-4-6, budget_usd: 90.0, "
    bedrock += "base_url: 'http://127.0.0.1:9', price: {input: '3', output: '15'}}}"
    told = load_recipe("prompt-transform", [f"teacher={bedrock}"]).recipe
    with pytest.raises(RecipeError, match="the terms of 'bedrock' limit training on its answers"):
        check_pairing(told, "prompt-transform")
