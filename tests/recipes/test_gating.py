"""Rules that cannot hold are refused when a recipe loads; named sets stand in it as plain rules."""

import json
from importlib import resources

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from stillhouse.core.errors import RecipeError
from stillhouse.recipes.gate_sets import gate_set_names, read_gate_set
from stillhouse.recipes.gating import Gate, Rule
from stillhouse.recipes.load import load_recipe
from stillhouse.recipes.metric_names import misfit_of, scale_of

RULE = {"metric": "exact_match", "at_least": 0.9}


def gate(**section):
    return Gate.model_validate_json(json.dumps(section))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"at_most": 0.95}, "exactly one of at_least and at_most"),
        ({"at_least": None}, "exactly one of at_least and at_most"),
        ({"slice": {"genre": "gospel", "decade": "1980s"}}, "slice names one part"),
        ({"slice": {}}, "slice names one part"),
        ({"slice": {"genre": "gospel"}, "each_slice": "genre"}, "slice or each_slice, not both"),
        ({"min_n": 0}, "greater than or equal to 1"),
        ({"at_least": 95}, "lies from 0 to 1: no value keeps at least 95; write 0.95"),
        ({"at_least": None, "at_most": 5}, "every value keeps at most 5; write 0.05"),
        ({"at_least": -0.1}, "every value keeps at least -0.1"),
        ({"at_least": None, "at_most": -0.1}, "no value keeps at most -0.1"),
        ({"metric": "bleu.answer", "at_least": 0.3}, "looks like a share of 1, write 30"),
        ({"metric": "context_fidelity", "at_least": 0.9}, "lies from 1 to 5: every value keeps"),
        ({"metric": "accuracy.verdict", "at_least": 85}, "write 0.85"),
        ({"metric": "kappa.verdict", "at_least": 1.5}, "lies from -1 to 1"),
        ({"metric": "mae.score", "at_least": None, "at_most": -1}, "no value keeps at most -1"),
        ({"against": "teacher", "at_least": 5}, "the difference of exact_match lies from -1 to 1"),
        ({"against": "teacher", "relation": "ratio", "at_least": -0.9}, "the ratio of exact_match"),
    ],
)
def test_a_rule_that_asks_in_vain_is_refused_with_the_reason(changes, words):
    with pytest.raises(ValidationError, match=words):
        Rule.model_validate_json(json.dumps(RULE | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"at_least": 0.0},
        {"at_least": 1.0},
        {"metric": "bleu.answer", "at_least": 30},
        {"metric": "bleu.answer", "against": "teacher", "relation": "ratio", "at_least": 0.9},
        {"metric": "bleu.answer", "against": "teacher", "at_least": -0.5},
        {"metric": "mae.score", "at_least": None, "at_most": 0.5},
        {"metric": "latency_mean_s", "at_least": None, "at_most": 0.2},
        {"metric": "a_metric_of_my_own", "at_least": 95},
        {"against": "teacher", "relation": "ratio", "at_least": 1.2},
        {"slice": {"genre": "gospel"}},
        {"each_slice": "genre", "min_n": 20},
    ],
)
def test_a_rule_that_can_hold_is_taken(changes):
    Rule.model_validate_json(json.dumps(RULE | changes))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"against": "teacher", "at_least": 0.1}, {"against": "teacher", "at_most": 0.0}),
        ({"slice": {"genre": "gospel"}}, {"slice": {"genre": "gospel"}}),
        ({"each_slice": "genre"}, {"slice": {"genre": "gospel"}}),
        ({"each_slice": "genre"}, {"each_slice": "genre"}),
        ({"decide_by": "point"}, {"decide_by": "confidence"}),
    ],
)
def test_two_rules_that_no_number_keeps_are_refused(one, other):
    rules = [RULE | one, {"metric": "exact_match", "at_most": 0.8} | other]
    with pytest.raises(ValidationError, match="which no number is: change one of the two rules"):
        gate(rules=rules)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"at_most": 0.9}),
        ({}, {"at_most": 0.95}),
        ({}, {"metric": "valid_json"}),
        ({}, {"against": "teacher"}),
        ({"slice": {"genre": "gospel"}}, {"slice": {"genre": "rock"}}),
        ({"slice": {"genre": "gospel"}}, {}),
        ({"each_slice": "genre"}, {"slice": {"decade": "1980s"}}),
    ],
)
def test_rules_about_other_numbers_do_not_clash(one, other):
    gate(rules=[RULE | one, {"metric": "exact_match", "at_most": 0.8} | other])


def test_an_unknown_set_names_the_nearest():
    with pytest.raises(ValidationError, match="no gate set 'song'; did you mean \"songs\""):
        gate(set="song")


def test_strict_is_a_mode_of_a_set():
    with pytest.raises(ValidationError, match="decide_by: confidence"):
        gate(strict=True, rules=[RULE])


@pytest.mark.parametrize("name", gate_set_names())
def test_a_set_has_a_mode_that_decides_by_the_estimate_and_one_by_the_interval(name):
    entries = read_gate_set(name).entries
    for strict, mode in ((False, "point"), (True, "confidence")):
        found = gate(set=name, strict=strict).rules
        said = [entry.get("decide_by", mode) for entry in entries]
        assert [rule.decide_by for rule in found] == said


