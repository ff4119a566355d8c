"""SIGKILL wherever a run can be: the same command again gives the bytes of a run left in peace.

`pytest tests/faults/test_kills.py -m long -s` prints the table, one line a kill.
"""

import random

import pytest
from tests.faults.killed_runs import (
    begin_at,
    contents,
    differing,
    instances,
    killed_after,
    killed_at,
    run,
    torn,
)

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("e2e")]

STAGES = {
    *("collect", "prepare", "finetune", "label", "train@student", "train@twin"),
    *("evaluate@teacher", "evaluate@student", "evaluate@twin", "gate", "export", "register"),
}
# Instance, place, who is killed, at which visit.
EXACT = [
    ("collect", "begin", "group", 1),
    ("collect", "end", "child", 1),
    ("prepare", "begin", "parent", 1),
    ("prepare", "end", "group", 1),
    ("finetune", "progress", "child", 35),
    ("label", "progress", "child", 2),
    ("train@student", "progress", "group", 25),
    ("train@twin", "progress", "child", 3),
    ("train@twin", "end", "parent", 1),
    ("evaluate@teacher", "end", "child", 1),
    ("evaluate@student", "begin", "group", 1),
    ("evaluate@student", "end", "parent", 1),
    ("evaluate@twin", "begin", "child", 1),
    ("evaluate@twin", "end", "group", 1),
    ("gate", "begin", "parent", 1),
    ("gate", "end", "child", 1),
    ("export", "begin", "group", 1),
    ("export", "end", "parent", 1),
    ("register", "begin", "child", 1),
    ("register", "registry half a blob", "group", 3),
    ("register", "registry half a record", "child", 1),
    ("register", "end", "parent", 1),
    ("finetune", "checkpoint half its weights", "child", 2),
    ("finetune", "checkpoint whole, not sealed", "group", 3),
    ("finetune", "checkpoint half dropped", "group", 4),
    ("train@student", "checkpoint half its seal", "parent", 2),
    ("train@student", "checkpoint sealed", "group", 2),
    ("collect", "half a manifest", "parent", 1),
    ("prepare", "before manifest", "parent", 1),
    ("finetune", "before rename", "group", 1),
    ("label", "after rename", "parent", 1),
    ("train@student", "before cleaning", "group", 1),
    ("evaluate@teacher", "before measured", "parent", 1),
    ("register", "before rename", "parent", 1),
]
# Instance, who is killed, and how long after its process began at most; from outside.
TIMED = [
    ("finetune", "parent", 0.0),
    ("finetune", "parent", 1.5),
    ("finetune", "child", 1.5),
    ("label", "group", 0.4),
    ("train@student", "parent", 0.6),
    ("train@student", "child", 0.6),
    ("train@twin", "group", 0.6),
    ("evaluate@teacher", "parent", 0.0),
    ("evaluate@teacher", "child", 0.2),
]
# The promise, and what a machine with busy cores may take to start Python at all.
MOST_ALIVE_S, MOST_STARTING_S = 2.0, 10.0


@pytest.fixture(scope="module")
def rows():
    """Lines of the table; printed and written when all is done."""
    return []


@pytest.fixture(scope="module", autouse=True)
def printed(rows, tmp_path_factory):
    yield
    heads = ("stage", "place", "killed", "exit", "alive s", "kept", "again", "same files")
    lines = [
        f"{a:<17} {b:<29} {c:<7} {d:>4} {e:>7} {f:>5} {g:>5} {h:>10}"
        for a, b, c, d, e, f, g, h in rows
    ]
    lines.insert(0, "{:<17} {:<29} {:<7} {:>4} {:>7} {:>5} {:>5} {:>10}".format(*heads))
    text = "\n".join(lines) + f"\n{len(rows)} kills\n"
    path = tmp_path_factory.getbasetemp() / "kills.txt"
    path.write_text(text)
    print(f"\n{text}{path}")


def proven(end, tiny_recipe, tiny_run, root):
    """Check what a kill left, run again, compare; gives the last cells of the table's line."""
    reference = contents(tiny_run.root)
    ids = {artifact_id for _, artifact_id in instances(tiny_run.root)}
    kept = sum((root / "artifacts" / one / "manifest.json").exists() for one in ids)
    assert torn(root, reference) == []
    again = run("run", tiny_recipe, "--runs", root)
    assert again.returncode == 0, again.stderr
    assert differing(root, reference) == []
    same = f"{len(reference)}/{len(reference)}"
    return (end.code, f"{end.alive_s:.2f}", f"{kept}/{len(ids)}", again.returncode, same)


@pytest.mark.parametrize(("instance", "point", "who", "count"), EXACT)
def test_a_kill_at_this_place_changes_no_byte(
    tiny_recipe, tiny_run, tmp_path, rows, instance, point, who, count
):
    root = tmp_path / "runs"
    begin_at(tiny_run.root, root, instance)
    spec = {"instance": instance, "point": point, "who": who, "count": count}

    end = killed_at(spec, ["run", str(tiny_recipe), "--runs", str(root)], tmp_path / "words")

    assert end.code == (1 if who == "child" else -9), end.err
    assert end.alive_s < MOST_ALIVE_S
    if who == "child":
        assert f"the process of {instance} was ended by signal 9" in end.err
    rows.append((instance, point, who, *proven(end, tiny_recipe, tiny_run, root)))


@pytest.mark.parametrize("number", range(len(TIMED)))
def test_a_kill_at_any_time_changes_no_byte(tiny_recipe, tiny_run, tmp_path, rows, number):
    instance, who, most_s = TIMED[number]
    delay_s = random.Random(number).uniform(0.0, most_s)
    for attempt in range(4):
        # On a fast machine the stage may be over before its time has come.
        root = tmp_path / f"runs-{attempt}"
        begin_at(tiny_run.root, root, instance)
        arguments = ["run", str(tiny_recipe), "--runs", str(root)]
        end = killed_after(instance, delay_s / 2**attempt, who, arguments, tmp_path / "words")
        if end.code != 0:
            break

    assert end.code == (1 if who == "child" else -9), end.err
    assert end.alive_s < (MOST_ALIVE_S if most_s else MOST_STARTING_S)
    place = f"{delay_s:.2f} s after its start" if most_s else "while torch is imported"
    rows.append((instance, place, who, *proven(end, tiny_recipe, tiny_run, root)))


def test_every_stage_is_killed_at_least_twice():
    killed = [place[0] for place in EXACT] + [instance for instance, _, _ in TIMED]

    assert {stage: killed.count(stage) for stage in STAGES if killed.count(stage) < 2} == {}
    assert set(killed) == STAGES
