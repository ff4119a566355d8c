"""SIGKILL in the training of any domain: the same command again gives the same bytes."""

from __future__ import annotations

import pytest
from tests.e2e.test_domains import PROGRESS_OF_ONE, write_recipe
from tests.faults.killed_runs import begin_at, contents, differing, killed_at, run
from tests.faults.test_kills import MOST_ALIVE_S

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("e2e")]
# Place, who is killed, at which visit.
KILLS = [
    *(("progress", who, PROGRESS_OF_ONE * place + visit)
      for place, (who, visit) in enumerate(
          [("child", 2), ("group", 5), ("child", 7), ("parent", 4), ("group", 1), ("child", 6)])),
    ("checkpoint half its weights", "child", 4),
    ("checkpoint whole, not sealed", "group", 5),
    ("checkpoint sealed", "group", 9),
    ("end", "child", 1),
]  # fmt: skip


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    root = tmp_path_factory.mktemp("reference")
    recipe = write_recipe(root)
    made = run("run", recipe, "--runs", root / "runs", "--name", "tiny", timeout=600)
    assert made.returncode == 0, made.stderr
    return recipe, root / "runs"


@pytest.mark.parametrize(("point", "who", "count"), KILLS)
def test_a_kill_in_any_domain_changes_no_byte(reference, tmp_path, point, who, count):
    recipe, whole = reference
    root = tmp_path / "runs"
    begin_at(whole, root, "train@student")
    arguments = ["run", str(recipe), "--runs", str(root), "--name", "tiny"]
    spec = {"instance": "train@student", "point": point, "who": who, "count": count}

    end = killed_at(spec, arguments, tmp_path / "words")

    assert end.code == (1 if who == "child" else -9), end.err
    assert end.alive_s < MOST_ALIVE_S
    work = next((root / "artifacts" / ".work").iterdir())
    sealed = sorted(path.stem for path in (work / "scratch" / "done").glob("*.json"))
    again = run(*arguments, timeout=600)
    assert again.returncode == 0, again.stderr
    assert differing(root, contents(whole)) == []
    if point == "progress":
        assert len(sealed) == count // PROGRESS_OF_ONE
