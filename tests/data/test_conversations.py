import pytest

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Message, Row, ToolCall
from stillhouse.data.conversations import build_shaper
from stillhouse.recipes.rows import Prepare, Split

SPLIT = Split(parts={"holdout": "rest"})
USER, BOT, SYSTEM = (lambda t, r=r: Message(r, t) for r in ("user", "assistant", "system"))


def shape(fields, **settings):
    return build_shaper(Prepare(split=SPLIT, **settings))(Row("id", fields, "a.jsonl:4"))


def turns(*pairs, keys=("role", "content")):
    return [dict(zip(keys, pair, strict=True)) for pair in pairs]


def test_a_template_gives_system_user_answer_and_reference():
    fields = {"q": "why?", "a": {"b": 1, "a": 2}, "truth": ["x"], "tone": "kind"}

    draft = shape(fields, user="{q}", system="Be {tone}.", answer="a", reference="truth")

    assert draft.prompt == (SYSTEM("Be kind."), USER("why?"))
    assert (draft.answer, draft.reference) == ('{"b":1,"a":2}', '["x"]')
    assert (draft.row_id, draft.fields, draft.provenance) == ("id", fields, "a.jsonl:4")


def test_the_answer_is_the_reference_when_none_is_named():
    assert shape({"q": "x", "a": "y"}, user="{q}", answer="a").reference == "y"


def test_a_template_that_gets_no_text_has_no_content():
    assert not shape({"q": ""}, user="Q: {q}").has_content
    assert shape({"q": "x"}, user="Q: {q}").answer is None


def test_a_template_without_a_field_is_refused():
    with pytest.raises(InputError, match="names no field: every prompt would be the same"):
        shape({"q": "x"}, user="q")


