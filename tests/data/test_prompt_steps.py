"""Prompts are written once, in English, no two alike, as many of each preset as asked."""

import random
from collections import Counter

import pytest
from pydantic import ValidationError

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion, Defer, Drop, Keep, Row
from stillhouse.core.sampling import Sampling
from stillhouse.data.account import run_step
from stillhouse.data.asking import AskedEngine
from stillhouse.data.prompt_writing import WritePromptsStep, own_presets
from stillhouse.data.translation import TranslateStep
from stillhouse.recipes.prompt_steps import Translate, WritePrompts
from stillhouse.recipes.rows import SampleRows
from stillhouse.tasks.prompts.rows import PRESETS, sparks
from stillhouse.tasks.sample_rows import sample_rows

ENGINE = {"api": {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}}
WORDS = [word for name, texts in sparks().items() if name not in ("films", "styles")
         for text in texts for word in text.split()]  # fmt: skip


class Writer:
    """Answers by a function of the question's name and text, and counts what it is asked."""

    def __init__(self, say):
        self.say, self.asked = say, Counter()

    def generate(self, examples, sampling):
        for one in examples:
            self.asked[one.example_id] += 1
            said = self.say(one.example_id, one.prompt[-1].content)
            finish, text = said if isinstance(said, tuple) else ("stop", said)
            reason = text if finish == "error" else ""
            yield Completion(one.example_id, "" if reason else text, finish, 20, reason)


def asked_by(writer, **more):
    return AskedEngine(writer, None, Sampling(150, 1.0), frozenset({"budget"}), **more)


def prompt_of(name, _=""):
    draw = random.Random(name)
    return "The scene of " + " ".join(draw.choice(WORDS) for _ in range(40))


def written(rows, say=prompt_of, **settings):
    writer = Writer(say)
    wanted = WritePrompts.model_validate({"engine": ENGINE, **settings}, strict=False)
    step = WritePromptsStep(wanted, [asked_by(writer)])
    return step, writer, run_step(step, rows)


def seeds(number, seed=0):
    return list(sample_rows(SampleRows(task="prompt_seeds", rows=number, seed=seed)))


def test_beginnings_differ_take_turns_and_give_each_tradition_its_share():
    rows = seeds(4500)

    assert len({str(row.fields) for row in rows}) == 4500
    assert Counter(row.fields["preset"] for row in rows) == dict.fromkeys(PRESETS, 1500)
    shares = Counter(row.fields["tradition"] for row in rows if "tradition" in row.fields)
    assert set(shares.values()) == {100}
    assert [row.row_id for row in seeds(9)] == [row.row_id for row in rows[:9]]


def test_a_corpus_has_so_many_of_each_preset_and_asks_no_more_than_it_needs():
    rows = seeds(90)

    step, writer, (kept, _, count) = written(rows, each=20)

    assert Counter(row.fields["preset"] for row in kept) == dict.fromkeys(PRESETS, 20)
    assert count.dropped == {"not needed": 30}
    assert sum(writer.asked.values()) == 60
    assert len({row.fields["prompt"] for row in kept}) == 60
    assert step.tell(kept) == {"prompts by preset": dict.fromkeys(sorted(PRESETS), 20)}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("length", "a long prompt that was"), "cut"),
        (("error", "refused"), "refused"),
        ("", "says nothing"),
        ("A cat.", "says nothing"),
        ("Sure! A cat sits on a wall in the sun", "a remark, no prompt"),
        ("Ein roter Hund sitzt auf der Wiese und schaut", "not English"),
        ("A cat in the style of Van Gogh on a wall", "names a style"),
        ("The same cat sits on a wall in the sun", "repeats another prompt"),
    ],
)
def test_what_is_no_prompt_is_turned_down_and_made_up_for(said, reason):
    rows = seeds(30)
    bad = {row.row_id for row in sorted(rows, key=lambda row: row.row_id)[:6]}
    first = iter(["The same cat sits on a wall in the sun"])

    def say(name, _):
        if name not in bad:
            return prompt_of(name)
        return said if reason != "repeats another prompt" else next(first, said)

    _, writer, (kept, _, count) = written(rows, say, each=4)

    assert len(kept) == 12
    assert count.dropped[reason] == 6 - (reason == "repeats another prompt")
    assert max(writer.asked.values()) == 1


@pytest.mark.parametrize(
    ("preset", "text"),
    [
        ("clean_image", "A wall in the sun, seen with shallow depth of field and a cat"),
        ("clean_image", "A photograph of a wall in the sun and a cat"),
        ("photo", "A watercolor of a wall in the sun and a cat"),
        ("artform", "An exotic weaving of a wall in the sun and a cat"),
    ],
)
def test_a_preset_forbids_words(preset, text):
    rows = [Row("a", {"preset": preset, "subject": "a wall"}, "")]

    _, _, (_, [ended], _) = written(rows, lambda *_: text, each=1)

    assert (ended.reason, ended.evidence) == ("what its preset forbids", text)


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ("Surely a calm wall of stone under the evening light", True),
        ("Promptly lit walls of stone stand under the evening light", True),
        ("A titled wall of stone under the calm evening light", True),
        ("Sure, a calm wall of stone under the evening light", False),
        ("Title: a calm wall of stone under the evening light", False),
    ],
)
def test_a_remark_is_known_by_whole_words(text, is_kept):
    rows = [Row("a", {"preset": "artform", "subject": "a wall"}, "")]

    _, _, (kept, _, _) = written(rows, lambda *_: text, each=1)

    assert bool(kept) == is_kept


