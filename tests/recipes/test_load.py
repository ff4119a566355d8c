"""Loading a recipe tells every problem at once, each with its line and the nearest valid name."""

import json

import pytest

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.built_in import library_names
from stillhouse.recipes.load import load_recipe

GOOD = """\
name: small
teacher: {path: teacher}
student: {path: student}
collect:
  source: {file: rows.csv}
prepare:
  user: "{text}"
  answer: label
  split: {parts: {holdout: 0.2, labelled: rest}}
train:
  parts: [labelled]
  length: {steps: 3}
label: {parts: [labelled]}
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "r.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def problems(path, *overrides):
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_good_recipe_has_every_default(write):
    loaded = load_recipe(write(GOOD))
    assert (loaded.recipe.label.targets, loaded.recipe.label.top_k) == ("top_k_sampled", 12)
    assert loaded.recipe.train.length.batch_size == 8


def test_unknown_key_names_line_key_and_nearest(write):
    text = problems(write(GOOD.replace("steps: 3", "stepps: 3")))
    assert 'r.yaml:12 train.length.stepps: unknown key; did you mean "steps"?' in text


def test_unknown_key_without_a_near_name_lists_the_keys(write):
    assert "the keys here are" in problems(write(GOOD + "zzz: 1\n"))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            "{name: augmnt}",
            """prepare.steps.0: no step is called 'augmnt'; did you mean "augment"?""",
        ),
        ("{x: 1}", "prepare.steps.0: a step needs its name; the steps are pair_with, require"),
        ("augment", "prepare.steps.0: input should be an object"),
        (
            "{name: convert_choices, at_leest: 3}",
            'prepare.steps.0.at_leest: unknown key; did you mean "at_least"?',
        ),
        ("{name: convert_choices, at_least: 1}", "prepare.steps.0.at_least: input should be"),
        ("{name: drop_where, field: a}", "prepare.steps.0.equals: missing"),
    ],
)
def test_a_step_that_cannot_be_read_is_named_with_its_place(write, step, said):
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(GOOD), [f"prepare.steps=[{step}]"])
    assert said in str(caught.value)


def test_every_problem_is_told_at_once(write):
    text = problems(
        write(
            GOOD.replace("steps: 3", "steps: many")
            .replace("name: small", "name: Not Good")
            .replace("path: teacher", "pth: teacher")
        )
    )
    assert len(text.splitlines()) == 3
    assert "r.yaml:1 name" in text
    assert "r.yaml:12 train.length.steps" in text
    assert 'did you mean "path"' in text


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.kd_temperature=-1", "greater than 0; this is -1"),
        ("train.weights={forward_kl: 0, cross_entropy: 0}", "every loss weight is 0"),
        ("train.optimizer.learning_rate=2", "less than or equal to 0.1; this is 2"),
        ("train.optimizer.learning_rate=.nan", "less than or equal"),
        ("train.length.epochs=1", "exactly one of steps, epochs and one_step_per"),
        ("label.kd_temperatures=[2]", "draws at the one temperature of train.kd_temperature"),
        ("train.parts=[holdout]", "never trained on"),
        ("train.parts=[teacher]", "prepare.split.parts does not make"),
        (
            "label.targets=none",
            "label.targets: none, which leaves train.weights.forward_kl nothing to learn from",
        ),
        ("label.kd_temperatures=[1.0, 1.0]", "holds one of them twice"),
        ("label.targets=topk", "'top_k_sampled', 'classes' or 'votes'; this is \"topk\""),
        ("label.num_draws=0", "label.num_draws"),
        ("label.num_draws=100000", "less than or equal to 10000; this is 100000"),
        (
            "label={parts: [labelled], targets: sampled, kd_temperatures: [1.0, 2.0]}",
            "label.kd_temperatures: [1.0, 2.0], but label.targets: sampled draws at the one "
            "temperature of train.kd_temperature: [1.0]",
        ),
        (
            "label={parts: [labelled], targets: top_k_sampled, kd_temperatures: [2.0]}",
            "label.targets: top_k_sampled draws at the one temperature",
        ),
        ("label.kd_temperatures=[1.0, .inf]", "label.kd_temperatures"),
        ("label.kd_temperatures=[]", "label.kd_temperatures"),
        ("train.parts=[]", "train.parts"),
        ("train.early_stopping={patience: 1}", "train.early_stopping: needs a validation part"),
        ("export.formats=[adapter]", "asks for an adapter, but train.lora is not set"),
        (
            "gate={rules: [{metric: exact_match, against: baseline, at_least: 0}]}",
            "gate.rules.0: the baseline is the twin",
        ),
        (
            "gate={rules: [{metric: exact_match, against: production, at_least: 0}]}",
            "gate.rules: all compare with the version in production",
        ),
        ("gate={rules: [{metric: valid_json, at_least: 0}]}", "answer_format: json alone"),
        (
            "gate={rules: [{metric: latency_p95_s, at_most: 1}]}",
            "gate.rules.0: latency_p95_s is measured only where the recipe asks for it: add "
            "evaluate.latency",
        ),
        (
            "gate={rules: [{metric: memorised_rate, at_most: 0.1}]}",
            "add evaluate.measures: [memorised]",
        ),
        (
            "gate={rules: [{metric: traditions_covered, at_least: 15}]}",
            "add evaluate.probes: FILE.yaml",
        ),
        ("evaluate.metrics=[classes_entropy.gender]", "add evaluate.probes: FILE.yaml"),
        ("gate={set: prompts}", "gate.rules.2: context_fidelity is measured only where"),
        ("gate={rules: [{metric: mae.score, at_most: 1}]}", "add evaluate.fields: {score: ...}"),
        ("evaluate.metrics=[ece.verdict]", "add label.class_field: verdict"),
        ("evaluate.metrics=[class_unread]", "add label.class_field: FIELD"),
        (
            "finetune={length: {steps: 1}, gate: {rules: [{metric: exact_match, at_least: 0}]}}",
            "finetune.gate: needs a validation part",
        ),
        (
            "finetune={length: {steps: 1}, gate: {rules: [{metric: exact_match, against: teacher, "
            "at_least: 0}]}}",
            "finetune.gate.rules.0.against: nobody else is measured before the teacher labels",
        ),
        (
            "finetune={length: {steps: 1}, gate: {rules: [{metric: agreement, at_least: 0}]}}",
            "finetune.gate.rules.0.metric: agreement compares with the teacher",
        ),
        (
            "label.parts=[unlabelled]",
            "train.parts: the teacher is not asked about the part 'labelled'",
        ),
        ("prepare.split.parts.holdout=1.5", "prepare.split.parts.holdout"),
        ("prepare.split.parts={labelled: 3}", "a holdout part is needed"),
        (
            "teacher={api: {kind: gemini, model: m, batch: true}}",
            "teacher.api: kind gemini is not asked in batches",
        ),
        ("teacher.hub=a/b", "exactly one of path, hub, scratch, layers_of_teacher, api"),
        ("collect.source.file=null", "exactly one of file, dataset, sample_rows, collection"),
    ],
)
def test_ranges_and_contradictions_are_refused(write, override, said):
    assert said in problems(write(GOOD), override)


def test_a_loss_that_draws_would_bias_is_refused_with_its_line(write):
    recipe = GOOD.replace("{parts: [labelled]}", "{parts: [labelled], targets: sampled}")
    learned = recipe.replace("train:\n", "train:\n  weights: {forward_kl: 1.0, jsd: 0.5}\n")

    found = problems(write(learned))

    assert "r.yaml:11 train.weights.jsd: is not linear in the teacher" in found
    assert len(found.splitlines()) == 1
    linear = learned.replace("jsd", "cross_entropy")
    assert load_recipe(write(linear)).recipe.label.token_store(300).num_draws == 50


def test_terms_that_are_named_are_learned_alone(write):
    named = load_recipe(write(GOOD), ["train.weights={jsd: 1}"]).recipe.train.weights
    unsaid = load_recipe(write(GOOD)).recipe.train.weights

    assert {name: weight for name, weight in named if weight} == {"jsd": 1.0}
    assert {name: weight for name, weight in unsaid if weight} == {"forward_kl": 1.0}


def test_a_setting_of_a_term_without_weight_is_refused(write):
    said = problems(write(GOOD), "train.loss_options={skew: 0.4}")

    assert "train.loss_options.skew: belongs to skew_kl and skew_reverse_kl" in said


def test_a_default_that_is_spelled_out_needs_no_weight(write):
    options = (
        "train.loss_options={jsd_weight: 0.5, skew: 0.1, head_mass: 0.5, alpha: 0.2, beta: 0.7}"
    )

    spelled = load_recipe(write(GOOD), [options]).recipe

    assert spelled == load_recipe(write(GOOD)).recipe


@pytest.mark.parametrize(
    ("changes", "targets", "top_k", "temperatures"),
    [
        (["train.weights={forward_kl: 1}"], "top_k_sampled", 12, (1.0,)),
        (["train.weights={forward_kl: 1, cross_entropy: 1}"], "top_k_sampled", 12, (1.0,)),
        (["train.weights={forward_kl: 1, jsd: 1}"], "top_k", 64, (1.0,)),
        (["train.weights={cross_entropy: 1}"], "none", None, (1.0,)),
        (["train.kd_temperature=3"], "top_k_sampled", 12, (3.0,)),
        (["label.kd_temperatures=[1, 2]"], "top_k", 64, (1.0, 2.0)),
        (["train.weights={cross_entropy: 1}", "train.kd_temperature=3"], "none", None, (1.0,)),
        (["label.top_k=20"], "top_k_sampled", 20, (1.0,)),
        (["label.targets=top_k"], "top_k", 64, (1.0,)),
    ],
)
def test_what_is_stored_follows_from_what_is_learned(write, changes, targets, top_k, temperatures):
    label = load_recipe(write(GOOD), changes).recipe.label

    assert (label.targets, label.top_k, label.temperatures) == (targets, top_k, temperatures)
    # settled once: what a run wrote down says the same when it is read again
    assert label.settled(load_recipe(write(GOOD), changes).recipe.train) == label


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("none", None),
        ("full", ("full", 300, 0)),
        ("top_k", ("top_k", 64, 0)),
        ("sampled", ("sampled", 0, 50)),
        ("top_k_sampled", ("top_k_sampled", 12, 50)),
    ],
)
def test_what_is_stored_of_a_token(write, targets, expected):
    settings = [f"label.targets={targets}", "train.weights.forward_kl=0"]
    label = load_recipe(write(GOOD), [*settings, "train.weights.cross_entropy=1"]).recipe.label

    store = label.token_store(300)

    assert (store and (store.codec, store.top_k, store.num_draws)) == expected
    assert label.stores_tokens == (expected is not None)
    assert label.is_drawn == ("sampled" in targets)


def test_only_small_vocabularies_are_kept_in_full(write):
    label = load_recipe(write(GOOD), ["label.targets=full"]).recipe.label

    assert label.token_store(4096).top_k == 4096
    with pytest.raises(
        RecipeError, match="at most 4,096 tokens, the teacher's has 32,000"
    ) as caught:
        label.token_store(32_000)
    assert caught.value.hint == "store top_k, whose tail is exact, or top_k_sampled"


def test_a_teacher_cannot_learn_from_hidden_answers(write):
    text = GOOD.replace("labelled: rest", "labelled: 9, unlabelled: rest")
    text += "finetune: {parts: [labelled, unlabelled], length: {steps: 1}}\n"
    assert "r.yaml:14 finetune.parts: the answers of the part 'unlabelled' are hidden" in problems(
        write(text)
    )


def test_network_none_refuses_a_hub_id(write):
    text = problems(write(GOOD.replace("{path: teacher}", "{hub: a/b}")))
    assert "r.yaml:2 teacher.hub: needs network: hub" in text


def test_an_override_is_applied_and_named_in_errors(write):
    path = write(GOOD)
    assert load_recipe(path, ["train.seed=7"]).recipe.train.seed == 7
    assert load_recipe(path, ["gate={rules: [{metric: exact_match, at_least: 0.5}]}"]).recipe.gate
    assert "--set train.seed=x train.seed" in problems(path, "train.seed=x")
    # quickstart has rules of its own, on lines that this call has replaced
    assert "--set gate={set: qa} gate.rules.0: " in problems("quickstart", "gate={set: qa}")
    assert "not of the form a.b=c" in problems(path, "train.seed")
    assert "is a value, not a section" in problems(path, "name.x=1")


def test_an_override_reaches_into_a_list(write):
    path = write(GOOD + "gate: {rules: [{metric: exact_match, at_least: 0.5}]}\n")
    assert load_recipe(path, ["gate.rules.0.at_least=0.9"]).recipe.gate.rules[0].at_least == 0.9
    assert "no place in a list of 1" in problems(path, "gate.rules.3.at_least=1")
    assert "² is no place in a list of 1" in problems(path, "gate.rules.².at_least=1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a recipe is a mapping of sections; this file is empty"),
        ("- 1\n", "this file is a CommentedSeq"),
        ("a: [1\n", "not valid YAML"),
        ("name: a\nname: b\n", "not valid YAML"),
        ("name: 2024-02-30\n", "looks like a date or a number and is none: day is out of range"),
    ],
)
def test_what_is_no_recipe_says_so(write, text, said):
    assert said in problems(write(text))


def test_an_override_that_is_no_date_is_a_text_and_one_that_holds_itself_is_refused(write):
    assert "name: string should match" in problems(write(GOOD), "name=2024-02-30 x")
    assert load_recipe(write(GOOD), ["name=2024-02-30"]).recipe.name == "2024-02-30"
    assert "--set name=&a [*a]: it holds itself" in problems(write(GOOD), "name=&a [*a]")


def test_no_such_recipe_names_the_nearest():
    assert 'did you mean "quickstart"' in problems("quikstart")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_bytes(b"name: \xff\n")
    assert "not UTF-8" in problems(str(path))


@pytest.mark.parametrize("name", library_names())
def test_every_built_in_recipe_loads_and_survives_json(name):
    recipe = load_recipe(name).recipe
    plain = json.dumps(recipe.model_dump(mode="json", by_alias=True))
    assert type(recipe).model_validate_json(plain) == recipe
