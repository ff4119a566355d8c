"""An audit finds planted defaults, compares answers prompt by prompt, and says what is amiss."""

import random

import pytest

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.engines.fake import FakeEngine
from stillhouse.evals.audit import audit, compare_audits
from stillhouse.evals.bootstrap import Resampling
from stillhouse.evals.probe_file import Probe, load_probes, own_probes

QUICK = Resampling(draws=200)
SENTENCES = {"means": "What it says.", "does_not_mean": "What it does not say."}
GENDER = Probe(
    name="gender",
    kind="classes",
    text="answer",
    prompt="prompt",
    tags={"woman": ("woman", "she"), "man": ("man", "he")},
    reference={"woman": 0.5, "man": 0.5},
    **SENTENCES,
)
WORDS = Probe(name="words", kind="words", text="answer", prompt="prompt", **SENTENCES)
STYLE = Probe(name="style", kind="style", text="answer", prompt="prompt", **SENTENCES)


def values(findings):
    return {f"{one.probe.name}.{one.metric.name}": one.estimate for one in findings}


def answers(say, num_prompts=40, each=3):
    """What a rule says to prompts that leave the gender open."""
    prompts = [
        Example(f"p{number}", "holdout", (Message("user", f"a person, {number}"),), None)
        for number in range(num_prompts)
    ]
    return [
        {"prompt": said.example_id, "answer": said.text}
        for index in range(each)
        for said in FakeEngine(say).generate(prompts, Sampling(64, sample_index=index))
    ]


def saying(man_prob, seed):
    draw = random.Random(seed)

    def say(messages, index):
        who = "A man" if draw.random() < man_prob else "A woman"
        return f"{who} at work, {draw.choice('abcdefgh')} {draw.choice('abcdefgh')}"

    return say


def test_a_default_of_a_candidate_is_measured_with_the_prompts_as_its_sample():
    found = values(audit(answers(saying(0.9, 0)), [GENDER], QUICK))
    top = found["gender.classes_top_share"]
    assert 0.8 < top.low < top.value < top.high < 1.0
    assert found["gender.share.man"].value == top.value
    assert found["gender.distance_to_reference"].value == pytest.approx(top.value - 0.5)
    assert found["gender.classes_named"].value == 1.0
    assert found["gender.classes_entropy"].value < 0.7


def test_a_shift_from_base_to_student_is_found_and_none_where_there_is_none():
    # given
    base, student = answers(saying(0.5, 1)), answers(saying(0.85, 2))
    # when
    shifts = {
        s.metric.name: s for s in compare_audits(base, student, [GENDER, WORDS, STYLE], QUICK)
    }
    same = compare_audits(base, base[::-1], [GENDER, WORDS], QUICK)
    # then
    assert shifts["classes_entropy"].difference.high < 0
    assert shifts["share.man"].difference.low > 0.1
    assert shifts["share.man"].before.value < shifts["share.man"].after.value
    assert shifts["style_reference_rate"].difference.value == 0
    assert {shift.difference.value for shift in same} == {0.0}


def test_a_student_that_answers_alike_is_less_varied_though_it_answers_less_often():
    # given one answer where the base gave three
    collapsed = answers(lambda messages, index: "A woman at work, a a", each=1)
    shifts = {
        s.metric.name: s for s in compare_audits(answers(saying(0.5, 1)), collapsed, [WORDS], QUICK)
    }
    assert shifts["entropy"].difference.high < 0
    assert shifts["self_bleu"].after.value == pytest.approx(1.0)


CONTEXTS = Probe(name="contexts", kind="contexts", text="answer", prompt="prompt", **SENTENCES)


def test_the_same_prompt_in_several_contexts_is_held_against_itself():
    # given two prompts in three contexts each: one answered alike, one by other words
    told = {"p": ["a red house"] * 3, "q": ["a red house", "A RED barn!", "one blue boat"]}
    rows = [{"prompt": name, "answer": text} for name, own in told.items() for text in own]
    # when
    found = values(audit(rows, [CONTEXTS], QUICK))["contexts.context_spread"]
    # then: red house and red barn share 2 of 4 words, the others none of 6
    assert (found.value, found.n) == (pytest.approx((2 / 4 + 1 + 1) / 6), 6)


def test_rows_without_a_prompt_are_no_answers_to_one():
    paired = [{"prompt": "p", "answer": text} for text in ("a red house", "one blue boat")]
    alone = [{"prompt": None, "answer": f"word {number}"} for number in range(6)]
    assert values(audit([*paired, *alone], [CONTEXTS], QUICK))["contexts.context_spread"].n == 1


def test_a_student_that_ignores_the_context_lies_closer_than_its_base():
    base = answers(saying(0.5, 1))
    deaf = [{**row, "answer": "A man at work"} for row in base]
    (shift,) = compare_audits(base, deaf, [CONTEXTS], QUICK)
    assert shift.after.value == 0.0
    assert shift.difference.high < -0.1


def test_prompts_with_one_answer_have_no_spread():
    rows = [{"prompt": "p", "answer": ""}, {"prompt": "q", "answer": "x"}]
    assert audit(rows, [CONTEXTS], QUICK) == []
    empty = [{"prompt": "p", "answer": text} for text in ("", "!")]
    assert values(audit(empty, [CONTEXTS], QUICK))["contexts.context_spread"].value == 0.0


