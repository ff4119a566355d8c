"""Runs in processes of their own: start, watch, kill, look for survivors, compare."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

DRIVER = Path(__file__).with_name("kill_points.py")
COMMAND = (sys.executable, "-m", "stillhouse.cli.main")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
LONGEST_S = 120


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    `alive_s`: how long a process of its session outlived it.
    """

    code: int
    out: str
    err: str
    alive_s: float


def run(*arguments, timeout=LONGEST_S, **options):
    """The command, left in peace."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )


@contextlib.contextmanager
def started(command, folder):
    """A command in a session of its own, its words in `folder`; it ends with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(
            list(map(str, command)), stdout=out, stderr=err, env=ENVIRONMENT, start_new_session=True
        )
        try:
            yield process
        finally:
            for pid in session_of(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(LONGEST_S)


def ended(process, folder):
    """Wait for a command that `started`, then for what is left of its session."""
    code = process.wait(LONGEST_S)
    since = time.monotonic()
    while session_of(process.pid) and time.monotonic() - since < LONGEST_S:
        time.sleep(0.02)
    alive_s = time.monotonic() - since
    return Ended(code, (folder / "out").read_text(), (folder / "err").read_text(), alive_s)


def session_of(leader):
    """Living processes of a session, zombies aside."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state != "Z":
                found.append(int(path.parent.name))
    return found


def killed_at(spec, arguments, folder):
    """A run that was killed at an exact place; see kill_points.py."""
    with started([sys.executable, DRIVER, json.dumps(spec), *arguments], folder) as process:
        return ended(process, folder)


def killed_after(instance, delay_s, who, arguments, folder):
    """A run that was killed so long after a stage began, from outside, as `kill -9` does.

    Without a delay it is killed while the stage's process is still being prepared.
    """
    events = Path(arguments[arguments.index("--runs") + 1]) / "tiny" / "events.jsonl"
    with started([*COMMAND, *arguments], folder) as process:
        wait_for(lambda: instance in begun(events), process)
        if delay_s:
            wait_for(lambda: stages_of(process), process)
            time.sleep(delay_s)
        kill(process, who)
        return ended(process, folder)


def kill(process, who):
    """SIGKILL to the command, to its whole group, or to the stage that it runs."""
    match who:
        case "group":
            os.killpg(process.pid, signal.SIGKILL)
        case "parent":
            process.kill()
        case "child":
            for pid in stages_of(process):
                os.kill(pid, signal.SIGKILL)


def stages_of(process):
    """Stage processes: children of a server, grandchildren of the command."""
    parents = {}
    for pid in session_of(process.pid):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            parents[pid] = int(stat[1])
    return [pid for pid, parent in parents.items() if parents.get(parent) == process.pid]


def servers_of(process):
    """The servers' process ids by whether they hold torch."""
    found = {}
    for pid in session_of(process.pid):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if int(stat[1]) == process.pid and b"stillhouse.runner.server" in words:
            found[b"--preload" in words] = pid
    return found


def begun(events):
    """Instances that a run's events say were started."""
    if not events.is_file():
        return []
    lines = events.read_text().splitlines()
    with contextlib.suppress(ValueError):
        return [e["instance"] for e in map(json.loads, lines) if e["event"] == "start"]
    return []


def wait_for(is_so, process):
    """Look every two milliseconds until it is so; an error when the command ended before."""
    until = time.monotonic() + LONGEST_S
    while not is_so():
        assert process.poll() is None, "the command ended before it was killed"
        assert time.monotonic() < until
        time.sleep(0.002)


def instances(root, name="tiny"):
    """Key and artifact id of each instance of a run, in order."""
    record = json.loads((root / name / "run.json").read_text())
    return [(item["key"], item["artifact_id"]) for item in record["instances"]]


def begin_at(reference, root, instance):
    """Make a runs root in which all is done that comes before an instance."""
    for key, artifact_id in instances(reference):
        if key == instance:
            return
        shutil.copytree(reference / "artifacts" / artifact_id, root / "artifacts" / artifact_id)


def contents(root):
    """Path to sha256 of every file of the artifacts and the registry, temporary ones included."""
    found = {}
    for folder in ("artifacts", "registry"):
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_file() and not name.startswith(("artifacts/.locks", "artifacts/measured")):
                found[name] = sha256(path.read_bytes()).hexdigest()
    return found


def torn(root, reference):
    """Published files that differ from the reference's, after a kill."""
    inside = {n: d for n, d in contents(root).items() if not n.startswith("artifacts/.work")}
    return [n for n, d in inside.items() if n.startswith("artifacts/") and reference.get(n) != d]


def differing(root, reference):
    """Names of files that are not what the reference has, or are not there, or should not be."""
    ours = contents(root)
    return sorted(n for n in ours.keys() | reference.keys() if ours.get(n) != reference.get(n))
