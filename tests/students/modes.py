"""Every way in which a student is taught, each with its oracle: naive, dense, example by example.

A row of `MODES` is a way; the laws that hold for all of them go through the table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tiny_students import BOTH, KD_TEMPERATURE, VOCAB, build, gradients_of, oracle

from stillhouse.models.inference import plain_model
from stillhouse.students.assignment import TrainingData
from stillhouse.students.target_sources import AdapterOff, Cached, Live

PADDED_ROWS = 64


def live_teacher(kind="llama", seed=5, **changes):
    """Another architecture, wider, its vocabulary padded, its logits far from flat."""
    teacher = build(kind, seed=seed, **{"hidden_size": 24, "vocab_size": PADDED_ROWS} | changes)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(3.0)
    return teacher


@dataclass(frozen=True)
class Mode:
    """One way to be taught.

    `student` and `source` build what `train_model` is given; `teaches` gives the (T, V) logits of
    the teacher for a row of ids, in whatever way is plainest.
    """

    student: Callable[[], Any]
    source: Callable[[], Any]
    teaches: Callable[[Any, torch.Tensor], torch.Tensor] | None = None

    def data(self, train, validation=()):
        return TrainingData(train, validation, self.source(), VOCAB)

    def oracle(self, examples, objective=BOTH):
        """Loss and gradients of the token mean."""
        student = self.student()
        if self.teaches is None:
            return oracle(student, examples, objective)
        student.zero_grad()
        sums, tokens = 0.0, 0
        for example in examples:
            terms, count = self._terms(student, example)
            sums = sums + sum(weight * terms[name] for name, weight in objective.weights.items())
            tokens += count
        (sums / tokens).backward()
        return (sums / tokens).item(), gradients_of(student)

    def _terms(self, student, example):
        ids = torch.from_numpy(example.ids).long()
        logits = student(input_ids=ids[None]).logits[0, :, :VOCAB]
        taught = self.teaches(student, ids)[:, :VOCAB].detach()
        kl = ce = 0.0
        places = [t for t in range(len(ids)) if example.is_trained[t]]
        for place in places:
            q = (logits[place - 1] / KD_TEMPERATURE).softmax(-1)
            p = (taught[place - 1] / KD_TEMPERATURE).softmax(-1)
            kl = kl + KD_TEMPERATURE**2 * (p * (p / q).log()).sum()
            ce = ce - logits[place - 1].log_softmax(-1)[ids[place]]
        return {"forward_kl": kl, "cross_entropy": ce}, len(places)


def beside(_student, ids):
    with torch.no_grad():
        return live_teacher().eval()(input_ids=ids[None]).logits[0]


def base_alone(student, ids):
    """The base of an adapted student, with its adapter's modules taken out by hand."""
    inner = plain_model(student)
    adapted = {
        name: module for name, module in inner.named_modules() if hasattr(module, "base_layer")
    }
    try:
        for name, module in adapted.items():
            parent, _, last = name.rpartition(".")
            setattr(inner.get_submodule(parent), last, module.base_layer)
        with torch.no_grad():
            return inner(input_ids=ids[None]).logits[0]
    finally:
        for name, module in adapted.items():
            parent, _, last = name.rpartition(".")
            setattr(inner.get_submodule(parent), last, module)


MODES = {
    "cached": Mode(build, lambda: Cached(1)),
    "live": Mode(build, lambda: Live(live_teacher()), beside),
    "base": Mode(lambda: build(lora=True), AdapterOff, base_alone),
}
