"""Adapters of one base: none changes what another or the base says, whoever asked before."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel
from tests.students.tiny_students import CONFIGS, build
from transformers import AutoModelForCausalLM

from stillhouse.core.errors import InputError, ModelError
from stillhouse.export.merge import write_adapter
from stillhouse.models.adapters import add_lora
from stillhouse.models.domains import has_domains, load_domains, put_domains, using
from stillhouse.recipes.training import Lora

# One begins like another, one is called as a module, one as a part of an adapter's names.
NAMES = ("task", "task-2", "mlp", "lora_a")
IDS = torch.tensor([[5, 9, 17, 33, 8, 21]])


def moved(model, seed):
    """The model with a fresh adapter that was moved away from zero."""
    adapted = add_lora(model, Lora(rank=2, alpha=8.0, dropout=0.4), seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.5)
    return adapted


@pytest.fixture(scope="module", params=CONFIGS)
def stored(request, tmp_path_factory):
    """A base on disk, an adapter for each name, and their folders."""
    root = tmp_path_factory.mktemp(request.param)
    base = build(request.param)
    base.save_pretrained(root / "base")
    folders = {}
    for seed, name in enumerate(NAMES):
        adapted = moved(base, seed)
        folders[name] = root / name
        write_adapter(adapted, folders[name], "../base", root / "base")
        base = adapted.unload()
    return root / "base", folders


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def alone(base, folder):
    """What PEFT itself says of one adapter on a base of its own."""
    plain = AutoModelForCausalLM.from_pretrained(base, local_files_only=True)
    return logits(PeftModel.from_pretrained(plain, str(folder)).eval())


def test_each_adapter_beside_the_others_says_what_it_says_alone_and_at_rest_the_base_speaks(stored):
    base, folders = stored
    model = load_domains(folders, base)
    plain = logits(AutoModelForCausalLM.from_pretrained(base, local_files_only=True).eval())

    said = {}
    for name in NAMES:
        assert torch.equal(logits(model), plain)
        with using(model, name):
            said[name] = logits(model)

    assert torch.equal(logits(model), plain)
    for name, folder in folders.items():
        assert torch.equal(said[name], alone(base, folder))
        assert not torch.equal(said[name], plain)


def test_a_hot_swap_leaves_nothing_behind_in_what_is_written(stored):
    base, folders = stored
    model = load_domains(folders, base)

    def write(name):
        with using(model, name):
            return model.generate(input_ids=IDS, max_new_tokens=12, do_sample=False, pad_token_id=0)

    first, other, again = write("task"), write("mlp"), write("task")

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_error_in_the_middle_leaves_the_base_at_rest_and_nothing_to_be_trained(stored):
    base, folders = stored
    model = load_domains(folders, base)
    plain = logits(model)

    with pytest.raises(ZeroDivisionError), using(model, "task"):
        _ = 1 // 0

    assert torch.equal(logits(model), plain)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    with using(model, "mlp"):
        assert torch.equal(logits(model), alone(base, folders["mlp"]))
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_dropout_is_off_while_an_adapter_answers(stored):
    model = load_domains(stored[1], stored[0])
    with using(model, "task"):
        assert torch.equal(logits(model), logits(model))
        assert not any(module.training for module in model.modules())


def test_a_base_in_memory_takes_adapters_as_one_from_disk(stored):
    base, folders = stored
    plain = AutoModelForCausalLM.from_pretrained(base, local_files_only=True)
    model = put_domains(plain, folders, "cpu")
    with using(model, "task-2"):
        assert torch.equal(logits(model), alone(base, folders["task-2"]))


def test_a_domain_without_an_adapter_is_named_and_any_other_model_answers_as_it_is(stored):
    base, folders = stored
    model = load_domains({"task": folders["task"]}, base)
    with (
        pytest.raises(InputError, match=r"no adapter for the domain 'mlp'") as caught,
        using(model, "mlp"),
    ):
        pass
    assert caught.value.hint == "it has adapters for: task"

    plain = AutoModelForCausalLM.from_pretrained(base, local_files_only=True).eval()
    assert has_domains(model)
    assert not has_domains(plain)
    said = logits(plain)
    with using(plain, "mlp"):
        assert torch.equal(logits(plain), said)


def test_adapters_of_another_base_are_refused(stored, tmp_path):
    _, folders = stored
    kind = next(iter(CONFIGS))
    build(kind, seed=5).save_pretrained(tmp_path / "other")
    with pytest.raises(ModelError, match="was trained on other weights"):
        load_domains(folders, tmp_path / "other")
