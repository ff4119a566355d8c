"""What Ollama is told: read back by its parser, and rendered as Go would."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.fakes.ollama_store import request_of
from tests.export.ollama_text import ParseError, parse, render

from stillhouse.core.errors import ArtifactError, ModelError
from stillhouse.core.rows import Message
from stillhouse.export.modelfile import licence_lines, modelfile_text, quoted
from stillhouse.export.modelfile_reader import read_modelfile
from stillhouse.export.turn_texts import turn_texts
from stillhouse.recipes.measuring import Modelfile
from stillhouse.tokens.template import ChatTemplate, PlainTemplate

CHATML = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are \"helpful\".<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""As Qwen2.5's: with a system turn of its own where there is none."""
THINKING = CHATML.replace(
    "<|im_start|>assistant\n'", "<|im_start|>assistant\n<think>\n\n</think>\n\n'"
).replace('You are "helpful".', "")
"""With thinking off, as Qwen3's."""
LLAMA2 = (
    "{{ '<s>' }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + "
    "' [/INST]' }}{% else %}{{ ' ' + m['content'] + '</s>' }}{% endif %}{% endfor %}"
)
TEMPLATES = {
    "chatml": ChatTemplate(CHATML),
    "thinking off": ChatTemplate(THINKING),
    "plain": PlainTemplate("</s>", "S: {content}\n\n", "U: {content}\n", "A:{content}"),
    "braces": PlainTemplate("</s>", user='{{ "{content}" }}\t\n  ', assistant="{{- {content} -}}"),
    "not ascii": PlainTemplate(
        "</s>", user="\u00a0\u200b「{content}」🦊\u0000", assistant="“{content}”"
    ),
}  # fmt: skip
CONTENTS = ("a", "zwei\nZeilen {{ .Content }}", "漢字 🦊👩‍👩‍👧", '"""', "<|im_end|>", "  edges\n")


def conversations(with_system):
    for system, count in itertools.product([None, "sei kurz", "{{ end }}"], (1, 3, 5)):
        if system is None or with_system:
            for shift in range(len(CONTENTS)):
                contents = [CONTENTS[(shift + place) % len(CONTENTS)] for place in range(count)]
                yield system, [(("user", "assistant")[n % 2], c) for n, c in enumerate(contents)]


@pytest.mark.parametrize("name", TEMPLATES)
def test_ollama_writes_what_the_template_writes(name, tokenizer):
    template = TEMPLATES[name]
    text = modelfile_text(Modelfile(name="m"), "m.gguf", template, tokenizer, {})
    written = dict(parse(text))["template"]
    count = 0
    for system, turns in conversations(with_system=True):
        messages = [Message(role, content) for role, content in turns]
        if system is not None:
            messages.insert(0, Message("system", system))

        assert render(written, turns, system) == template.prompt_text(messages)
        count += 1
    assert count == 54


def test_a_bos_that_the_server_adds_is_not_written_twice():
    texts = turn_texts(ChatTemplate(LLAMA2), (), "<s>")
    found = render(texts.go_template(), [("user", "a"), ("assistant", "b"), ("user", "c")])
    assert "<s>" + found == "<s>[INST] a [/INST] b</s>[INST] c [/INST]"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (CHATML.replace("m['content']", "m['content'] | upper"), "QuserQ|leaves out|writes"),
        (CHATML.replace("m['role'] +", "m['role'] + loop.index|string +"), "more than write"),
        (
            CHATML.replace("m['content']", "m['content'].replace('a', 'b')"),
            "for turns of user it writes",
        ),
    ],
)
def test_a_template_that_does_more_is_refused(source, says):
    with pytest.raises((ModelError, Exception), match=says) as error:
        turn_texts(ChatTemplate(source), (), "")
    assert "leaves out" in str(error.value) or "llama.cpp's server" in error.value.hint


def test_a_prompt_of_the_recipe_that_would_be_another_is_refused(tokenizer):
    trims = ChatTemplate(CHATML.replace("m['content']", "m['content'] | trim"))
    turn_texts(trims, (), "")
    with pytest.raises(ModelError, match="more than write a text around"):
        turn_texts(trims, [[Message("user", " spaced ")]], "")


def test_the_file_says_everything_and_stops_at_every_end(tokenizer, template):
    asked = Modelfile(name="ours", system='Sei "kurz".\nFROM evil', temperature=0.7, top_p=0.8)
    text = modelfile_text(asked, "m-Q8_0.gguf", template, tokenizer, {"n_positions": 128})
    assert parse(text) == [
        ("model", "./m-Q8_0.gguf"),
        ("template", turn_texts(template, (), "").go_template()),
        ("system", 'Sei "kurz".\nFROM evil'),
        ("num_ctx", "128"),
        ("temperature", "0.7"),
        ("top_p", "0.8"),
        ("repeat_penalty", "1"),
        ("top_k", "0"),
        ("stop", "<|end|>"),
    ]


