"""The text of a first recipe for somebody's own rows, with a comment where a choice was made."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

from stillhouse.recipes.facts import facts_for
from stillhouse.recipes.first_prompts import measures_of_prompts, stages_of_prompts

Answers = Literal["text", "classes", "json"]
Shape = Literal["template", "messages", "sharegpt"]
"""Of the rows: columns that make up a prompt, or conversations."""
SCRATCH = "scratch"
"""A teacher or student that starts from random weights."""

SCHEMA_LINE = "# yaml-language-server: $schema="
API_KINDS = {
    "openai": ("OPENAI_API_KEY", "api.openai.com"),
    "anthropic": ("ANTHROPIC_API_KEY", "api.anthropic.com"),
    "gemini": ("GEMINI_API_KEY", "generativelanguage.googleapis.com"),
    "ollama": ("", ""),
}
_LINE = 100
_HUB = '"huggingface.co", "*.huggingface.co", "*.hf.co"'
_TEACHER = "hidden_size: 192, intermediate_size: 576, num_hidden_layers: 3, num_attention_heads: 6"
_MANY, _VERY_MANY = 6_000, 30_000
"""Rows from which on the holdout is a number, and from which on a part is learned from.
assumption: a first result within some minutes on a processor is worth more than all rows."""
_MOST_STEPS = 1000  # assumption: as above; measured: 0.1 to 0.3 s each on two cores
_PLACE = re.compile(r"{([^{}]+)}")
_NO_PLACE = re.compile(r"[\[\]:!]")
"""In the name of a column: signs that mean something else between braces."""
_STUDENT = "hidden_size: 128, intermediate_size: 384, num_hidden_layers: 2, num_attention_heads: 4"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a first recipe is made of.

    Attributes:
        name: of the recipe: small letters, digits, `.`, `_` and `-`.
        file: of the rows, as the recipe writes it.
        user: the prompt, with `{column}` places; empty for conversations.
        answer: the column of the answer; empty for conversations, and where rows hold only prompts.
        answers: whether it is a text, one of a few classes, or a JSON object.
        classes: all of them, where it is one of a few.
        teacher: `scratch`, a hub id, a folder, or KIND:MODEL behind an API.
        student: `scratch`, a hub id or a folder.
        schema: where the JSON Schema of recipes lies, for editors, from the recipe's folder on;
            empty for no such line.
        shape: of the rows.
        conversation: the column that holds the conversation; empty for plain columns.
        reading: further keys of `collect.source`, such as its encoding.
        num_rows: of the file.
    """

    name: str
    file: str
    user: str = ""
    answer: str = ""
    answers: Answers = "text"
    classes: tuple[str, ...] = ()
    teacher: str = SCRATCH
    student: str = SCRATCH
    schema: str = ""
    shape: Shape = "template"
    conversation: str = ""
    reading: tuple[tuple[str, str], ...] = ()
    num_rows: int = 0

    @property
    def is_prompts_only(self) -> bool:
        """Whether nobody but the teacher answers."""
        return not (self.answer or self.conversation)

    @property
    def api(self) -> tuple[str, str] | None:
        """Kind and model of a teacher behind an API."""
        kind, colon, model = self.teacher.partition(":")
        return (kind, model) if colon and kind in API_KINDS and model else None


