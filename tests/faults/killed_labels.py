"""The label stage, killed again and again: `python killed_labels.py SPEC` prints what came of it.

SPEC is JSON: `recipe` and `overrides`, `root` of a finished run that has its inputs, `folder` to
work in, and `rows`, each a list of kills that one labelling suffers before it is left in peace. A
kill is a place with its visit, or a share of the time that a whole labelling takes.
"""

import io
import json
import os
import shutil
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path

from killed_runs import instances

from stillhouse.core.protocols import no_progress
from stillhouse.runner.opening import open_recipe
from stillhouse.runner.resolve import resolve
from stillhouse.stages import label
from stillhouse.stages.contract import StageRequest
from stillhouse.targets import index, shard, write


def main(spec):
    resolved = resolve(*open_recipe(spec["recipe"], spec["overrides"]))
    folder = Path(spec["folder"])
    began = time.monotonic()
    attempt(spec, resolved, folder / "whole", None)
    whole_s = time.monotonic() - began
    told = []
    for number, kills in enumerate(spec["rows"]):
        work = folder / str(number)
        died = [kill_once(spec, resolved, work, kill, whole_s) for kill in kills]
        code = attempt(spec, resolved, work, None)
        told.append({"died": died, "code": code, "contents": contents(work)})
    print(json.dumps({"whole": contents(folder / "whole"), "rows": told}))


def kill_once(spec, resolved, work, kill, whole_s):
    """Whether it died; a timed kill comes earlier where the work was over before its time."""
    for halving in range(5):
        share = kill.get("share")
        after_s = None if share is None else share * whole_s / 2**halving
        if attempt(spec, resolved, work, kill, after_s) == -signal.SIGKILL:
            return True
        if share is None:
            return False
    return False


def attempt(spec, resolved, work, kill, after_s=None):
    """One process that labels; its exit code, negative for a signal."""
    out, scratch = work / "out", work / "scratch"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    scratch.mkdir(exist_ok=True)
    pid = os.fork()
    if pid == 0:
        if kill and "place" in kill:
            arm(kill["place"], kill["visit"])
        label.run(request_of(spec, resolved, out, scratch), no_progress)
        os._exit(0)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def request_of(spec, resolved, out, scratch):
    instance, root = resolved.plan["label"], Path(spec["root"])
    made = dict(instances(root))
    return StageRequest(
        stage=instance.stage,
        variant=instance.variant,
        artifact_id=instance.artifact_id,
        config=instance.config,
        inputs={name: root / "artifacts" / made[key] for name, key in instance.inputs.items()},
        out=out,
        scratch=scratch,
        locations=resolved.locations,
    )


def arm(place, visit):
    """Let this process die at a place, when it comes there for the `visit`th time."""
    left = [visit]

    def count():
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(owner, name):
        real = getattr(owner, name)
        setattr(owner, name, lambda *args, **kw: (count(), real(*args, **kw))[1])

    def after(owner, name):
        real = getattr(owner, name)
        setattr(owner, name, lambda *args, **kw: (real(*args, **kw), count())[0])

    def half_a_shard(stream, packed):
        whole = io.BytesIO()
        write_whole(whole, packed)
        stream.write(whole.getvalue()[: whole.tell() // 2])
        stream.flush()
        count()
        stream.write(whole.getvalue()[whole.tell() // 2 :])

    def half_an_index(path, value):
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_bytes(json.dumps(value).encode()[:40])
        count()

    write_whole = shard._write
    match place:
        case "before completions":
            before(label, "write_completions")
        case "after completions":
            after(label, "write_completions")
        case "a target":
            after(write.TargetWriter, "append")
        case "before a shard":
            before(write, "write_shard")
        case "half a shard":
            shard._write = half_a_shard
        case "a shard that is not durable":
            before(shard, "sync_folder")
        case "after a shard":
            after(write, "write_shard")
        case "before the index":
            before(index, "write_json")
        case "half an index":
            index.write_json = half_an_index
        case "after the index":
            after(index, "write_json")
        case "a link":
            after(os, "link")


def contents(work):
    """What was made, and what else lies among the targets that the next process would read."""
    found = {}
    for path in sorted((work / "out").rglob("*")):
        if path.is_file():
            found[path.relative_to(work).as_posix()] = sha256(path.read_bytes()).hexdigest()
    kept = sorted(path.name for path in (work / "scratch" / "targets").glob("*.parquet"))
    return found | {"kept": kept}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
