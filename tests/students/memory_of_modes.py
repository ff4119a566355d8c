"""Run by a test: how much memory each way of being taught adds to training an adapter."""

import json
import os
import resource
import sys
from pathlib import Path

import torch
import transformers
from tiny_students import BOTH, ONE_THREAD, VOCAB, build, draw_examples, quick

from stillhouse.losses.terms import CROSS_ENTROPY
from stillhouse.models.adapters import add_lora
from stillhouse.recipes.training import Lora
from stillhouse.students.assignment import TrainingData
from stillhouse.students.target_sources import NOTHING, AdapterOff, Live
from stillhouse.students.train import Setting, train_model

transformers.logging.set_verbosity_error()
SIZE = {"hidden_size": 768, "intermediate_size": 4096, "num_hidden_layers": 6}
SOURCES = {
    "text": lambda: (NOTHING, CROSS_ENTROPY),
    "base": lambda: (AdapterOff(), BOTH),
    "live": lambda: (Live(build("llama", **SIZE)), BOTH),
}


def train(name, folder, out):
    student = add_lora(build("llama", **SIZE), Lora(rank=4), 0)
    source, objective = SOURCES[name]()
    data = TrainingData(draw_examples(6, soft=False), (), source, VOCAB)
    setting = Setting(ONE_THREAD, folder, "plan")
    train_model(student, data, objective, quick(steps=2, batch_size=2), setting)
    weights = sum(p.numel() * p.element_size() for p in student.parameters())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    out.write_text(json.dumps({"peak": peak, "weights": weights}))


def main(folder):
    told = {}
    for name in SOURCES:
        out = folder / f"{name}.json"
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)
            train(name, folder / name, out)
            os._exit(0)
        os.waitpid(child, 0)
        told[name] = json.loads(out.read_text())
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
