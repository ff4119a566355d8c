"""Export: the student as a bundle to use, proved equal to what was trained and measured."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.core.kd_metrics import KD_METRICS
from stillhouse.core.protocols import Progress
from stillhouse.core.rows import Example
from stillhouse.data.storage import read_completions
from stillhouse.evals.without_right import NOT_KNOWN
from stillhouse.export.bundle import BASE, ExportReport, Student, export_student
from stillhouse.export.bundle_files import BUNDLE
from stillhouse.export.data_card import DataFacts
from stillhouse.export.domains import DomainStudent, export_domains
from stillhouse.export.int8_order import Int8Order
from stillhouse.export.llama_cpp_order import LlamaCppOrder
from stillhouse.export.model_card import CardFacts
from stillhouse.export.parity import largest_difference
from stillhouse.export.version_info import VersionFacts
from stillhouse.recipes.measuring import Export
from stillhouse.stages.asking_again import spread
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus, open_corpus
from stillhouse.stages.data_facts import data_facts, manifests_of
from stillhouse.stages.domain_files import KD_CONFIG, KD_SUMMARY
from stillhouse.stages.evaluate_files import COMPLETIONS
from stillhouse.stages.holding import licences_in_words
from stillhouse.stages.sections import section_of
from stillhouse.stages.shipped_prompt import ship_prompt
from stillhouse.stages.weights import (
    ADAPTER,
    ADAPTERS,
    MODEL,
    adapter_folders,
    finished_model,
    load_options,
    use_compute,
)

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

MANIFEST = "manifest.json"
_PROBES = 8
_LEARNED = 128
"""assumption: enough texts for the mean square of what goes through a column."""

_WHOLE = {"quantization": "none"}
"""An adapter is merged into the weights that were quantised, not into what became of them."""


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write the folder `bundle`."""
    config = request.config
    use_compute(config)
    export = section_of(Export, config["export"])
    corpus = open_corpus(request.inputs["examples"])
    has_domains = (request.inputs["model"] / ADAPTERS).is_dir()
    write = _write_adapters if has_domains else _write_student
    report, found = write(request, corpus, export)
    ship_prompt(request.inputs["examples"], corpus, request.out / BUNDLE)
    progress(1, 1, "bundles")
    size = sum((request.out / BUNDLE / name).stat().st_size for name in report.files)
    parity = [dataclasses.asdict(item) for item in report.parity]
    summary = {"formats": list(report.formats), "parity": parity, "bytes": size}
    if report.gguf:
        summary["gguf"] = [dataclasses.asdict(item) for item in report.gguf]
    if report.int8:
        summary["int8"] = dataclasses.asdict(report.int8)
    return StageResult(summary | found)


def _trained_over(
    request: StageRequest, shipped: PreTrainedModel | PeftModel, probes: Sequence[NDArray[np.int32]]
) -> dict[str, Any]:
    """What quantised weights the student was trained over, and how far what ships is from that."""
    config, folder = request.config, request.locations.get("student")
    quantization = load_options(config).quantization
    if quantization == "none":
        return {}
    trained = finished_model(config | {"dtype": "float32"}, request.inputs["model"], folder)
    return {
        "trained_over": quantization,
        "ships_over": "the base as it was before it was quantised",
        "max_logit_difference": largest_difference(trained, shipped, probes),
    }


_Written = tuple[ExportReport, dict[str, Any]]
"""What was written, and what else is found of it."""


def _write_student(request: StageRequest, corpus: Corpus, export: Export) -> _Written:
    config = request.config
    examples = _with_answers(corpus.of_parts(["holdout"]), request.inputs["numbers"])
    holdout = examples[:_PROBES]
    folder = request.locations.get("student")
    # As the recipe says, and not in the run's dtype: what ships loses no bit that nobody gave up.
    whole = config | {"dtype": export.dtype, "model": {**config.get("model", {}), **_WHOLE}}
    model = finished_model(whole, request.inputs["model"], folder)
    own_base = _own_base(request.inputs["model"])
    student = Student(
        model,
        corpus.tokenizer_folder,
        f"../{BASE}" if own_base else config["model_card"]["base"],
        _card_facts(request),
        own_base,
        load_options(whole),
        own_base or (Path(folder) if folder else None),
        _for_llama_cpp(request, export, corpus, examples),
        _version(request),
        _in_8_bits(request, export, corpus, examples),
        _data(request),
    )
    probes = [corpus.encode(example).ids for example in holdout]
    report = export_student(student, export.formats, request.out / BUNDLE, probes)
    return report, _trained_over(request, model, probes)


def _with_answers(examples: Sequence[Example], numbers: Path) -> list[Example]:
    """The same; where no gold answer is known, with the student's own, on which forms compare."""
    said = {one.example_id: one.text for one in read_completions(numbers / COMPLETIONS)}
    return [
        dataclasses.replace(one, answer=said.get(one.example_id)) if one.answer is None else one
        for one in examples
    ]


