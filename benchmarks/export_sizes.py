"""What a student weighs in each form that ships, how far it is from itself, and how fast it writes.

The student of quickstart, and one of 8 layers and 256 columns that learns from the same teacher on
the spot: its rows fill llama.cpp's blocks of 256, those of quickstart do not. Each form is compared
with the student in float32, and the recipe's gate is asked about it again, as in every run. Written
are tokens one after the other, of one prompt, by transformers for int8 and by llama.cpp for GGUF.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import stillhouse
from measure import Goal, Turns, child_spec, in_turn, parser, print_line, spread

GGUF = ("f16", "q8_0", "q4_k_m")
WIDE = (
    "student.scratch.config={hidden_size: 256, intermediate_size: 768, num_hidden_layers: 8, "
    "num_attention_heads: 8, num_key_value_heads: 4, head_dim: 32, max_position_embeddings: 192, "
    "tie_word_embeddings: true}",
    "train.twin=null",
    "train.length={steps: 250, batch_size: 16}",
    "train.optimizer={learning_rate: 1.0e-3, weight_decay: 0.01, beta2: 0.98, warmup_steps: 20}",
    "gate.rules=[{metric: kl_to_teacher, at_most: 0.2}, {metric: valid_json, at_least: 0.9}]",
)
STUDENTS = {"quickstart": (), "8 layers": WIDE}
QUICK = (
    "collect.source.sample_rows={task: tickets, rows: 800}",
    "prepare.split.parts={holdout: 40, labelled: 40, unlabelled: 200, teacher: rest}",
    "finetune.length={steps: 60, batch_size: 16}",
    "train.length={steps: 40, batch_size: 16}",
    "gate.rules=[{metric: kl_to_teacher, at_most: 20.0}]",
)
"""Nothing is learned well then."""


def main() -> None:
    """Train both, ship each in every form, and let the forms write in turn."""
    options = parser(__doc__, repeats=5)
    options.add_argument("--tokens", type=int, default=96, help="that are written for a prompt")
    options.add_argument("--runs", help="a folder that keeps the runs; a temporary one if absent")
    told = options.parse_args()
    from stillhouse.export.gguf_parity import LIMITS

    most_kl = {"int8": LIMITS["q8_0"], **{name: LIMITS[name] for name in GGUF}}
    students = {"quickstart": (*STUDENTS["quickstart"], *QUICK)} if told.quick else STUDENTS
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(told.runs or scratch).resolve()
        figures = {
            name: _shipped(name, overrides, root, told) for name, overrides in students.items()
        }
    goals = {}
    for name, forms in figures.items():
        for form, found in forms.items():
            if form in most_kl:
                goals[f"{name}, {form}: KL"] = Goal(found["mean_kl"], at_most=most_kl[form])
            if "gate" in found:
                goals[f"{name}, {form}: gate"] = Goal(float(found["gate"]), at_least=1.0)
    print_line("export_sizes", {"students": figures}, goals, told.quick)


def _shipped(name: str, overrides: tuple[str, ...], root: Path, told: Any) -> dict[str, Any]:
    """One student in every form."""
    compared = 8 if told.quick else 100
    settings = f"examples: {compared}"
    near = {"int8": 1.0, **dict.fromkeys(GGUF, 1.0)}
    kinds = ", ".join(f"{kind}: {near[kind]}" for kind in GGUF)
    plain = (
        "export.formats=[merged, int8, gguf]",
        f"export.int8={{{settings}, max_kl: 1.0}}",
        f"export.gguf={{weights: [{', '.join(GGUF)}], {settings}, max_kl: {{{kinds}}}}}",
    )
    weighed = (
        "export.formats=[gguf]",
        "export.evaluate=false",
        f"export.gguf={{weights: [q4_k_m], {settings}, max_kl: {{{kinds}}}, importance: true}}",
    )
    slug = name.replace(" ", "-")
    common = (*overrides, f"compute.threads={told.threads}")
    bundle, forms = _forms(f"{slug}-plain", (*common, *plain), root)
    _, of_weighed = _forms(f"{slug}-weighed", (*common, *weighed), root)
    forms["q4_k_m, importance"] = of_weighed["q4_k_m"]
    paths = {"float32": bundle / "merged", "int8": bundle / "int8"}
    paths |= {kind: next((bundle / "gguf").glob(f"*-{kind.upper()}.gguf")) for kind in GGUF}
    specs = {
        form: {"path": str(path), "threads": told.threads, "tokens": told.tokens}
        for form, path in paths.items()
    }
    reports = in_turn(specs, told.threads, 2 if told.quick else told.repeats)
    for form, turns in reports.items():
        per_s = {clock: [told.tokens / one[clock] for one in turns] for clock in ("wall", "cpu")}
        forms[form] |= {
            "tokens_per_s": spread(per_s["wall"]),
            "tokens_per_cpu_s": spread(per_s["cpu"]),
        }
    return forms


def _forms(name: str, overrides: tuple[str, ...], root: Path) -> tuple[Path, dict[str, Any]]:
    """A run's bundle, and what each form was proved and measured to be."""
    stillhouse.run("quickstart", stillhouse.Call(overrides, runs=str(root), name=name))
    made = json.loads((root / name / "run.json").read_bytes())["instances"]
    summaries = {one["key"]: _summary(root, one["artifact_id"]) for one in made}
    exported = next(one["artifact_id"] for one in made if one["key"] == "export")
    bundle = root / "artifacts" / exported / "bundle"
    told = summaries["export"]
    forms: dict[str, Any] = {one["weights"]: dict(one) for one in told.get("gguf", ())}
    if "int8" in told:
        forms["int8"] = dict(told["int8"])
        weights = bundle / "merged" / "model.safetensors"
        forms["float32"] = {"num_bytes": weights.stat().st_size, "mean_kl": 0.0}
        names = {"float32": "exported", **{one: f"exported-{one}" for one in ("int8", *GGUF)}}
        for form, variant in names.items():
            metrics = summaries[f"evaluate@{variant}"]["metrics"]
            forms[form]["gate"] = summaries[f"gate@{variant}"]["verdict"]["passed"]
            for metric in ("kl_to_teacher", "field_accuracy", "valid_json"):
                forms[form][metric] = round(metrics[metric]["value"], 5)
    return bundle, forms


