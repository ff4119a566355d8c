"""The optimizer of a recipe: what cannot hold together, what is said, and bytes by formula."""

import json
import re
from pathlib import Path

import pytest
import yaml

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.optimizer_problems import optimizer_cautions
from stillhouse.recipes.optimizer_state import (
    Trained,
    clipped,
    galore_bytes,
    galore_rank,
    state_bytes,
)
from stillhouse.recipes.training import Galore, Length, Optimizer, Training

RECIPE = {
    "name": "small",
    "collect": {"source": {"file": "rows.csv"}},
    "prepare": {
        "user": "{text}",
        "answer": "label",
        "split": {"parts": {"labelled": "rest", "holdout": 3}},
    },
    "label": {"parts": ["labelled"]},
    "teacher": {"path": "teacher"},
    "student": {"path": "student"},
    "train": {"parts": ["labelled"], "length": {"steps": 9}, "optimizer": {}},
}
LAYER = ((64, 64), (16, 64), (64, 128), (128, 64))


@pytest.fixture
def refused(tmp_path):
    """What the loader says of the recipe with this optimizer."""

    def ask(optimizer, **train):
        recipe = json.loads(json.dumps(RECIPE))
        recipe["train"] |= {"optimizer": optimizer, **train}
        path = tmp_path / "r.yaml"
        path.write_text(yaml.safe_dump(recipe, sort_keys=False))
        with pytest.raises(RecipeError) as told:
            load_recipe(path)
        return str(told.value)

    return ask


def test_a_recipe_of_each_optimizer_loads(tmp_path):
    path = tmp_path / "r.yaml"
    for name in ("adamw", "adamw_8bit", "galore_adamw"):
        recipe = RECIPE | {"train": RECIPE["train"] | {"optimizer": {"name": name}}}
        path.write_text(yaml.safe_dump(recipe, sort_keys=False))
        assert load_recipe(path).recipe.train.optimizer.name == name


@pytest.mark.parametrize(
    ("optimizer", "train", "said"),
    [
        ({"name": "adamw_8bits"}, {}, 'did you mean "adamw_8bit"?'),
        ({"name": "galore"}, {}, 'did you mean "galore_adamw"?'),
        ({"galore": {"rank": 4}}, {}, "train.optimizer.galore: is read by galore_adamw alone"),
        (
            {"name": "galore_adamw"},
            {"lora": {"rank": 4}},
            "train.optimizer.name: galore_adamw trains the weights themselves",
        ),
        (
            {"name": "galore_adamw", "galore": {"layerwise": True}},
            {"length": {"steps": 9, "accumulation": 2}},
            "train.optimizer.galore.layerwise: moves a weight at each batch, and "
            "length.accumulation gathers 2",
        ),
        ({"name": "galore_adamw"}, {"deepspeed": "zero.json"}, "which DeepSpeed lays out in one"),
        ({"name": "galore_adamw", "galore": {"rank": "auto"}}, {}, "as large as memory_gb allows"),
        ({"name": "galore_adamw", "galore": {"rank": 0}}, {}, "rank"),
        ({"name": "galore_adamw", "galore": {"update_gap": 0}}, {}, "update_gap"),
        ({"name": "galore_adamw", "galore": {"modules": []}}, {}, "modules names no layer"),
        ({"name": "galore_adamw", "galore": {"memory_gb": 0.0}}, {}, "memory_gb"),
        ({"eps": 0.0}, {}, "train.optimizer.eps"),
    ],
)
def test_what_cannot_hold_together_is_refused_with_its_line(optimizer, train, said, refused):
    text = refused(optimizer, **train)
    assert said in text
    assert "r.yaml:" in text


def training(steps, **optimizer):
    return Training(length=Length(steps=steps), optimizer=Optimizer(**optimizer))


def test_a_projection_that_is_never_renewed_is_said():
    short = training(133, name="galore_adamw", galore=Galore(update_gap=400))
    assert list(optimizer_cautions("finetune", short, 133)) == [
        "finetune.optimizer.galore.update_gap is 400, the training has 133 steps: the projection "
        "is computed once and never renewed"
    ]
    for gap, count in ((132, 0), (133, 1)):
        section = training(133, name="galore_adamw", galore=Galore(update_gap=gap))
        assert len(list(optimizer_cautions("train", section, 133))) == count
    assert len(list(optimizer_cautions("train", training(199, name="galore_adamw"), 199))) == 1


