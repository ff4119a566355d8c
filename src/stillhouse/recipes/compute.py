"""What this machine is; resolves `auto` when the plan is made, without torch."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from stillhouse.recipes.models import Compute


@dataclass(frozen=True, slots=True)
class Host:
    """The machine as the planner sees it.

    Attributes:
        cpus: processors this process may use.
        memory_bytes: memory that is free for a run, or all of it where that is not known.
        has_cuda: an NVIDIA driver answers.
        has_mps: an Apple GPU.
    """

    cpus: int
    memory_bytes: int
    has_cuda: bool
    has_mps: bool

    def has_device(self, device: str) -> bool:
        """Whether a recipe's device is there."""
        return {"cuda": self.has_cuda, "mps": self.has_mps}.get(device, True)


@dataclass(frozen=True, slots=True)
class ResolvedCompute:
    """Device, dtype, threads and attention as they enter every hash."""

    device: str
    dtype: str
    threads: int
    attention: str = "auto"

    def as_config(self) -> dict[str, str | int]:
        """The plain form for a hash; a choice that is left to the model names nothing anew."""
        chosen = {} if self.attention == "auto" else {"attention": self.attention}
        return {"device": self.device, "dtype": self.dtype, "threads": self.threads, **chosen}


def this_host() -> Host:
    """The machine that we run on."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return Host(
        cpus=len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1,
        memory_bytes=_memory_bytes(),
        has_cuda=shutil.which("nvidia-smi") is not None and Path("/dev/nvidia0").exists(),
        has_mps=platform.system() == "Darwin" and platform.machine() == "arm64",
    )


def _memory_bytes() -> int:
    limits = [_cgroup_limit(), _meminfo("MemAvailable"), _sysconf_memory()]
    known = [limit for limit in limits if limit]
    return min(known) if known else 8 << 30


def _cgroup_limit() -> int:
    path = Path("/sys/fs/cgroup/memory.max")
    text = path.read_text().strip() if path.is_file() else "max"
    return int(text) if text.isdigit() else 0


def _meminfo(name: str) -> int:
    path = Path("/proc/meminfo")
    if not path.is_file():
        return 0
    for line in path.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _sysconf_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def resolve_compute(compute: Compute, host: Host) -> ResolvedCompute:
    """Device, dtype and threads for a recipe on a host; stated values are kept.

    `auto` is float32 on a CPU, because bfloat16 products are slower than float32 on many, and
    bfloat16 on a GPU.
    """
    device = compute.device
    if device == "auto":
        device = "cuda" if host.has_cuda else "mps" if host.has_mps else "cpu"
    dtype = compute.dtype
    if dtype == "auto":
        dtype = "bfloat16" if device == "cuda" else "float32"
    threads = host.cpus if compute.threads == "auto" else compute.threads
    return ResolvedCompute(device, dtype, threads, compute.attention)
