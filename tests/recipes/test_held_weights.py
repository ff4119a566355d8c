"""How weights are held: what cannot hold together is refused by its line, what can has a hash."""

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.cautions import cautions
from stillhouse.recipes.compute import Host, ResolvedCompute, resolve_compute
from stillhouse.recipes.instance_config import Content
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.models import Compute
from stillhouse.recipes.plan import build_plan

CPU = ResolvedCompute("cpu", "float32", 2)
LAYERS = "student={layers_of_teacher: [0, 2]}"
STUDENT, TEACHER = "student={path: models/small}", "teacher={path: models/large}"


def ids(*overrides, content=None, compute=CPU):
    recipe = load_recipe("quickstart", overrides).recipe
    plan = build_plan(recipe, content or Content(source="rows"), compute)
    return {instance.key: instance.artifact_id for instance in plan.instances}


def renamed(before, after):
    return {key for key in before if before[key] != after[key]}


AFTER_TRAIN = {"train@student", "train@twin", "evaluate@student", "evaluate@twin", "gate",
               "export", "evaluate@exported", "gate@exported", "register"}  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("student.quantization=nf4",), "student.quantization: nf4 weights cannot be trained: add "
         "train.lora"),
        (("teacher.quantization=int8",), "int8 weights cannot be trained: add finetune.lora"),
        (("student.quantization=nf4", "train.lora={bias: all}"), "train.lora.bias: all trains"),
        (("train.lora={experts: [down_proj], dropout: 0.1}",), "train.lora.dropout: cannot be"),
        (("teacher={layers_of_teacher: [0]}",), "teacher.layers_of_teacher: is for a student"),
        ((LAYERS, "teacher={api: {kind: openai, model: m}}"), "shows no layers"),
        (("student={layers_of_teacher: [2, 0]}",), "must ascend, each named once"),
        (("student={layers_of_teacher: [1, 1]}",), "must ascend, each named once"),
        (("student={path: a, layers_of_teacher: [1]}",), "this has path and layers_of_teacher"),
        (("student.trust_remote_code=true",), "code comes with a path or hub alone"),
        (("train.lora={modules: []}",), "so nothing would be adapted"),
        (("train.lora={dropout: 1.0}",), "lora.dropout"),
        (("train.lora={bias: some}",), "lora.bias"),
        (("compute.dtype=float16",), "float16 loses updates below"),
        (("compute.attention=fast",), "compute.attention"),
        (("student.quantization=fp4",), "student.quantization"),
    ],
)  # fmt: skip
def test_what_cannot_hold_together_is_refused_with_its_mend(overrides, said):
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", overrides)
    assert said in str(caught.value)


def test_a_quantised_student_has_other_artifacts_and_leaves_its_teacher_alone():
    lora = (STUDENT, TEACHER, "train.lora={rank: 4}")
    before, after = ids(*lora), ids(*lora, "student.quantization=nf4")
    assert renamed(before, after) == AFTER_TRAIN
    other = ids(*lora, "student.quantization=int8")
    assert other["train@student"] != after["train@student"]


def test_a_quantised_teacher_labels_anew():
    lora = (STUDENT, TEACHER, "finetune.lora={rank: 4}")
    before, after = ids(*lora), ids(*lora, "teacher.quantization=nf4")
    assert {"finetune", "label", "evaluate@teacher"} <= renamed(before, after)
    assert before["prepare"] == after["prepare"]


def test_layers_of_the_teacher_follow_the_teacher_that_finetune_made():
    before = ids(LAYERS)
    assert renamed(before, ids("student={layers_of_teacher: [0, 1]}")) == AFTER_TRAIN
    after = ids(LAYERS, "finetune.length={steps: 3}")
    assert {"train@student", "train@twin"} <= renamed(before, after)


def test_attention_is_part_of_every_hash_where_it_is_chosen():
    compute = Compute(device="cpu", attention="eager")
    host = Host(2, 1 << 30)
    chosen = resolve_compute(compute, host)
    assert chosen.as_config() == CPU.as_config() | {"attention": "eager"}
    assert "attention" not in CPU.as_config()
    assert {"finetune", "label", "train@student"} <= renamed(ids(), ids(compute=chosen))


def test_a_deepspeed_file_counts_by_its_content():
    named = "train.deepspeed=a.json"
    first, same, other = (
        ids(override, content=Content(source="rows", deepspeed={"train": {"zero": stage}}))
        for override, stage in ((named, 1), ("train.deepspeed=b.json", 1), (named, 2))
    )
    assert renamed(first, same) == set()
    assert renamed(first, other) == AFTER_TRAIN
    assert renamed(ids(), first) == AFTER_TRAIN


def test_code_that_comes_with_a_model_is_told_of():
    recipe = load_recipe("quickstart", (STUDENT, TEACHER, "student.trust_remote_code=true")).recipe
    (said,) = cautions(recipe)
    assert said.startswith("student: the Python code that comes with models/small is run")
    assert cautions(load_recipe("quickstart").recipe) == ()


@pytest.mark.parametrize(("weight", "kl"), [(0.02, "forward_kl"), (0.95, "reverse_kl"), (0.1, "")])
def test_a_jsd_that_is_next_to_nothing_is_told_with_what_it_tends_to(weight, kl):
    changes = ["train.weights={jsd: 1.0}", f"train.loss_options.jsd_weight={weight}"]
    said = cautions(load_recipe("quickstart", changes).recipe)
    assert [kl in one and f"{weight:g}" in one for one in said] == [True] * bool(kl)


PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "little-memory.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_what_the_page_shows_is_taken_as_it_stands(block):
    shown = YAML(typ="safe").load(block)
    overrides = tuple(f"{name}={json.dumps(value)}" for name, value in shown.items())
    taken = load_recipe("quickstart", ("gate=null", *overrides)).recipe
    for name, value in shown.items():
        for key in value if isinstance(value, dict) else ():
            assert key in getattr(taken, name).model_fields_set