def test_none_of_the_prompts_that_are_wanted_may_wait():
    with pytest.raises(ValidationError, match="less than or equal to 0"):
        WritePrompts.model_validate({"engine": ENGINE, "deferred_at_most": 0.5}, strict=False)


def test_presets_of_ones_own_are_told_to_the_engine():
    rows = [Row("a", {"preset": "memory", "subject": "a wall"}, ""), Row("b", {"preset": "no"}, "")]
    told = []

    def say(name, question):
        told.append(question)
        return prompt_of(name)

    _, _, (kept, [ended], _) = written(rows, say, presets={"memory": "What is kept."}, each=1)

    assert len(kept) == 1
    assert '"task": "What is kept."' in told[0]
    assert '"subject": "a wall"' in told[0]
    assert ended.reason == "no such preset"
    assert list(own_presets()) == list(PRESETS)


def test_an_outage_lets_rows_wait_and_asks_nobody_instead():
    rows = seeds(30)
    out = {row.row_id for row in sorted(rows, key=lambda row: row.row_id)[:3]}

    _, writer, (_, ended, count) = written(
        rows, lambda name, _: ("error", "budget") if name in out else prompt_of(name), each=5
    )

    assert count.deferred == {"budget": 3}
    assert sum(isinstance(one, Defer) for one in ended) == 3
    assert sum(writer.asked.values()) == 15


def test_the_shards_change_nothing():
    rows = seeds(60)
    wanted = WritePrompts.model_validate({"engine": ENGINE, "each": 12}, strict=False)
    step = WritePromptsStep(wanted, [asked_by(Writer(prompt_of))])
    parts = [rows[::2], rows[1::2]]

    decision = step.decide([step.look(part) for part in parts])
    apart = {one.row.row_id: one for part in parts for one in step.settle(part, decision)}

    whole = {one.row.row_id: one for one in step.process(rows)}
    assert apart == whole


def test_too_few_beginnings_end_the_run_and_say_of_which_preset():
    step, _, (kept, _, _) = written(seeds(9), each=4)

    with pytest.raises(InputError, match=r"wants 4 prompts of each preset: artform 3, clean_image"):
        step.tell(kept)


def test_a_preset_that_is_left_without_any_prompt_ends_the_run_too():
    rows = seeds(9)
    photos = {row.row_id for row in rows if row.fields["preset"] == "photo"}

    with pytest.raises(InputError, match="wants 2 prompts of each preset: photo 0"):
        written(rows, lambda name, _: "No" if name in photos else prompt_of(name), each=2)


def test_a_look_at_a_recipe_asks_for_as_many_as_are_wanted():
    writer = Writer(prompt_of)
    wanted = WritePrompts.model_validate({"engine": ENGINE, "each": 5}, strict=False)
    step = WritePromptsStep(wanted, [asked_by(writer, is_real=False)])

    outcomes = step.process(seeds(60))

    assert sum(writer.asked.values()) == 15
    assert sum(isinstance(one, Keep) for one in outcomes) == 15


def test_prompts_are_short_and_differ_where_nothing_else_is_said():
    plain = WritePrompts.model_validate({"engine": ENGINE})
    said = WritePrompts.model_validate({"engine": ENGINE | {"max_new_tokens": 90}})

    assert (plain.engine.max_new_tokens, plain.engine.temperature) == (150, 1.0)
    assert said.engine.max_new_tokens == 90
    with pytest.raises(ValidationError, match="engine"):
        WritePrompts.model_validate({})


GERMAN = "Ein roter Hund auf der Wiese"


def translated(text, say=lambda *_: "A red dog on the meadow", **settings):
    writer = Writer(say)
    engines = [] if say is None else [asked_by(writer)]
    step = TranslateStep(Translate(**settings), engines)
    [outcome] = step.process([Row("a", {"prompt": text}, "")])
    return outcome, writer


def test_what_is_english_is_not_asked_about():
    outcome, writer = translated("A cat on the wall")

    assert outcome.row.fields["prompt"] == "A cat on the wall"
    assert not writer.asked


def test_what_is_not_english_is_translated():
    outcome, writer = translated(GERMAN)

    assert outcome.row.fields["prompt"] == "A red dog on the meadow"
    assert outcome.notes == ("translated",)
    assert writer.asked == {"a#prompt": 1}


@pytest.mark.parametrize(
    ("say", "reason"),
    [
        (lambda *_: GERMAN, "not translated: the answer is not English"),
        (lambda *_: "", "not translated: nothing was said"),
        (lambda *_: ("length", "A red"), "not translated: cut"),
        (lambda *_: ("error", "refused"), "not translated: refused"),
        (None, "not English"),
    ],
)
def test_what_cannot_be_translated_ends_or_is_kept_with_a_note(say, reason):
    outcome, _ = translated(GERMAN, say)
    kept, _ = translated(GERMAN, say, untranslated="keep")

    assert isinstance(outcome, Drop)
    assert outcome.reason == reason
    assert kept.notes == (reason,)


def test_a_text_waits_for_its_translator():
    outcome, _ = translated(GERMAN, lambda *_: ("error", "budget"))

    assert isinstance(outcome, Defer)
