"""Every wrong input with what it should say; `python bad_inputs.py FOLDER` runs all without torch.

A case builds files in a folder of its own and gives the words after `stillhouse`. It runs in this
process; what came of it is printed as JSON, one object a case.
"""

import contextlib
import io
import json
import os
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROWS = "text,label\n" + "".join(f'"message {n} of a user",answer {n % 3}\n' for n in range(30))
TEACHER = """\
  scratch:
    model_type: qwen3
    config: {hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2,
             num_key_value_heads: 1, head_dim: 16, max_position_embeddings: 64}
    tokenizer: {vocab_size: 300}
"""
STUDENT = TEACHER.replace("    tokenizer: {vocab_size: 300}\n", "")
RECIPE = """\
name: bad
network: {network}
compute: {{threads: 1}}
teacher:
{teacher}
student:
{student}
collect:
  source: {source}
prepare:
  user: "{user}"
  answer: label
  split: {{parts: {{holdout: 3, labelled: 8, unlabelled: 3, teacher: rest}}}}
{finetune}
label: {{max_new_tokens: 8}}
train: {train}
"""


def write_recipe(folder, **changes):
    """The recipe with some of its places filled otherwise; gives its name."""
    values = {
        "network": "none",
        "teacher": TEACHER,
        "student": STUDENT,
        "source": "{file: rows.csv}",
        "user": "{text}",
        "finetune": "finetune: {length: {steps: 2}}",
        "train": "{length: {steps: 2}}",
    }
    (folder / "recipe.yaml").write_text(RECIPE.format(**{**values, **changes}))
    if not (folder / "rows.csv").exists():
        (folder / "rows.csv").write_text(ROWS)
    return "recipe.yaml"


def checked(**changes):
    """A case that checks the recipe with these changes."""
    return lambda folder: ["check", write_recipe(folder, **changes)]


def with_rows(content):
    """A case whose file of rows holds these bytes; None leaves the file out."""

    def build(folder):
        recipe = write_recipe(folder)
        (folder / "rows.csv").unlink()
        if content is not None:
            (folder / "rows.csv").write_bytes(content)
        return ["check", recipe]

    return build


def write_model(folder, *, rows=300, words="abc", pickled=False):
    """A model folder: a trained tokenizer, a config, and a safetensors file of zeros."""
    from stillhouse.tokens.train import train_tokenizer

    tokenizer = train_tokenizer([words] * 8, 300, folder, context=64)
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": rows,
        "hidden_size": 4,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "head_dim": 4,
        "max_position_embeddings": 64,
    }
    (folder / "config.json").write_text(json.dumps(config))
    shape = [rows, 4]
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, rows * 16]}
    header = json.dumps({"model.embed_tokens.weight": entry}).encode()
    name = "pytorch_model.bin" if pickled else "model.safetensors"
    (folder / name).write_bytes(struct.pack("<Q", len(header)) + header + bytes(rows * 16))
    return tokenizer.vocab_size


def with_models(change=lambda folder: None, teacher=None, student=None):
    """A case whose teacher and student are folders."""

    def build(folder):
        write_model(folder / "teacher", **(teacher or {}))
        write_model(folder / "student", **(student or {}))
        change(folder)
        folders = {"teacher": "  path: teacher", "student": "  path: student"}
        return ["check", write_recipe(folder, **folders, finetune="")]

    return build


def without_tokenizer(folder):
    (folder / "student" / "tokenizer.json").unlink()


def from_hub(hub_id, network="hub"):
    return checked(
        teacher=f"  hub: {hub_id}", student=f"  hub: {hub_id}", network=network, finetune=""
    )


def recipe_and(*words, command="check"):
    """A case of a sound recipe with further words after it."""
    return lambda folder: [command, write_recipe(folder), *words]


def only(*words):
    return lambda folder: list(words)


