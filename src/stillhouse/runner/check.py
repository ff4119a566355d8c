"""What a run would do and cost, before anything is spent; refuses what cannot fit."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.core.errors import ArtifactError, CapacityError
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.estimate import (
    HEAVY_BYTES,
    ROWS_BYTES,
    Corpus,
    Cost,
    Machine,
    generation_cost,
    scoring_cost,
    together,
    training_cost,
)
from stillhouse.recipes.plan import Instance
from stillhouse.recipes.schema import Recipe
from stillhouse.recipes.sizes import Sizes, sizes_of
from stillhouse.runner.money import asking_cost, with_judges
from stillhouse.runner.pairing import terms_of
from stillhouse.runner.preview import Preview, preview
from stillhouse.runner.resolve import Resolved
from stillhouse.runner.run import Place
from stillhouse.targets.forecast import bytes_per_token, store_bytes

_GPU_FLOPS = 5e13
"""assumption: a modest GPU in bfloat16; a GPU is not asked without torch."""


_SHARDS = Cost(memory_bytes=0, seconds=2.0)
"""measured: what writing and syncing completions and shards adds to a labelling."""


@dataclass(frozen=True, slots=True)
class InstanceCheck:
    """One line of the plan.

    Attributes:
        key: the instance.
        artifact_id: what it makes.
        is_done: its artifact is there; it will be reused.
        cost: of making it, whether or not it is done.
    """

    key: str
    artifact_id: str
    is_done: bool
    cost: Cost


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a run would do.

    Attributes:
        name: of the run.
        instances: in the order of work.
        parts: examples of each part.
        dropped: reason to rows, in what was looked at.
        terms: what the teacher's terms say of training on its answers; empty if not known.
        likely_usd: of what is still to be asked of a teacher behind an API.
        most_usd: of the same, if every prompt and every answer is as long as it may be.
        budget_usd: what may be spent; None without a cap, or without such a teacher.
        memory_bytes: the highest peak of what is still to do.
        disk_bytes: of what is still to do, with the largest need of a working stage.
        seconds: of what is still to do.
        free_memory_bytes: of this machine.
        free_disk_bytes: where the run's files go.
    """

    name: str
    instances: tuple[InstanceCheck, ...]
    parts: dict[str, int]
    dropped: dict[str, int]
    cut_prompts: int
    compute: ResolvedCompute
    terms: str
    likely_usd: float
    most_usd: float
    budget_usd: float | None
    memory_bytes: int
    disk_bytes: int
    seconds: float
    free_memory_bytes: int
    free_disk_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def refuse_what_cannot_fit(self) -> None:
        """Raise when the machine is too small.

        Raises:
            CapacityError: names the instance, what it needs and what there is.
        """
        for item in self.instances:
            if not item.is_done and item.cost.memory_bytes > self.free_memory_bytes:
                raise CapacityError(
                    f"{item.key} needs about {_size(item.cost.memory_bytes)} of memory, this "
                    f"machine has {_size(self.free_memory_bytes)}",
                    "a smaller model, lora, gradient_checkpointing, a smaller batch_size or "
                    "max_tokens lower it",
                )
        if self.disk_bytes > self.free_disk_bytes:
            raise CapacityError(
                f"the run needs about {_size(self.disk_bytes)} of disk, there are "
                f"{_size(self.free_disk_bytes)}",
                "choose another disk with --runs",
            )


def check(resolved: Resolved, place: Place) -> CheckReport:
    """The cost of every instance of a plan.

    Args:
        resolved: the recipe with its plan.
        place: where it would run.

    Returns:
        Every instance with its price, and what this machine has free.
    """
    pricer = _Pricer(resolved, preview(resolved))
    items = tuple(
        InstanceCheck(
            instance.key,
            instance.artifact_id,
            _is_done(place, instance.artifact_id),
            pricer.price(instance),
        )
        for instance in resolved.plan.instances
    )
    todo = [item.cost for item in items if not item.is_done]
    seen = pricer.seen
    parts: dict[str, int] = {}
    for example in seen.examples:
        parts[example.part] = parts.get(example.part, 0) + 1
    return CheckReport(
        name=place.name,
        instances=items,
        parts={name: int(count * seen.scale) for name, count in sorted(parts.items())},
        dropped=seen.dropped,
        cut_prompts=seen.num_cut,
        compute=resolved.compute,
        terms=_terms(resolved),
        likely_usd=sum(cost.likely_usd for cost in todo),
        most_usd=sum(cost.most_usd for cost in todo),
        budget_usd=_budget(resolved.recipe),
        memory_bytes=max((cost.memory_bytes for cost in todo), default=0),
        disk_bytes=sum(cost.disk_bytes for cost in todo)
        + max((cost.scratch_bytes for cost in todo), default=0),
        seconds=sum(cost.seconds for cost in todo),
        free_memory_bytes=resolved.host.memory_bytes,
        free_disk_bytes=_free_disk(place.root),
    )


