"""What of this machine and installation is there for a run, and what is not; no torch.

Nothing is changed: a file is written where runs would go and removed, and the hub is asked once.
"""

from __future__ import annotations

import platform
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

from stillhouse.models.hub import Hub, HubAnswer, ask_hub, has_token
from stillhouse.recipes.compute import Host, resolve_compute, this_host
from stillhouse.recipes.models import Compute
from stillhouse.runner.installed import extras_here, misfits_of_base
from stillhouse.runner.probing import rates_of

State = Literal["ok", "note", "missing"]
_FEW_FILES = 256
"""assumption: a stage holds some dozens of files open, and Ray some hundreds."""
_LITTLE_DISK = 5e9  # assumption: quickstart needs 0.1 GB, models of the hub some GB each
_CLOCK_S = 300.0  # assumption: signed requests of providers are refused beyond five minutes


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination.

    Attributes:
        about: what was looked at.
        state: `ok`; `note` for what some runs need; `missing` for what this one cannot do without.
        text: what was found.
        mend: what to do; empty where nothing is to be done.
    """

    about: str
    state: State
    text: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that was looked at."""

    findings: tuple[Finding, ...]

    @property
    def is_fit(self) -> bool:
        """Whether nothing is missing that is needed."""
        return all(one.state != "missing" for one in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"fit": self.is_fit, "findings": [asdict(one) for one in self.findings]}


def examine(
    runs: Path,
    hub: Hub,
    more: Callable[[HubAnswer], Iterator[Finding]] | None = None,
    *,
    timeout_s: float = 5.0,
) -> Examination:
    """Look at packages, machine, folders and the hub.

    Args:
        runs: the folder that holds all runs; it need not be there.
        hub: how the hub is reached.
        more: further findings, such as those of a recipe, from what the hub answered.
        timeout_s: seconds that the hub has to answer.

    Returns:
        The findings, in the order of a page.
    """
    host = this_host()
    answer = ask_hub(hub, timeout_s)
    found = [*_packages(), *_machine(host, runs), *_folders(runs), *_hub(answer), *_clock(answer)]
    return Examination((*found, *(more(answer) if more else ())))


def _packages() -> Iterator[Finding]:
    version = platform.python_version()
    wrong = misfits_of_base()
    if wrong:
        yield Finding("packages", "missing", "; ".join(wrong), "pip install --upgrade stillhouse")
    else:
        yield Finding("packages", "ok", f"Python {version}, all within their bounds")
    for extra in extras_here():
        state: State = "note" if extra.misfits else "ok"
        yield Finding(f"extra {extra.name}", state, extra.told, extra.mend)


def _machine(host: Host, runs: Path) -> Iterator[Finding]:
    bfloat16 = "multiplies bfloat16" if host.has_bfloat16 else "no bfloat16 products"
    free = f"{host.memory_bytes / 1e9:.1f} GB of memory free"
    yield Finding("processor", "ok", f"{host.cpus} cores, {bfloat16}, {free}")
    cards = [
        f"cuda:{card.number} {card.name}, {card.free_bytes / 1e9:.1f} of "
        f"{card.total_bytes / 1e9:.1f} GB free, "
        f"{'bfloat16' if card.has_bfloat16 else 'no bfloat16'}"
        for card in host.cards
    ]
    gpus = [*cards, *(["an Apple GPU"] if host.has_mps else [])]
    yield Finding("devices", "ok", "; ".join(gpus) or "no GPU: runs take the processor")
    compute = resolve_compute(Compute(), host)
    rates = rates_of(runs, compute)
    speed = 1e-9 / rates.product_s(512, 2048, 2048) * 2.0 * 512 * 2048 * 2048
    how = "probed" if rates.is_probed else "a guess; stillhouse check --probe measures it"
    yield Finding("speed", "ok", f"{compute.name} {compute.dtype}: {speed:,.0f} GFLOP/s ({how})")


def _folders(runs: Path) -> Iterator[Finding]:
    there = next(path for path in (runs, *runs.resolve().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        yield Finding("runs", "missing", f"{there}: {reason}", "choose another with --runs")
        return
    free = shutil.disk_usage(there).free
    state: State = "note" if free < _LITTLE_DISK else "ok"
    mend = "choose another disk with --runs" if state == "note" else ""
    yield Finding("runs", state, f"{runs} can be written, {free / 1e9:.1f} GB free", mend)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    few = 0 <= files < _FEW_FILES
    told = "no limit" if files < 0 else f"{files:,} at once"
    yield Finding("open files", "note" if few else "ok", told, "ulimit -n 4096" if few else "")


def _hub(answer: HubAnswer) -> Iterator[Finding]:
    if not answer.is_there:
        reason = answer.error or f"it answers {answer.status}"
        mend = "recipes with network: none and models in the cache run all the same"
        yield Finding("hub", "note", f"{answer.where} cannot be reached: {reason}", mend)
        return
    yield Finding("hub", "ok", f"{answer.where} answers in {answer.seconds:.2f} s")
    if not has_token():
        yield Finding("token", "ok", "none: models that anybody may read can be fetched")
    elif answer.status == 401:
        yield Finding("token", "note", "there is one that the hub does not know", "hf auth login")
    elif answer.status == 200:
        yield Finding("token", "ok", "there is one that the hub knows")
    else:
        told = f"there is one; the hub does not say whose (it answers {answer.status})"
        yield Finding("token", "ok", told)


def _clock(answer: HubAnswer) -> Iterator[Finding]:
    try:
        theirs = parsedate_to_datetime(answer.date).timestamp()
    except (ValueError, TypeError):
        yield Finding(
            "clock", "ok", f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}, with nothing to compare"
        )
        return
    ahead = time.time() - theirs
    if abs(ahead) < _CLOCK_S:
        yield Finding("clock", "ok", "as the hub's")
        return
    way = "ahead of" if ahead > 0 else "behind"
    mend = "set it: providers refuse requests of another time"
    yield Finding("clock", "note", f"{abs(ahead) / 60:,.0f} minutes {way} the hub's", mend)
