"""A tokenizer whose chat template asks for no thinking, whoever renders it."""

from __future__ import annotations

import jinja2

from stillhouse.core.errors import ModelError
from stillhouse.core.rows import Message
from stillhouse.tokens.sandbox import find_variables
from stillhouse.tokens.template import ChatTemplate
from stillhouse.tokens.thoughts import is_open
from stillhouse.tokens.tokenizer import TextTokenizer

# Qwen 3, GLM 4.5, SmolLM 3 and Gemma 4 read the first; DeepSeek 3.1, Granite and Kimi the second.
_SWITCHES = ("enable_thinking", "thinking")
_EFFORT = "reasoning_effort"


def silence(tokenizer: TextTokenizer) -> TextTokenizer:
    """The tokenizer with its template's switch for thinking set to off in the template itself.

    So training, labelling, evaluation and whatever serves the student afterwards write one text.

    Args:
        tokenizer: of a model that can think, or of one that never does.

    Returns:
        One with another template, or the same where the template knows no thinking.

    Raises:
        ModelError: the model always thinks, or its template can only tell it how much.
    """
    source = ChatTemplate.of(tokenizer).source
    try:
        variables = find_variables(source)
    except jinja2.TemplateError as error:
        raise ModelError(f"the chat template is not valid Jinja: {error}") from error
    switches = [switch for switch in _SWITCHES if switch in variables]
    if not switches and _EFFORT in variables:
        raise ModelError(
            f"this model cannot be told not to think: its chat template reads {_EFFORT}, which "
            "says how much, and nothing that says not to",
            "say thinking: template; answers without a thought are learned as they are",
        )
    # Lines of their own: a template's line breaks behind such a line are trimmed.
    silent = "".join(f"{{% set {switch} = false %}}\n" for switch in switches) + source
    told = tokenizer.with_template(silent)
    if is_open(ChatTemplate.of(told).prompt_text((Message("user", "a"),))):
        raise ModelError(
            "this model cannot be told not to think: its chat template opens a thought in every "
            "prompt and reads no switch",
            "say thinking: template and give it answers with their thoughts, or take a model that "
            "can leave it",
        )
    return told if switches else tokenizer
