"""How fast this machine is: a ten-second probe kept in the runs folder, or one look."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.core.errors import StillhouseError
from stillhouse.core.hashing import digest_value
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.rates import Rates

_GPU_FLOPS = {"cuda": 5e13, "mps": 5e12}
"""assumption: a modest GPU; it is not asked without torch, so `check --probe` measures it."""

_LONGEST_S = 300
"""assumption: a probe of ten seconds that has not ended by then is stuck."""


def rates_of(runs: Path, compute: ResolvedCompute) -> Rates:
    """The rates of this machine for a device, dtype and number of threads.

    Args:
        runs: the runs folder.
        compute: as resolved.

    Returns:
        What a probe has left in the runs folder; else a guess from a tenth of a second.
    """
    path = _path(runs, compute)
    if path.is_file():
        try:
            return Rates.read(json.loads(path.read_bytes()))
        except (ValueError, KeyError):
            path.unlink()
    kind = compute.device
    return Rates.guessed(_GPU_FLOPS[kind] if kind in _GPU_FLOPS else _look())


def probe(runs: Path, compute: ResolvedCompute) -> Rates:
    """Measure the rates in a process of its own, unless that was done, and keep them.

    Args:
        runs: the runs folder.
        compute: as resolved.

    Returns:
        The rates.

    Raises:
        StillhouseError: the probe failed; the message holds the end of what it said.
    """
    path = _path(runs, compute)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        told: dict[str, Any] = {
            "device": compute.name,
            "dtype": compute.dtype,
            "threads": compute.threads,
        }
        told |= {"to": str(path)}
        command = [sys.executable, "-m", "stillhouse.models.machine_rates", json.dumps(told)]
        environment = os.environ | {"OMP_NUM_THREADS": str(compute.threads)}
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment,
            timeout=_LONGEST_S,
            check=False,
        )
        if done.returncode:
            raise StillhouseError(
                f"the probe of {compute.device} failed: {done.stderr.strip()[-500:]}",
                "leave --probe out: times are then guessed from one look",
            )
    return rates_of(runs, compute)


def _path(runs: Path, compute: ResolvedCompute) -> Path:
    """One file for each machine, device, dtype and number of threads."""
    machine = {
        "node": platform.node(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "device": compute.name,
        "dtype": compute.dtype,
        "threads": compute.threads,
    }
    return runs / "artifacts" / "measured" / f"machine-{digest_value(machine)[:12]}.json"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


def _look() -> float:
    """Operations a second of one product; numpy and torch call equally fast libraries here.

    Beside other work the threads of a large product wait for each other, which makes it up to a
    hundred times slower; a small one is computed by one thread, and tells the least that is there.
    """
    return max(_fastest(size) for size in (64, 384))


def _fastest(size: int) -> float:
    left = np.ones((size, size), np.float32)
    product = left @ left
    fastest, end = float("inf"), time.perf_counter() + 0.05
    while (started := time.perf_counter()) < end:
        np.matmul(left, left, out=product)
        fastest = min(fastest, time.perf_counter() - started)
    return 2.0 * size**3 / fastest
