"""The plan names every instance by what its result depends on, and by nothing else."""

import json

import pytest

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.compute import ResolvedCompute
from stillhouse.recipes.instance_config import Content
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.plan import build_plan
from stillhouse.recipes.sizes import sizes_of

CPU = ResolvedCompute("cpu", "float32", 2)


def ids(*overrides, content=None, compute=CPU):
    recipe = load_recipe("quickstart", overrides).recipe
    plan = build_plan(recipe, content or Content(source="rows"), compute)
    return {instance.key: instance.artifact_id for instance in plan.instances}


def changed(*overrides, **kwargs):
    before, after = ids(), ids(*overrides, **kwargs)
    assert list(before) == list(after)
    return {key for key in before if before[key] != after[key]}


ALL = set(ids())
RELEASE = {"export", "evaluate@exported", "gate@exported", "register"}


def test_a_teachers_gate_stands_between_him_and_what_he_labels_and_names_no_label_anew():
    gate = "finetune.gate={rules: [{metric: exact_match, at_least: 0.5}]}"
    parts = "prepare.split.parts.validation=100"

    before, after = ids(parts), ids(parts, gate)

    order = list(after)
    assert order[2:6] == ["finetune", "evaluate@finetuned", "gate@finetuned", "label"]
    assert {key: after[key] for key in before} == before
    recipe = load_recipe("quickstart", [parts, gate]).recipe
    plan = build_plan(recipe, Content(source="rows"), CPU)
    assert plan["evaluate@finetuned"].config["part"] == "validation"


def test_timing_has_instances_of_its_own_that_change_no_evaluation():
    timed = ids("evaluate.latency={examples: 5}")
    plain = ids()

    speeds = {f"speed@{who}" for who in ("teacher", "student", "twin", "exported")}
    assert timed.keys() - plain.keys() == speeds
    assert {key for key in plain if plain[key] != timed[key]} == {"gate", *RELEASE}
    recipe = load_recipe("quickstart", ["evaluate.latency={examples: 5}"]).recipe
    plan = build_plan(recipe, Content(source="rows"), CPU)
    assert plan["gate"].inputs["speed of twin"] == "speed@twin"


def test_what_was_learned_is_an_input_where_it_is_asked_for_and_changes_nothing_before():
    asked = "evaluate.measures=[memorised]"
    evaluations = {f"evaluate@{who}" for who in ("teacher", "student", "twin", "exported")}

    assert changed(asked) == {*evaluations, "gate", *RELEASE}
    plan = build_plan(load_recipe("quickstart", [asked]).recipe, Content(source="rows"), CPU)
    held = {key: plan[key].inputs.get("learned") for key in evaluations}
    assert held == dict.fromkeys(evaluations, "label") | {"evaluate@twin": None}
    assert plan["evaluate@student"].config["learned"] == ["unlabelled"]
    assert plan["evaluate@twin"].config["learned"] == ["labelled"]
    recipe = load_recipe("quickstart", [asked, "train.twin={text: labelled}"]).recipe
    alike = build_plan(recipe, Content(source="rows"), CPU)["evaluate@twin"]
    assert alike.inputs["learned"] == "label"
    assert alike.config["learned"] == ["unlabelled"]


def test_probes_count_by_what_they_are_and_not_by_their_files_name():
    asked = "evaluate.probes=mine.yaml"
    probes = Content(source="rows", probes=({"name": "a"},))

    assert ids("evaluate.probes=other.yaml", content=probes) == ids(asked, content=probes)
    other = Content(source="rows", probes=({"name": "b"},))
    before, after = ids(asked, content=probes), ids(asked, content=other)
    evaluations = {key for key in before if key.startswith("evaluate")}
    assert {key for key in before if before[key] != after[key]} == {*evaluations, "gate", *RELEASE}


