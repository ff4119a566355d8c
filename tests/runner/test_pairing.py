"""What does not go together is refused at once, with the line that mends it."""

import pytest

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.readers import known_difference
from stillhouse.runner.pairing import check_pairing, terms_of

REMOTE = "tests/e2e/remote.yaml"
PRICE = "price: {input: '1', output: '1'}"


def load(*changes):
    return load_recipe(REMOTE, changes).recipe


def refused(*changes):
    with pytest.raises(RecipeError) as caught:
        check_pairing(load(*changes), "r.yaml")
    return str(caught.value)


def test_a_server_of_ones_own_is_asked_without_a_word_about_networks_or_terms():
    check_pairing(load(), "r.yaml")
    assert terms_of(load().teacher) is None


@pytest.mark.parametrize(
    ("api", "host"),
    [
        (f"{{kind: openai, model: m, {PRICE}}}", "api.openai.com"),
        (f"{{kind: anthropic, model: m, {PRICE}}}", "api.anthropic.com"),
        (f"{{kind: gemini, model: m, {PRICE}}}", "generativelanguage.googleapis.com"),
        ("{kind: openai, model: m, base_url: 'https://llm.example.org/v1'}", "llm.example.org"),
    ],
)
def test_a_host_that_the_recipe_does_not_allow_is_named(api, host):
    said = refused(f"teacher.api={api}", "teacher.accept_terms=openai")

    assert f"r.yaml network: none, but teacher.api asks {host}" in said
    assert f"write network: [{host}]" in said


def test_a_judges_host_is_held_to_the_network_too():
    judge = f"label.judges=[{{name: safety, rule: r, api: {{kind: openai, model: m, {PRICE}}}}}]"

    assert "label.judges.0.api asks api.openai.com" in refused(judge)


def test_an_engine_of_a_step_is_held_to_network_price_and_terms_like_a_teacher():
    step = "prepare.steps=[{{name: rephrase, engines: [{{api: {{kind: gemini, model: m{}}}}}]}}]"
    key = "prepare.steps.0.engines.0"

    assert f"{key}.api asks generativelanguage" in refused(step.format(f", {PRICE}"))
    host = "network=[generativelanguage.googleapis.com]"
    assert f"{key}.api.price" in refused(step.format(""), host)
    assert f"write {key}.accept_terms: gemini" in refused(step.format(f", {PRICE}"), host)


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini"])
def test_terms_that_forbid_some_uses_stop_until_they_are_named(kind):
    host = "network=[api.openai.com, api.anthropic.com, generativelanguage.googleapis.com]"
    api = f"teacher.api={{kind: {kind}, model: m, {PRICE}}}"

    said = refused(api, host)

    assert f"the terms of '{kind}' limit training on its answers" in said
    assert f"write teacher.accept_terms: {kind}" in said
    check_pairing(load(api, host, f"teacher.accept_terms={kind}"), "r.yaml")
    assert "limit training" in refused(api, host, "teacher.accept_terms=something else")


def test_a_hub_model_of_such_a_licence_is_stopped_alike():
    changes = (
        "network=hub", "teacher={hub: Qwen/Qwen2.5-3B-Instruct}", "label.completions=gold",
        "train.parts=[labelled]",
        "student={hub: Qwen/Qwen2.5-0.5B-Instruct}",
    )  # fmt: skip

    assert "the terms of 'qwen-research' limit" in refused(*changes)
    check_pairing(load(*changes, "teacher.accept_terms=qwen-research"), "r.yaml")


def test_an_open_model_behind_an_api_is_known_by_its_name():
    assert terms_of(load("teacher.api.model=Qwen/Qwen3-8B").teacher)[0] == "apache-2.0"


HUB = (
    "network=hub", "label.completions=gold", "train.parts=[labelled]",
    "teacher={hub: Qwen/Qwen3-8B, thinking: off}",
    "student={hub: Qwen/Qwen3-0.6B}",
)  # fmt: skip


def test_thinking_is_switched_off_for_both_by_the_teachers_key_unless_the_student_has_its_own():
    for changes in ([], ["student.thinking=off"]):
        recipe = load(*HUB, *changes)
        check_pairing(recipe, "r.yaml")
        assert not known_difference(recipe)

    assert known_difference(load(*HUB, "student.thinking=template")) == (
        "student.thinking is not teacher.thinking"
    )


def test_thinking_off_is_refused_where_nothing_could_switch_it():
    plain = "teacher.template={user: '{content} '}"
    always = (
        "teacher={hub: openai/gpt-oss-20b, thinking: off}",
        "student={hub: openai/gpt-oss-20b}",
    )

    assert "off sets a switch of the tokenizer's own template" in refused(*HUB, plain)
    assert "openai/gpt-oss-20b always thinks" in refused(*HUB, *always)


