"""Trackers that hear a training while it runs, through the integrations of transformers.

They hear the log as the record is made of it: `loss`, each term, `learning_rate`, `grad_norm`, and
what is measured on the part validation. They change no bit of what is learned.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import environ
from pathlib import Path

from transformers import Trainer, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback

TENSORBOARD = "tensorboard"


@dataclass(frozen=True, slots=True)
class Trackers:
    """Who hears a training, and under which name.

    Attributes:
        names: as `report_to` of the recipe has them.
        folder: of the run; TensorBoard's files go there.
        project: what trackers group runs by.
        run: the name of this training among them.
        environment: variables of the trackers that are set for this process.
    """

    names: tuple[str, ...] = ()
    folder: Path = Path()
    project: str = ""
    run: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def tell(self, args: TrainingArguments) -> None:
        """Let the Trainer that is made of these arguments report to all but TensorBoard."""
        environ.update(self.environment)
        args.report_to = [name for name in self.names if name != TENSORBOARD]
        args.run_name, args.project = self.run, self.project

    @contextmanager
    def listening(self, trainer: Trainer) -> Iterator[None]:
        """Inside, the trainer is heard; at the end nothing that was said is lost.

        A stage's process ends at once, without what libraries do when an interpreter ends.
        """
        if TENSORBOARD in self.names:
            # By itself it would write into the folder of checkpoints, which is deleted.
            callback = TensorBoardCallback()
            callback.logging_dir = str(self.folder / TENSORBOARD / self.run)
            trainer.add_callback(callback)
        try:
            yield
        finally:
            for name in self.names:
                _finish(name)


NO_TRACKERS = Trackers()
_ENDS = {"wandb": ("finish",), "mlflow": ("flush_async_logging", "end_run")}
"""What has to be called of each before its process may end."""


def _finish(name: str) -> None:
    for end in _ENDS.get(name, ()):
        getattr(importlib.import_module(name), end)()