def test_an_export_that_is_not_evaluated_is_registered_with_the_students_verdict():
    recipe = load_recipe("quickstart", ["export.evaluate=false"]).recipe
    plan = build_plan(recipe, Content(source="rows"), CPU)
    assert plan["register"].inputs == {
        "bundle": "export",
        "numbers": "evaluate@student",
        "gate": "gate",
    }


def test_the_plan_has_every_stage_in_the_order_of_work():
    assert list(ids()) == [
        "collect",
        "prepare",
        "finetune",
        "label",
        "train@student",
        "train@twin",
        "evaluate@teacher",
        "evaluate@student",
        "evaluate@twin",
        "gate",
        "export",
        "evaluate@exported",
        "gate@exported",
        "register",
    ]


def test_equal_recipes_have_equal_plans():
    assert ids() == ids("description=other words", "register.name=quickstart")


def test_the_recipes_name_changes_the_bundle_alone_because_its_card_says_it():
    before, after = ids(), ids("name=other", "register.name=quickstart")
    assert {key for key in before if before[key] != after[key]} == RELEASE


@pytest.mark.parametrize(
    ("override", "first"),
    [
        (
            "gate.rules.0.at_most=0.5",
            {"gate", "export", "evaluate@exported", "gate@exported", "register"},
        ),
        ("register.name=other", {"register"}),
        ("export.formats=[int8]", RELEASE),
    ],
)
def test_a_later_section_recomputes_no_earlier_stage(override, first):
    assert changed(override) == first


def test_each_form_that_ships_is_asked_and_gated_by_itself():
    forms = ("exported", "exported-int8", "exported-q8_0")
    found = ids("export.formats=[merged, int8, gguf]", "export.gguf={weights: [q8_0]}")

    for form in forms:
        assert {f"evaluate@{form}", f"gate@{form}"} <= found.keys()
    assert len({found[f"evaluate@{form}"] for form in forms}) == 3
    assert not [key for key in ids("export.evaluate=false") if key.endswith("@exported")]


def test_what_ships_is_timed_as_it_ships():
    found = ids("export.formats=[merged, gguf]", "evaluate.latency={}")
    assert {"speed@exported", "speed@exported-f16", "speed@exported-q8_0"} <= found.keys()


def test_the_size_of_the_bundle_is_asked_of_what_ships_alone():
    rules = "gate.rules=[{metric: bundle_bytes, at_most: 2.0e10}]"
    assert "gate" not in ids(rules)
    assert "gate@exported" in ids(rules)
    more = "gate.rules=[{metric: bundle_bytes, at_most: 2e10}, {metric: valid_json, at_least: 0.5}]"
    assert {"gate", "gate@exported"} <= ids(more).keys()
    with pytest.raises(RecipeError, match=r"export\.evaluate: true"):
        ids(rules, "export.evaluate=false")
    compared = "gate.rules=[{metric: bundle_bytes, against: teacher, at_most: 0}]"
    with pytest.raises(RecipeError, match=r"gate\.rules\.0: .*the teacher has none to compare"):
        ids(compared)
    early = "finetune.gate={rules: [{metric: bundle_bytes, at_most: 2e10}]}"
    with pytest.raises(RecipeError, match="bundle_bytes is measured of finished candidates"):
        ids("prepare.split.parts.validation=100", early)


def test_the_students_seed_leaves_teacher_and_targets_alone():
    assert not changed("train.seed=1") & {"collect", "prepare", "finetune", "label"}
    assert {"train@student", "train@twin"} <= changed("train.seed=1")
    assert "evaluate@teacher" not in changed("train.seed=1")


@pytest.mark.parametrize(
    "override",
    [
        "train.weights.jsd=1",
        "train.weights={skew_kl: 1}",
        "train.t2_scaling=false",
    ],
)
def test_what_the_student_minimises_leaves_the_twin_alone(override):
    assert "train@student" in changed(override)
    assert "train@twin" not in changed(override)


