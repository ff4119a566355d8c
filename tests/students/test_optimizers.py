"""Each optimizer of a recipe: what it moves and how, what it holds, and where it is refused."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from tiny_students import BOTH, ONE_THREAD, build, data_of, draw_examples, quick, weights_of

from stillhouse.core.errors import CapacityError, TrainingError, UsageError
from stillhouse.models.adapters import add_lora
from stillhouse.recipes.optimizer_state import galore_rank, state_bytes
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.trained_shapes import trained_shapes
from stillhouse.recipes.training import Galore, Lora, Optimizer
from stillhouse.students import optimizers as optimizers_module
from stillhouse.students.optimizers import build_optimizer, optimizer_facts, require_8bit
from stillhouse.students.train import Setting, train_model
from stillhouse.students.trainer import StudentTrainer

OPTIMIZERS = {
    "adamw": Optimizer(learning_rate=1e-2),
    "adamw_8bit": Optimizer(name="adamw_8bit", learning_rate=1e-2),
    "galore_adamw": Optimizer(
        name="galore_adamw", learning_rate=1e-2, galore=Galore(rank=4, update_gap=3)
    ),
    "layerwise": Optimizer(
        name="galore_adamw",
        learning_rate=1e-2,
        galore=Galore(rank=4, update_gap=3, layerwise=True),
    ),
}
NEEDS_BITS = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
EACH = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[NEEDS_BITS] if name == "adamw_8bit" else []) for name in OPTIMIZERS],
)


def wide(**changes):
    """A student with matrices of 8,192 numbers, which are kept in 8 bits, and smaller ones."""
    return build(hidden_size=64, intermediate_size=128, **changes)


def fit(student, workdir, optimizer, steps=4, **training):
    section = quick(steps=steps, **training).model_copy(update={"optimizer": optimizer})
    data = data_of(draw_examples(9))
    return train_model(student, data, BOTH, section, Setting(ONE_THREAD, workdir, "plan"))


def held_bytes(optimizer):
    """Of every tensor of a state, those that are held once counted once."""
    tensors = {
        tensor.data_ptr(): tensor.nbytes
        for state in optimizer.state.values()
        for tensor in state.values()
        if isinstance(tensor, torch.Tensor)
    }
    return sum(tensors.values())


@EACH
def test_every_optimizer_lowers_the_loss(name, tmp_path):
    curve = fit(wide(), tmp_path, OPTIMIZERS[name], steps=12).curve
    assert curve[-1].loss < 0.9 * curve[0].loss


@EACH
@pytest.mark.parametrize("lora", [False, True])
def test_state_is_as_large_as_its_formula(name, lora, tmp_path, trainers):
    if lora and OPTIMIZERS[name].galore:
        pytest.skip("GaLore trains the weights themselves")
    student = wide(lora=lora)
    result = fit(student, tmp_path, OPTIMIZERS[name], steps=1)
    assert held_bytes(trainers[0].optimizer) == result.optimizer.state_bytes
    assert result.optimizer == optimizer_facts(student, OPTIMIZERS[name])


def test_adamw_is_what_the_trainer_itself_would_have_made(tmp_path):
    student, section = build(), Optimizer(learning_rate=1e-3, weight_decay=0.1, eps=1e-6)
    norms = {name for name, _ in student.named_parameters() if "norm" in name}
    built = build_optimizer(student, section, {n for n, _ in student.named_parameters()} - norms)
    theirs = torch.optim.AdamW(student.parameters(), lr=1e-3, eps=1e-6, fused=True).param_groups[0]
    assert type(built) is torch.optim.AdamW
    for group in built.param_groups:
        same = group.keys() - {"params", "weight_decay"}
        assert {key: group[key] for key in same} == {key: theirs[key] for key in same}
    decay = {
        name: group["weight_decay"]
        for group in built.param_groups
        for parameter in group["params"]
        for name, own in student.named_parameters()
        if own is parameter
    }
    assert decay == {n: 0.0 if n in norms else 0.1 for n, _ in student.named_parameters()}


@EACH
def test_norms_and_biases_have_no_weight_decay(name, tmp_path, trainers):
    student = build("gpt2")
    fit(student, tmp_path, OPTIMIZERS[name].model_copy(update={"weight_decay": 0.1}), steps=1)
    named = {parameter: name for name, parameter in student.named_parameters()}
    for group in trainers[0].optimizer.param_groups:
        for parameter in group["params"]:
            is_free = "bias" in named[parameter] or "ln_" in named[parameter]
            assert group["weight_decay"] == (0.0 if is_free else 0.1), named[parameter]


@NEEDS_BITS
def test_moments_are_in_8_bits_but_for_embeddings_and_what_is_small(tmp_path, trainers):
    student = wide()
    fit(student, tmp_path, OPTIMIZERS["adamw_8bit"], steps=1)
    state = trainers[0].optimizer.state
    kept = {name: state[p]["state1"].dtype for name, p in student.named_parameters()}
    large = {name for name, p in student.named_parameters() if p.numel() >= 4096}
    assert "model.embed_tokens.weight" not in large  # 61 x 64 = 3,904: made large below
    assert {name for name, dtype in kept.items() if dtype == torch.uint8} == large
    assert any("gate_proj" in name for name in large)
    assert any("norm" in name for name in kept.keys() - large)
    section = OPTIMIZERS["adamw_8bit"]
    embedding = torch.nn.Embedding(128, 64)
    built = build_optimizer(torch.nn.Sequential(embedding), section, ())
    embedding.weight.grad = torch.ones(128, 64)
    built.step()
    assert built.state[embedding.weight]["state1"].dtype == torch.float32


@NEEDS_BITS
def test_8_bit_steps_stay_near_those_of_adamw(tmp_path):
    weights = []
    for name in ("adamw", "adamw_8bit"):
        student = wide()
        fit(student, tmp_path / name, OPTIMIZERS[name], steps=8)
        weights.append(weights_of(student))
    start = weights_of(wide())
    gap = sum(float((weights[0][n] - weights[1][n]).norm()) ** 2 for n in start) ** 0.5
    moved = sum(float((weights[0][n] - start[n]).norm()) ** 2 for n in start) ** 0.5
    assert 0 < gap < 0.1 * moved


def test_8_bits_without_the_library_or_on_a_device_without_a_step_are_refused(monkeypatch):
    with pytest.raises(UsageError, match="has no step for mps, only for cpu, cuda, xpu"):
        require_8bit("mps")
    monkeypatch.setattr(optimizers_module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="which is not installed") as told:
        build_optimizer(build(), OPTIMIZERS["adamw_8bit"], ())
    assert "stillhouse[qlora]" in told.value.hint


@pytest.mark.parametrize("name", ["adamw", pytest.param("adamw_8bit", marks=NEEDS_BITS),
                                  "galore_adamw"])  # fmt: skip
def test_what_moves_the_weights_is_a_gradient_shortened_to_its_limit(name, tmp_path, monkeypatch):
    whole, short = [], []
    clip = StudentTrainer._clip_grad_norm

    def norm(model):
        return math.sqrt(sum(float(p.grad.norm()) ** 2 for p in model.parameters()))

    def spy(trainer, model):
        whole.append(norm(model))
        told = clip(trainer, model)
        short.append(norm(model))
        assert float(told) == pytest.approx(whole[-1], rel=1e-5)
        return told

    monkeypatch.setattr(StudentTrainer, "_clip_grad_norm", spy)
    limit = 0.05
    fit(build(), tmp_path, OPTIMIZERS[name].model_copy(update={"max_grad_norm": limit}), steps=3)
    assert min(whole) > limit
    assert short == [pytest.approx(limit, rel=1e-4)] * 3


@EACH
@pytest.mark.parametrize("dtype", ["bfloat16"])
def test_every_optimizer_works_under_bfloat16(name, dtype, tmp_path):
    from stillhouse.recipes.compute import ResolvedCompute

    student = wide()
    section = quick(steps=8).model_copy(update={"optimizer": OPTIMIZERS[name]})
    setting = Setting(ResolvedCompute("cpu", dtype, 1), tmp_path, "plan")
    curve = train_model(student, data_of(draw_examples(9)), BOTH, section, setting).curve
    assert curve[-1].loss < curve[0].loss
    assert {p.dtype for p in student.parameters()} == {torch.float32}


@EACH
def test_a_loss_that_is_no_number_stops_the_run(name, tmp_path):
    student = wide()
    student.model.layers[0].register_forward_hook(
        lambda module, _, output: output * float("nan") if module.training else output
    )
    before = weights_of(student)
    with pytest.raises(TrainingError, match="step 1: the loss is nan"):
        fit(student, tmp_path, OPTIMIZERS[name])
    assert all(torch.equal(before[n], value) for n, value in weights_of(student).items())


@EACH
def test_gradients_that_are_all_zero_stop_the_run(name, tmp_path):
    student = wide()
    for parameter in student.parameters():
        parameter.register_hook(torch.zeros_like)
    with pytest.raises(TrainingError, match="step 1: every gradient is 0"):
        fit(student, tmp_path, OPTIMIZERS[name])


@EACH
def test_a_parameter_without_a_gradient_stops_the_run(name, tmp_path):
    student = build()
    student.register_parameter("idle", torch.nn.Parameter(torch.ones(3)))
    with pytest.raises(TrainingError, match="1 trainable parameters got no gradient, first idle"):
        fit(student, tmp_path, OPTIMIZERS[name])


@pytest.mark.parametrize("kind", ["qwen3", "llama", "gpt2", "gpt_oss"])
@pytest.mark.parametrize("name", ["adamw", "adamw_8bit", "galore_adamw"])
@pytest.mark.parametrize("lora", [None, Lora(rank=4)])
def test_the_planners_bytes_are_those_of_the_model(kind, name, lora):
    if lora and name == "galore_adamw":
        pytest.skip("GaLore trains the weights themselves")
    student = build(kind) if kind == "gpt2" else build(kind, hidden_size=64, intermediate_size=128)
    sizes = sizes_of(student.config.to_dict())
    section = quick(lora=lora).model_copy(update={"optimizer": OPTIMIZERS[name]})
    planned = state_bytes(section.optimizer, trained_shapes(sizes, section))
    model = add_lora(student, lora, 0) if lora else student
    held = optimizer_facts(model, section.optimizer)
    assert planned == pytest.approx(held.state_bytes, rel=0.01)
    if held.rank:
        budget = Galore(rank="auto", memory_gb=0.6 * held.state_bytes / 1e9)
        tight = section.optimizer.model_copy(update={"galore": budget})
        shapes = trained_shapes(sizes, section)
        assert galore_rank(section.optimizer.galore, shapes) == held.rank
        try:
            real = optimizer_facts(model, tight).rank
        except CapacityError:
            real = 0
        assert abs(galore_rank(budget, shapes) - real) <= 1


def test_the_numbers_of_the_page_are_those_of_the_formula():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "little-memory.md").read_text()
    config = {"model_type": "qwen3", "hidden_size": 4096, "num_hidden_layers": 36,
              "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
              "intermediate_size": 12288, "vocab_size": 151936}  # fmt: skip
    sizes = sizes_of(config)

    def bytes_of(lora=None, **optimizer):
        section = quick(lora=lora).model_copy(update={"optimizer": Optimizer(**optimizer)})
        return state_bytes(section.optimizer, trained_shapes(sizes, section)) / 1e9

    galore = {"name": "galore_adamw"}
    for row, size in (
        ("| `adamw` | {:.1f} GB", bytes_of()),
        ("| `adamw_8bit` | {:.1f} GB", bytes_of(name="adamw_8bit")),
        ("rank 512 | {:.1f} GB", bytes_of(**galore, galore=Galore(rank=512))),
        ("rank 128 | {:.1f} GB", bytes_of(**galore, galore=Galore(rank=128))),
        ("rank 16 on every linear layer | {:.2f} GB", bytes_of(Lora(rank=16))),
    ):
        assert row.format(size) in page
    budget = Galore(rank=512, memory_gb=14.0)
    section = quick().model_copy(update={"optimizer": Optimizer(**galore, galore=budget)})
    rank = galore_rank(budget, trained_shapes(sizes, section))
    assert f"to {rank} for Qwen3-8B" in page
