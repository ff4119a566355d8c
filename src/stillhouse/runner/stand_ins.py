"""Folders in the place of hub models that cannot be reached, for a plan alone.

The sizes are those of `recipes/facts.yaml`. The tokenizer is learned from the rows: its tokens are
of about the length that a large one's have, its ids are its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from stillhouse.core.errors import HubUnreachableError
from stillhouse.core.files import write_json
from stillhouse.core.rows import Row
from stillhouse.models.hub import Hub, ask_hub
from stillhouse.recipes.facts import ModelFacts, facts_for
from stillhouse.tokens.train import train_tokenizer

_VOCABULARY, _ROWS = 8192, 2000
"""assumption: enough that common words are a token each, as in vocabularies of 150,000; learned in
about a second."""


@dataclass(slots=True)
class StandIns:
    """Makes folders in a temporary one.

    Attributes:
        folder: where they go; whoever made it removes it.
        rows: texts that tokenizers are learned from.
        notes: a sentence for each model that was stood in for.
        why: the hub was not asked; empty while it answers.
    """

    folder: Path
    rows: Sequence[Row] = ()
    notes: list[str] = field(default_factory=list)
    why: str = ""

    def asks(self, hub: Hub) -> bool:
        """Whether the hub answers; the library would ask five times, each for a long time."""
        answer = ask_hub(hub)
        if not answer.is_there:
            reason = answer.error or f"it answers {answer.status}"
            self.why = f"{answer.where} cannot be reached ({reason})"
        return answer.is_there

    def model(self, hub_id: str, revision: str, error: HubUnreachableError) -> Path:
        """A folder with the config and a tokenizer of a model that is known by its facts.

        Args:
            hub_id: of the model.
            revision: of the model; empty for its default branch.
            error: why it is not there.

        Returns:
            The folder; it has no weights.

        Raises:
            HubUnreachableError: the same, where nothing is known of the model.
        """
        facts = facts_for(hub_id)
        if facts is None and self.why:
            raise HubUnreachableError(
                f"{self.why}, {hub_id} at {revision or 'main'} is not in the local cache, and "
                "nothing is known of its size",
                "check the connection and proxy settings, then run again; or give a folder with "
                "`path:`",
            )
        if facts is None:
            raise error
        self._note(
            f"{facts.id}: not from the hub, which cannot be reached: sizes from what is known of "
            "it, tokens counted by a stand-in that is learned from the rows"
        )
        target = self.folder / facts.id.replace("/", "--")
        if not target.is_dir():
            train_tokenizer(self._texts(), _VOCABULARY, target, facts.shape.context)
            _sign(target / "tokenizer.json", facts)
            write_json(target / "config.json", facts.shape.config())
        return target

    def encoder(self, hub_id: str) -> Path:
        """An empty folder for a model that compares texts."""
        self._note(
            f"{hub_id}: not from the hub, which cannot be reached: the vectors that it makes are "
            "not in the time and memory told here"
        )
        target = self.folder / hub_id.replace("/", "--")
        target.mkdir(exist_ok=True)
        return target

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def _texts(self) -> Iterator[str]:
        for row in islice(self.rows, _ROWS):
            for value in row.fields.values():
                yield from _texts_in(value)


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        # An answer in JSON is written with its keys.
        yield json.dumps(value, ensure_ascii=False, default=str)
    elif isinstance(value, list):
        for item in value:
            yield from _texts_in(item)


def _sign(file: Path, facts: ModelFacts) -> None:
    """Give the tokenizer a token of its family's name, so that two families differ."""
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.add_special_tokens([f"<|{facts.shape.tokenizer}|>"])
    tokenizer.save(str(file))
