"""Four kills of one run, each at another depth; the long form is test_kills.py."""

import pytest
from tests.faults.killed_runs import begin_at, contents, differing, killed_at, run, torn

pytestmark = pytest.mark.xdist_group("e2e")

KILLS = [
    ("finetune", "checkpoint whole, not sealed", "group", 2),
    ("label", "before rename", "parent", 1),
    ("train@student", "progress", "child", 15),
    ("register", "registry half a blob", "parent", 2),
]


def test_four_kills_change_no_byte(tiny_recipe, tiny_run, tmp_path):
    reference = contents(tiny_run.root)
    root = tmp_path / "runs"
    begin_at(tiny_run.root, root, "finetune")
    arguments = ["run", str(tiny_recipe), "--runs", str(root)]

    for instance, point, who, count in KILLS:
        spec = {"instance": instance, "point": point, "who": who, "count": count}
        end = killed_at(spec, arguments, tmp_path / point)

        assert end.code == (1 if who == "child" else -9), end.err
        assert f"{instance:<18} started" in end.err
        assert f"{instance:<18} done" not in end.err
        assert end.alive_s < 2.0
        assert torn(root, reference) == []

    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert differing(root, reference) == []
