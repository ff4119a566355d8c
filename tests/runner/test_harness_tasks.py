"""Public tasks keep the network policy, and the extra that brings them is asked for first."""

from importlib.util import find_spec

import pytest

from stillhouse.core.errors import RecipeError, UsageError
from stillhouse.recipes.load import load_recipe
from stillhouse.runner.extras import require_harness
from stillhouse.runner.harness_tasks import find_harness_tasks

OWN = """\
include: common.yml
task: sky
tag: [outside]
doc_to_text: !function texts.of
"""
COMMON = "dataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}\n"


@pytest.fixture
def tasks(tmp_path):
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "sky.yaml").write_text(OWN)
    (folder / "common.yml").write_text(COMMON)
    (folder / "sea.yaml").write_text("task: sea\ndataset_path: allenai/sea\n")
    (folder / "broken.yaml").write_text("task: [")
    return folder


def find(tasks, text, network="none"):
    overrides = [f"evaluate.harness={text}", f"network={network}"]
    return find_harness_tasks(load_recipe("quickstart", overrides).recipe, tasks.parent, "r.yaml")


@pytest.mark.parametrize("name", ["sky", "outside"])
def test_tasks_with_files_of_their_own_need_no_network(tasks, name):
    folder, digest = find(tasks, f"{{tasks: [{name}], include: tasks}}")

    assert folder == str(tasks)
    (tasks / "rows.jsonl").write_text("{}")
    assert find(tasks, f"{{tasks: [{name}], include: tasks}}")[1] != digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{tasks: [arc_easy]}", "evaluate.harness.tasks.0: arc_easy is no task of"),
        ("{tasks: [sky, arc_easy], include: tasks}", "evaluate.harness.tasks.1: arc_easy"),
        ("{tasks: [sea], include: tasks}", "reads the data set allenai/sea, which is downloaded"),
        ("{tasks: [sky], include: nowhere}", "evaluate.harness.include: no folder"),
    ],
)
def test_a_download_is_refused_without_a_network(tasks, text, said):
    with pytest.raises(RecipeError, match=said):
        find(tasks, text)


def test_with_a_network_the_harnesses_own_tasks_are_its_affair(tasks):
    assert find(tasks, "{tasks: [arc_easy]}", "hub") == ("", "")


@pytest.mark.skipif(find_spec("lm_eval") is not None, reason="the extra lm-eval is installed here")
def test_a_missing_extra_is_named():
    with pytest.raises(UsageError) as caught:
        require_harness()
    assert 'pip install "stillhouse[lm-eval]"' in str(caught.value)
