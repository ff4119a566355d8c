"""What this machine or these models cannot do is refused before anything is run."""

import importlib.util
import json

import pytest
from tests.e2e.families import CONTEXT, write_models, write_recipe
from tests.e2e.test_held_weights import changed

from stillhouse.core.errors import ModelError, RecipeError
from stillhouse.recipes.compute import Host
from stillhouse.runner.check import check
from stillhouse.runner.deepspeed import find_deepspeed
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("held")
    write_models("qwen3", root)
    return root


@pytest.fixture
def recipe(models):
    return write_recipe("qwen3", models, lora=True)


def resolved(path):
    return resolve(*open_recipe(str(path)))


def without(monkeypatch, package):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else real(name, *a)
    )


def test_quantised_weights_need_their_extra(recipe, monkeypatch):
    changed(recipe, student__quantization="nf4")
    without(monkeypatch, "bitsandbytes")
    with pytest.raises(RecipeError, match=r"recipe.yaml:\d+ student.quantization needs bits") as e:
        resolved(recipe)
    assert e.value.hint == 'pip install "stillhouse[qlora]"'


def test_quantised_weights_are_refused_on_an_apple_gpu(recipe, monkeypatch):
    changed(recipe, teacher__quantization="int8", compute={"device": "mps"})
    apple = Host(8, 64 << 30, has_mps=True)
    for module in ("resolve", "pairing"):
        monkeypatch.setattr(f"stillhouse.runner.{module}.this_host", lambda: apple)
    with pytest.raises(RecipeError, match=r"teacher\.quantization: bitsandbytes has no kernels"):
        resolved(recipe)


def test_an_attention_that_is_not_installed_is_refused(recipe, monkeypatch):
    changed(recipe, compute={"attention": "flash_attention_2"})
    without(monkeypatch, "flash_attn")
    with pytest.raises(RecipeError, match=r"compute\.attention needs flash_attn: not installed"):
        resolved(recipe)


def test_layers_beyond_the_teachers_are_refused(recipe):
    changed(recipe, student={"layers_of_teacher": [0, 2, 9]})
    with pytest.raises(RecipeError, match=r"layers_of_teacher: the teacher has no layer 2"):
        resolved(recipe)


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        ({"modules": ["q_prj"]}, r"train\.lora\.modules: 'q_prj' matches no linear layer below the "
         "head: there are .*q_proj"),
        ({"experts": ["down_proj"]}, r"train\.lora\.experts: .*: this model has none"),
        ({"rank": 9}, r"train\.lora\.rank: 9, but model\.layers\.0\.self_attn\.k_proj is"),
        ({"rank": 9, "modules": ["q_proj"]}, None),
        ({"modules": ["model.layers.1.mlp.up_proj"]}, None),
        ({"modules": ["model.layers.2.mlp.up_proj"]}, "matches no linear layer"),
    ],
)  # fmt: skip
def test_an_adapter_on_what_is_not_there_is_refused_before_anything_runs(lora, said, recipe):
    changed(recipe, train__lora={"rank": 4} | lora)
    if said is None:
        resolved(recipe)
        return
    with pytest.raises(RecipeError, match=said):
        resolved(recipe)


def test_a_student_of_layers_holds_what_its_teacher_holds_also_by_a_template_of_its_own(recipe):
    own = {"template": {"user": "Question: {content}\n"}}
    changed(
        recipe,
        student={"layers_of_teacher": [0, 1], **own},
        train__weights={"cross_entropy": 1.0, "forward_kl": 0.0},
        label={"max_new_tokens": 16, "parts": ["labelled"], "targets": "none"},
    )

    found = resolved(recipe)

    assert found.difference == "student.template is not teacher.template"
    prepare = found.plan["prepare"].config
    assert (prepare["context"], prepare["teacher"]["context"]) == (CONTEXT, CONTEXT)
    assert found.plan["label"].config["max_tokens"] == CONTEXT


def test_a_student_of_layers_is_priced_by_them(recipe):
    whole = check(*_placed(changed(recipe, student={"layers_of_teacher": [0, 1]})))
    half = check(*_placed(changed(recipe, student={"layers_of_teacher": [1]})))
    trained = [
        item.cost.trainable_parameters
        for found in (whole, half)
        for item in found.instances
        if item.key == "train@student"
    ]
    assert trained[0] == 2 * trained[1] > 0


def _placed(path):
    from stillhouse.runner.run import Place

    return resolved(path), Place(path.parent / "runs", "held")


def test_weights_that_are_quantised_already_are_refused(recipe, models):
    config = models / "student" / "config.json"
    plain = config.read_text()
    quantised = json.loads(plain) | {"quantization_config": {"quant_method": "bitsandbytes"}}
    config.write_text(json.dumps(quantised))
    try:
        with pytest.raises(ModelError, match="student holds weights that bitsandbytes has quant"):
            resolved(recipe)
    finally:
        config.write_text(plain)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        ("{", "is no JSON"),
        ("[]", "holds no JSON object"),
        ('{"zero_optimization": {"stage": 3}}', "asks for ZeRO stage 3, which cuts weights"),
    ],
)
def test_a_deepspeed_file_that_cannot_be_used_is_refused(content, said, recipe, models):
    if content is not None:
        (models / "deepspeed.json").write_text(content)
    loaded, effective = open_recipe(str(changed(recipe, train__deepspeed="deepspeed.json")))
    with pytest.raises(RecipeError, match=said) as caught:
        find_deepspeed(effective, loaded)
    assert "train.deepspeed" in str(caught.value)


def test_a_deepspeed_file_is_read_beside_the_recipe(recipe, models, monkeypatch):
    stated = {"zero_optimization": {"stage": 2}, "train_micro_batch_size_per_gpu": "auto"}
    (models / "deepspeed.json").write_text(json.dumps(stated))
    changed(recipe, train__deepspeed="deepspeed.json")
    loaded, effective = open_recipe(str(recipe))
    assert find_deepspeed(effective, loaded) == {"train": stated}
    without(monkeypatch, "deepspeed")
    with pytest.raises(RecipeError, match=r"train\.deepspeed needs deepspeed: not installed"):
        resolved(recipe)
