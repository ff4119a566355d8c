"""A prompt of the teacher's own: a versioned file whose digest notices every change."""

import pytest

from stillhouse.core.errors import RecipeError
from stillhouse.core.rows import Message
from stillhouse.recipes.prompts import PromptTemplate, load_prompt


def written(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_teacher_sees_its_system_message_and_the_question_inside_its_own_words():
    prompt = PromptTemplate(name="judge", version="1", system="Be strict.", user="Q: {prompt} A:")
    asked = (
        Message("system", "Be kind."),
        Message("user", "one {x}"),
        Message("assistant", "two"),
        Message("user", "three"),
    )

    assert prompt.apply(asked) == (
        Message("system", "Be strict."),
        Message("user", "one {x}"),
        Message("assistant", "two"),
        Message("user", "Q: three A:"),
    )


def test_without_a_system_message_of_its_own_the_examples_stays():
    asked = (Message("system", "Be kind."), Message("user", "one"))

    assert PromptTemplate(name="a", version="1").apply(asked) == asked


def test_a_changed_text_changes_the_label_though_the_version_was_forgotten():
    one = PromptTemplate(name="a", version="1", system="x")
    other = PromptTemplate(name="a", version="1", system="y")

    assert one.label != other.label
    assert one.label.startswith("a@1#")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nuser: '{prompt}'\n", "p.yaml version: Field required"),
        ("name: a\nversion: '1'\nuser: no place\n", "must hold {prompt} exactly once"),
        ("name: a\nversion: '1'\nsytem: x\n", "p.yaml sytem: Extra inputs"),
        ("- a\n", "p.yaml file:"),
        ("{", "is no YAML text"),
    ],
)
def test_a_file_that_is_no_prompt_is_refused_with_its_place(tmp_path, text, said):
    with pytest.raises(RecipeError) as caught:
        load_prompt(written(tmp_path, text), "r.yaml label.prompt")
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named_with_the_key(tmp_path):
    with pytest.raises(RecipeError, match=r"r\.yaml label\.prompt: .*p\.yaml cannot be read"):
        load_prompt(tmp_path / "p.yaml", "r.yaml label.prompt")