def test_an_adapter_is_put_on_its_base(tokenizer, template):
    asked = Modelfile(name="ours", base="qwen3:4b", num_ctx=64)
    found = dict(parse(modelfile_text(asked, "a.gguf", template, tokenizer, {})))
    assert (found["model"], found["adapter"], found["num_ctx"]) == ("qwen3:4b", "./a.gguf", "64")


@pytest.mark.parametrize(
    "base", ["x\nADAPTER y", "../x", "a/../b", "", "/etc/passwd", "x y", "~/x"]
)
def test_a_base_that_is_no_name_is_refused(base, tokenizer, template):
    asked = Modelfile.model_construct(
        name="m", base=base, weights=None, system=None, num_ctx=None, temperature=0.0, top_p=1.0
    )
    with pytest.raises(ModelError, match="no name of a model"):
        modelfile_text(asked, "a.gguf", template, tokenizer, {})


@pytest.mark.parametrize("text", ['a"""\nFROM x', '"""\n', 'x """ \ny', "a\u200bb", "a\x00b"])
def test_a_text_that_would_not_come_back_is_refused(text):
    with pytest.raises(ModelError):
        quoted(text)


PIECES = (
    '"',
    '""',
    '"""',
    "\n",
    "\r",
    " ",
    "\t",
    "a",
    "FROM x",
    "#",
    "PARAMETER stop b",
    "é",
    "\x00",
)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_a_quoted_text_comes_back_or_is_refused(seed):
    draw = random.Random(seed)
    text = "".join(draw.choice(PIECES) for _ in range(draw.randint(0, 12)))
    try:
        written = quoted(text)
    except ModelError:
        return
    try:
        found = parse(f"SYSTEM {written}\nFROM m\n")
    except ParseError as error:
        raise AssertionError(f"{text!r} as {written!r}: {error}") from error
    assert found == [("system", text), ("model", "m")]


@pytest.mark.parametrize("base", [None, "qwen3:4b"])
def test_a_modelfile_is_read_back_as_ollamas_own_client_reads_it(base, tokenizer):
    asked = Modelfile(name="m", system='sei "kurz"\n  PARAMETER num_ctx 1 ', num_ctx=512, top_p=0.8,
                      temperature=0.7, base=base)  # fmt: skip
    told = modelfile_text(asked, "m.gguf", TEMPLATES["braces"], tokenizer, {})
    text = told + licence_lines("student weights: apache-2.0\nBuilt with Llama")
    parts = read_modelfile(text)
    body = request_of(text, "m", {"m.gguf": "0" * 64})

    assert parts.parameters == body["parameters"]
    assert {name.lower(): one for name, one in parts.texts.items()} == {
        name: body[name] for name in ("template", "system", "license")
    }
    assert parts.own_file == "m.gguf"
    assert (parts.source, bool(parts.adapter)) == (
        ("qwen3:4b", True) if base else ("./m.gguf", False)
    )
    assert body.get("from") == base
    assert list(body["adapters" if base else "files"]) == ["m.gguf"]


TEXTS = st.text(st.sampled_from('ab"\n {}#-\tFROMSYE/.'), max_size=24)


@given(system=TEXTS, licence=TEXTS)
@settings(max_examples=60, deadline=None)
def test_no_text_says_a_command(system, licence, tokenizer):
    """Whatever stands in a text, both readers see that text or it is refused, and no more."""
    template = TEMPLATES["plain"]
    try:
        told = modelfile_text(Modelfile(name="m", system=system), "m.gguf", template, tokenizer, {})
        text = told + licence_lines(licence)
    except ModelError:
        return
    plain = modelfile_text(Modelfile(name="m"), "m.gguf", template, tokenizer, {})
    parts, without = read_modelfile(text), read_modelfile(plain)
    assert parts.texts == without.texts | {"SYSTEM": system} | (
        {"LICENSE": licence} if licence else {}
    )
    assert (parts.source, parts.adapter, parts.parameters) == (
        without.source, without.adapter, without.parameters,
    )  # fmt: skip
    theirs = dict(parse(text))
    assert theirs["system"] == system
    assert theirs.get("license", "") == licence
    assert theirs["model"] == "./m.gguf"


@pytest.mark.parametrize(
    "line",
    ["FROM a\nFROM b", "FROM a\nADAPTER ./x\nADAPTER ./y", "MESSAGE user hi", "FROM a\nDRAFT x",
     "FROM a\nPARAMETER heat 1", "FROM a\nPARAMETER num_ctx x", "FROM a\nSYSTEM hi", "from a",
     'FROM a\nSYSTEM """hi', "FROM a\nPARAMETER top_k 1\nPARAMETER top_k 2", "", "# FROM a",
     'FROM "a"', "FROM a\nRENDERER qwen3", "FROM a\n FROM b"],
)  # fmt: skip
def test_what_stillhouse_does_not_write_is_not_read(line):
    with pytest.raises(ArtifactError, match=r"does not write|has no FROM"):
        read_modelfile(line)
