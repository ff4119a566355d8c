"""Any template as the Jinja text that other tools read out of a model's file."""

from __future__ import annotations

from stillhouse.core.errors import ModelError
from stillhouse.tokens.template import ChatTemplate, PlainTemplate, Template

_ESCAPED = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def jinja_of(template: Template) -> str:
    """A template that writes the same texts for turns of the system, the user and the assistant.

    Args:
        template: of decoder models.

    Returns:
        Jinja text with `messages` and `add_generation_prompt`; a tokenizer's own as it is.

    Raises:
        ModelError: it writes no conversations.
    """
    if isinstance(template, ChatTemplate):
        return template.source
    if not isinstance(template, PlainTemplate):
        raise ModelError(
            "an encoder's template writes no conversations", "ship the format merged alone"
        )
    turns = "".join(
        f"{{% {word} message['role'] == '{role}' %}}{_turn(template, role)}"
        for word, role in (("if", "system"), ("elif", "user"), ("elif", "assistant"))
    )
    opening, _, _ = template.assistant.partition("{content}")
    return (
        f"{_text(template.bos)}{{% for message in messages %}}{turns}{{% else %}}"
        "{{ raise_exception('no turn of the role ' + message['role'] + ' is written') }}"
        f"{{% endif %}}{{% endfor %}}{{% if add_generation_prompt %}}{_text(opening)}{{% endif %}}"
    )


def _turn(template: PlainTemplate, role: str) -> str:
    before, _, after = str(getattr(template, role)).partition("{content}")
    ending = after + (template.eos if role == "assistant" else "")
    return f"{_text(before)}{{{{ message['content'] }}}}{_text(ending)}"


def _text(text: str) -> str:
    """A text as an expression, so that nothing in it is taken for Jinja."""
    return f"{{{{ '{text.translate(_ESCAPED)}' }}}}" if text else ""
