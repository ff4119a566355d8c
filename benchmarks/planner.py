"""What the planner says of peak memory and time, against what a training then takes.

Models of 100 to 127 million random weights, trained by the code of the stages in a process of its
own. Memory counts above an idle process with the same imports; time is of the steps alone.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import Child, Goal, Turns, child_spec, parser, print_line, resident_bytes
from planned_cases import (
    ANSWER_SHARE,
    CASES,
    MODELS,
    PROMPTS,
    TIMED,
    TOKENS,
    WRITTEN,
    Case,
    planned_writing,
)
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.sizes import sizes_of
from stillhouse.runner.probing import probe

QUICK = ("lora",)


def main() -> None:
    """Plan each case, then train it once in a process of its own."""
    options = parser(__doc__, repeats=1)
    options.add_argument("--only", default="", help="cases with this in their name")
    options.add_argument("--hours", action="store_true", help="time, on an idle machine")
    told = options.parse_args()
    known = TIMED if told.hours else tuple(CASES)
    names = QUICK if told.quick else tuple(name for name in known if told.only in name)
    with tempfile.TemporaryDirectory() as folder:
        if told.hours:
            figures = _hours(names, Path(folder), told.threads)
        else:
            figures = {name: _measure(name, Path(folder), told.threads) for name in names}
    most = (0.7, 1.3) if told.hours else (0.85, 1.15)
    goals = {
        f"{name}, planned over measured": Goal(found["ratio"], at_least=most[0], at_most=most[1])
        for name, found in figures.items()
    }
    shared: dict[str, Any] = {"weights": "random", "threads": told.threads}
    print_line("planner", shared | figures, goals, told.quick)


def _hours(names: tuple[str, ...], folder: Path, threads: int) -> dict[str, Any]:
    """Seconds of a step, and of a batch that is written, planned from a probe and measured."""
    rates = probe(folder, ResolvedCompute("cpu", "float32", threads))
    figures = {}
    for name in names:
        found = _trained(name, folder, threads, steps=4)["step_s"]
        figures[name] = _ratio(CASES[name].planned_seconds(rates), found)
    with Child({"write": "qwen3", "folder": str(folder), "threads": threads}, threads) as writer:
        found = writer.turn()["wall"]
    figures["writing"] = _ratio(planned_writing("qwen3", rates), found)
    return figures


def _ratio(planned: float, measured: float) -> dict[str, float]:
    return {
        "planned_s": round(planned, 3),
        "measured_s": round(measured, 3),
        "ratio": round(planned / measured, 3),
    }


def _trained(name: str, folder: Path, threads: int, steps: int) -> dict[str, Any]:
    """What a child reports of a case; its models are made first where they are not there."""
    case = CASES[name]
    for model in filter(None, (case.model, case.teacher)):
        if not (folder / model).is_dir():
            with Child({"make": model, "folder": str(folder / model)}, threads) as maker:
                maker.turn()
    spec = {"case": name, "folder": str(folder), "threads": threads, "steps": steps}
    with Child(spec, threads) as trainer:
        return trainer.turn()


def _measure(name: str, folder: Path, threads: int) -> dict[str, Any]:
    case = CASES[name]
    found = _trained(name, folder, threads, steps=2)
    planned = case.planned()
    total = sum(size for part, size in planned.items() if part != "process")
    print(f"{name}: planned {total / 1e6:.0f} MB, {found}", file=sys.stderr)
    return {
        "parameters": sizes_of(MODELS[case.model]).parameters,
        "planned_mb": round(total / 1e6),
        "measured_mb": round(found["extra_bytes"] / 1e6),
        "ratio": round(total / found["extra_bytes"], 3),
        "imports_mb": round(found["imported_bytes"] / 1e6),
        "parts_mb": {part: round(size / 1e6) for part, size in planned.items()},
        "seconds": found["wall"],
    }


# A child ---------------------------------------------------------------------------------------


def make(spec: dict[str, Any]) -> None:
    """Save a model of random weights."""
    turns = Turns()
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    turns.report()
    turns.wait()
    torch.manual_seed(0)
    config = AutoConfig.for_model(**MODELS[spec["make"]])
    AutoModelForCausalLM.from_config(config).save_pretrained(spec["folder"])
    turns.report()


def train(spec: dict[str, Any]) -> None:
    """Load and train as the stages do; report the peak above the imports and a step's time."""
    turns = Turns()
    import bitsandbytes  # noqa: F401 - an import that QLoRA makes, counted for all alike
    import torch

    from stillhouse.students.train import Setting, train_model

    torch.set_num_threads(spec["threads"])
    case = CASES[spec["case"]]
    imported = resident_bytes(peak=True)
    turns.report()
    turns.wait()
    learning = _learning(case, Path(spec["folder"]), spec["steps"])
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as workdir:
        compute = ResolvedCompute("cpu", case.dtype, spec["threads"])
        setting = Setting(
            compute, Path(workdir), "", lambda *_, **__: ends.append(time.perf_counter())
        )
        train_model(*learning, case.section(spec["steps"]), setting)
    peak = resident_bytes(peak=True)
    step_s = (ends[-1] - ends[0]) / max(1, len(ends) - 1)
    turns.report(extra_bytes=peak - imported, imported_bytes=imported, step_s=step_s)
    os._exit(0)