def test_a_scratch_student_of_a_remote_teacher_needs_a_tokenizer():
    said = refused("student.scratch.tokenizer=null")

    assert "r.yaml student.scratch.tokenizer: missing" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["label.targets=top_k"], "a teacher behind an API gives text alone: write none"),
        (
            ["finetune={length: {steps: 2}}", "prepare.split.parts.teacher=5"],
            "finetune: has no weights to train: the teacher is behind an API",
        ),
        (["evaluate.metrics=[kl_to_teacher]"], "which an API does not give"),
        (["gate.rules=[{metric: top1_agreement, at_least: 0.5}]"], "which an API does not give"),
        (["gate.rules=[{metric: expected_acceptance, at_least: 2.0}]"], "which an API does not"),
        (
            ["gate.rules=[{metric: cross_entropy, against: teacher, at_most: 0.5}]"],
            "there is no cross_entropy of the teacher to compare with: an API does not tell it",
        ),
        (
            ["gate.rules=[{metric: ece, against: teacher, at_most: 0.1}]"],
            "gate.rules.0: there is no ece of the teacher to compare with",
        ),
        (["label.attempts=1", "label.samples=3"], "label.attempts: 1 cannot give 3 samples"),
        (
            ["label.samples=2", "label.consistency={repeats: 3}"],
            "remove label.samples and label.attempts",
        ),
        (["teacher.thinking=off"], "told under api.thinking"),
        (["teacher.api.limits={requests_per_second: 1, requests_per_minute: 60}"], "not both"),
        (["teacher.api.budget_usd=-1"], "greater than or equal to 0"),
        (["teacher.api.base_url=localhost"], "teacher.api.base_url"),
        (["label.reject=['(']"], "is no regular expression"),
        (["label.answer_schema={type: nothing}"], "is no JSON Schema"),
        (["label.answer_schema={pattern: '('}"], "label.answer_schema: is no JSON Schema: '(' is"),
        (
            ["prepare.steps=[{name: pair_with, file: a.jsonl}]"],
            "steps.0.as: missing; it has no default",
        ),
    ],
)
def test_what_contradicts_a_remote_teacher_is_refused_with_its_line(changes, said):
    with pytest.raises(RecipeError) as caught:
        load(*changes)
    assert said in str(caught.value)


def test_a_teacher_in_memory_has_no_prompt_of_its_own_and_no_equal_samples():
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", ["label.prompt=p.yaml", "label.samples=2"])
    assert "label.prompt: is for a teacher behind an API" in str(caught.value)
    assert "label.temperature: 0 gives 2 equal completions of each prompt" in str(caught.value)


def test_a_model_that_costs_money_and_has_no_price_is_refused():
    host = "network=[api.openai.com]"

    said = refused("teacher.api={kind: openai, model: new-1}", host)

    assert "r.yaml teacher.api.price: the price of 'new-1' is not in the list" in said
    check_pairing(
        load("teacher.api={kind: openai, model: gpt-4.1}", host, "teacher.accept_terms=openai"), "r"
    )


def test_spelling_out_a_providers_own_address_lifts_no_terms():
    api = f"teacher.api={{kind: openai, model: m, base_url: 'https://api.openai.com/v1', {PRICE}}}"

    assert "limit training on its answers" in refused(api, "network=[api.openai.com]")


@pytest.mark.parametrize(
    "change",
    [
        "teacher.api.key_env=sk-live-4711",
        "teacher.api.key_env=[GOOD, sk-live-4711]",
        "teacher.api.base_url=https://me:sk-live-4711@llm.example.org/v1",
        "teacher.api.base_url=https://llm.example.org/v1?key=sk-live-4711",
    ],
)
def test_a_key_that_was_pasted_into_a_recipe_is_refused_and_not_repeated(change):
    with pytest.raises(RecipeError) as caught:
        load(change)
    assert "sk-live-4711" not in str(caught.value).replace(change, "")


@pytest.mark.parametrize(
    "reference", ["#/$defs/lost", "#lost", "#/required/0", "https://example.org/schema.json"]
)
def test_a_schema_that_refers_to_what_is_not_there_is_refused(reference):
    with pytest.raises(RecipeError, match="no place in the schema itself"):
        load(f'label.answer_schema={{"properties": {{"a": {{"$ref": "{reference}"}}}}}}')


def test_a_schema_may_refer_to_its_own_definitions():
    schema = '{"$defs": {"a": {"type": "string"}}, "properties": {"x": {"$ref": "#/$defs/a"}}}'

    assert load(f"label.answer_schema={schema}").label.answer_schema["$defs"]


def test_prices_and_names_of_accounts_change_no_hash():
    api = load().teacher.api
    other = load(
        "teacher.api.provider=team-a", "teacher.api.budget_usd=5", "teacher.api.tries=2"
    ).teacher.api

    assert api.identity() == other.identity()
    assert api.identity() != load("teacher.api.top_p=0.5").teacher.api.identity()
