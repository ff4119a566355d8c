"""Adapters go where they are told: experts, biases, layers of two kinds, and never to routers."""

import copy
import math

import pytest
import torch
from peft import PeftModel
from tests.models.tiny_models import build
from torch import nn
from transformers import AutoModelForCausalLM, MixtralConfig
from transformers.pytorch_utils import Conv1D

from stillhouse.core.errors import ModelError, UsageError
from stillhouse.export.merge import merge_student, write_adapter
from stillhouse.models.adapters import add_lora, resolve_modules, trainable_count
from stillhouse.models.inference import plain_model
from stillhouse.models.load import load_model
from stillhouse.models.scratch import save_model
from stillhouse.recipes.training import Lora

EXPERTS = ("gate_up_proj", "down_proj")


def moved(model, lora, seed=0):
    """The model with an adapter, and biases that are trained, away from where they began."""
    adapted = add_lora(model, lora, seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return adapted.eval()


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(3, 20)[None]).logits


def exact_logits(model):
    exact = copy.deepcopy(model).double()
    # The grouped product of experts knows 32 bits at most.
    plain_model(exact).set_experts_implementation("eager")
    return logits(exact)


def are_same(ours, theirs):
    """Whether two models are one function: in float64, where a sum's order hardly shows."""
    left, right = map(exact_logits, (ours, theirs))
    return float((left - right).abs().max()) <= 1e-9 * float(right.abs().max())


def naive_experts(model, adapted, rank, scaling):
    """A copy of the model with each expert's own A and B added by hand."""
    by_hand = copy.deepcopy(model)
    tensors = dict(adapted.named_parameters())
    for number, layer in enumerate(by_hand.model.layers):
        wrapper = adapted.get_submodule(f"base_model.model.model.layers.{number}.mlp.experts")
        while hasattr(wrapper, "parameter_name"):
            weight = getattr(layer.mlp.experts, wrapper.parameter_name)
            down, up = (getattr(wrapper, f"lora_{side}")["default"].weight for side in "AB")
            assert any(down is tensor for tensor in tensors.values())
            for expert in range(len(weight)):
                a = down[expert * rank : (expert + 1) * rank]
                # B of all experts lies side by side, expert by expert inside each rank.
                b = up[:, expert :: len(weight)]
                weight.data[expert] += scaling * (b @ a).T
            wrapper = wrapper.base_layer
    return by_hand


@pytest.fixture
def gpt_oss(tokenizer):
    return build("gpt_oss", tokenizer)


def test_fused_experts_get_an_adapter_each_and_the_router_none(gpt_oss):
    before = copy.deepcopy(gpt_oss)
    lora = Lora(rank=3, alpha=6.0, modules=(), experts=EXPERTS)

    adapted = moved(gpt_oss, lora)

    hidden, inner, experts, layers = 32, 48, 4, 2
    each = (hidden + 2 * inner) + (inner + hidden)
    assert trainable_count(adapted) == layers * experts * lora.rank * each
    assert not [n for n, p in adapted.named_parameters() if "router" in n and p.requires_grad]
    before, adapted = before.double(), adapted.double()
    expected = naive_experts(before, adapted, lora.rank, 2.0)
    assert not are_same(before, expected)
    assert are_same(adapted, expected)
    assert are_same(merge_student(adapted), expected)


def test_experts_and_linear_layers_learn_together(gpt_oss):
    lora = Lora(rank=2, modules=("q_proj",), experts=("experts.gate_up_proj",))
    adapted = add_lora(gpt_oss, lora, seed=0).train()

    adapted(input_ids=torch.arange(3, 20)[None]).logits.square().mean().backward()

    learned = [n for n, p in adapted.named_parameters() if p.grad is not None and p.grad.any()]
    assert {name.split(".")[6] for name in learned} == {"q_proj", "experts"}
    frozen = [p for p in adapted.parameters() if not p.requires_grad]
    assert all(parameter.grad is None for parameter in frozen)


def test_an_adapter_with_experts_is_the_same_after_a_file(gpt_oss, tokenizer_folder, tmp_path):
    save_model(gpt_oss, tokenizer_folder, tmp_path / "base")
    adapted = moved(gpt_oss, Lora(rank=2, experts=EXPERTS))
    ours = logits(adapted)

    write_adapter(adapted, tmp_path / "adapter", "../base", tmp_path / "base")

    assert torch.equal(logits(load_model(tmp_path / "adapter")), ours)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert torch.equal(logits(PeftModel.from_pretrained(plain, tmp_path / "adapter").eval()), ours)


def test_a_stabilised_rank_scales_by_its_root(tokenizer):
    rank, alpha = 4, 8.0
    stable = moved(build("qwen3", tokenizer), Lora(rank=rank, alpha=alpha, rank_stabilized=True))
    plain = moved(build("qwen3", tokenizer), Lora(rank=rank, alpha=alpha * math.sqrt(rank)))
    other = moved(build("qwen3", tokenizer), Lora(rank=rank, alpha=alpha))

    torch.testing.assert_close(logits(stable), logits(plain))
    assert not torch.allclose(logits(stable), logits(other), atol=1e-3)