def test_the_last_assistant_turn_is_the_answer_and_earlier_ones_stay():
    conversation = turns(("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "4"))

    draft = shape({"messages": conversation}, shape="messages")

    assert draft.prompt == (USER("1"), BOT("2"), USER("3"))
    assert (draft.answer, draft.reference) == ("4", "4")


def test_a_conversation_that_ends_with_a_user_turn_has_no_answer():
    draft = shape({"c": turns(("system", "s"), ("user", "1"))}, shape="messages", conversation="c")

    assert draft.prompt == (SYSTEM("s"), USER("1"))
    assert draft.answer is None


def test_the_recipes_system_message_only_fills_a_gap():
    own = shape({"messages": turns(("system", "s"), ("user", "1"))}, shape="messages", system="r")
    none = shape({"messages": turns(("user", "1"))}, shape="messages", system="r")

    assert own.prompt == (SYSTEM("s"), USER("1"))
    assert none.prompt == (SYSTEM("r"), USER("1"))


def test_text_parts_are_joined_and_other_parts_refused():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    image = [{"type": "image_url", "image_url": "x"}]

    assert shape({"messages": turns(("user", parts))}, shape="messages").prompt == (USER("ab"),)
    with pytest.raises(InputError, match=r'a\.jsonl:4: messages\[0\]: a part of type "image_url"'):
        shape({"messages": turns(("user", image))}, shape="messages")


def test_sharegpt_turns_are_read():
    keys = ("from", "value")
    conversation = turns(("system", "s"), ("human", "1"), ("gpt", "2"), keys=keys)

    draft = shape({"conversations": conversation}, shape="sharegpt")

    assert (draft.prompt, draft.answer) == ((SYSTEM("s"), USER("1")), "2")


def test_prompt_and_completion_may_be_texts_or_messages():
    texts = shape({"prompt": "1", "completion": "2"}, shape="prompt_completion")
    lists = {"prompt": turns(("user", "1")), "completion": turns(("assistant", "2"))}
    inner = shape({"pair": lists}, shape="prompt_completion", conversation="pair")
    alone = shape({"prompt": "1", "completion": None}, shape="prompt_completion")
    other = shape({"prompt": "1", "gold": "3"}, shape="prompt_completion", answer="gold")

    assert (texts.prompt, texts.answer) == (inner.prompt, inner.answer) == ((USER("1"),), "2")
    assert (alone.prompt, alone.answer) == ((USER("1"),), None)
    assert (other.prompt, other.answer) == ((USER("1"),), "3")


def calling(arguments):
    call = {"id": "a", "function": {"name": "look", "arguments": arguments}}
    return {"role": "assistant", "tool_calls": [call]}


@pytest.mark.parametrize("arguments", ['{"at": "Ōsaka"}', {"at": "Ōsaka"}])
def test_calls_of_tools_and_their_results_are_turns_of_the_prompt(arguments):
    result = {"role": "tool", "content": "clear", "tool_call_id": "a"}
    asked = [{"role": "user", "content": "?"}, calling(arguments), result]

    drawn = shape({"messages": [*asked, {"role": "assistant", "content": "ok"}]}, shape="messages")

    called = Message("assistant", "", (ToolCall("look", '{"at": "Ōsaka"}'),))
    assert drawn.prompt == (USER("?"), called, Message("tool", "clear"))
    assert drawn.answer == "ok"


@pytest.mark.parametrize(
    ("settings", "fields", "message"),
    [
        (
            {"shape": "messages"},
            {"messages": turns(("user", "1"), ("asistant", "2"))},
            'a.jsonl:4: messages[1]: unknown role "asistant" (did you mean "assistant"?)',
        ),
        (
            {"shape": "sharegpt"},
            {"conversations": turns(("bot", "1"), keys=("from", "value"))},
            'a.jsonl:4: conversations[0]: unknown role "bot"',
        ),
        (
            {"shape": "messages"},
            {"messages": turns(("human", "1"), keys=("from", "value"))},
            "a.jsonl:4: messages[0] has no role and content",
        ),
        (
            {"shape": "messages"},
            {"messages": "hi"},
            "a.jsonl:4: messages is not a list of turns",
        ),
        (
            {"shape": "messages"},
            {"messages": turns(("user", 3))},
            "a.jsonl:4: messages[0]: content is neither text nor a list of parts",
        ),
        (
            {"shape": "messages"},
            {"messages": [{"role": "assistant", "content": None, "tool_calls": [1]}]},
            "a.jsonl:4: messages[0].tool_calls[0] names no function",
        ),
        (
            {"shape": "messages"},
            {"messages": [calling("[1]")]},
            "a.jsonl:4: messages[0].tool_calls[0]: the arguments of look are no JSON object",
        ),
        (
            {"shape": "messages"},
            {"messages": [calling("{}") | {"role": "user"}]},
            "a.jsonl:4: messages[0]: a turn of role user calls a tool",
        ),
        (
            {"shape": "messages"},
            {"messages": [{"role": "assistant", "content": "", "function_call": {"name": "f"}}]},
            "a.jsonl:4: messages[0]: function_call is the old form of a call",
        ),
        (
            {"shape": "messages"},
            {"messages": [calling("{}"), {"role": "tool", "content": "1", "tool_call_id": "b"}]},
            "a.jsonl:4: messages[1] answers the call 'b'; next in order is 'a'",
        ),
        (
            {"shape": "messages"},
            {"messages": [{"role": "user", "content": "1"}, calling("{}")]},
            "a.jsonl:4: the last turn calls a tool, and what is learned last is a text",
        ),
        (
            {"shape": "messages"},
            {"mesages": []},
            'a.jsonl:4: prepare.conversation names "messages", which this row does not have '
            '(did you mean "mesages"?)',
        ),
        (
            {"user": "{q}", "answer": "a"},
            {"q": 1},
            'a.jsonl:4: prepare.answer names "a", which this row does not have',
        ),
    ],
)
def test_a_row_that_does_not_fit_names_line_and_place(settings, fields, message):
    with pytest.raises(InputError) as caught:
        shape(fields, **settings)

    assert caught.value.message == message
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_a_prompt_keeps_its_last_turn_where_a_field_holds_the_answer():
    asked = turns(("user", "1"), ("assistant", "2"))

    draft = shape({"prompt": asked, "gold": "3"}, shape="prompt_completion", answer="gold")

    assert (draft.prompt, draft.answer) == ((USER("1"), BOT("2")), "3")


def test_a_part_of_a_turn_that_holds_null_is_no_text():
    turn = {"role": "user", "content": [{"type": "text", "text": None}]}

    with pytest.raises(InputError, match=r'a part of type "text" in content'):
        shape({"messages": [turn]}, shape="messages")
