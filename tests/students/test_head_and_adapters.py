"""The head is read right for every known kind of model, and adapters go where they may."""

import pytest
import torch
from tiny_students import CONFIGS, VOCAB, build
from transformers import AutoModelForCausalLM, CohereConfig, Gemma2Config, GraniteConfig, PhiConfig

from stillhouse.core.errors import ModelError
from stillhouse.losses.fused_linear import fused_linear_loss
from stillhouse.losses.terms import CROSS_ENTROPY
from stillhouse.models.adapters import add_lora, resolve_modules, trainable_count
from stillhouse.models.head import check_head, find_head
from stillhouse.models.inference import plain_model
from stillhouse.recipes.training import Lora

SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
ODD_HEADS = {
    "cap": Gemma2Config(**SIZES, num_key_value_heads=1, head_dim=8, final_logit_softcapping=0.05),
    "divisor": GraniteConfig(**SIZES, logits_scaling=4.0),
    "factor": CohereConfig(**SIZES, logit_scale=0.25),
    "bias": PhiConfig(**SIZES),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_head_gives_the_models_own_logits(kind):
    check_head(build(kind))
    check_head(build(kind, lora=True))


@pytest.mark.parametrize("config", ODD_HEADS.values(), ids=ODD_HEADS.keys())
def test_caps_scales_and_biases_are_known(config):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    if model.lm_head.bias is not None:
        torch.nn.init.normal_(model.lm_head.bias)
    check_head(model)


def test_a_head_that_does_something_else_is_refused(monkeypatch):
    model = build()
    plain = model.forward

    def doubled(*args, **kwargs):
        output = plain(*args, **kwargs)
        output.logits = 2 * output.logits
        return output

    monkeypatch.setattr(model, "forward", doubled)
    with pytest.raises(ModelError, match="that is not known here"):
        check_head(model)


def adapted_head(**settings):
    from peft import LoraConfig, get_peft_model

    settings = {"target_modules": ["lm_head"], "r": 3, "lora_alpha": 5} | settings
    with pytest.warns(FutureWarning, match="is_gradient_checkpointing"):
        model = get_peft_model(build("llama"), LoraConfig(**settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    return model


@pytest.mark.parametrize("use_rslora", [False, True])
def test_a_plain_adapter_on_the_head_gives_its_logits_and_gradients(use_rslora):
    model = adapted_head(lora_dropout=0.4, use_rslora=use_rslora)
    check_head(model)
    model.train()
    layer = plain_model(model).get_output_embeddings()
    trained = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    hidden = torch.randn(5, SIZES["hidden_size"])
    head, ids = find_head(model), torch.arange(5)
    torch.manual_seed(1)
    expected = torch.nn.functional.cross_entropy(layer(hidden), ids)
    torch.manual_seed(1)
    weights = torch.full((5,), 0.2)
    fused = fused_linear_loss(hidden, head, ids, None, CROSS_ENTROPY, weights)
    torch.testing.assert_close(fused.loss, expected)
    gradients = [torch.autograd.grad(loss, trained) for loss in (fused.loss, expected)]
    assert len(trained) == 2
    torch.testing.assert_close(*gradients)


def test_an_adapter_that_is_switched_off_or_merged_is_no_adapter():
    model = adapted_head()
    assert find_head(model).low_rank is not None
    with model.disable_adapter():
        assert find_head(model).low_rank is None
        check_head(model)
    model.merge_adapter()
    assert find_head(model).low_rank is None
    check_head(model)


def test_other_adapters_on_the_head_are_refused():
    with pytest.raises(ModelError, match="not one plain LoRA adapter"):
        find_head(adapted_head(use_dora=True))


ENDS = {
    "qwen3": {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
    "llama": {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
    "gpt2": {"c_attn", "c_proj", "c_fc"},
    "gpt_oss": {"q_proj", "k_proj", "v_proj", "o_proj"},
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_all_linear_leaves_the_head_and_the_router_alone(kind):
    names = resolve_modules(build(kind), "all-linear")
    assert {name.rpartition(".")[2] for name in names} == ENDS[kind]


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_fresh_adapter_changes_no_logit_and_freezes_the_rest(kind):
    model = build(kind).eval()
    ids = torch.tensor([[3, 4, 5]])
    before = model(ids).logits.detach()
    adapted = add_lora(model, Lora(rank=2), seed=0)
    torch.testing.assert_close(adapted(ids).logits, before)
    names = [n for n, p in adapted.named_parameters() if p.requires_grad]
    assert names
    assert all("lora_" in name for name in names)
    assert trainable_count(adapted) < sum(p.numel() for p in adapted.parameters())
    assert plain_model(adapted) is model


def test_the_seed_alone_draws_the_adapter():
    first, second, third = (
        torch.cat([p.flatten() for p in add_lora(build(), Lora(rank=2), s).parameters()])
        for s in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_names_may_be_whole_or_only_their_end():
    whole = "model.layers.1.self_attn.q_proj"
    assert resolve_modules(build(), (whole,)) == [whole]
    assert len(resolve_modules(build(), ("q_proj", "self_attn.v_proj"))) == 4


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        (Lora(rank=2, modules=("qproj",)), "did you mean q_proj"),
        (Lora(rank=2, modules=("lm_head",)), "'lm_head' matches no linear layer below the head"),
        (Lora(rank=9), "rank is 9, but model.layers.0.self_attn.k_proj is"),
    ],
)
def test_an_adapter_that_cannot_be_is_refused_with_its_mend(lora, said):
    with pytest.raises(ModelError) as caught:
        add_lora(build(), lora, seed=0)
    assert said in str(caught.value)