CASES = {
    "a CSV that is missing": with_rows(None),
    "a CSV of 0 bytes": with_rows(b""),
    "a CSV with a header alone": with_rows(b"text,label\n"),
    "a column that is not there": checked(user="{txet}"),
    "a quote that is not closed": with_rows(ROWS.encode() + b'"never closed,x\n'),
    "Latin-1 bytes": with_rows(ROWS.encode() + "caf\u00e9,x\n".encode("latin-1")),
    "an unknown key": checked(train="{lenght: {steps: 2}}"),
    "a wrong type": checked(train="{length: {steps: many}}"),
    "a negative kd_temperature": checked(train="{length: {steps: 2}, kd_temperature: -1}"),
    "weights that are all zero": checked(
        train="{length: {steps: 2}, weights: {forward_kl: 0, cross_entropy: 0}}"
    ),
    "a teacher of a shorter context": checked(student=STUDENT.replace("64}", "96}")),
    "a live teacher beside a student that learns text alone": checked(
        train="{length: {steps: 2}, mode: live, weights: {cross_entropy: 1}}"
    ),
    "an adapter to switch off that is not there": checked(train="{length: {steps: 2}, mode: base}"),
    "broken YAML": lambda folder: [
        *("check", write_recipe(folder, train="{length: {steps: 2")),
    ],
    "a model folder that is missing": checked(teacher="  path: nothing", finetune=""),
    "a model folder without tokenizer": with_models(without_tokenizer),
    "a model folder with pickle weights alone": with_models(student={"pickled": True}),
    "a token id beyond the vocabulary": with_models(student={"rows": 200}),
    "two tokenizers": with_models(student={"words": "xyz xyz"}),
    "no answer at all": with_rows(b"text,label\n" + b"".join(b"m %d,\n" % n for n in range(30))),
    "Qwen/Qwen2.5-8B-Instruct": from_hub("Qwen/Qwen2.5-8B-Instruct"),
    "Qwen/Qwen2.5-4B-Instruct": from_hub("Qwen/Qwen2.5-4B-Instruct"),
    "Qwen3-4B-Instruct of unsloth": from_hub("unsloth/Qwen3-4B-Instruct-unsloth-bnb-4bit"),
    "a hub id without network": from_hub("Qwen/Qwen3-0.6B", network="none"),
    "an unknown recipe": only("run", "quickstrat"),
    "an unknown run": only("status", "nothing"),
    "an unknown run's gate": only("gate", "nothing"),
    "an unknown run's report": only("report", "nothing"),
    "targets that are not there": only("targets", "show", "nothing"),
    "an import without its source": only(
        *("targets", "import", "nothing", "--from", "distillkit"),
        *("--tokenizer", "nothing", "--to", "imported"),
    ),
    "a run's name with a slash": recipe_and("--name", "a/b", command="run"),
    "an unknown stage after --from": recipe_and("--from", "lable", command="run"),
    "--set without =": recipe_and("--set", "train.seed", command="run"),
    "--set of an unknown key": recipe_and("--set", "train.sede=1", command="run"),
    "an unknown option": recipe_and("--quick", command="run"),
    "an unknown command": only("distil"),
    "a recipe that asks for what is not built": only(
        *("check", "quickstart", "--set", "train.mode=on_policy"),
        *("--set", "evaluate.metrics=[embedding_distance]"),
    ),
    "a padded vocabulary": with_models(student={"rows": 320}),
    "a prompt beyond the context": with_rows(
        ROWS.encode() + f'"{"word " * 200}the end",answer\n'.encode()
    ),
}


@dataclass
class Told:
    """What came of a case."""

    code: int
    out: str
    err: str
    seconds: float
    loaded_torch: bool
    left: list[str] = field(default_factory=list)


def attempt(words, folder):
    """Run one command line in this process."""
    from stillhouse.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    code, started = 0, time.perf_counter()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        sys.argv = ["stillhouse", *words]
        try:
            main()
        except SystemExit as end:
            code = end.code
    seconds = time.perf_counter() - started
    made = folder / "runs" / "artifacts"
    left = sorted(path.name for path in made.rglob("*")) if made.exists() else []
    return Told(code, out.getvalue(), err.getvalue(), seconds, "torch" in sys.modules, left)


def main(root):
    import stillhouse.runner.check
    import stillhouse.runner.inspect  # noqa: F401

    told = {}
    for number, (name, build) in enumerate(CASES.items()):
        folder = root / str(number)
        folder.mkdir(parents=True)
        told[name] = vars(attempt(build(folder), folder))
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    main(Path(sys.argv[1]).resolve())
