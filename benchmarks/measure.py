"""What every benchmark shares: children that take turns, memory, goals, and one line of JSON.

A child is a process of its own that does one thing again each time it is told to, so that
variants are measured in turn and drift of the machine meets them all.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHILD = "--child"
PEERS = ("trl", "liger-kernel")
PACKAGES = ("stillhouse", "torch", "transformers", "numpy", *PEERS)
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")


def parser(description: str | None, repeats: int) -> argparse.ArgumentParser:
    """The options that every benchmark has.

    Args:
        description: of the script, shown by `--help`.
        repeats: turns that each variant gets unless told otherwise.

    Returns:
        A parser to which a script adds its own options.
    """
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--quick", action="store_true", help="a short form, at most 60 s")
    made.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of each child")
    made.add_argument("--repeats", type=int, default=repeats, help="turns of each variant")
    made.add_argument(
        "--clock",
        choices=("wall", "cpu"),
        default="wall",
        help="what ratios are of; cpu where other work shares the machine",
    )
    return made


def add_lesson(options: argparse.ArgumentParser) -> None:
    """The options of a benchmark that teaches a teacher: where text, tokenizer and teachers are."""
    options.add_argument("--corpus", type=Path, help="folder with .txt, .md or .jsonl files")
    options.add_argument("--tokenizer", type=Path, help="folder of a Hugging Face tokenizer")
    options.add_argument(
        "--cache", type=Path, default=Path(__file__).parent / ".cache", help="of taught teachers"
    )


def has(package: str) -> bool:
    """Whether a package is installed beside us."""
    return _version(package) is not None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# Children -------------------------------------------------------------------------------------


class Turns:
    """A child's side: wait to be told, do it, report. What libraries print goes to stderr."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._began = (0.0, 0.0)
        self.told: dict[str, Any] = {}

    def wait(self) -> bool:
        """True at the next turn, with what is `told` for it; false when there will be none."""
        line = sys.stdin.readline()
        self.told = json.loads(line) if line else {}
        self._began = (time.perf_counter(), time.process_time())
        return bool(line)

    def report(self, **values: Any) -> None:
        """Tell the parent; beside it the time since `wait`, unless `wall` and `cpu` are told."""
        wall, cpu = self._began
        taken = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        self._out.write(json.dumps({**taken, **values}) + "\n")
        self._out.flush()


class Child:
    """The parent's side of a process that runs this script again with `--child SPEC`.

    Args:
        spec: what the child is told at its start.
        threads: of OpenMP and torch in it.

    Raises:
        RuntimeError: it ended before it was ready; the message holds the end of its log.
    """

    def __init__(self, spec: Mapping[str, Any], threads: int) -> None:
        self.spec = dict(spec)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "TRL_EXPERIMENTAL_SILENCE": "1",
        }
        # A pipe that nobody reads would fill up.
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", sys.argv[0], CHILD, json.dumps(self.spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
        )
        self.ready = self._read()

    def turn(self, **told: Any) -> dict[str, Any]:
        """What the child reports after one more turn.

        Args:
            **told: for this turn.

        Returns:
            Its report, with the seconds `wall` and `cpu` that it took.

        Raises:
            RuntimeError: it ended instead.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            raise RuntimeError(f"{self.spec} ended with {code}: {self._log.read()[-2000:]}")
        told: dict[str, Any] = json.loads(line)
        return told

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()


def child_spec() -> dict[str, Any] | None:
    """What this process was told if it is a child, else None."""
    if sys.argv[1:2] != [CHILD]:
        return None
    told: dict[str, Any] = json.loads(sys.argv[2])
    return told


def in_turn(
    specs: Mapping[str, Mapping[str, Any]], threads: int, repeats: int
) -> dict[str, list[dict[str, Any]]]:
    """What each child reported in each turn: first, second, ..., first, second, ...

    Args:
        specs: name to what the child is told.
        threads: of each child; only one works at a time.
        repeats: turns of each.

    Returns:
        Name to `repeats` reports; what the child said when it was ready is merged into each.
    """
    with ExitStack() as stack:
        children = {name: stack.enter_context(Child(spec, threads)) for name, spec in specs.items()}
        reports: dict[str, list[dict[str, Any]]] = {name: [] for name in specs}
        for _ in range(repeats):
            for name, child in children.items():
                reports[name].append({**child.ready, **child.turn()})
    return reports


# Numbers --------------------------------------------------------------------------------------


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest, to four digits."""
    ordered = sorted(values)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return {"median": _short(middle), "low": _short(ordered[0]), "high": _short(ordered[-1])}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def ratio(over: Sequence[float], under: Sequence[float]) -> dict[str, float]:
    """The spread of a ratio, turn by turn, because two turns side by side saw one machine."""
    return spread([one / other for one, other in zip(over, under, strict=True)])


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a measured number; the stretch is what would be better still.

    Attributes:
        measured: the number, None when it could not be measured here.
        at_least: lower bound, or None.
        at_most: upper bound, or None.
        stretch: the better bound, or None.
    """

    measured: float | None
    at_least: float | None = None
    at_most: float | None = None
    stretch: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the number is within its bound; None when there is no number."""
        if self.measured is None:
            return None
        low = self.at_least is None or self.measured >= self.at_least
        return low and (self.at_most is None or self.measured <= self.at_most)

    def as_json(self) -> dict[str, Any]:
        """The bounds that there are, the number, and whether it holds."""
        bounds = {
            name: getattr(self, name)
            for name in ("at_least", "at_most", "stretch")
            if getattr(self, name) is not None
        }
        return {**bounds, "measured": self.measured, "holds": self.holds}


def print_line(
    benchmark: str, figures: Mapping[str, Any], goals: Mapping[str, Goal], quick: bool
) -> None:
    """Print the one line of a benchmark.

    Args:
        benchmark: its name.
        figures: what was measured.
        goals: name to bound; `holds` is false when one is missed, None when none was measured.
        quick: the short form, said in the figures.
    """
    known = [goal.holds for goal in goals.values() if goal.holds is not None]
    versions = {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()}
    missing = [name for name in PEERS if not has(name)]
    line = {
        "benchmark": benchmark,
        "figures": {
            "form": "quick" if quick else "full",
            "machine": machine(),
            "peers": f"missing: {', '.join(missing)}" if missing else "installed",
            **figures,
        },
        "goal": {name: goal.as_json() for name, goal in goals.items()},
        "holds": all(known) if known else None,
        "versions": {name: found for name, found in versions.items() if found},
    }
    print(json.dumps(line), flush=True)


# The machine ----------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """Processor, cores, instructions that matter to products, memory and load."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    facts = {key.strip(): value.strip() for key, _, value in (one.partition(":") for one in lines)}
    flags = set(facts.get("flags", "").split())
    return {
        "cpu": facts.get("model name", platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "instructions": [flag for flag in _FLAGS if flag in flags],
        "memory_gb": _short(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "load_1min": _short(os.getloadavg()[0]),
    }


def resident_bytes(*, peak: bool = False) -> int:
    """Resident memory of this process, now or at its highest.

    `getrusage` is not used: a child begins with the highest value of its parent there.

    Args:
        peak: the highest since the start, or since `forget_peak`.

    Returns:
        Bytes.

    Raises:
        RuntimeError: the system has no /proc.
    """
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) * 1024
    raise RuntimeError("memory is measured on Linux only")


def forget_peak() -> None:
    """Let the highest resident memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def available_bytes() -> int:
    """Memory that a new process may take without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("memory is measured on Linux only")