def test_only_rows_with_the_wanted_values_are_looked_into_and_lists_are_several_texts():
    rows = [
        {"land": "x", "answer": ["he", "she"]},
        {"land": "y", "answer": ["he"]},
        {"land": "x", "answer": []},
    ]
    probe = GENDER.model_copy(update={"prompt": None, "only": {"land": ("x",)}})
    assert values(audit(rows, [probe], QUICK))["gender.share.man"].value == 0.5


def test_values_of_a_field_are_classes_themselves():
    probe = Probe(name="region", kind="classes", text="region", values=("a", "b"), **SENTENCES)
    rows = [{"region": "a"}] * 175 + [{"region": "b"}] * 9 + [{"region": "other"}]
    found = values(audit(rows, [probe], QUICK))
    assert found["region.classes_top_share"].value == pytest.approx(175 / 184)
    assert found["region.classes_named"].value == pytest.approx(184 / 185)


def test_what_is_not_defined_is_left_out():
    found = values(audit([{"prompt": "p", "answer": "nobody"}], [GENDER], QUICK))
    assert set(found) == {"gender.classes_covered", "gender.classes_named"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "p"}], "row 0 has no field 'answer', which the probe gender reads"),
        ([{"prompt": "p", "answer": 3}], "row 0: answer is 3, not a text"),
        ([{"prompt": "p", "answer": []}], "finds no text in 1 rows"),
        ([], "finds no text in 0 rows"),
    ],
)
def test_rows_that_a_probe_cannot_read_are_named(rows, message):
    with pytest.raises(InputError, match=message):
        audit(rows, [GENDER], QUICK)


def test_other_prompts_and_probes_without_prompts_are_not_compared():
    base = answers(saying(0.5, 1), num_prompts=4)
    with pytest.raises(InputError, match="1 prompts were answered by one side alone, such as 'p3'"):
        compare_audits(base, answers(saying(0.5, 1), num_prompts=3), [GENDER], QUICK)
    with pytest.raises(InputError, match="names no prompt"):
        compare_audits(base, base, [GENDER.model_copy(update={"prompt": None})], QUICK)


FILE = """
name: mine
version: "1"
probes:
  - {name: a, kind: KIND, text: t, MORE means: m, does_not_mean: n}
"""


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("classes", "", "needs tags or values"),
        ("classes", "values: [x],", "two at least"),
        ("classes", "values: [x, y], tags: {x: [x], y: [y]},", "needs tags or values"),
        ("words", "values: [x, y],", "kind words has no tags"),
        ("classes", "values: [x, y], reference: {x: 1},", "a share for each"),
        ("classes", "values: [x, y], reference: {x: 1, y: -1},", "greater than or equal to 0"),
        ("contexts", "", "name its field"),
        ("colours", "", "probes.0.kind"),
        ("style", "colour: red,", "probes.0.colour"),
    ],
)
def test_a_file_of_probes_that_cannot_be_meant_is_refused(tmp_path, kind, more, message):
    path = tmp_path / "probes.yaml"
    path.write_text(FILE.replace("KIND", kind).replace("MORE", more))
    with pytest.raises(InputError, match=message):
        load_probes(path)


def test_a_probe_may_take_over_keys_of_another_and_errors_still_name_a_line(tmp_path):
    text = FILE.replace("- {", "- &one {").replace("KIND", "style").replace("MORE", "")
    path = tmp_path / "probes.yaml"
    path.write_text(f"{text}  - {{<<: *one, name: b}}\n")
    assert [probe.kind for probe in load_probes(path).probes] == ["style", "style"]
    path.write_text(f"{text}  - {{<<: *one, name: B}}\n")
    with pytest.raises(InputError, match=r"probes.yaml:6 probes.1.name"):
        load_probes(path)


def test_two_probes_of_one_name_are_refused(tmp_path):
    text = FILE.replace("KIND", "style").replace("MORE", "")
    (tmp_path / "probes.yaml").write_text(text + text.splitlines()[-1])
    with pytest.raises(InputError, match="two probes are called 'a'"):
        load_probes(tmp_path / "probes.yaml")


def test_a_file_that_is_no_yaml_or_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_probes(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(InputError, match="no YAML"):
        load_probes(tmp_path / "bad.yaml")


def test_our_own_probes_find_what_they_name():
    # given a text for each of fifteen traditions
    probes = {probe.name: probe for probe in load_probes(own_probes()).probes}
    texts = [words[0].rstrip("*") for words in probes["traditions"].tags.values()]
    rows = [{"text": text} for text in texts] + [{"text": "She sees the Eiffel tower."}]
    # when
    found = values(audit(rows, probes.values(), QUICK))
    # then
    assert found["traditions.traditions_covered"].value == 15
    assert found["gender.share.woman"].value == 1.0
    assert found["styles.style_reference_rate"].value == 0.0
    assert all(probe.means.endswith(".") for probe in probes.values())
    assert all(probe.does_not_mean.endswith(".") for probe in probes.values())
