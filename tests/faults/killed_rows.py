"""The rows' steps, killed again and again: `python killed_rows.py SPEC` prints what came of it.

SPEC is JSON: `recipe` and `overrides`, `folder` to work in, `kills` and `seed`. Runs end behind
`prepare`. A run that is done before its kill begins anew in another folder, until all kills are
made; then the last is left in peace.
"""

import json
import os
import random
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path

from killed_runs import session_of

from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.runner.run import Place, execute

WHO = ("parent", "group", "stage")


def main(spec):
    draw = random.Random(spec["seed"])
    folder = Path(spec["folder"])
    began = time.monotonic()
    assert attempt(spec, folder / "whole") == 0
    whole_s = time.monotonic() - began
    told = {"whole": contents(folder / "whole"), "whole_s": whole_s, "runs": []}
    left = spec["kills"]
    while left:
        root = folder / str(len(told["runs"]))
        kills = []
        while left and not is_done(kills):
            who, after_s = draw.choice(WHO), draw.uniform(0.0, whole_s / 5)
            kills.append([who, round(after_s, 2), attempt(spec, root, who, after_s)])
            left -= not is_done(kills)
        code = 0 if is_done(kills) else attempt(spec, root)
        told["runs"].append({"kills": kills, "code": code, "contents": contents(root)})
    print(json.dumps(told))


def is_done(kills):
    """Whether the last one came too late."""
    return bool(kills) and kills[-1][2] == 0


def attempt(spec, root, who="", after_s=0.0):
    """A run in a session of its own; its exit code, negative for a signal."""
    pid = os.fork()
    if not pid:
        os.setsid()
        os._exit(run(spec, root))
    if who and not has_ended(pid, after_s):
        kill(pid, who)
    _, status = os.waitpid(pid, 0)
    deadline = time.monotonic() + 60
    while session_of(pid):
        assert time.monotonic() < deadline, "a process outlived its run"
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(status)


def has_ended(pid, within_s):
    """Whether a process ends by itself in that time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
        time.sleep(0.01)
    return False


def kill(leader, who):
    """SIGKILL to the command, to all of its processes, or to all but it."""
    if who == "parent":
        os.kill(leader, signal.SIGKILL)
        return
    for pid in session_of(leader):
        if who == "group" or pid != leader:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def run(spec, root):
    """0 where everything up to `prepare` is done."""
    try:
        resolved = resolve(*open_recipe(spec["recipe"], spec["overrides"]))
        keys = [one.key for one in resolved.plan.instances]
        del resolved.plan.instances[keys.index("prepare") + 1 :]
        execute(resolved, Place(root, "r"))
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def contents(root):
    """Digest of each file of rows that is part of an artifact, by its place."""
    paths = sorted((root / "artifacts").rglob("*.parquet"))
    return {
        str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest()
        for path in paths
        if (
            root / "artifacts" / path.relative_to(root / "artifacts").parts[0] / "manifest.json"
        ).is_file()
    }


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