def test_a_warm_up_that_never_ends_is_said():
    assert [
        line.split(":")[0]
        for line in optimizer_cautions("train", training(500, warmup_steps=500), 500)
    ] == ["train.optimizer.warmup_steps is 500, the training has 500 steps"]
    assert not list(optimizer_cautions("train", training(501, warmup_steps=500), 501))


def test_adamw_holds_two_numbers_for_each_and_a_count():
    trained = Trained(embeddings=(100,), others=(10, 20))
    assert state_bytes(Optimizer(), trained) == 4 * (2 * 130 + 3)


def test_galore_holds_a_basis_and_two_moments_of_its_rank():
    trained = Trained(((6, 10), (10, 6)), (100,), (7,))
    optimizer = Optimizer(name="galore_adamw", galore=Galore(rank=4))
    expected = 2 * 4 * (4 * 6 + 2 * 4 * 10 + 1) + 4 * (2 * 107 + 2)
    assert state_bytes(optimizer, trained) == expected
    wide = Optimizer(name="galore_adamw", galore=Galore(rank=512))
    assert state_bytes(wide, trained) == 2 * 4 * (6 * 6 + 2 * 6 * 10 + 1) + 4 * (2 * 107 + 2)
    assert galore_rank(Galore(rank=512), trained) == 6
    assert clipped(((6, 10), (3, 9), (4, 4)), 4) == 1


def test_8_bits_hold_a_byte_and_a_scale_of_each_block():
    trained = Trained(embeddings=(8000,), others=(4095, 4096, 4097))
    # 4,096 numbers are 16 blocks, one more begins the 17th.
    blockwise = 2 * (4096 + 4 * 16) + 2 * (4097 + 4 * 17) + 2 * 4 * 256
    assert state_bytes(Optimizer(name="adamw_8bit"), trained) == 8 * (8000 + 4095) + blockwise


def test_rank_falls_with_the_budget_and_never_exceeds_its_cap():
    trained = Trained(LAYER * 3, (6400,), (64,) * 9)
    found = []
    for budget in range(0, 2_000_000, 10_000):
        rank = galore_rank(Galore(rank="auto", memory_gb=max(budget, 1) / 1e9), trained)
        assert rank == 0 or galore_bytes(trained, rank) <= budget
        assert rank == 64 or galore_bytes(trained, rank + 1) > budget
        found.append(rank)
    assert found == sorted(found)
    assert (found[0], found[-1]) == (0, 64)
    assert galore_rank(Galore(rank=20, memory_gb=1.0), trained) == 20


def test_an_eight_billion_teacher_in_numbers_of_its_own():
    """Qwen3-8B: 36 layers of 4096, 8 key heads of 128, 12288 inside, two embeddings of 151936."""
    layer = ((4096, 4096), (1024, 4096), (1024, 4096), (4096, 4096),
             (12288, 4096), (12288, 4096), (4096, 12288))  # fmt: skip
    trained = Trained(layer * 36, (151936 * 4096,), (151936 * 4096, *(4096,) * 73, *(128,) * 72))
    plain = state_bytes(Optimizer(), Trained((), trained.embeddings,
        (*trained.others, *(m * n for m, n in trained.matrices))))  # fmt: skip
    galore = state_bytes(Optimizer(name="galore_adamw", galore=Galore(rank=512)), trained)
    assert plain == pytest.approx(8.19e9 * 8, rel=0.001)
    assert galore < 0.4 * plain
    assert galore_rank(Galore(rank=512, memory_gb=14.0), trained) == 217
    songs = load_recipe("songs").recipe.finetune.optimizer
    assert galore_rank(songs.galore, trained) == 512


def test_the_sections_of_the_page_are_valid(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "little-memory.md"
    blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.M | re.S)
    shown = [yaml.safe_load(block) for block in blocks if "optimizer:" in block]
    assert len(shown) == 2
    path, parts = tmp_path / "r.yaml", {"parts": ["labelled"]}
    for sections in shown:
        named = {name: section | parts for name, section in sections.items()}
        path.write_text(yaml.safe_dump(RECIPE | named, sort_keys=False))
        recipe = load_recipe(path).recipe
        told = [one.optimizer.name for one in (recipe.finetune, recipe.train) if one]
        assert {"galore_adamw", "adamw_8bit"} & set(told)
