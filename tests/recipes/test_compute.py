"""Device and dtype follow from a description of the host, and from nothing that changes daily."""

import pytest

from stillhouse.recipes.cards import Card, only, read_cards
from stillhouse.recipes.compute import (
    Host,
    ResolvedCompute,
    _cgroup_limit,
    resolve_compute,
    this_host,
)
from stillhouse.recipes.instance_config import Content
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.models import Compute
from stillhouse.recipes.plan import build_plan

GB = 1 << 30
T4 = Card(0, "Tesla T4", 15 * GB, 14 * GB, (7, 5))
A100 = Card(1, "NVIDIA A100", 80 * GB, 70 * GB, (8, 0))
LAPTOP = Host(8, 16 * GB)
MAC = Host(10, 64 * GB, has_mps=True)
TWO_CARDS = Host(16, 64 * GB, cards=(T4, A100))
DRIVER = """0, 15360, 14000, 7.5, Tesla T4
1, 81920, 70000, 8.0, NVIDIA A100-SXM4-80GB
2, [N/A], [N/A], 8.0, broken
"""


@pytest.mark.parametrize(
    ("host", "device", "wanted"),
    [
        (LAPTOP, "auto", ResolvedCompute("cpu", "float32", 8)),
        (MAC, "auto", ResolvedCompute("mps", "float32", 10)),
        (TWO_CARDS, "auto", ResolvedCompute("cuda", "bfloat16", 16, card=1)),
        (Host(4, GB, cards=(T4,)), "auto", ResolvedCompute("cuda", "float32", 4)),
        (TWO_CARDS, "cuda", ResolvedCompute("cuda", "float32", 16)),
        (TWO_CARDS, "cuda:0", ResolvedCompute("cuda", "float32", 16)),
        (TWO_CARDS, "cuda:1", ResolvedCompute("cuda", "bfloat16", 16, card=1)),
        (TWO_CARDS, "cpu", ResolvedCompute("cpu", "float32", 16)),
    ],
)
def test_what_is_there_decides_device_and_dtype(host, device, wanted):
    found = resolve_compute(Compute(device=device), host)
    assert found == wanted
    assert not found.notes


@pytest.mark.parametrize(
    ("host", "name", "dtype"),
    [
        (TWO_CARDS, "cuda:1", "bfloat16"),
        (MAC, "mps", "float32"),
        (LAPTOP, "cpu", "float32"),
    ],
)
def test_a_card_that_is_not_there_falls_back_to_the_best_with_a_warning(host, name, dtype):
    found = resolve_compute(Compute(device="cuda:3"), host)
    assert (found.name, found.dtype) == (name, dtype)
    (note,) = found.notes
    assert note.startswith("compute.device: cuda:3 is not there")
    assert f"{name} is used instead" in note


def test_the_device_that_is_used_names_the_artifacts_and_the_warning_does_not():
    def ids(host, device):
        recipe = load_recipe("quickstart").recipe
        compute = resolve_compute(Compute(device=device, threads=2), host)
        plan = build_plan(recipe, Content(source="rows"), compute)
        return {instance.key: instance.artifact_id for instance in plan.instances}

    absent, there, on_cpu = (
        ids(TWO_CARDS, "cuda:3"),
        ids(TWO_CARDS, "cuda:1"),
        ids(LAPTOP, "cuda:3"),
    )
    assert absent == there
    assert on_cpu == ids(LAPTOP, "cpu")
    assert absent["train@student"] != on_cpu["train@student"]
    assert absent["train@student"] != ids(TWO_CARDS, "cuda")["train@student"]


def test_bfloat16_where_nothing_multiplies_it_is_told_to_be_slow():
    stated = Compute(dtype="bfloat16")
    assert "slow" in resolve_compute(stated, Host(4, GB, cards=(T4,))).notes[0]
    assert "slow" in resolve_compute(stated, LAPTOP).notes[0]
    assert not resolve_compute(stated, Host(8, GB, has_bfloat16=True)).notes


def test_cards_are_read_as_the_driver_tells_them():
    first, second = read_cards(DRIVER, None)
    assert first == Card(0, "Tesla T4", 15360 << 20, 14000 << 20, (7, 5))
    assert (second.number, second.has_bfloat16) == (1, True)
    assert not first.has_bfloat16


def test_cards_are_numbered_anew_where_only_some_are_visible():
    (alone,) = read_cards(DRIVER, "1")
    assert (alone.number, alone.name) == (0, "NVIDIA A100-SXM4-80GB")
    assert [card.name for card in read_cards(DRIVER, "1,0")] == [
        "NVIDIA A100-SXM4-80GB",
        "Tesla T4",
    ]
    assert len(read_cards(DRIVER, "GPU-0a1b")) == 2
    assert read_cards(DRIVER, "") == ()


def test_a_stage_sees_the_one_card_that_was_chosen():
    assert only(1, None)["CUDA_VISIBLE_DEVICES"] == "1"
    assert only(1, "4,6")["CUDA_VISIBLE_DEVICES"] == "6"


def test_stated_compute_is_kept_and_this_host_is_known():
    stated = Compute(device="cpu", dtype="bfloat16", threads=3)
    assert resolve_compute(stated, this_host()) == ResolvedCompute("cpu", "bfloat16", 3)
    assert this_host().cpus >= 1
    assert this_host().memory_bytes > 1 << 28


@pytest.mark.parametrize(
    ("lines", "files", "limit"),
    [
        ("0::/", {"memory.max": "max"}, 0),
        ("0::/", {"memory.max": "512"}, 512),
        ("0::/job/step", {"job/memory.max": "64", "job/step/memory.max": "max"}, 64),
        ("0::/job/step", {"job/memory.max": "64", "job/step/memory.max": "32"}, 32),
        ("4:cpu,memory:/job\n0::/", {"memory/job/memory.limit_in_bytes": "48"}, 48),
        ("4:memory:/elsewhere", {"memory/memory.limit_in_bytes": "96"}, 96),
        ("4:cpu:/job", {"memory/job/memory.limit_in_bytes": "48"}, 0),
    ],
)
def test_memory_is_what_the_groups_of_the_process_allow(tmp_path, lines, files, limit):
    (tmp_path / "own").write_text(lines)
    for name, text in files.items():
        (tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mount" / name).write_text(text + "\n")
    assert _cgroup_limit(tmp_path / "mount", tmp_path / "own") == limit


@pytest.mark.parametrize("device", ["tpu", "cuda:", "cuda:x", "cpu:0", "cuda:-1"])
def test_a_device_that_is_none_is_refused(device):
    with pytest.raises(ValueError, match="device"):
        Compute(device=device)
