"""One row as prompt, answer and reference, for each shape that rows come in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message, Row
from stillhouse.data.domains import domain_of
from stillhouse.data.drafts import Draft, draft_of
from stillhouse.data.nearest import did_you_mean
from stillhouse.data.paths import value_at
from stillhouse.data.templates import as_text, parse_template
from stillhouse.data.tool_calls import read_tool_calls, require_results_in_order
from stillhouse.recipes.domains import Domain
from stillhouse.recipes.rows import Prepare

Turns = tuple[Message, ...]

NO_DOMAINS: Mapping[str, Domain] = MappingProxyType({})

_ROLES = {name: name for name in ("system", "user", "assistant", "tool")} | {"developer": "system"}
_SHAREGPT_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
}


def build_shaper(
    prepare: Prepare, domains: Mapping[str, Domain] = NO_DOMAINS
) -> Callable[[Row], Draft]:
    """The function that makes a draft of a row, as the recipe's `prepare` says.

    Args:
        prepare: shape, templates and the names of the fields.
        domains: of the recipe, by name.

    Returns:
        row -> draft; raises InputError with file and line for a row that does not fit.

    Raises:
        InputError: a template that cannot be parsed.
    """
    read_turns = _SHAPES[prepare.shape](prepare)
    common = parse_template(prepare.system, "prepare.system") if prepare.system else None
    own = {
        name: parse_template(domain.system, f"domains.{name}.system")
        for name, domain in domains.items()
        if domain.system
    }

    def shape(row: Row) -> Draft:
        read = read_turns(row)
        turns = read.turns
        domain = domain_of(row, prepare.domain_field or "") if domains else ""
        system = own.get(domain, common)
        if system and not any(turn.role == "system" for turn in turns):
            turns = (Message("system", system.fill(row)), *turns)
        if prepare.answer:
            value = value_at(row, prepare.answer, "prepare.answer")
            prompt, answer = turns, as_text(value, prepare.answer_indent)
        else:
            prompt, answer = _cut_last_answer(turns, row.provenance)
        reference = answer
        if prepare.reference:
            value = value_at(row, prepare.reference, "prepare.reference")
            reference = as_text(value, prepare.answer_indent)
        draft = draft_of(row, prompt, answer, reference)
        return replace(
            draft,
            own_text=read.own_text,
            has_content=read.has_content,
            cuttable=read.cuttable,
            domain=domain,
        )

    return shape


def _cut_last_answer(turns: Turns, where: str) -> tuple[Turns, str | None]:
    if turns and turns[-1].role == "assistant":
        if turns[-1].tool_calls:
            raise InputError(
                f"{where}: the last turn calls a tool, and what is learned last is a text",
                "end the conversation with the answer, or cut it before that turn",
            )
        return turns[:-1], turns[-1].content
    return turns, None


@dataclass(frozen=True, slots=True)
class _Read:
    """The turns of a row, with what a draft tells of them."""

    turns: Turns
    own_text: str
    has_content: bool
    cuttable: tuple[int, int] | None = None


_Reader = Callable[[Row], _Read]


def _template(prepare: Prepare) -> _Reader:
    user = parse_template(prepare.user or "", "prepare.user")
    if not user.paths:
        raise InputError(
            f'prepare.user is "{prepare.user}", which names no field: every prompt would be the '
            "same",
            'put a field in braces, for example "{text}"',
        )

    cut = prepare.cut_field
    if cut and user.paths.count(cut) != 1:
        raise InputError(
            f'prepare.cut_field is "{cut}", which stands {user.paths.count(cut)} times in '
            f"prepare.user{did_you_mean(cut, user.paths)}",
            f"name a field that stands there once: {', '.join(user.paths)}",
        )

    def read(row: Row) -> _Read:
        place = user.place_in(row, cut) if cut else None
        own_text = user.own_text(row)
        turns = (Message("user", user.fill(row)),)
        return _Read(turns, own_text, bool(own_text.strip()), place)

    return read


def _messages(prepare: Prepare) -> _Reader:
    return _conversation(prepare.conversation or "messages", ("role", "content"), _ROLES)


def _sharegpt(prepare: Prepare) -> _Reader:
    return _conversation(
        prepare.conversation or "conversations", ("from", "value"), _SHAREGPT_ROLES
    )


def _conversation(path: str, keys: tuple[str, str], roles: dict[str, str]) -> _Reader:
    def read(row: Row) -> _Read:
        value = value_at(row, path, "prepare.conversation")
        turns = _turns(value, keys, roles, f"{row.provenance}: {path}")
        return _asked(turns, turns)

    return read


def _prompt_completion(prepare: Prepare) -> _Reader:
    prefix = f"{prepare.conversation}." if prepare.conversation else ""

    def read(row: Row) -> _Read:
        sides = []
        for name, role in (("prompt", "user"), ("completion", "assistant")):
            if name == "completion" and prepare.answer:
                continue
            value = value_at(row, prefix + name, "prepare.shape prompt_completion")
            sides.append(_side(value, role, f"{row.provenance}: {prefix}{name}"))
        return _asked(tuple(turn for side in sides for turn in side), sides[0])

    return read


def _side(value: Any, role: str, where: str) -> Turns:
    if value is None:
        return ()
    if isinstance(value, str):
        return (Message(role, value),)
    return _turns(value, ("role", "content"), _ROLES, where)


def _asked(turns: Turns, prompt: Turns) -> _Read:
    asked = [turn.content for turn in prompt if turn.role in ("user", "tool")]
    return _Read(turns, "\n".join(asked), bool(asked) and bool(asked[-1].strip()))


def _turns(value: Any, keys: tuple[str, str], roles: dict[str, str], where: str) -> Turns:
    role_key, content_key = keys
    if not isinstance(value, list):
        raise InputError(
            f"{where} is not a list of turns",
            f'a turn is {{"{role_key}": "{next(iter(roles))}", "{content_key}": "text"}}',
        )
    turns = []
    for index, turn in enumerate(value):
        at = f"{where}[{index}]"
        if not isinstance(turn, dict) or not _is_whole(turn, role_key, content_key):
            raise InputError(
                f"{at} has no {role_key} and {content_key}",
                "choose another prepare.shape if the turns have other keys: messages has role and "
                "content, sharegpt has from and value",
            )
        role, content = _role(turn[role_key], roles, at), _content(turn, content_key, at)
        turns.append(Message(role, content, read_tool_calls(turn, role, at)))
    require_results_in_order(value, where)
    return tuple(turns)


def _is_whole(turn: dict[str, Any], role_key: str, content_key: str) -> bool:
    return role_key in turn and (content_key in turn or bool(turn.get("tool_calls")))


def _role(name: Any, roles: dict[str, str], at: str) -> str:
    if isinstance(name, str) and name in roles:
        return roles[name]
    raise InputError(
        f'{at}: unknown role "{name}"{did_you_mean(str(name), roles)}',
        f"the roles are {', '.join(roles)}",
    )


def _content(turn: dict[str, Any], key: str, at: str) -> str:
    content = turn.get(key)
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise InputError(f"{at}: {key} is neither text nor a list of parts", "write it as text")
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or part.get("text") is None:
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise InputError(
                f'{at}: a part of type "{kind}" in {key}; only text can be learned',
                'a part is {"type": "text", "text": "..."}; remove rows with others',
            )
    return "".join(str(part["text"]) for part in content)


_SHAPES: dict[str, Callable[[Prepare], _Reader]] = {
    "template": _template,
    "messages": _messages,
    "sharegpt": _sharegpt,
    "prompt_completion": _prompt_completion,
}
