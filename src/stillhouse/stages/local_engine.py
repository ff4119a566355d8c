"""A model of this machine that a step of the rows asks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stillhouse.core.protocols import Generator
from stillhouse.engines.transformers import TransformersEngine
from stillhouse.models.inference import is_encoder_decoder
from stillhouse.recipes.step_engine import StepEngine, location_of
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.weights import finished_model
from stillhouse.tokens.template import SourceTemplate, build_template
from stillhouse.tokens.tokenizer import load_tokenizer


def local_engine(
    request: StageRequest, place: str, engine: StepEngine, schema: Mapping[str, Any] | None = None
) -> Generator:
    """The model of a step's engine, in memory.

    Args:
        request: of the step's instance; its locations say where the model's folder is.
        place: the engine's key below the step.
        engine: its settings.
        schema: a JSON Schema that every answer fits which ends itself; None for any text.

    Returns:
        It completes prompts.

    Raises:
        ModelError: the model cannot be loaded, or has no chat template.
    """
    config: dict[str, Any] = request.config["engines"][place]
    torch.set_num_threads(config["threads"])
    folder = Path(request.locations[location_of(request.variant, place)])
    model = finished_model(config, None, str(folder))
    tokenizer = load_tokenizer(folder)
    if is_encoder_decoder(model):
        return TransformersEngine(
            model, tokenizer, SourceTemplate.of(tokenizer), answer_schema=schema
        )
    template = engine.model_dump(mode="json")["template"]
    built = build_template(template, tokenizer)
    return TransformersEngine(model, tokenizer, built, answer_schema=schema)