def _summary(root: Path, artifact_id: str) -> dict[str, Any]:
    path = root / "artifacts" / artifact_id / "manifest.json"
    summary: dict[str, Any] = json.loads(path.read_bytes())["summary"]
    return summary


def child(spec: dict[str, Any]) -> None:
    """Load a form once, and write so many tokens each turn."""
    turns = Turns()
    path, prompt = Path(spec["path"]), np.arange(5, 37, dtype=np.int32)
    write = _by_llama_cpp(path, spec) if path.suffix == ".gguf" else _by_transformers(path, spec)
    write(prompt)
    turns.report()
    while turns.wait():
        write(prompt)
        turns.report()


def _by_transformers(path: Path, spec: dict[str, Any]) -> Any:
    import torch

    from stillhouse.models.load import load_model

    torch.set_num_threads(spec["threads"])
    model = load_model(path, dtype="bfloat16" if path.name == "int8" else "float32")

    def write(prompt: Any) -> None:
        told = torch.from_numpy(prompt).long()[None]
        with torch.inference_mode():
            model.generate(  # type: ignore[operator]
                input_ids=told,
                attention_mask=torch.ones_like(told),
                max_new_tokens=spec["tokens"],
                min_new_tokens=spec["tokens"],
                do_sample=False,
            )

    return write


def _by_llama_cpp(path: Path, spec: dict[str, Any]) -> Any:
    from stillhouse.engines.gguf_examined import Examiner

    model = Examiner().open(path, spec["threads"])

    def write(prompt: Any) -> None:
        model.begin(len(prompt) + spec["tokens"])
        told = prompt
        for _ in range(spec["tokens"]):
            wanted = np.zeros(len(told), np.bool_)
            wanted[-1] = True
            (row,) = model.feed(told, wanted)
            told = np.array([int(row.argmax())], np.int32)

    return write


if __name__ == "__main__":
    if (spec := child_spec()) is not None:
        child(spec)
    else:
        main()