def _budget(recipe: Recipe) -> float | None:
    """What may be spent in all; None where a model that is asked has no cap."""
    caps = [api.budget_usd for api in recipe.endpoints.values()]
    known = [cap for cap in caps if cap is not None]
    return sum(known) if known and len(known) == len(caps) else None


def _is_done(place: Place, artifact_id: str) -> bool:
    try:
        return place.store.find(artifact_id) is not None
    except ArtifactError:
        return False


def _terms(resolved: Resolved) -> str:
    found = terms_of(resolved.recipe.teacher)
    return f"{found[0]}; {found[1].sentence} ({found[1].url})" if found else ""


def _free_disk(root: Path) -> int:
    existing = next(path for path in (root, *root.resolve().parents) if path.exists())
    return shutil.disk_usage(existing).free


class _Pricer:
    """The price of each instance, from one look at the examples."""

    def __init__(self, resolved: Resolved, seen: Preview) -> None:
        self.seen = seen
        self._resolved = resolved
        self._recipe = resolved.recipe
        self._machine = probe_machine(resolved.compute)
        self._student = self._sizes("student")
        # What is asked of a teacher behind an API is priced in calls.
        self._teacher = self._student if self._recipe.teacher.api else self._sizes("teacher")
        self._vocab = self._teacher.vocab
        most = float(resolved.recipe.label.max_new_tokens)
        mean, longest = seen.answer_tokens()
        self._answer = min(most, mean or most / 2)
        self._longest_answer = min(most, longest or most)

    def price(self, instance: Instance) -> Cost:
        cost = self._price(instance)
        return with_judges(cost, self._recipe, self.seen) if instance.stage == "label" else cost

    def _price(self, instance: Instance) -> Cost:
        if "endpoint" in instance.config:
            return asking_cost(self._recipe, instance, self.seen)
        table: dict[str, Callable[[Instance], Cost]] = {
            "collect": lambda _: self._rows(4e-5, 0),
            "prepare": lambda _: self._rows(2.4e-4, 60 * self._vocab),
            "finetune": self._finetune,
            "label": self._label,
            "train": self._train,
            "evaluate": self._evaluate,
            "gate": lambda _: Cost(memory_bytes=ROWS_BYTES, disk_bytes=4096, seconds=0.6),
            "export": self._export,
            "register": self._register,
        }
        return table[instance.stage](instance)

    def _sizes(self, which: str) -> Sizes:
        folder = getattr(self._resolved, which)
        if folder:
            return sizes_of(folder.config)
        scratch = getattr(self._recipe, which).scratch
        config = {"model_type": scratch.model_type} | scratch.config
        return sizes_of(config, self.seen.tokenizer.vocab_size)

    def _rows(self, seconds_a_row: float, tokenizer_bytes: int) -> Cost:
        size = self._resolved.source.num_bytes
        rows = max(1, self._resolved.source.num_rows)
        return Cost(
            memory_bytes=ROWS_BYTES + 6 * max(size, rows * 600),
            disk_bytes=max(size // 2, rows * 42) + tokenizer_bytes,
            seconds=0.5 + rows * seconds_a_row,
        )

    def _finetune(self, _: Instance) -> Cost:
        training = self._recipe.finetune
        assert training is not None
        corpus = self.seen.count(training.parts, self._answer)
        return training_cost(self._teacher, training, corpus, self._machine)

    def _target_bytes(self, corpus: Corpus) -> float:
        """Of what `label` stores for each token, with its part of example and shard."""
        label = self._recipe.label
        store = label.token_store(self._vocab)
        if store is None:
            return 0.0
        found = bytes_per_token(
            codec=store.codec,
            top_k=store.top_k,
            num_draws=store.num_draws,
            vocab_size=self._vocab,
            kd_temperatures=label.temperatures,
        )
        whole = store_bytes(
            found.high,
            tokens=corpus.answer_tokens,
            examples=corpus.examples,
            shard_examples=label.shard_examples,
        )
        return whole / max(1, corpus.answer_tokens)

    def _target_memory(self) -> float:
        """Of the same, unpacked."""
        store = self._recipe.label.token_store(self._vocab)
        return float(store.memory_bytes) if store else 0.0

    def _label(self, _: Instance) -> Cost:
        label = self._recipe.label
        # The validation part is labelled with the rest, for the student's validation loss.
        parts = {*label.parts, "validation"}
        corpus = _repeated(self.seen.count(parts, self._answer), label.samples)
        scoring = scoring_cost(
            self._teacher,
            corpus,
            self._machine,
            batch_size=label.batch_size,
            target_bytes=self._target_bytes(corpus),
            shard_bytes=self._target_memory()
            * min(1.0, label.shard_examples / max(1, corpus.examples))
            * corpus.answer_tokens,
        )
        asked = parts if label.completions == "teacher" else ("unlabelled",)
        prompts = _repeated(self.seen.count(set(asked) & parts, 0.0), label.most_samples)
        if not prompts.examples:
            return together(scoring, _SHARDS)
        generation = generation_cost(
            self._teacher,
            prompts,
            self._machine,
            batch_size=label.batch_size,
            answer_tokens=self._answer,
            longest_answer=self._longest_answer,
        )
        return together(scoring, generation, _SHARDS)

    def _train(self, instance: Instance) -> Cost:
        training = self._recipe.train
        twin = training.twin if instance.variant == "twin" else None
        parts = twin.parts if twin else training.parts
        corpus = self.seen.count(parts, self._answer)
        corpus = corpus if twin else _repeated(corpus, self._recipe.label.samples)
        held = 0.0 if twin else self._target_memory()
        return training_cost(self._student, training, corpus, self._machine, target_bytes=held)

    def _evaluate(self, instance: Instance) -> Cost:
        settings = self._recipe.evaluate
        sizes = self._teacher if instance.config["of"] == "teacher" else self._student
        corpus = self.seen.count((instance.config["part"],), self._answer)
        vocab = self._vocab
        stored = bytes_per_token(top_k=settings.top_k, vocab_size=vocab).high
        scoring = scoring_cost(
            sizes,
            corpus,
            self._machine,
            batch_size=settings.batch_size,
            target_bytes=stored if instance.variant == "teacher" else 0.0,
        )
        generation = generation_cost(
            sizes,
            corpus,
            self._machine,
            batch_size=settings.batch_size,
            answer_tokens=self._answer,
            longest_answer=self._longest_answer,
        )
        return together(scoring, generation)

    def _export(self, _: Instance) -> Cost:
        weights = self._student.parameters * self._machine.bytes_per_value
        memory = HEAVY_BYTES + 3 * weights
        return Cost(memory_bytes=memory, disk_bytes=weights, seconds=0.5 + weights / 2e8)

    def _register(self, _: Instance) -> Cost:
        weights = self._student.parameters * self._machine.bytes_per_value
        return Cost(disk_bytes=weights, seconds=0.1 + weights / 4e8)


def _repeated(corpus: Corpus, times: int) -> Corpus:
    """A corpus whose every example stands there so often, as with several samples of each."""
    return replace(
        corpus,
        examples=corpus.examples * times,
        tokens=corpus.tokens * times,
        answer_tokens=corpus.answer_tokens * times,
    )


def probe_machine(compute: ResolvedCompute) -> Machine:
    """The machine's matrix rate, measured for a tenth of a second on a CPU.

    numpy and torch call equally fast libraries here; a GPU's rate is assumed.
    """
    if compute.device != "cpu":
        return Machine(_GPU_FLOPS, 2 if compute.dtype == "bfloat16" else 4)
    size = 384
    left = np.ones((size, size), np.float32)
    left @ left
    count, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < 0.1:
        left @ left
        count += 1
    return Machine(2.0 * size**3 * count / elapsed, 4)


def _size(size: float) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size:.0f} bytes"
