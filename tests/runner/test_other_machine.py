"""`check --machine` plans for a machine that is not this one, and says what fits it."""

from __future__ import annotations

import pytest

import stillhouse
from stillhouse.core.errors import CapacityError, InputError, UsageError
from stillhouse.recipes.load import load_recipe
from stillhouse.runner.other_machine import machine_of

FEW = {"neurons": 120, "accounting-qa": 40, "songs": 320}


@pytest.fixture
def checked(offline):
    def check(name, machine, *changes):
        few = f"collect.planned_rows={FEW[name]}"
        return stillhouse.check(name, stillhouse.Call([few, *changes]), machine=machine)

    return check


def test_what_is_left_out_is_as_here():
    here, there = machine_of(""), machine_of("memory=64")
    assert there.host.memory_bytes == 64e9
    assert (there.host.cpus, there.disk_bytes) == (here.host.cpus, None)
    card = machine_of("gpu=80,disk=2000").host.best_card
    assert (card.total_bytes, card.has_bfloat16) == (80e9, True)
    assert machine_of("gpu=0").host.cards == ()


@pytest.mark.parametrize("text", ["gpu", "gpu=big", "ram=64", "memory=-1", "gpu=80;memory=9"])
def test_a_description_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="is no size in GB"):
        machine_of(text)


def test_a_probe_of_another_machine_is_refused():
    with pytest.raises(UsageError, match="--probe measures this machine"):
        stillhouse.check("quickstart", probe=True, machine="gpu=80")


def test_a_graphics_card_holds_the_models_and_the_machine_the_rest(checked):
    found = checked("neurons", "gpu=24,memory=32,disk=100")

    assert found.compute.device == "cuda"
    assert 6e9 < found.device_bytes < 24e9
    assert found.memory_bytes < 2e9
    assert found.free_disk_bytes == 100e9
    with pytest.raises(InputError, match="no file"):  # and nothing else
        found.refuse_what_stands_in_the_way()


def test_the_changes_that_are_offered_load_and_bring_the_plan_into_the_machine(checked):
    machine = "gpu=0,memory=15,disk=1000"
    found = checked("accounting-qa", machine)
    assert found.way
    assert found.way.fits
    with pytest.raises(CapacityError, match=r"finetune needs about 1[89]\.\d GB") as error:
        found.refuse_what_stands_in_the_way()
    assert "no file" in error.value.message
    assert f"--set {found.way.changes[0]}" in error.value.hint

    load_recipe("accounting-qa", found.way.changes)
    again = checked("accounting-qa", machine, *found.way.changes)
    assert again.way is None
    assert again.memory_bytes == found.way.memory_bytes <= 15e9


def test_where_no_change_helps_the_plan_says_what_is_left_and_names_smaller_students(checked):
    found = checked("songs", "gpu=0,memory=30,disk=1000")

    assert not found.way.fits
    assert found.smaller == ("Qwen/Qwen3-8B", "Qwen/Qwen3-4B")
    load_recipe("songs", found.way.changes)
    with pytest.raises(CapacityError) as error:
        found.refuse_what_stands_in_the_way()
    needs = {item.key: item.cost.needed_bytes for item in found.instances}
    assert f"train@student ({needs['train@student'] / 1e9:.1f} GB)" in error.value.message
    assert f"export ({needs['export'] / 1e9:.1f} GB)" in error.value.message
    left = f"{found.way.largest} needs {found.way.memory_bytes / 1e9:.1f} GB"
    assert left in error.value.hint
    assert "the student could be Qwen/Qwen3-8B or Qwen/Qwen3-4B" in error.value.hint
