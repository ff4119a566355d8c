"""GaLore is what its paper and its authors' code say, and holds what its formula counts."""

import warnings

import pytest
import torch
from tiny_students import BOTH, ONE_THREAD, build, data_of, draw_examples, quick, weights_of

from stillhouse.core.errors import CapacityError, ModelError, TrainingError, UsageError
from stillhouse.models.adapters import resolve_modules
from stillhouse.recipes.optimizer_state import galore_bytes
from stillhouse.recipes.training import Galore, Optimizer
from stillhouse.students import layerwise as layerwise_module
from stillhouse.students.galore import GaloreAdamW, leading_directions
from stillhouse.students.optimizers import build_optimizer, layerwise_of, optimizer_facts
from stillhouse.students.train import Setting, train_model

SHAPES = ((6, 9), (9, 6), (7, 7), (5, 8))


def galore_of(rank=4, **galore):
    return Optimizer(name="galore_adamw", learning_rate=1e-2, galore=Galore(rank=rank, **galore))


def group(parameters, **changes):
    own = {"rank": 3, "update_gap": 4, "scale": 0.25, "weight_decay": 0.1}
    return {"params": parameters} | own | changes


def follow(optimizers, parameters, steps, seed=0):
    """Give each optimizer its own copy of the parameters and the same gradients, step by step."""
    torch.manual_seed(seed)
    for _ in range(steps):
        gradients = [torch.randn(parameter.shape) for parameter in parameters[0]]
        for optimizer, own in zip(optimizers, parameters, strict=True):
            for parameter, gradient in zip(own, gradients, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()


def copies(count, shapes=SHAPES):
    torch.manual_seed(1)
    start = [torch.randn(shape) for shape in shapes]
    return [[torch.nn.Parameter(one.clone()) for one in start] for _ in range(count)]


def fit(student, workdir, optimizer, steps=6, **training):
    section = quick(steps=steps, **training).model_copy(update={"optimizer": optimizer})
    data = data_of(draw_examples(9))
    return train_model(student, data, BOTH, section, Setting(ONE_THREAD, workdir, "plan"))


def test_every_step_is_that_of_the_authors_code(monkeypatch):
    theirs_of = pytest.importorskip("galore_torch").GaLoreAdamW
    from galore_torch.galore_projector import GaLoreProjector

    decompose = GaLoreProjector.get_orthogonal_matrix

    def as_we_point(projector, gradient, rank, type):
        """Their directions; which way one points is nobody's choice, so it is ours."""
        found = decompose(projector, gradient, rank, type)
        lying, basis = (gradient, found) if type == "left" else (gradient.T, found.T)
        sides = (basis * leading_directions(lying, rank)).sum(0)
        torch.testing.assert_close(sides.abs(), torch.ones(rank))
        return found * (sides.sign() if type == "left" else sides.sign()[:, None])

    monkeypatch.setattr(GaLoreProjector, "get_orthogonal_matrix", as_we_point)
    ours, theirs = copies(2)
    # Their epsilon stands at another place, and they decay after the step; the paper does neither.
    common = {"lr": 1e-3, "betas": (0.9, 0.99), "eps": 1e-30}
    mine = GaloreAdamW([group(ours, weight_decay=0.0)], **common)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        projected = {"rank": 3, "update_proj_gap": 4, "scale": 0.25, "proj_type": "std"}
        other = theirs_of([{"params": theirs} | projected], **common)
    for step in range(10):
        follow([mine, other], [ours, theirs], 1, seed=step)
        for one, two in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_every_step_is_that_of_the_paper_with_decay_and_a_large_epsilon():
    (ours,) = copies(1)
    weights = [parameter.detach().clone().double() for parameter in ours]
    optimizer = GaloreAdamW([group(ours)], lr=0.01, betas=(0.9, 0.99), eps=0.3)
    bases, first, second = [None] * 4, [0.0] * 4, [0.0] * 4
    for step in range(9):
        follow([optimizer], [ours], 1, seed=step)
        for place, parameter in enumerate(ours):
            gradient = parameter.grad.double()
            is_tall = gradient.shape[0] >= gradient.shape[1]
            gradient = gradient.T if is_tall else gradient
            if step % 4 == 0:
                bases[place] = torch.linalg.svd(gradient).U[:, :3]
                if step:  # the sign of a direction is nobody's choice: take ours, where it counts
                    mine = optimizer.state[parameter]["basis"].double()
                    bases[place] = bases[place] * (bases[place] * mine).sum(0).sign()
            basis = bases[place]
            if step == 0:
                bases[place] = basis = optimizer.state[parameter]["basis"].double()
            low = basis.T @ gradient
            first[place] = 0.9 * first[place] + 0.1 * low
            second[place] = 0.99 * second[place] + 0.01 * low**2
            unbiased = first[place] / (1 - 0.9 ** (step + 1))
            spread = (second[place] / (1 - 0.99 ** (step + 1))).sqrt()
            move = 0.25 * basis @ (unbiased / (spread + 0.3))
            weights[place] = weights[place] * (1 - 0.01 * 0.1) - 0.01 * (
                move.T if is_tall else move
            )
            torch.testing.assert_close(parameter.double(), weights[place], rtol=1e-4, atol=1e-6)


def test_directions_are_the_leading_singular_vectors():
    torch.manual_seed(0)
    matrix = torch.randn(12, 40) @ torch.diag(torch.linspace(5, 0.1, 40))
    found = leading_directions(matrix, 5)
    exact = torch.linalg.svd(matrix.double()).U[:, :5]
    torch.testing.assert_close((found.double() * exact).sum(0).abs(), torch.ones(5).double())
    torch.testing.assert_close(found.T @ found, torch.eye(5), rtol=0, atol=1e-6)
    assert leading_directions(matrix, 99).shape == (12, 12)


def test_what_is_not_projected_moves_bit_for_bit_as_under_adamw():
    shapes = ((4, 6), (5,), (3, 2, 2))
    ours, theirs = copies(2, shapes)
    common = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-8}
    mine = GaloreAdamW([{"params": ours, "weight_decay": 0.1}], **common)
    other = torch.optim.AdamW(theirs, weight_decay=0.1, fused=True, **common)
    follow([mine, other], [ours, theirs], 5)
    assert all(torch.equal(one, two) for one, two in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kind", ["qwen3", "gpt2", "gpt_oss"])
@pytest.mark.parametrize("rank", [3, 12, 500])
def test_state_is_as_large_as_its_formula(kind, rank, tmp_path, trainers):
    student, optimizer = build(kind), galore_of(rank)
    facts = optimizer_facts(student, optimizer)
    result = fit(student, tmp_path, optimizer, steps=2)
    tensors = [
        tensor for state in trainers[0].optimizer.state.values() for tensor in state.values()
    ]
    assert sum(tensor.nbytes for tensor in tensors) == facts.state_bytes
    assert result.optimizer == facts
    # The formula once more, by hand and from the model's own modules.
    counted = 0
    projected = {f"{name}.weight" for name in resolve_modules(student, "all-linear")}
    for name, parameter in student.named_parameters():
        if name in projected:
            small, large = sorted(parameter.shape)
            kept = min(rank, small)
            counted += 4 * (kept * small + 2 * kept * large + 1)
        else:
            counted += 4 * (2 * parameter.numel() + 1)
    assert counted == facts.state_bytes
    sides = [min(student.get_parameter(name).shape) for name in projected]
    assert facts.rank == min(rank, max(sides))
    assert facts.num_clipped == sum(side < facts.rank for side in sides)


def test_state_is_smaller_than_that_of_adamw():
    student = build()
    assert optimizer_facts(student, galore_of(2)).state_bytes < 0.6 * (
        optimizer_facts(student, Optimizer()).state_bytes
    )


def test_projection_is_renewed_at_each_gap_and_at_no_other_step(tmp_path, monkeypatch):
    steps, seen = [], []
    find, move = leading_directions, GaloreAdamW.move

    def spy(matrix, rank):
        steps.append(seen[-1])
        return find(matrix, rank)

    def watched(optimizer, parameter, group):
        state = optimizer.state[parameter]
        seen.append(int(state["step"]) if state else 0)
        move(optimizer, parameter, group)

    monkeypatch.setattr("stillhouse.students.galore.leading_directions", spy)
    monkeypatch.setattr(GaloreAdamW, "move", watched)
    student = build()
    fit(student, tmp_path, galore_of(update_gap=3), steps=8)
    matrices = len(resolve_modules(student, "all-linear"))
    assert steps == [step for step in (0, 3, 6) for _ in range(matrices)]


def test_rank_follows_the_budget(tmp_path):
    student = build()
    trained_bytes = {rank: optimizer_facts(student, galore_of(rank)) for rank in range(1, 17)}
    shapes_bytes = [trained_bytes[rank].state_bytes for rank in range(1, 17)]
    assert shapes_bytes == sorted(shapes_bytes)
    for rank in range(1, 17):
        exact = trained_bytes[rank].state_bytes
        for budget, expected in ((exact, rank), (exact - 1, rank - 1)):
            optimizer = galore_of("auto", memory_gb=budget / 1e9)
            if expected:
                found = optimizer_facts(student, optimizer)
                assert (found.rank, found.state_bytes <= budget) == (expected, True)
            else:
                with pytest.raises(CapacityError, match="at rank 1 the optimizer holds"):
                    optimizer_facts(student, optimizer)
    capped = optimizer_facts(student, galore_of(5, memory_gb=1.0))
    assert capped.rank == 5
    tight = galore_of(5, memory_gb=trained_bytes[3].state_bytes / 1e9)
    assert fit(student, tmp_path, tight, steps=1).optimizer.rank == 3


def test_parameters_stand_in_groups_of_equal_treatment():
    student = build("llama")
    optimizer = galore_of(3, modules=("q_proj", "layers.1.mlp.down_proj"))
    optimizer = optimizer.model_copy(update={"weight_decay": 0.1})
    decayed = {name for name, p in student.named_parameters() if p.dim() == 2}
    built = build_optimizer(student, optimizer, decayed)
    named = {parameter: name for name, parameter in student.named_parameters()}
    found = {
        (group["rank"], group["weight_decay"]): {named[p] for p in group["params"]}
        for group in built.param_groups
    }
    projected = {
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
    }
    assert found[3, 0.1] == projected
    assert found[0, 0.0] == {name for name in named.values() if "norm" in name}
    assert found[0, 0.1] == set(named.values()) - found[3, 0.1] - found[0, 0.0]
    assert sum(map(len, found.values())) == len(named)


def test_modules_that_match_nothing_are_an_error():
    with pytest.raises(
        ModelError, match=r"optimizer\.galore\.modules: 'q_prog' matches no"
    ) as told:
        optimizer_facts(build(), galore_of(modules=("q_prog",)))
    assert "q_proj" in told.value.hint
    with pytest.raises(ModelError, match="frozen layers alone"):
        optimizer_facts(build(lora=True), galore_of(modules=("mlp.gate_proj.base_layer",)))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_layerwise_takes_the_same_steps_bit_for_bit(checkpointing, tmp_path):
    weights, curves = [], []
    for is_layerwise in (False, True):
        student = build("llama")
        optimizer = galore_of(3, update_gap=2, layerwise=is_layerwise)
        optimizer = optimizer.model_copy(update={"max_grad_norm": 1e9, "weight_decay": 0.1})
        result = fit(
            student, tmp_path / str(is_layerwise), optimizer, gradient_checkpointing=checkpointing
        )
        weights.append(weights_of(student))
        curves.append(result.curve)
        assert not any(p._post_accumulate_grad_hooks for p in student.parameters())
    assert curves[0] == curves[1]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_layerwise_never_holds_two_gradients(tmp_path, monkeypatch):
    held, consume = [], layerwise_module.Layerwise._consume
    student = build()

    def spy(hooks, parameter):
        held.append(sum(p.grad is not None for p in student.parameters()))
        consume(hooks, parameter)

    monkeypatch.setattr(layerwise_module.Layerwise, "_consume", spy)
    fit(student, tmp_path, galore_of(layerwise=True), steps=2)
    assert len(held) == 2 * len(list(student.parameters()))
    assert set(held) == {1}


def test_layerwise_shortens_each_gradient_and_tells_the_norm_of_all(tmp_path, monkeypatch):
    seen, norms = [], []
    move, told = GaloreAdamW.move, layerwise_module.Layerwise.take_norm
    monkeypatch.setattr(
        GaloreAdamW,
        "move",
        lambda o, p, g: (seen.append(float(p.grad.norm())), move(o, p, g))[1],
    )
    monkeypatch.setattr(
        layerwise_module.Layerwise, "take_norm", lambda one: norms.append(told(one)) or norms[-1]
    )
    student = build()
    optimizer = galore_of(layerwise=True).model_copy(update={"max_grad_norm": 0.01})
    fit(student, tmp_path / "short", optimizer, steps=1)
    assert max(seen) == pytest.approx(0.01, rel=1e-5)
    seen.clear()
    fit(build(), tmp_path / "long", galore_of(layerwise=True).model_copy(
        update={"max_grad_norm": 1e9}), steps=1)  # fmt: skip
    whole = sum(size**2 for size in seen) ** 0.5
    assert norms == [pytest.approx(whole, rel=1e-5)] * 2


def test_layerwise_is_refused_over_several_processes():
    student = build()
    optimizer = galore_of(layerwise=True)
    built = build_optimizer(student, optimizer, ())
    with pytest.raises(UsageError, match="before 2 processes have summed"):
        layerwise_of(built, optimizer, 2)


def test_layerwise_moves_nothing_along_a_gradient_that_is_no_number(tmp_path):
    student = build()
    struck = student.model.layers[1].mlp.up_proj.weight
    struck.register_hook(lambda gradient: gradient * float("inf"))
    before = struck.detach().clone()
    with pytest.raises(
        TrainingError, match=r"step 1: the loss is \d.*, the gradient's norm (inf|nan)"
    ):
        fit(student, tmp_path, galore_of(layerwise=True))
    assert torch.equal(struck, before)
    assert not any(p._post_accumulate_grad_hooks for p in student.parameters())


def test_bytes_of_a_rank_count_a_matrix_and_its_turned_twin_alike():
    from stillhouse.recipes.optimizer_state import Trained

    assert galore_bytes(Trained(((8, 3),)), 2) == galore_bytes(Trained(((3, 8),)), 2)
    assert galore_bytes(Trained(((3, 8),)), 2) == 4 * (2 * 3 + 2 * 2 * 8 + 1)
