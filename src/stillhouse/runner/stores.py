"""A look into a store of targets: what it holds, one example of it, and whether it is whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.core.errors import InputError
from stillhouse.core.protocols import Progress, no_progress
from stillhouse.core.targets import TokenTargets
from stillhouse.runner.opening import DEFAULT_ROOT
from stillhouse.stages.corpus import TOKENIZER
from stillhouse.stages.label_files import TARGETS
from stillhouse.store.artifacts import MANIFEST, ArtifactStore, Manifest
from stillhouse.store.runs import RunFolder
from stillhouse.targets.header import FILE_NAME as HEADER
from stillhouse.targets.index import StoreIndex
from stillhouse.targets.read import TargetReader
from stillhouse.tokens.tokenizer import TextTokenizer, load_tokenizer

_RUN = "run.json"


@dataclass(frozen=True, slots=True)
class FoundStore:
    """A store of targets on this machine.

    Attributes:
        folder: the store.
        tokenizer: the folder of the tokenizer that its ids belong to; None where it is not known.
    """

    folder: Path
    tokenizer: Path | None = None


@dataclass(frozen=True, slots=True)
class StoreView:
    """What a store holds.

    Attributes:
        folder: the store.
        header: who made it, from what, and in which form.
        examples: how many.
        tokens: answer tokens of all examples.
        shards: files.
        num_bytes: on disk, header and index included.
    """

    folder: str
    header: dict[str, Any]
    examples: int
    tokens: int
    shards: int
    num_bytes: int

    @property
    def bytes_per_token(self) -> float:
        """On disk, for each answer token; 0 without any."""
        return self.num_bytes / self.tokens if self.tokens else 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"bytes_per_token": self.bytes_per_token}


@dataclass(frozen=True, slots=True)
class KeptView:
    """A kept entry of the teacher's distribution.

    Attributes:
        token_id: its id.
        text: what it stands for; empty where the tokenizer is not known.
        logprob: nats, at temperature 1.
    """

    token_id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class DrawnView:
    """A token that was drawn from the teacher.

    Attributes:
        token_id: its id.
        text: what it stands for; empty where the tokenizer is not known.
        count: how often.
    """

    token_id: int
    text: str
    count: int


@dataclass(frozen=True, slots=True)
class TargetView:
    """What the teacher said about one answer token.

    Attributes:
        token_id: the observed token.
        text: what it stands for; empty where the tokenizer is not known.
        logprob: of the observed token, nats, at temperature 1.
        kept: the teacher's kept entries, likeliest first.
        tail: probability of all other tokens, in [0, 1], at temperature 1.
        drawn: tokens drawn from the teacher.
    """

    token_id: int
    text: str
    logprob: float
    kept: tuple[KeptView, ...]
    tail: float
    drawn: tuple[DrawnView, ...]


@dataclass(frozen=True, slots=True)
class StoredExample:
    """One example of a store.

    Attributes:
        example_id: the example.
        num_tokens: its answer tokens.
        tokens: the first of them.
    """

    example_id: str
    num_tokens: int
    tokens: tuple[TargetView, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class VerifiedStore:
    """A store whose every checksum was compared.

    Attributes:
        folder: the store.
        examples: rows whose checksum is right.
        shards: files whose sha256 is right.
        num_bytes: of those files.
    """

    folder: str
    examples: int
    shards: int
    num_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def find_store(place: str, runs: str = DEFAULT_ROOT) -> FoundStore:
    """The store of targets that a word of the command line means.

    Args:
        place: the folder of a store, of an artifact of `label`, of imported targets or of a run;
            or the name of a run.
        runs: the folder that holds all runs.

    Returns:
        The store; whether it is whole was not looked at.

    Raises:
        InputError: there is no store of targets there.
        ArtifactError: the run's record, or a manifest, is torn.
    """
    path = Path(place)
    for folder in (path, path / TARGETS):
        if (folder / HEADER).is_file():
            return FoundStore(folder, _tokenizer_beside(folder))
    for folder in (path, Path(runs) / place):
        if (folder / _RUN).is_file():
            return _of_run(folder)
    raise InputError(
        f"{place} holds no stored targets: it is neither a store (a folder with {HEADER}), nor an "
        f"artifact of label, nor a run's folder or name below {runs}",
        "name a run (stillhouse targets show RUN), or the folder that holds the store",
    )


def _of_run(folder: Path) -> FoundStore:
    record = RunFolder(folder).read()
    labels = [item for item in record.instances if item.stage == "label"]
    if not labels:
        raise InputError(f"the run {record.name!r} has no stage label")
    artifact = ArtifactStore(folder.parent / "artifacts").path(labels[0].artifact_id)
    if not artifact.is_dir():
        raise InputError(
            f"label of the run {record.name!r} is not there yet", "run the recipe first"
        )
    if not (artifact / TARGETS).is_dir():
        raise InputError(
            f"the run {record.name!r} stored no targets: its recipe says label.targets: none",
            "set label.targets: top_k",
        )
    return FoundStore(artifact / TARGETS, _tokenizer_beside(artifact / TARGETS))


def _tokenizer_beside(store: Path) -> Path | None:
    """The tokenizer of the artifact that a store lies in."""
    artifact = store.resolve().parent
    try:
        manifest = Manifest.model_validate_json((artifact / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    examples = manifest.inputs.get("examples")
    folder = artifact.parent / str(examples) / TOKENIZER
    return folder if examples and (folder / "tokenizer.json").is_file() else None


def view_store(found: FoundStore) -> StoreView:
    """What a store holds.

    Args:
        found: the store.

    Returns:
        Its header and sizes; no row was read.

    Raises:
        ArtifactError: it was not finished, a shard is missing or has another size.
    """
    reader = TargetReader(found.folder)
    sizes = [path.stat().st_size for path in found.folder.iterdir() if path.is_file()]
    return StoreView(
        folder=str(found.folder),
        header=reader.header.model_dump(mode="json"),
        examples=len(reader),
        tokens=reader.num_tokens,
        shards=len(StoreIndex.load(found.folder).shards),
        num_bytes=sum(sizes),
    )


def view_example(found: FoundStore, example_id: str, most_tokens: int = 0) -> StoredExample:
    """One example of a store.

    Args:
        found: the store.
        example_id: the example; empty for the first one.
        most_tokens: look at that many of its answer tokens; 0 for all.

    Returns:
        What the teacher said about each of them.

    Raises:
        InputError: the store has no such example.
        ArtifactError: the store, or the example's row, is damaged.
    """
    reader = TargetReader(found.folder)
    known = reader.example_ids
    if not known or (example_id and example_id not in reader):
        nearest = f"the first ones are {', '.join(known[:3])}" if known else "it is empty"
        raise InputError(f"the store {found.folder} has no example {example_id!r}", nearest)
    targets = reader.get(example_id or known[0])
    tokenizer = load_tokenizer(found.tokenizer) if found.tokenizer else None
    total = len(targets.token_ids)
    shown = min(most_tokens or total, total)
    look = _look_up(tokenizer)
    return StoredExample(
        targets.key.example_id,
        total,
        tuple(_view_token(targets, position, look) for position in range(shown)),
    )


def _look_up(tokenizer: TextTokenizer | None) -> Callable[[int], str]:
    if tokenizer is None:
        return lambda _: ""
    return lambda token_id: tokenizer.decode([token_id], skip_special=False)


def _view_token(targets: TokenTargets, position: int, look: Callable[[int], str]) -> TargetView:
    logprobs = targets.top_logprobs[position].astype(np.float64)
    kept = tuple(
        KeptView(int(token), look(int(token)), float(logprob))
        for token, logprob in zip(targets.top_ids[position], logprobs, strict=True)
    )
    drawn: tuple[DrawnView, ...] = ()
    if targets.draws is not None:
        pairs = zip(targets.draws.ids[position], targets.draws.counts[position], strict=True)
        drawn = tuple(
            DrawnView(int(token), look(int(token)), int(count)) for token, count in pairs if count
        )
    observed = int(targets.token_ids[position])
    return TargetView(
        token_id=observed,
        text=look(observed),
        logprob=float(targets.observed_logprobs[position]),
        kept=kept,
        tail=max(0.0, 1.0 - float(np.exp(logprobs).sum())),
        drawn=drawn,
    )


def verify_store(found: FoundStore, progress: Progress = no_progress) -> VerifiedStore:
    """Read everything and compare every checksum, of rows and of files.

    Args:
        found: the store.
        progress: hears of every checksum.

    Returns:
        How much was compared; all of it is right.

    Raises:
        ArtifactError: names the file and the example that is damaged.
    """
    reader = TargetReader(found.folder)
    reader.verify(progress)
    shards = StoreIndex.load(found.folder).shards
    return VerifiedStore(
        str(found.folder), len(reader), len(shards), sum(shard.num_bytes for shard in shards)
    )