BIASES = {
    # per layer: c_attn 3H, c_proj H, c_fc 4H, c_proj H; all adds two norms of H, and the last one
    "gpt2": {"none": 0, "lora_only": 2 * 9 * 32, "all": 2 * 11 * 32 + 32},
    # per layer: q 32, k 16, v 16, o 32; the router's is left alone, and the experts' are no `.bias`
    "gpt_oss": {"none": 0, "lora_only": 2 * 96, "all": 2 * 96},
    "qwen3": {"none": 0, "lora_only": 0, "all": 0},
}


@pytest.mark.parametrize("bias", ["none", "lora_only", "all"])
@pytest.mark.parametrize("family", BIASES)
def test_biases_are_trained_saved_and_merged_as_the_recipe_says(
    family, bias, tokenizer, tokenizer_folder, tmp_path
):
    save_model(build(family, tokenizer), tokenizer_folder, tmp_path / "base")
    plain = trainable_count(add_lora(build(family, tokenizer), Lora(rank=2), seed=0))

    adapted = moved(load_model(tmp_path / "base"), Lora(rank=2, bias=bias))

    assert trainable_count(adapted) - plain == BIASES[family][bias]
    ours = logits(adapted)
    write_adapter(adapted, tmp_path / "adapter", "../base", tmp_path / "base")
    assert torch.equal(logits(load_model(tmp_path / "adapter")), ours)
    adapted = adapted.double()
    assert are_same(merge_student(adapted), adapted)


def test_linear_and_transposed_layers_may_be_mixed(tokenizer):
    model = build("gpt2", tokenizer)
    kept = model.transformer.h[1].mlp.c_fc
    swapped = nn.Linear(*kept.weight.shape)
    swapped.weight.data, swapped.bias.data = kept.weight.data.T.clone(), kept.bias.data
    plain = copy.deepcopy(model)
    model.transformer.h[1].mlp.c_fc = swapped
    assert are_same(model, plain)

    adapted = moved(model, Lora(rank=2)).double()

    kinds = {type(module) for module in adapted.modules()}
    assert {Conv1D, nn.Linear} <= kinds
    assert are_same(merge_student(adapted), adapted)
    assert not are_same(adapted, plain)


def test_a_router_is_never_adapted():
    config = MixtralConfig(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, num_local_experts=4,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    names = resolve_modules(model, "all-linear")
    assert {name.rpartition(".")[2] for name in names} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    with pytest.raises(ModelError, match=r"'mlp\.gate' is a router"):
        add_lora(model, Lora(rank=2, modules=("mlp.gate",)), seed=0)


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        (Lora(rank=2, experts=("gate_up",)), "did you mean gate_up_proj"),
        (Lora(rank=33, modules=(), experts=EXPERTS), "is (32, 96); an adapter of rank 32 or more"),
        (Lora(rank=2, modules=("router",)), "'router' is a router"),
        (Lora(rank=2, experts=("router",)), "'router' is a router"),
    ],
)
def test_what_cannot_be_adapted_is_refused_with_its_mend(lora, said, gpt_oss):
    with pytest.raises(ModelError) as caught:
        add_lora(gpt_oss, lora, seed=0)
    assert said in str(caught.value)


def test_experts_are_named_where_there_are_some(tokenizer):
    with pytest.raises(ModelError, match="matches no parameter that holds experts"):
        add_lora(build("qwen3", tokenizer), Lora(rank=2, experts=EXPERTS), seed=0)


def test_an_adapter_is_refused_on_another_base(tokenizer, tokenizer_folder, tmp_path):
    for name, seed, changes in (
        ("base", 0, {}),
        ("twin", 1, {}),
        ("wider", 0, {"intermediate_size": 64}),
    ):
        save_model(build("qwen3", tokenizer, seed, **changes), tokenizer_folder, tmp_path / name)
    adapted = moved(load_model(tmp_path / "base"), Lora(rank=2))
    write_adapter(adapted, tmp_path / "adapter", "../base", tmp_path / "base")
    write_adapter(adapted, tmp_path / "unmarked", "../base")

    ours, ids = load_model(tmp_path / "adapter"), torch.arange(3, 8)[None]
    assert torch.equal(logits(ours), logits(adapted))
    written = [model.generate(input_ids=ids, max_new_tokens=9, do_sample=False, pad_token_id=0)
               for model in (ours, adapted)]  # fmt: skip
    assert torch.equal(*written)
    for other in ("twin", "wider"):
        with pytest.raises(ModelError, match="was trained on other weights than those of"):
            load_model(tmp_path / "adapter", base=tmp_path / other)
    with pytest.raises(ModelError, match="does not fit its base model"):
        load_model(tmp_path / "unmarked", base=tmp_path / "wider")


def test_the_base_may_lie_in_other_files(tokenizer, tokenizer_folder, tmp_path):
    model = build("qwen3", tokenizer)
    save_model(model, tokenizer_folder, tmp_path / "base")
    model.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    adapted = moved(model, Lora(rank=2))
    write_adapter(adapted, tmp_path / "adapter", "../base", tmp_path / "base")

    loaded = load_model(tmp_path / "adapter", base=tmp_path / "parts")

    assert torch.equal(logits(loaded), logits(adapted))


def test_a_student_without_an_adapter_has_none_to_write(tokenizer, tmp_path):
    with pytest.raises(UsageError, match="has no adapter"):
        write_adapter(build("qwen3", tokenizer), tmp_path, "base")
