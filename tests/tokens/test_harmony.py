"""gpt-oss's format against its own library, openai-harmony.

The library checks the digest of its vocabulary, o200k_base.tiktoken (3.6 MB, MIT), and would
fetch it. Offline it takes the folder that TIKTOKEN_ENCODINGS_BASE names, or
shared/data/tokenizers/o200k beside the checkout.
"""

import json
import os
from pathlib import Path

import pytest
from tests.tokens.model_families import CONVERSATIONS, FAMILIES, open_family

from stillhouse.tokens.thoughts import part_thought, read_channels

FAMILY = next(family for family in FAMILIES if family.name == "gpt-oss")
VOCABULARY = "o200k_base.tiktoken"


@pytest.fixture(scope="module")
def harmony():
    return pytest.importorskip("openai_harmony", reason="openai-harmony is not installed")


@pytest.fixture(scope="module")
def encoding(harmony):
    said = os.environ.get("TIKTOKEN_ENCODINGS_BASE", "")
    places = [Path(said)] if said else []
    shared = Path(__file__).resolve().parents[3] / "shared" / "data" / "tokenizers" / "o200k"
    folder = next((one for one in (*places, shared) if (one / VOCABULARY).is_file()), None)
    if folder is None:
        pytest.skip(f"no {VOCABULARY}: name its folder in TIKTOKEN_ENCODINGS_BASE")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(folder))
        yield harmony.load_harmony_encoding("HarmonyGptOss")


def said_in_harmony(harmony, messages, template):
    """The conversation as a user of the library would build it."""
    message, role = harmony.Message, harmony.Role
    day = template.now.strftime("%Y-%m-%d")
    system = harmony.SystemContent.new().with_conversation_start_date(day)
    turns, called = [message.from_role_and_content(role.SYSTEM, system)], []
    for one in messages:
        thought, said = part_thought(one.content)
        if one.role == "system":
            told = harmony.DeveloperContent.new().with_instructions(one.content)
            turns.append(message.from_role_and_content(role.DEVELOPER, told))
        elif one.role == "user":
            turns.append(message.from_role_and_content(role.USER, one.content))
        elif one.role == "tool":
            author = harmony.Author.new(role.TOOL, f"functions.{called.pop(0)}")
            result = message.from_author_and_content(author, json.dumps(one.content))
            turns.append(result.with_channel("commentary").with_recipient("assistant"))
        else:
            if thought:
                turns.append(
                    message.from_role_and_content(role.ASSISTANT, thought).with_channel("analysis")
                )
            for call in one.tool_calls:
                asked = message.from_role_and_content(role.ASSISTANT, call.arguments)
                asked = asked.with_channel("commentary").with_content_type("json")
                turns.append(asked.with_recipient(f"functions.{call.name}"))
                called.append(call.name)
            if not one.tool_calls:
                turns.append(
                    message.from_role_and_content(role.ASSISTANT, said).with_channel("final")
                )
    return harmony.Conversation.from_messages(turns)


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_texts_are_those_of_openai_harmony(kind, harmony, encoding):
    _, template = open_family(FAMILY)
    messages = CONVERSATIONS[kind]
    # It drops thoughts of a history; where there is none, it would drop the only one.
    keeps = harmony.RenderConversationConfig(auto_drop_analysis="several" in kind)

    whole = said_in_harmony(harmony, messages, template)
    theirs = encoding.decode(encoding.render_conversation_for_training(whole, keeps))
    asked = said_in_harmony(harmony, messages[:-1], template)
    prompt = encoding.decode(
        encoding.render_conversation_for_completion(asked, harmony.Role.ASSISTANT)
    )

    # The template of the model's own repository adds two line breaks to the instructions.
    def as_theirs(text):
        return text.replace("sentence.\n\n<|end|>", "sentence.<|end|>")

    written = template.render(messages)
    assert as_theirs(template.prompt_text(messages[:-1])) == prompt
    assert as_theirs(written.text) == theirs


@pytest.mark.parametrize("kind", CONVERSATIONS)
def test_what_is_learned_is_read_back_by_openai_harmony(kind, harmony, encoding):
    _, template = open_family(FAMILY)
    messages = CONVERSATIONS[kind]
    written = template.render(messages)
    own = written.text[slice(*written.trained[-1])]

    ids = encoding.encode(own, allowed_special="all")
    found = encoding.parse_messages_from_completion_tokens(ids, harmony.Role.ASSISTANT)

    ends = {encoding.decode([token]) for token in encoding.stop_tokens_for_assistant_actions()}
    assert ends == set(FAMILY.ends)
    assert ids[-1] in encoding.stop_tokens_for_assistant_actions()
    assert sum(token in encoding.stop_tokens_for_assistant_actions() for token in ids) == 1
    thought, said = part_thought(messages[-1].content)
    channels = {one.channel: one.content[0].text for one in found}
    assert channels == ({"analysis": thought} if thought else {}) | {"final": said}
    assert part_thought(read_channels(own)) == (thought, said)
