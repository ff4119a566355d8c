"""Training a student of several domains: adapters one after the other on one frozen base.

The base is loaded once. An adapter that is done lies in the scratch folder with a seal, so that a
crash costs at most the steps since the last checkpoint of the domain in work. Each draws from a
seed of its own name: whichever others are trained, and in which order, changes none of its bits.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedModel

from stillhouse.core.errors import InputError
from stillhouse.core.files import sync_tree, write_json
from stillhouse.core.hashing import digest_value
from stillhouse.core.kd_metrics import KD_METRICS, Series
from stillhouse.core.protocols import Progress
from stillhouse.export.merge import write_adapter
from stillhouse.models.adapters import add_lora
from stillhouse.models.domains import put_domains
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.training import Train
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.domain_files import KD_CONFIG, KD_SUMMARY, SECONDS_OF
from stillhouse.stages.domain_summary import measure, summarise
from stillhouse.stages.training import (
    Learning,
    frozen_base,
    learn,
    told_of,
    trackers_of,
    write_record,
)
from stillhouse.stages.weights import ADAPTERS, MODEL, adapter_folders, use_compute
from stillhouse.students.checkpoints import delete_checkpoints
from stillhouse.students.train import Setting

LearningOf = Callable[[StageRequest, Corpus], Learning]
_SEED_DIGITS = 8


def train_domains(
    request: StageRequest, corpus: Corpus, learning_of: LearningOf, progress: Progress
) -> StageResult:
    """Write `adapters_kd/DOMAIN` for each domain, and `kd_summary.json`.

    Args:
        request: where, and the digest that a resume must match.
        corpus: of all domains.
        learning_of: what is learned from one domain's corpus.
        progress: hears of every step.

    Returns:
        What holds of all domains together; as measured, the seconds of each, and of its steps.

    Raises:
        InputError: a domain has nothing to learn from; names it.
    """
    use_compute(request.config)
    lessons = {}
    for name in request.config["domains"]:
        with _named(name):
            lessons[name] = learning_of(request, corpus.of_domain(name))
    base, base_folder = frozen_base(request, corpus, next(iter(lessons.values())))
    work = _Work(request, base_folder, progress)
    done: dict[str, _Done] = {}
    for name, learning in lessons.items():
        done[name] = work.find(name) or work.train(name, base, learning)
    # Copied, not moved: after a crash from here on they must be found again.
    shutil.copytree(
        request.scratch / ADAPTERS, request.out / ADAPTERS, copy_function=shutil.copyfile
    )
    adapted = put_domains(base, adapter_folders(request.out), request.config["device"])
    distances = {
        name: measure(adapted, name, learning.data.validation, corpus.tokenizer.vocab_size)
        for name, learning in lessons.items()
    }
    summary = summarise({name: one.told for name, one in done.items()}, distances)
    write_json(request.out / KD_SUMMARY, summary)
    seconds = {f"{SECONDS_OF}{name}": one.seconds for name, one in done.items()}
    series = {
        f"{name}/{column}": values
        for name, one in done.items()
        for column, values in one.series.items()
    }
    return StageResult(summary["overall"], seconds, series)


def seed_of(seed: int, domain: str) -> int:
    """The seed of one domain's training, whatever its place among the others."""
    return int(digest_value([seed, domain])[:_SEED_DIGITS], 16)


@contextmanager
def _named(domain: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"the domain {domain!r}: {error.message}", error.hint) from error


@dataclass(frozen=True, slots=True)
class _Done:
    """What the seal of a finished adapter tells.

    Attributes:
        artifact_id: what it was trained for.
        seconds: of its training, since the last start.
        told: of the training: JSON values, equal in every run of the same artifact.
        series: of the training, since its first start.
    """

    artifact_id: str
    seconds: float
    told: dict[str, Any]
    series: Series = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Work:
    """The scratch folder of a training: `adapters_kd` with what is learned, `done` with seals."""

    request: StageRequest
    base_folder: Path | None
    progress: Progress

    def find(self, name: str) -> _Done | None:
        """What is sealed of a domain."""
        path = self._seal(name)
        if not path.is_file():
            return None
        done = _Done(**json.loads(path.read_bytes()))
        return done if done.artifact_id == self.request.artifact_id else None

    def train(self, name: str, base: PreTrainedModel, learning: Learning) -> _Done:
        """Write and seal the adapter of a domain; the base is as it was before."""
        started = time.monotonic()
        section = learning.training
        training = section.model_copy(update={"seed": seed_of(section.seed, name)})
        assert isinstance(training, Train)
        assert training.lora is not None
        model = add_lora(base, training.lora, training.seed)
        setting = self._setting(name, model, training)
        result = learn(model, replace(learning, training=training), setting)
        folder = self._folder(name)
        write_adapter(model, folder, f"../../{MODEL}", self.base_folder)
        write_json(folder / KD_CONFIG, _kd_config(name, training))
        write_record(folder / KD_METRICS, result)
        told = told_of(learning, model, result) | {"seed": training.seed}
        sync_tree(folder)
        seconds = time.monotonic() - started
        done = _Done(self.request.artifact_id, seconds, told, result.series)
        self._seal(name).parent.mkdir(exist_ok=True)
        write_json(self._seal(name), asdict(done))
        delete_checkpoints(setting.workdir)
        model.unload()
        return done

    def _setting(self, name: str, model: PeftModel, training: Train) -> Setting:
        config, folder = self.request.config, self._folder(name)
        names: list[str] = config["domains"]
        place = names.index(name)

        def keep(step: int) -> None:
            if training.length.checkpoint_every:
                write_adapter(model, folder / f"checkpoint_{step}", f"../../../{MODEL}")

        def tell(done: int, total: int, unit: str, **values: float) -> None:
            # As if all were as long as this one.
            self.progress(place * total + done, len(names) * total, unit, **values)

        return Setting(
            ResolvedCompute(config["device"], config["dtype"], config["threads"]),
            self.request.scratch / "training" / name,
            f"{self.request.artifact_id} {name}",
            tell,
            config.get("deepspeed"),
            keep,
            trackers_of(self.request, name),
        )

    def _folder(self, name: str) -> Path:
        return self.request.scratch / ADAPTERS / name

    def _seal(self, name: str) -> Path:
        return self.request.scratch / "done" / f"{name}.json"


def _kd_config(name: str, training: Train) -> dict[str, Any]:
    """The training as it was, with the two numbers that other tools call alpha and scale."""
    assert training.lora is not None
    weights = dict(training.weights)
    taught = sum(weights.values()) - weights["cross_entropy"]
    return {
        "domain": name,
        "kd_alpha": taught / sum(weights.values()),
        "lora_scale": training.lora.alpha / training.lora.rank,
        "training": training.model_dump(mode="json", by_alias=True),
    }
