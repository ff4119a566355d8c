"""A tree of answers is read as if each stood alone; which models can is found by trying."""

import pytest
import torch
from tests.models.test_packing import PACKING, PADDING, build

from stillhouse.models.trees import can_read_trees, read_trees

STEM, BRANCHES = 7, (5, 1, 6)


def grown(stem=STEM, branches=BRANCHES, seed=0):
    """Ids, depths and ends of a stem with branches, and each conversation alone."""
    generator = torch.Generator().manual_seed(seed)
    root, *own = [torch.randint(0, 61, (size,), generator=generator) for size in (stem, *branches)]
    width = stem + sum(branches)
    ids, depths, ends = [root], [torch.arange(stem)], [torch.full((stem,), width)]
    for branch in own:
        start = sum(map(len, ids))
        ids.append(branch)
        depths.append(torch.arange(stem, stem + len(branch)))
        ends.append(torch.full((len(branch),), start + len(branch)))
    alone = [torch.cat((root, branch)) for branch in own]
    return *(torch.cat(each)[None] for each in (ids, depths, ends)), alone


def furthest(model):
    ids, depths, ends, alone = grown()
    model.eval()
    with torch.no_grad():
        tree = read_trees(model, ids, depths, ends)[0]
        rows = [model.base_model(input_ids=one[None]).last_hidden_state[0] for one in alone]
    start, worst = STEM, 0.0
    for row, size in zip(rows, BRANCHES, strict=True):
        ours = torch.cat((tree[:STEM], tree[start : start + size]))
        worst = max(worst, float((ours - row).abs().max() / row.abs().max()))
        start += size
    return worst


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("kind", PACKING)
def test_branches_are_read_as_if_each_were_alone(kind, dtype):
    model = build(kind, PACKING[kind]).to(dtype)

    assert can_read_trees(model)
    assert furthest(model) <= (2e-6 if dtype == torch.float32 else 3e-2)


def test_plain_attention_reads_them_too():
    model = build("llama", {"attn_implementation": "eager"})

    assert can_read_trees(model)
    assert furthest(model) <= 2e-6


@pytest.mark.parametrize(("kind", "changes"), PADDING.values(), ids=PADDING)
def test_models_that_cannot_are_found(kind, changes):
    model = build(kind, changes)

    if can_read_trees(model):
        assert furthest(model) <= 2e-6
    else:
        assert kind in ("opt", "bloom", "mamba", "lfm2", "falcon")


def test_two_trees_in_a_row_and_padding_behind_them_change_nothing():
    model = build("qwen3", {"head_dim": 8}).eval()
    ids, depths, ends, _ = grown()
    other_ids, other_depths, other_ends, _ = grown(4, (2, 3), seed=1)
    width = ids.shape[1]
    both = torch.cat((ids, other_ids, torch.zeros(1, 3, dtype=torch.int64)), 1)
    places = torch.cat((depths, other_depths, torch.zeros(1, 3, dtype=torch.int64)), 1)
    own = torch.arange(both.shape[1] - 3, both.shape[1])[None] + 1
    behind = torch.cat((ends, other_ends + width, own), 1)

    with torch.no_grad():
        together = read_trees(model, both, places, behind)
        first, second = (
            read_trees(model, ids, depths, ends),
            read_trees(model, other_ids, other_depths, other_ends),
        )

    torch.testing.assert_close(together[:, :width], first, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together[:, width:-3], second, atol=1e-5, rtol=1e-5)
    assert together.isfinite().all()


def test_a_row_may_be_recomputed_in_the_backward_pass():
    ids, depths, ends, _ = grown()
    gradients = []
    for recomputed in (False, True):
        model = build("llama", {}).train()
        if recomputed:
            model.activation_checkpointing_enable()
        read_trees(model, ids, depths, ends).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.base_model.parameters()])

    for kept, again in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, again)