def first_recipe(wishes: Wishes) -> str:
    """The recipe's text.

    Args:
        wishes: what it is made of.

    Returns:
        YAML; valid where the wishes are.
    """
    parts = (_head(wishes), _models(wishes), _rows(wishes), _stages(wishes), _measures(wishes))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _said(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _head(wishes: Wishes) -> str:
    line = f"{SCHEMA_LINE}{wishes.schema}\n" if wishes.schema else ""
    return f"""{line}# stillhouse check FILE tells what this costs, stillhouse run FILE does it.
name: {_said(wishes.name)}
network: {_network(wishes)}  # what the run may reach; nothing else is let through
"""


def _network(wishes: Wishes) -> str:
    api = wishes.api
    asks_hub = _is_hub(wishes.student) or (api is None and _is_hub(wishes.teacher))
    host = API_KINDS[api[0]][1] if api else ""
    if host:
        return f'["{host}", {_HUB}]' if asks_hub else f'["{host}"]'
    return "hub" if asks_hub else "none"


def _is_hub(model: str) -> bool:
    return model != SCRATCH and model.count("/") == 1 and not model.startswith((".", "~", "/"))


def _models(wishes: Wishes) -> str:
    teacher = _of_api(*wishes.api) if wishes.api else _model(wishes.teacher, _TEACHER, True)
    student = _model(wishes.student, _STUDENT, wishes.api is not None)
    return f"\nteacher:\n{teacher}\nstudent:\n{student}\n"


def _model(model: str, sizes: str, learns_tokenizer: bool) -> str:
    if model == SCRATCH:
        tokenizer = "\n    tokenizer: {vocab_size: 2000}  # learned from the rows"
        return f"""  scratch:  # random weights: small, offline, and it knows nothing but your rows
    model_type: qwen3
    config: {{{sizes},
             num_key_value_heads: 2, head_dim: 32, max_position_embeddings: 512,
             tie_word_embeddings: true}}{tokenizer if learns_tokenizer else ""}"""
    if not _is_hub(model):
        return f"  path: {_said(model)}"
    facts = facts_for(model)
    pinned = f"\n  revision: {facts.revision}" if facts and facts.revision else ""
    thinks = facts is not None and facts.thinking == "switchable"
    silent = '\n  thinking: "off"' if thinks and learns_tokenizer else ""
    return f"  hub: {_said(model)}{pinned}{silent}"


def _of_api(kind: str, model: str) -> str:
    key, host = API_KINDS[kind]
    lines = ["  api:", f"    kind: {kind}", f"    model: {_said(model)}"]
    if key:
        lines.append(f"    key_env: {key}  # the environment variable that holds the key")
    if kind == "ollama":
        lines.append("    context_tokens: 2048  # room for the longest prompt and its answer")
    if host:
        lines.append("    budget_usd: 5.0  # nothing is asked beyond it")
        lines.append(f"  # accept_terms: {kind}  # say this once you have read its terms and may")
    return "\n".join(lines)


def _rows(wishes: Wishes) -> str:
    form = {"classes": "label", "json": "json", "text": "text"}[wishes.answers]
    more = "".join(f", {key}: {_said(value)}" for key, value in wishes.reading)
    answer = f"\n  answer: {_said(wishes.answer)}" if wishes.answer else ""
    part = "unlabelled" if wishes.is_prompts_only else "labelled"
    user, columns = _places(wishes)
    if wishes.conversation:
        prompt = f"""  shape: {wishes.shape}  # the last turn of the assistant is the answer
  conversation: {_said(wishes.conversation)}"""
    else:
        prompt = f"  user: {_said(user)}  # what is asked{answer}"
    return f"""
collect:
  source: {{file: {_said(wishes.file)}{more}}}{columns}
prepare:
{prompt}
  answer_format: {form}
  max_tokens: 512  # prompt and answer; a longer prompt is cut, an answer never
  split: {{parts: {_parts(part, wishes.num_rows)}
"""


def _places(wishes: Wishes) -> tuple[str, str]:
    """The prompt, and its columns by other names where one cannot stand in braces as it is."""
    named = dict.fromkeys(_PLACE.findall(wishes.user))
    if not any(map(_NO_PLACE.search, named)):
        return wishes.user, ""
    renamed = {wishes.answer: wishes.answer} if wishes.answer else {}
    for name in named:
        ours = re.sub(r"\W+", "_", name).strip("_") or "asked"
        while ours in renamed:
            ours += "_"
        renamed[ours] = name
    ours_of = {name: ours for ours, name in renamed.items()}
    user = _PLACE.sub(lambda place: f"{{{ours_of[place[1]]}}}", wishes.user)
    said = ", ".join(f"{_said(ours)}: {_said(name)}" for ours, name in renamed.items())
    return user, f"\n  columns: {{{said}}}  # names that can stand in braces"


def _parts(part: str, num_rows: int) -> str:
    """Shares, not counts, which rows without an answer could be too many for."""
    if num_rows < _MANY:
        return f"{{{part}: rest, validation: 0.1, holdout: 0.15}}}}  # the holdout measures"
    learned, validation, holdout = (f"{many / num_rows:.4g}" for many in (16_000, 500, 1000))
    measured = f"validation: {validation}, holdout: {holdout}"
    if num_rows < _VERY_MANY:
        return f"{{{part}: rest, {measured}}}}}  # the holdout measures: 1,000 rows"
    return f"""{{{part}: {learned}, {measured}}}}}
  # 16,000 rows are a first look: {part}: rest learns from all that the holdout leaves"""


def _stages(wishes: Wishes) -> str:
    if wishes.is_prompts_only:
        return stages_of_prompts(_training(wishes.student), is_api=wishes.api is not None)
    if wishes.api:
        return """
label: {completions: teacher, targets: none, parts: [labelled]}  # an API gives text alone
train:
  parts: [labelled]
  weights: {forward_kl: 0.0, cross_entropy: 1.0}
""" + _training(wishes.student)
    return f"""
finetune:  # the teacher learns your rows first
  parts: [labelled]
{_training(wishes.teacher)}
label: {{parts: [labelled], completions: gold}}  # your answers, the teacher's probabilities
train:
  parts: [labelled]
{_training(wishes.student)}
  twin: {{parts: [labelled]}}  # the same student without a teacher: what it must beat
"""


def _training(model: str) -> str:
    if model == SCRATCH:
        return f"""  length: {{epochs: 8.0, most_steps: {_MOST_STEPS}, batch_size: 16}}
  optimizer: {{learning_rate: 2.0e-3, warmup_steps: 20}}"""
    return """  length: {epochs: 2.0, batch_size: 4, accumulation: 4}
  gradient_checkpointing: true
  optimizer: {learning_rate: 2.0e-4, warmup_steps: 10}
  lora: {rank: 16, alpha: 32.0}  # a small part of the weights learns"""


def _measures(wishes: Wishes) -> str:
    if wishes.is_prompts_only:
        is_json = wishes.answers == "json"
        lines = measures_of_prompts(is_api=wishes.api is not None, is_json=is_json)
        return "\n".join(["", *lines, f"register: {{name: {_said(wishes.name)}}}"])
    name = wishes.answer if wishes.answers == "json" else "answer"
    lines = ["", "evaluate:"]
    if wishes.answers == "classes":
        lines.append(_classes(name, wishes.classes))
    lines.append(f"  metrics: [{'cross_entropy' if wishes.api else 'kl_to_teacher'}, exact_match]")
    lines += [
        "gate:",
        "  enforce: false  # true refuses a student that breaks a rule",
        "  rules: [{metric: exact_match, against: teacher, at_least: -0.1, decide_by: point}]",
        f"register: {{name: {_said(wishes.name)}}}",
    ]
    return "\n".join(lines)


def _classes(name: str, classes: tuple[str, ...]) -> str:
    """The field of an answer that is one of a few, in lines that an editor shows whole."""
    named = ", ".join(map(_said, classes))
    whole = f"  fields: {{{name}: {{kind: label, classes: [{named}]}}}}"
    if len(whole) <= _LINE:
        return whole
    lines, indent = [""], " " * 14
    for one in map(_said, classes):
        if len(indent + lines[-1] + one) >= _LINE:
            lines.append("")
        lines[-1] += f"{one}, "
    inner = f"\n{indent}".join(line.rstrip() for line in lines).rstrip(",")
    return f"  fields:\n    {name}:\n      kind: label\n      classes: [{inner}]"
