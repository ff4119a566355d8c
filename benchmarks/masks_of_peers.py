"""Compares our chat templates with the families' own, and our masks with TRL's.

    benchmarks/peers.sh                                    makes the environment
    benchmarks/.peers/bin/python benchmarks/masks_of_peers.py

TRL ships the chat templates of many families as their models came with them, and for training a
second form of each, in which `{% generation %}` marks what is learned. Texts are compared with the
first, masks with the second. `--templates FOLDER` names more of the first, as FAMILY.jinja.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections import Counter
from datetime import datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from tests.tokens.model_families import CONVERSATIONS, FAMILIES, Family, open_family
from transformers import AutoTokenizer

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message
from stillhouse.tokens.encode import encode_conversation
from stillhouse.tokens.template import ChatTemplate, Template
from stillhouse.tokens.tokenizer import TextTokenizer
from stillhouse.tokens.turns import require_written, turns_for

DAY = datetime(2024, 7, 26)
PACKAGES = ("trl", "transformers", "stillhouse")
IN_TRL = {
    "qwen2.5": "qwen2_5", "qwen3": "qwen3", "qwen3-off": "qwen3",
    "qwen3-instruct-2507": "qwen3_instruct_2507", "llama3": "llama3", "llama3.1": "llama3_1",
    "llama3.2": "llama3_2", "gemma": "gemma", "gemma3": "gemma3", "phi3": "phi3",
    "phi3.5": "phi3_5", "deepseek-r1": "deepseekv3", "gpt-oss": "gptoss",
}  # fmt: skip
"""Family -> its file in trl/chat_templates."""


def main() -> None:
    """Print one line of JSON: family -> how many texts are equal, and what TRL learns beside."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--templates", type=Path, help="more templates, FAMILY.jinja each")
    parser.add_argument("--show", action="store_true", help="print every mask that differs")
    given = parser.parse_args()
    found = find_spec("trl")
    trl = Path(next(iter(found.submodule_search_locations or ()))) if found else None
    figures: dict[str, dict[str, Any]] = {}
    for family in FAMILIES:
        if family.name == "gpt2":
            continue
        in_trl = IN_TRL.get(family.name, "")
        name = family.template or family.name
        figures[family.name] = _compare(
            family,
            _find(given.templates, name, trl, in_trl),
            _find(None, "", trl, f"{in_trl}_training"),
            show=given.show,
        )
    versions = {name: version(name) for name in PACKAGES if find_spec(name)}
    print(json.dumps({"benchmark": "masks_of_peers", "figures": figures, "versions": versions}))


def _find(own: Path | None, name: str, trl: Path | None, in_trl: str) -> str | None:
    places = [own / f"{name}.jinja"] if own else []
    places += [trl / "chat_templates" / f"{in_trl}.jinja"] if trl and in_trl else []
    return next((one.read_text(encoding="utf-8") for one in places if one.is_file()), None)


def _compare(
    family: Family, own: str | None, training: str | None, *, show: bool
) -> dict[str, Any]:
    tokenizer, template = open_family(family)
    auto = _open_auto(tokenizer)
    said: dict[str, Any] = {"enable_thinking": False} if family.is_silent else {}
    texts: Counter[str] = Counter()
    masks: Counter[str] = Counter()
    for kind, messages in CONVERSATIONS.items():
        try:
            encoded = encode_conversation(messages, template, tokenizer)
        except InputError:
            encoded = None
        if own:
            texts[_text(auto, own, template, messages, said)] += 1
        if training and encoded:
            theirs = _mask(auto, training, messages, said)
            ours = _runs(auto, encoded.ids, encoded.is_trained)
            masks[_difference(theirs, ours)] += 1
            if show and theirs != ours:
                print(f"{family.name}, {kind}\n  TRL {theirs}\n  we  {ours}", file=sys.stderr)
    return {"texts": dict(texts), "masks": dict(masks)}


def _open_auto(tokenizer: TextTokenizer) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer._backend.save(str(Path(folder) / "tokenizer.json"))
        config = {"tokenizer_class": "PreTrainedTokenizerFast", **tokenizer.specials}
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(config))
        return AutoTokenizer.from_pretrained(folder)


def _theirs(auto: Any, source: str, messages: Any, said: dict[str, Any], **ask: Any) -> Any:
    dated = re.sub(
        r"""strftime_now\((["'])(.*?)\1\)""", lambda it: repr(DAY.strftime(it[2])), source
    )
    turns = turns_for(messages, source)
    return auto.apply_chat_template(turns, chat_template=dated, **said, **ask)


def _text(
    auto: Any, source: str, template: Template, messages: tuple[Message, ...], said: dict[str, Any]
) -> str:
    """Whether prompt and whole text are those of the family's own template."""
    assert isinstance(template, ChatTemplate)
    try:
        theirs = [
            _theirs(auto, source, turns, said, tokenize=False, add_generation_prompt=asks)
            for turns, asks in ((messages[:-1], True), (messages, False))
        ]
    except Exception:  # whatever a template raises
        theirs = []
    try:
        ours = [template.prompt_text(messages[:-1]), template._write(messages, False)]
        require_written(messages, template._write)
    except InputError:
        return "we refuse, they leave out a turn" if theirs else "both refuse"
    return "equal" if ours == theirs else "different" if theirs else "they refuse"


def _mask(auto: Any, source: str, messages: tuple[Message, ...], said: dict[str, Any]) -> list[str]:
    try:
        theirs = _theirs(
            auto, source, messages, said, tokenize=True, return_dict=True,
            return_assistant_tokens_mask=True,
        )  # fmt: skip
    except Exception:  # whatever a template raises
        return []
    return _runs(auto, np.array(theirs["input_ids"]), np.array(theirs["assistant_masks"]))


def _difference(theirs: list[str], ours: list[str]) -> str:
    """What is learned beside our tokens, before and behind each answer."""
    if not theirs:
        return "they refuse"
    if theirs == ours:
        return "equal"
    if len(theirs) != len(ours):
        return f"{len(theirs)} answers for our {len(ours)}"
    beside = set()
    for their, our in zip(theirs, ours, strict=True):
        before, found, behind = their.partition(our)
        beside.add(f"{before!r} before, {behind!r} behind" if found else "another text")
    return "; ".join(sorted(beside))


def _runs(auto: Any, ids: Any, mask: Any) -> list[str]:
    edges = np.flatnonzero(np.diff([0, *mask.astype(int), 0])).reshape(-1, 2)
    return [auto.decode(ids[first:end].tolist()) for first, end in edges]


if __name__ == "__main__":
    main()