@pytest.mark.parametrize("name", gate_set_names())
def test_every_rule_of_a_set_is_about_a_metric_whose_scale_is_known(name):
    for rule in gate(set=name).rules:
        assert scale_of(rule.metric) is not None, rule.metric


def test_a_set_stands_in_the_recipe_as_rules_behind_its_own():
    # given
    own = {"metric": "valid_json", "at_least": 0.99, "decide_by": "point"}
    # when
    found = gate(set="songs", rules=[own])
    # then: the place of an own rule is that of the file, so that errors name its line
    assert found.rules[0] == Rule(**own)
    assert [rule.metric for rule in found.rules[1:]] == [
        entry["metric"] for entry in read_gate_set("songs").entries
    ]
    # and the whole is what a reader would have written
    assert found.set is None
    assert gate(**found.model_dump(mode="json")) == found


def test_a_rule_may_clash_with_one_of_the_set():
    with pytest.raises(ValidationError, match=r"at least 0\.85 and at most 0\.5"):
        gate(set="songs", rules=[{"metric": "accuracy.verdict", "at_most": 0.5}])


def test_the_fallback_of_a_set_may_be_replaced():
    assert gate(set="prompts").fallback == "the model without its adapter"
    assert gate(set="prompts", fallback="teacher").fallback == "teacher"


def test_a_set_in_a_file_loads_and_its_own_rules_keep_their_lines(tmp_path):
    # given the quickstart with a set in place of its rules
    text = (resources.files("stillhouse.recipes") / "library" / "quickstart.yaml").read_text()
    head = text[: text.index("gate:")]
    path = tmp_path / "r.yaml"
    path.write_text(head + "gate:\n  set: neurons\n  strict: true\n")
    # when
    loaded = load_recipe(str(path)).recipe
    # then
    (rule,) = loaded.gate.rules
    assert (rule.metric, rule.at_most, rule.decide_by) == ("kl_to_teacher", 1.0, "confidence")
    # and a wrong rule beside it is named by its line
    path.write_text(
        head + "gate:\n  set: neurons\n  rules:\n    - {metric: valid_json, at_least: 90}\n"
    )
    line = head.count("\n") + 4
    with pytest.raises(RecipeError, match=rf":{line} gate\.rules\.0: valid_json lies from 0 to 1"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("rule", "problems"),
    [
        ("{metric: valid_json, at_least: 0.9, each_slice: length}", 0),
        ("{metric: valid_json, at_least: 0.9, slice: {class of kind: a}}", 0),
        ("{metric: valid_json, at_least: 0.9, each_slice: genre}", 1),
        ("{metric: valid_json, at_least: 0.9, slice: {genre: gospel}}", 1),
    ],
)
def test_a_rule_on_parts_needs_a_holdout_that_is_cut_so(tmp_path, rule, problems):
    text = (resources.files("stillhouse.recipes") / "library" / "quickstart.yaml").read_text()
    path = tmp_path / "r.yaml"
    head = (
        text[: text.index("gate:")]
        + "evaluate: {slices: [length, class], fields: {kind: {kind: label}}}\n"
    )
    path.write_text(head + f"gate: {{rules: [{rule}]}}\n")
    if not problems:
        load_recipe(str(path))
        return
    with pytest.raises(RecipeError, match=r"gate\.rules\.0: .* add it to evaluate\.slices"):
        load_recipe(str(path))


def test_the_files_of_sets_hold_nothing_else():
    folder = resources.files("stillhouse.recipes") / "gates"
    for name in gate_set_names():
        data = YAML(typ="safe", pure=True).load((folder / f"{name}.yaml").read_text())
        assert sorted(data) == ["description", "fallback", "rules"]
        assert name in Gate.__doc__


def test_names_without_a_scale_are_taken_as_they_are():
    assert misfit_of("my_metric", 95.0, "at_least", "value") == ""
    assert scale_of("accuracy.") is None
    assert scale_of("error.theme_misclassification") == (0.0, 1.0)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"set": "songs", "strict": "yes"}, "strict"),
        ({"set": ["songs"]}, "set"),
        ({"set": "songs", "rules": "accuracy"}, "rules"),
    ],
)
def test_a_gate_of_wrong_types_is_refused_by_its_key(section, words):
    with pytest.raises(ValidationError) as caught:
        gate(**section)
    assert [error["loc"][0] for error in caught.value.errors()] == [words]


@pytest.mark.parametrize("section", [{}, {"rules": []}, {"fallback": "teacher"}])
def test_a_gate_without_rules_is_refused(section):
    with pytest.raises(ValidationError, match="give rules, or name a set"):
        gate(**section)


def test_a_wrong_rule_is_one_error():
    with pytest.raises(ValidationError) as caught:
        gate(rules=[RULE | {"at_least": 90}])
    assert [error["loc"] for error in caught.value.errors()] == [("rules", 0)]
