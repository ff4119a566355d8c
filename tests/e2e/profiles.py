"""A tiny profile that was run, and what tests ask of each of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import stillhouse


@dataclass(frozen=True)
class Finished:
    """A finished run of a tiny profile.

    Attributes:
        recipe: the built-in recipe's name.
        call: how it was called.
        status: what came of it.
        folders: of the artifacts, by the key of their instance.
    """

    recipe: str
    call: stillhouse.Call
    status: object
    folders: dict[str, Path]

    @property
    def root(self):
        """The folder of all runs."""
        return Path(self.call.runs)

    def summary(self, key):
        """What an instance told."""
        return next(one.summary for one in self.status.stages if one.key == key)

    def metric(self, who, name):
        """The estimate of a metric."""
        return self.summary(f"evaluate@{who}")["metrics"][name]["value"]

    def events_of_a_second_run(self):
        """Kind of event to the keys it named."""
        heard = {}
        stillhouse.run(
            self.recipe,
            self.call,
            on_event=lambda event: heard.setdefault(event.kind, []).append(event.instance),
        )
        return heard

    def holds_every_verdict(self):
        """Whether each gate wrote its file, and passed."""
        gates = [folder for key, folder in self.folders.items() if key.startswith("gate")]
        told = [json.loads((folder / "verdict.json").read_bytes()) for folder in gates]
        return bool(told) and all(one["passed"] for one in told)


def run_tiny(recipe, root):
    """Run the tiny profile of a built-in recipe, as a user does but for the threads.

    Two processes of tests with two threads each are many times slower.
    """
    call = stillhouse.Call(["compute.threads=1"], str(root), profile="tiny")
    status = stillhouse.run(recipe, call)
    folders = {one.key: root / "artifacts" / one.artifact_id for one in status.stages}
    return Finished(recipe, call, status, folders)