def _for_llama_cpp(
    request: StageRequest, export: Export, corpus: Corpus, examples: Sequence[Example]
) -> LlamaCppOrder | None:
    files, card = export.gguf_files, request.config["model_card"]
    if files is None:
        return None
    return LlamaCppOrder(
        name=card["recipe"],
        licence=card["licences"].get("student weights", ""),
        licences=_card_facts(request).licence_text(),
        base=card["base"],
        whole="gguf" in export.formats,
        adapter="gguf_adapter" in export.formats,
        files=files,
        modelfile=export.modelfile,
        tokenizer=corpus.tokenizer,
        template=corpus.template,
        examples=examples[: files.examples],
        threads=request.config.get("threads") or 0,
        answer_schema=request.config.get("answer_schema"),
        answer_tokens=request.config.get("answer_tokens", 0),
        learned=_learned(request, corpus),
        converter=Path(folder) if (folder := request.locations.get("llama_cpp")) else None,
    )


def _learned(request: StageRequest, corpus: Corpus) -> list[Example]:
    """Some of the examples that the student learned from, spread over all of them."""
    examples = corpus.of_parts(request.config.get("importance_parts", ()))
    return [examples[place] for place in spread(len(examples), _LEARNED)]


def _in_8_bits(
    request: StageRequest, export: Export, corpus: Corpus, examples: Sequence[Example]
) -> Int8Order | None:
    wanted = export.int8_form
    if wanted is None:
        return None
    return Int8Order(
        wanted,
        corpus.tokenizer,
        corpus.template,
        examples[: wanted.examples],
        max(wanted.max_new_tokens, request.config.get("answer_tokens", 0)),
        request.config.get("answer_schema"),
    )


def _write_adapters(request: StageRequest, corpus: Corpus, _: Export) -> _Written:
    trained = request.inputs["model"]
    own_base = _own_base(trained)
    student = DomainStudent(
        adapter_folders(trained),
        (KD_CONFIG, KD_METRICS),
        corpus.tokenizer_folder,
        f"../../{BASE}" if own_base else request.config["model_card"]["base"],
        _card_facts(request),
        own_base,
        _version(request),
        _data(request),
    )
    bundle = request.out / BUNDLE
    bundle.mkdir()
    shutil.copyfile(trained / KD_SUMMARY, bundle / KD_SUMMARY)
    return export_domains(student, bundle), {}


def _card_facts(request: StageRequest) -> CardFacts:
    card, export = request.config["model_card"], request.config["export"]
    *_, rows = manifests_of(request.inputs["examples"])
    return CardFacts(
        name=card["recipe"],
        recipe=card["recipe"],
        teacher=card["teacher"],
        base=card["base"],
        metrics=_metrics(request.inputs["numbers"]),
        licences=card["licences"] | {"rows": licences_in_words(rows)},
        warnings=(*_reference(request), *rows["summary"].get("warnings", ())),
        notices=tuple(card["notices"]),
        texts=card["texts"],
        metadata=card["hub"],
        ollama=(export["modelfile"] or {}).get("name", ""),
    )


def _reference(request: StageRequest) -> Iterator[str]:
    if _summary(request.inputs["numbers"]).get("reference") == "teacher":
        yield NOT_KNOWN


def _data(request: StageRequest) -> DataFacts:
    learned = int(_summary(request.inputs["model"])["examples"])
    return data_facts(request.config["model_card"]["recipe"], request.inputs["examples"], learned)


def _own_base(trained: Path) -> Path | None:
    """The base that a train artifact holds beside its adapters where nobody else has it."""
    base, kinds = trained / MODEL, (ADAPTER, ADAPTERS)
    return base if any((trained / kind).is_dir() for kind in kinds) and base.is_dir() else None


def _version(request: StageRequest) -> VersionFacts:
    trained = request.inputs["model"]
    # Written last, when the training ended.
    ended = datetime.fromtimestamp((trained / MANIFEST).stat().st_mtime, UTC)
    return VersionFacts(
        version=request.artifact_id,
        training_date=ended.date().isoformat(),
        base_model=request.config["model_card"]["base"],
        training_data_size=int(_summary(trained)["examples"]),
        validation_metrics={
            name: {key: metric[key] for key in ("value", "low", "high")}
            for name, metric in _summary(request.inputs["numbers"])["metrics"].items()
        },
        measured_against=_summary(request.inputs["numbers"]).get("reference", "gold"),
    )


def _metrics(folder: Path) -> dict[str, str]:
    return {
        metric["title"]: f"{metric['value']:.4g} ({metric['low']:.4g} to {metric['high']:.4g})"
        for metric in _summary(folder)["metrics"].values()
    }


def _summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())["summary"]
    return summary