def test_the_teachers_seed_leaves_the_twin_alone():
    assert {"finetune", "label", "train@student"} <= changed("finetune.seed=1")
    assert "train@twin" not in changed("finetune.seed=1")


def test_a_twin_hears_of_the_labels_where_they_decide_how_long_the_student_learns():
    def inputs(*overrides):
        recipe = load_recipe("quickstart", overrides).recipe
        return build_plan(recipe, Content(source="rows"), CPU)["train@twin"].inputs

    epochs = "train.length={epochs: 2}"
    assert "labels" not in inputs()
    assert inputs(epochs)["labels"] == "label"
    assert "labels" not in inputs(epochs, "train.parts=[labelled]")
    assert "labels" in inputs(epochs, "train.parts=[labelled]", "label.completions=teacher")
    assert "labels" not in inputs(epochs, "train.parts=[labelled]", "label.completions=gold")


def test_prepare_keeps_room_for_the_longest_answer_of_every_prompt_that_is_asked():
    def config(*overrides):
        recipe = load_recipe("quickstart", overrides).recipe
        return build_plan(recipe, Content(source="rows"), CPU)["prepare"].config

    plain = config("label.max_new_tokens=30", "evaluate.max_new_tokens=50")
    relabelled = config(
        "label.max_new_tokens=70",
        "evaluate.max_new_tokens=50",
        "label.completions=teacher",
        "label.parts=[labelled, unlabelled]",
    )

    assert (plain["room_for_answer"], plain["asked_parts"]) == (50, ["holdout"])
    assert relabelled["room_for_answer"] == 70
    assert relabelled["asked_parts"] == ["holdout", "labelled", "unlabelled", "validation"]


def test_other_rows_change_everything():
    assert changed(content=Content(source="other rows")) == ALL


def test_threads_and_dtype_belong_to_what_torch_computes():
    heavy = changed(compute=ResolvedCompute("cpu", "float32", 1))
    assert {"finetune", "label", "train@student", "export"} <= heavy
    assert not heavy & {"collect", "prepare"}


def test_student_and_twin_differ_in_rows_and_loss_alone():
    recipe = load_recipe("quickstart").recipe
    plan = build_plan(recipe, Content(source="rows"), CPU)
    student, twin = plan["train@student"].config, plan["train@twin"].config
    assert student["model"] == twin["model"]
    different = {k for k in student["training"] if student["training"][k] != twin["training"][k]}
    assert different == {"parts", "weights"}


def test_stages_after_one_are_those_that_depend_on_it():
    recipe = load_recipe("quickstart").recipe
    plan = build_plan(recipe, Content(source="rows"), CPU)
    again = {instance.key for instance in plan.after("label")}
    assert "train@twin" not in again
    assert {"label", "train@student", "evaluate@student", "gate", "register"} <= again
    again = {instance.key for instance in plan.after("train@twin")}
    assert again == {"train@twin", "evaluate@twin", "gate", *RELEASE}


def test_configurations_are_plain_json():
    recipe = load_recipe("quickstart").recipe
    for instance in build_plan(recipe, Content(source="rows"), CPU).instances:
        assert json.loads(json.dumps(instance.config)) == instance.config


def test_sizes_come_from_the_config_alone():
    # paper figures: GPT-2 small has 124.4 million parameters, 85.0 of them in its blocks
    sizes = sizes_of({"model_type": "gpt2"})
    assert sizes.parameters == pytest.approx(124.4e6, rel=0.002)
    assert sizes.body_parameters == pytest.approx(85.0e6, rel=0.002)


def test_a_cards_number_is_in_no_name_and_takes_the_place_of_no_other_setting():
    recipe = load_recipe("quickstart", []).recipe
    first, second = (
        build_plan(
            recipe, Content(source="rows"), ResolvedCompute("cuda", "bfloat16", 4, card=card)
        )
        for card in (None, 1)
    )

    assert first == second
    assert second["export"].config["model_card"]["recipe"] == "quickstart"
