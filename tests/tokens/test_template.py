from datetime import datetime

import pytest

from stillhouse.core.errors import InputError, ModelError
from stillhouse.core.rows import Message
from stillhouse.tokens.encode import encode_conversation, encode_prompt
from stillhouse.tokens.spans import NEVER_ASKED, REWRITTEN, LeftOut
from stillhouse.tokens.template import ChatTemplate, PlainTemplate, SourceTemplate
from stillhouse.tokens.tokenizer import TextTokenizer, load_tokenizer

CHATML = """{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'system' %}{% continue %}{% endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
# like Qwen 3: the last answer carries a thinking block, earlier answers lose theirs
THINKING = """{%- set ns = namespace(last=0) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- set thought = '' %}
    {%- if '</think>' in content %}
        {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' and loop.index0 > ns.last %}
        {{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}
    {%- endif %}
    {{- content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if no_thinking is not defined %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
"""
LLAMA3 = """{{- bos_token }}
{%- set date_string = strftime_now("%d %b %Y") %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: " + date_string + "\\n\\n" }}
{%- if messages[0]['role'] == 'system' %}
    {{- messages[0]['content'] | trim }}{% set messages = messages[1:] %}
{%- endif %}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
    {{- message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
MISTRAL = """{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] + '\\n\\n' %}{% set messages = messages[1:] %}
{%- else %}{% set system = '' %}{% endif %}
{{- bos_token }}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate user/assistant') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- '[INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' }}
    {%- else %}
        {{- ' ' + message['content'] + eos_token }}
    {%- endif %}
{%- endfor %}"""
GEMMA = """{{ bos_token }}{% for message in messages %}
{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}{% set role = 'user' %}
{% endif %}
{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}
{% endfor %}
{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"""
GPT2 = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}"
MARKED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}A:{% generation %}{{ m.content }}"
    "{{ eos_token }}{% endgeneration %}\n\n{% else %}U:{{ m | tojson }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}A:{% endif %}"
)
TEMPLATES = {
    "chatml": (CHATML, "{}<|im_end|>"),
    "thinking": (THINKING, "{}<|im_end|>"),
    "llama3": (LLAMA3, "{}<|eot_id|>"),
    "mistral": (MISTRAL, " {}<|end|>"),
    "gemma": (GEMMA, "{}<end_of_turn>"),
    "gpt2": (GPT2, "{}<|end|>"),
    "marked": (MARKED, "{}<|end|>"),
}
NOW = datetime.now()


def chat(source, tiny, now=NOW):
    specials = tuple({**tiny.specials, "bos_token": "<|pad|>"}.items())
    return ChatTemplate(source, specials, now)


def as_dicts(messages):
    return [{"role": message.role, "content": message.content} for message in messages]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("prompt", [False, True])
def test_text_and_ids_equal_apply_chat_template(tiny, auto, conversation, name, prompt):
    template = chat(TEMPLATES[name][0], tiny)
    messages = conversation[:-1] if prompt else conversation
    ask = {"chat_template": template.source, "add_generation_prompt": prompt}

    text = template.render(messages, add_generation_prompt=prompt).text

    theirs = {"bos_token": "<|pad|>", "return_dict": False}
    expected = auto.apply_chat_template(as_dicts(messages), tokenize=False, **ask, **theirs)
    ids = auto.apply_chat_template(as_dicts(messages), tokenize=True, **ask, **theirs)
    assert text == expected
    assert tiny.encode(text)[0].tolist() == ids
    assert not prompt or template.prompt_text(messages) == expected


@pytest.mark.parametrize("name", TEMPLATES)
def test_trained_spans_are_content_and_end_of_turn(tiny, conversation, name):
    source, shape = TEMPLATES[name]

    rendered = chat(source, tiny).render(conversation)

    said = [rendered.text[start:end] for start, end in rendered.trained]
    answers = [message.content for message in conversation if message.role == "assistant"]
    # Told not to think, it is asked with an empty thought that its history does not keep.
    learned = answers[-1:] if name == "thinking" else answers
    assert said == [shape.format(answer) for answer in learned]
    assert len(said) + len(rendered.left_out) == len(answers)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_trained_span_starts_where_the_prompt_ends(tiny, conversation, name):
    template = chat(TEMPLATES[name][0], tiny)

    rendered = template.render(conversation)

    assert rendered.text[: rendered.trained[-1][0]] == template.prompt_text(conversation[:-1])


def test_an_answer_whose_thought_the_template_drops_is_not_learned(tiny):
    messages = (
        Message("user", "is it yes?"),
        Message("assistant", "<think>\nhm\n</think>\n\nyes"),
        Message("user", "yes or no?"),
        Message("assistant", "<think>\nso\n</think>\n\nno"),
    )

    rendered = chat("{% set no_thinking = 1 %}" + THINKING, tiny).render(messages)

    said = [rendered.text[start:end] for start, end in rendered.trained]
    assert said == ["<think>\nso\n</think>\n\nno<|im_end|>"]
    assert rendered.left_out == (LeftOut(1, REWRITTEN),)


def test_an_answer_that_the_template_never_asks_for_is_not_learned(tiny):
    needs_two = "{% if messages | length < 3 %}{{ raise_exception('too few') }}{% endif %}"
    messages = (
        Message("user", "is it yes?"),
        Message("assistant", "yes"),
        Message("user", "sure?"),
        Message("assistant", "\nsure\n"),
    )

    rendered = chat(needs_two + CHATML, tiny).render(messages)

    said = [rendered.text[start:end] for start, end in rendered.trained]
    assert said == ["\nsure\n<|im_end|>"]
    assert rendered.left_out == (LeftOut(1, NEVER_ASKED),)


def test_white_space_of_the_answer_itself_is_kept(tiny):
    messages = (Message("user", "q"), Message("assistant", " code\n\n"))
    bare = "{% for m in messages %}{{ m.content }}{% endfor %}"

    one = chat(CHATML, tiny).render(messages)
    other = chat(bare, tiny).render(messages)

    assert one.text[slice(*one.trained[0])] == " code\n\n<|im_end|>"
    assert other.text[slice(*other.trained[0])] == " code\n\n"


def test_templates_own_words_reach_the_user(tiny):
    messages = (Message("user", "a"), Message("user", "b"))

    with pytest.raises(InputError, match="roles must alternate user/assistant"):
        chat(MISTRAL, tiny).render(messages)


def test_an_answer_that_the_template_hides_is_named_by_its_turn(tiny):
    hiding = "{% for m in messages %}{{ loop.length }}{{ m.content | upper }}{% endfor %}"

    with pytest.raises(InputError, match="turn 1"):
        chat(hiding, tiny).render(
            (Message("user", "a"), Message("assistant", "b"), Message("user", "c"))
        )


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{% set ns = namespace(__init__=1) %}",
        "{% set ns = namespace() %}{% set ns._x = 1 %}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ 1 / 0 }}",
        "{{ 'a' + 1 }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ 'a' * 999 }}{% endfor %}",
        "{{ 'a' * 10 ** 9 }}",
        "{{ 'a' * 999999999 }}",
        "{{ 99 ** 99 ** 99 }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    ],
)
def test_template_cannot_leave_the_sandbox_or_crash_the_caller(tiny, source):
    with pytest.raises(InputError, match="refuses"):
        chat(source, tiny).render((Message("user", "a"),))


def test_broken_jinja_is_a_model_error():
    with pytest.raises(ModelError, match="Jinja"):
        ChatTemplate("{% for %}")


def test_missing_template_is_a_model_error(tiny):
    bare = TextTokenizer(tiny._backend, tiny.specials, None)

    with pytest.raises(ModelError, match="no chat template"):
        ChatTemplate.of(bare)


def test_date_is_fixed_unless_told(tiny):
    messages = (Message("user", "a"),)

    fixed = ChatTemplate(LLAMA3, (("bos_token", ""),))
    today = ChatTemplate(LLAMA3, (("bos_token", ""),), datetime(2030, 1, 2))

    assert "26 Jul 2024" in fixed.render(messages).text
    assert "02 Jan 2030" in today.render(messages).text
    assert fixed.digest != today.digest
    assert ChatTemplate(CHATML).digest == ChatTemplate(CHATML, now=NOW).digest


def test_plain_template_writes_each_role(conversation):
    template = PlainTemplate(
        "<e>", system="[{content}] ", user="Q: {content} ", assistant="A {content};"
    )

    rendered = template.render(conversation[:3], add_generation_prompt=True)

    assert rendered.text == "[be brief] Q: which song? A the 😀 日本語 song;<e>A "
    assert rendered.text[slice(*rendered.trained[0])] == "the 😀 日本語 song;<e>"
    assert template.prompt_text(conversation[:2]) == "[be brief] Q: which song? A "


def test_plain_template_opens_a_conversation_once_and_learns_no_opening(conversation):
    turns = conversation[1:]
    bare, opened = PlainTemplate("</s>"), PlainTemplate("</s>", bos="<s>")

    rendered = opened.render(turns)

    assert rendered.text == "<s>" + bare.render(turns).text
    assert opened.prompt_text(turns[:1]) == "<s>" + bare.prompt_text(turns[:1])
    assert [rendered.text[slice(*span)] for span in rendered.trained] == [
        "the 😀 日本語 song</s>",
        "yes</s>",
    ]
    assert opened.digest != bare.digest


def test_plain_template_refuses_an_unknown_role():
    with pytest.raises(InputError, match="turn 0 has the role 'tool'"):
        PlainTemplate("<e>").render((Message("tool", "x"),))


def test_plain_template_leaves_braces_in_content_alone():
    rendered = PlainTemplate("").render((Message("user", "{content} {x}"),))

    assert rendered.text == "{content} {x}\n"


def test_a_source_is_wrapped_as_the_tokenizer_of_t5_wraps_it(families):
    from transformers import AutoTokenizer

    folder = families / "t5-small"
    tokenizer, auto = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    source = SourceTemplate.of(tokenizer)

    assert source == SourceTemplate(eos="</s>", behind="</s>")
    for text in ("translate: The house is wonderful.", " two  spaces ", "<extra_id_0> fills", "é"):
        ids = encode_prompt((Message("user", text),), source, tokenizer)
        assert ids.tolist() == auto(text).input_ids


def test_a_source_has_before_and_behind_it_what_the_tokenizer_says(tiny_folder):
    from tokenizers import Tokenizer
    from tokenizers.processors import TemplateProcessing

    backend = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    specials = [(token, backend.token_to_id(token)) for token in ("<|user|>", "<|end|>")]
    backend.post_processor = TemplateProcessing("<|user|> $A <|end|> <|end|>", None, specials)
    tokenizer = TextTokenizer(backend, {"eos_token": "<|end|>"}, None)

    source = SourceTemplate.of(tokenizer)

    assert source.prompt_text((Message("user", "why"),)) == "<|user|>why<|end|><|end|>"


def test_the_source_is_the_last_user_turn_and_the_target_is_learned(tiny):
    source = SourceTemplate.of(tiny)
    turns = (Message("system", "s"), Message("user", "first"), Message("user", "yes and no"))

    learned = encode_conversation((*turns, Message("assistant", "maybe")), source, tiny)

    assert source.prompt_text(turns) == source.render(turns).text == "yes and no"
    assert learned.text == "yes and nomaybe<|end|>"
    assert tiny.decode(learned.ids[learned.is_trained], skip_special=False) == "maybe<|end|>"
    assert SourceTemplate(eos="a").digest != source.digest


def test_a_conversation_without_a_source_is_refused(tiny):
    with pytest.raises(InputError, match="no user turn, which is what an encoder reads"):
        SourceTemplate.of(tiny).prompt_text((Message("system", "s"),))


def test_a_thought_is_given_apart_to_a_template_that_asks_for_it_so(tiny):
    apart = (
        "{% for message in messages %}{% if message.role == 'assistant' %}"
        "A{% if message.reasoning_content %}({{ message.reasoning_content }}){% endif %}"
        "{% else %}U{% endif %}{{ message.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}A{% endif %}"
    )
    messages = (Message("user", "?"), Message("assistant", "<think>\nso\n</think>\n\nyes"))

    assert chat(apart, tiny).render(messages).text == "U?<|end|>A(so)yes<|end|>"


def test_an_answer_without_the_thought_that_its_prompt_opens_is_refused(tiny):
    # like Qwen 3.5: the template closes the thought that the prompt has opened
    closing = (
        "{% for m in messages %}{% if m.role == 'assistant' %}A<think>\n\n</think>\n\n{% endif %}"
        "{{ m.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}A<think>\n{% endif %}"
    )

    with pytest.raises(InputError, match="holds no </think>, and the prompt before it opens"):
        chat(closing, tiny).render((Message("user", "?"), Message("assistant", "yes")))


@pytest.mark.parametrize("role", ["system", "user", "tool"])
def test_a_turn_that_the_template_leaves_out_is_refused(tiny, role):
    # like templates of models that see: they write the parts of a content that is a list
    parts = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content }}{{ eos_token }}"
        "{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
    )
    messages = (Message(role, "seen"), Message("assistant", "yes"))

    with pytest.raises(InputError, match=rf"leaves out turn 0 \({role}\): 'seen'"):
        chat(parts, tiny).render(messages)
    with pytest.raises(InputError, match="leaves out turn 0"):
        chat(parts, tiny).prompt_text(messages[:1])


@pytest.mark.parametrize("said", ["yes", "e", "Answer", "Q0Q"])
def test_a_turn_that_is_left_out_is_missed_though_its_words_stand_elsewhere(tiny, said):
    without_system = (
        "Answer! {% for m in messages %}{% if m.role != 'system' %}{{ m.content }}"
        "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endif %}{% endfor %}"
    )
    messages = (Message("system", said), Message("user", "Q0Q?"), Message("assistant", "yes"))

    with pytest.raises(InputError, match=r"leaves out turn 0 \(system\)"):
        chat(without_system, tiny).render(messages)
    assert chat(without_system, tiny).render(messages[1:]).text.startswith("Answer! Q0Q?yes")
