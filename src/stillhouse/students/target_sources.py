"""Where the teacher's distribution at a batch's trained tokens comes from.

`Cached`: each example brings it along. `Live`: a model beside the student is asked. `AdapterOff`:
the student itself is, without its adapter. The trainer knows none of them by name.

Legend: N trained tokens of a batch, H the teacher's hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from stillhouse.core.errors import ModelError
from stillhouse.losses.soft_targets import LiveTeacher, SampledTargets, SoftTargets, SparseTargets
from stillhouse.models.adapters import without_adapter
from stillhouse.models.head import check_head, find_head
from stillhouse.models.inference import plain_model
from stillhouse.models.packing import answer_hidden, find_packed_reader
from stillhouse.models.source import context_tokens

Asked = Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], SoftTargets | None]
"""From rows and targets as `students.batches.Collator` makes them to what the teacher says at the
N trained tokens; None where it has nothing to say."""


@dataclass(frozen=True, slots=True)
class OpenSource:
    """A source that can be asked about batches.

    Attributes:
        ask: about one batch, inside the student's `forward`.
        reads_packed: it can be asked about rows that several examples share.
        context: tokens that it has positions for; 0 where nothing limits it.
    """

    ask: Asked
    reads_packed: bool = True
    context: int = 0


class TargetSource(Protocol):
    """Where the teacher's distribution comes from, for a whole training."""

    @property
    def log_z_column(self) -> int:
        """Of `TokenTargets.log_z`, where examples bring targets along; -1 where they bring none."""

    def open(self, student: PreTrainedModel | PeftModel, vocab_size: int) -> OpenSource:
        """Make it ready for batches of a student.

        Args:
            student: that is about to be trained.
            vocab_size: ids of the common tokenizer; 0 takes all rows of the teacher's head.

        Returns:
            The same, ready.

        Raises:
            ModelError: the teacher cannot be asked.
        """


@dataclass(frozen=True, slots=True)
class Cached:
    """Targets that each example brings along, out of a store.

    Attributes:
        log_z_column: of `TokenTargets.log_z`, the one of the objective's kd_temperature; -1 leaves
            the targets out.
    """

    log_z_column: int = 0

    def open(self, student: PreTrainedModel | PeftModel, vocab_size: int) -> OpenSource:  # noqa: ARG002
        """Nothing has to be made ready."""
        return OpenSource(stored_targets)


def stored_targets(
    _rows: Mapping[str, Tensor], targets: Mapping[str, Tensor]
) -> SoftTargets | None:
    """What the examples of a batch brought along; None where they brought nothing."""
    if "drawn_ids" in targets:
        return SampledTargets(targets["drawn_ids"], targets["drawn_probs"], targets["entropy"])
    if "top_ids" not in targets:
        return None
    return SparseTargets(targets["top_ids"], targets["top_logprobs"], targets["log_z"])


BROUGHT = Cached()
"""The targets of examples that were scored at one kd_temperature."""

NOTHING = Cached(-1)
"""For an objective that asks nothing of a teacher."""


@dataclass(frozen=True, slots=True)
class Live:
    """A teacher beside the student, on its device; `open` freezes it and puts it in eval mode.

    It is asked in the type of its own weights, whatever the student is trained in, so that it says
    what it would have said when labelling. Each process of several holds all of it.

    Attributes:
        teacher: a causal language model, with or without an adapter around it.
    """

    teacher: PreTrainedModel | PeftModel

    @property
    def log_z_column(self) -> int:
        """Examples bring no targets along."""
        return -1

    def open(self, student: PreTrainedModel | PeftModel, vocab_size: int) -> OpenSource:  # noqa: ARG002
        """The teacher, frozen; raises as `TargetSource.open` says."""
        self.teacher.requires_grad_(False).eval()
        device = plain_model(self.teacher).device.type
        return _ask(self.teacher, vocab_size, partial(torch.autocast, device, enabled=False))


@dataclass(frozen=True, slots=True)
class AdapterOff:
    """The student's own base: its adapter and every dropout off for as long as it is asked.

    It shares every weight with the student, and is asked in the type that the student is trained
    in, so that the two are equal to the bit while the adapter is fresh.
    """

    @property
    def log_z_column(self) -> int:
        """Examples bring no targets along."""
        return -1

    def open(self, student: PreTrainedModel | PeftModel, vocab_size: int) -> OpenSource:
        """The student's base; raises as `TargetSource.open` says."""
        if not isinstance(student, PeftModel):
            raise ModelError(
                "the student has no adapter to switch off, so that it would be its own teacher",
                "train it with lora",
            )
        return _ask(student, vocab_size, partial(without_adapter, student))


def _ask(
    teacher: PreTrainedModel | PeftModel,
    vocab_size: int,
    ready: Callable[[], AbstractContextManager[object]],
) -> OpenSource:
    """A model that is asked about each batch; inside `ready` it is the teacher."""
    inner = plain_model(teacher)
    with ready():
        check_head(inner)
        read_packed = find_packed_reader(inner)
        rows = find_head(inner).num_used
    if vocab_size > rows:
        raise ModelError(
            f"the tokenizer has {vocab_size:,} ids, the teacher's head {rows:,} rows",
            "take tokenizer and teacher from one place",
        )

    def ask(batch: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> LiveTeacher:
        with ready(), torch.no_grad():
            hidden_NH = answer_hidden(inner, read_packed, batch, targets["positions"])
            head = replace(find_head(inner), vocab_size=vocab_size or rows)
        return LiveTeacher(hidden_NH, head)

    context = context_tokens(inner.config.to_dict()) or 0
    return OpenSource(ask, read_packed is not None, context)
