"""What the planner says of peak memory and time, against what a training then takes.

Models of 100 to 127 million random weights, trained by the code of the stages in a process of its
own. Memory counts above an idle process with the same imports; time is of the steps alone.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure import Child, Goal, Turns, child_spec, parser, print_line, resident_bytes
from stillhouse.recipes.activations import Batch
from stillhouse.recipes.memory import HEAVY_BYTES, Beside, Held, training_memory
from stillhouse.recipes.sizes import sizes_of
from stillhouse.recipes.training import Galore, Length, Lora, Optimizer, Training

ANSWER_SHARE = 2
"""Every second token of an example is trained."""

QWEN3 = {
    "model_type": "qwen3",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "intermediate_size": 2560,
    "vocab_size": 16384,
    "tie_word_embeddings": True,
}
SMALL = QWEN3 | {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6}
GPT2 = {"model_type": "gpt2", "vocab_size": 50257, "bos_token_id": 1, "eos_token_id": 2}
MODELS = {"qwen3": QWEN3, "gpt2": GPT2, "small": SMALL}
LORA = Lora(rank=16)


@dataclass(frozen=True, slots=True)
class Case:
    """One training.

    Attributes:
        model: a name in `MODELS`.
        training: what of the recipe's section differs.
        batch: examples of a batch.
        tokens: of an example.
        quantization: of the frozen weights.
        teacher: a name in `MODELS`, for a live teacher.
        dtype: of products.
    """

    model: str = "qwen3"
    training: dict[str, Any] = field(default_factory=dict)
    batch: int = 4
    tokens: int = 192
    quantization: str = "none"
    teacher: str = ""
    dtype: str = "float32"

    def section(self, steps: int) -> Training:
        """As the recipe would say it."""
        length = Length(steps=steps, batch_size=self.batch, checkpoint_every=1000)
        return Training(length=length, **self.training)

    def batch_of(self) -> Batch:
        """The batch as it passes the model; all examples are equally long, so none is masked."""
        tokens = self.batch * self.tokens
        return Batch(
            tokens,
            self.tokens,
            tokens - self.batch * (self.tokens // ANSWER_SHARE),
            is_masked=False,
            is_narrow=self.dtype == "bfloat16",
        )

    def planned(self) -> dict[str, int]:
        """Bytes by part."""
        parts = training_memory(
            sizes_of(MODELS[self.model]),
            self.section(2),
            self.batch_of(),
            Held(4, self.quantization),
            Beside(teacher=sizes_of(MODELS[self.teacher]) if self.teacher else None),
        )
        return parts.by_name()


def _galore(**settings: Any) -> dict[str, Any]:
    galore = Galore(rank=64, **settings)
    return {"optimizer": Optimizer(name="galore_adamw", galore=galore)}


CASES = {
    "full": Case(),
    "full, gpt2": Case("gpt2"),
    "lora": Case(training={"lora": LORA}, batch=8),
    "lora, checkpointing": Case(training={"lora": LORA, "gradient_checkpointing": True}, batch=8),
    "qlora nf4": Case(training={"lora": LORA}, quantization="nf4", batch=8),
    "qlora int8": Case(training={"lora": LORA}, quantization="int8", batch=8),
    "galore": Case(training=_galore()),
    "galore, layerwise": Case(training=_galore(layerwise=True)),
    "8-bit adamw": Case(training={"optimizer": Optimizer(name="adamw_8bit")}),
    "live teacher": Case("small", teacher="qwen3"),
    "live teacher, lora": Case(training={"lora": LORA}, teacher="qwen3"),
}
QUICK = ("lora",)


def main() -> None:
    """Plan each case, then train it once in a process of its own."""
    options = parser(__doc__, repeats=1)
    options.add_argument("--only", help="cases with this in their name")
    told = options.parse_args()
    names = QUICK if told.quick else tuple(n for n in CASES if (told.only or "") in n)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            figures[name] = _measure(name, Path(folder), told.threads)
    goals = {
        f"{name}, planned over measured": Goal(found["ratio"], at_least=0.85, at_most=1.15)
        for name, found in figures.items()
    }
    shared = {"weights": "random", "threads": told.threads}
    print_line("planner", shared | figures, goals, told.quick)


def _measure(name: str, folder: Path, threads: int) -> dict[str, Any]:
    case = CASES[name]
    for model in filter(None, (case.model, case.teacher)):
        if not (folder / model).is_dir():
            with Child({"make": model, "folder": str(folder / model)}, threads) as maker:
                maker.turn()
    with Child({"case": name, "folder": str(folder), "threads": threads}, threads) as trainer:
        found = trainer.turn()
    planned = case.planned()
    total = sum(size for part, size in planned.items() if part != "process")
    print(f"{name}: planned {total / 1e6:.0f} MB, {found}", file=sys.stderr)
    return {
        "parameters": sizes_of(MODELS[case.model]).parameters,
        "planned_mb": round(total / 1e6),
        "measured_mb": round(found["extra_bytes"] / 1e6),
        "ratio": round(total / found["extra_bytes"], 3),
        "imports_mb": {"planned": HEAVY_BYTES / 1e6, "measured": found["imported_bytes"] / 1e6},
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
    """Load and train as the stages do, and report the peak above the imports."""
    turns = Turns()
    import bitsandbytes  # noqa: F401 - an import that QLoRA makes, counted for all alike
    import numpy as np
    import torch

    from stillhouse.losses.divergences import ForwardKL
    from stillhouse.losses.terms import CROSS_ENTROPY, Objective
    from stillhouse.models.adapters import add_lora
    from stillhouse.models.load import LoadOptions, load_model
    from stillhouse.recipes.compute import ResolvedCompute
    from stillhouse.students.examples import EncodedExample
    from stillhouse.students.train import Setting, train_model
    from stillhouse.students.trainer import TrainingData

    torch.set_num_threads(spec["threads"])
    case, steps = CASES[spec["case"]], spec.get("steps", 2)
    imported = resident_bytes(peak=True)
    turns.report()
    turns.wait()
    folder = Path(spec["folder"])
    options = LoadOptions(quantization=case.quantization)  # type: ignore[arg-type]
    model: Any = load_model(folder / case.model, options=options)
    section = case.section(steps)
    if section.lora:
        model = add_lora(model, section.lora, 0)
    else:
        model.requires_grad_(True)
    drawn = np.random.default_rng(0).integers(
        3, MODELS[case.model]["vocab_size"], (case.batch * steps, case.tokens)
    )
    trained = np.arange(case.tokens) >= case.tokens // ANSWER_SHARE
    examples = [EncodedExample(ids.astype(np.int32), trained) for ids in drawn]
    data, objective = TrainingData(examples), CROSS_ENTROPY
    if case.teacher:
        from stillhouse.students.target_sources import Live

        data = TrainingData(examples, source=Live(load_model(folder / case.teacher)))  # type: ignore[arg-type]
        objective = Objective(((ForwardKL(), 1.0),))
    with tempfile.TemporaryDirectory() as workdir:
        setting = Setting(ResolvedCompute("cpu", case.dtype, spec["threads"]), Path(workdir), "")
        train_model(model, data, objective, section, setting)
    peak = resident_bytes(peak=True)
    turns.report(extra_bytes=peak - imported, imported_bytes=imported)
    os._exit(0)


if __name__ == "__main__":
    spec = child_spec()
    if spec is None:
        main()
    elif "make" in spec:
        make(spec)
    else:
        train(spec)
