"""How a student was asked, told to whoever will ask it: the bundle's `prompt.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stillhouse.evals.answers import parse_object
from stillhouse.export.prompt_file import PromptFile, write_prompt_file
from stillhouse.stages.corpus import TEMPLATE, Corpus

_NO_LIMIT = 2**31


def ship_prompt(prepared: Path, corpus: Corpus, bundle: Path) -> None:
    """Write the file; nothing where rows are conversations, which bring their own prompts.

    Args:
        prepared: the artifact of `prepare`.
        corpus: the same, as the student reads it.
        bundle: of the export.
    """
    manifest: dict[str, Any] = json.loads((prepared / "manifest.json").read_bytes())
    config = manifest["config"]
    prepare = config["prepare"]
    if prepare["shape"] != "template":
        return
    limits = [limit for limit in (config["context"], prepare["max_tokens"]) if limit]
    template = json.loads((corpus.tokenizer_folder.parent / TEMPLATE).read_bytes())["template"]
    write_prompt_file(
        PromptFile(
            system=prepare["system"] or "",
            user=prepare["user"],
            cut_field=prepare["cut_field"] or "",
            max_tokens=min(limits, default=_NO_LIMIT),
            room_for_answer=config["room_for_answer"],
            template=template,
            answer_fields=_fields(corpus) if prepare["answer_format"] == "json" else (),
        ),
        bundle,
    )


def _fields(corpus: Corpus) -> tuple[str, ...]:
    """Those of the first answer that is an object."""
    answers = (parse_object(one.answer) for one in corpus.examples if one.answer)
    return tuple(next((told for told in answers if told), ()))