def _learning(case: Case, folder: Path, steps: int) -> tuple[Any, Any, Any]:
    """Model, data and objective."""
    import numpy as np

    from stillhouse.losses.divergences import ForwardKL
    from stillhouse.losses.terms import CROSS_ENTROPY, Objective
    from stillhouse.models.adapters import add_lora
    from stillhouse.models.load import LoadOptions, load_model
    from stillhouse.students.assignment import TrainingData
    from stillhouse.students.examples import EncodedExample
    from stillhouse.students.target_sources import Live

    options = LoadOptions(quantization=case.quantization)  # type: ignore[arg-type]
    model: Any = load_model(folder / case.model, options=options)
    section = case.section(steps)
    model = add_lora(model, section.lora, 0) if section.lora else model.requires_grad_(True)
    shape = (case.batch * steps, case.tokens)
    drawn = np.random.default_rng(0).integers(3, MODELS[case.model]["vocab_size"], shape)
    trained = np.arange(case.tokens) >= case.tokens // ANSWER_SHARE
    examples = [EncodedExample(ids.astype(np.int32), trained) for ids in drawn]
    if not case.teacher:
        return model, TrainingData(examples), CROSS_ENTROPY
    source = Live(load_model(folder / case.teacher))
    return model, TrainingData(examples, source=source), Objective(((ForwardKL(), 1.0),))


def write(spec: dict[str, Any]) -> None:
    """Complete a batch of prompts, which all go on to the end."""
    turns = Turns()
    import numpy as np
    import torch

    from stillhouse.core.sampling import Sampling
    from stillhouse.models.generate import Stopping, generate_ids
    from stillhouse.models.load import load_model

    torch.set_num_threads(spec["threads"])
    model: Any = load_model(Path(spec["folder"]) / spec["write"])
    drawn = np.random.default_rng(0).integers(3, 1000, (PROMPTS, TOKENS)).astype(np.int32)
    sampling = Sampling(max_new_tokens=WRITTEN, batch_size=PROMPTS)
    stopping = Stopping(frozenset(), 0)
    generate_ids(model, list(drawn[:, :8]), sampling, stopping)
    turns.report()
    turns.wait()
    generate_ids(model, list(drawn), sampling, stopping)
    turns.report()


if __name__ == "__main__":
    spec = child_spec()
    if spec is None:
        main()
    elif "make" in spec:
        make(spec)
    elif "write" in spec:
        write(spec)
    else:
        train(spec)
