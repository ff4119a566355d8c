"""Speed of a GGUF file of a bundle, asked of llama.cpp in a process of its own."""

from __future__ import annotations

from contextlib import ExitStack

from stillhouse.core.protocols import Progress
from stillhouse.engines.llama_cpp import GgufSettings, LlamaCppEngine
from stillhouse.export.bundle_files import BUNDLE
from stillhouse.recipes.gguf_names import gguf_file
from stillhouse.stages.contract import StageRequest, StageResult
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.speed import time_engine


def run(request: StageRequest, progress: Progress) -> StageResult:
    """Write `scores.parquet`, as of any candidate; answers side by side wait for each other."""
    config = request.config
    path = gguf_file(request.inputs["model"] / BUNDLE, config["gguf"])
    engines: list[LlamaCppEngine] = []
    with ExitStack() as stack:

        def build(corpus: Corpus) -> LlamaCppEngine:
            settings = GgufSettings(threads=config["threads"])
            engine = LlamaCppEngine(path, corpus.tokenizer, corpus.template, settings=settings)
            engines.append(stack.enter_context(engine))
            return engine

        return time_engine(request, progress, build, lambda: engines[0].peak_bytes())
