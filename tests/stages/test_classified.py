"""A class in a field is read where the candidate itself would write it, not behind the gold answer.

The planted leak: `score` stands before `verdict` and tells it. A student that has learned nothing
of the songs, but which verdict belongs to which score, is as sure as its teacher behind the gold
score, and knows nothing when it is asked.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models.tiny_models import build

from stillhouse.core.errors import InputError
from stillhouse.core.rows import Completion, Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.core.targets import ClassTargets
from stillhouse.engines.transformers import TransformersEngine
from stillhouse.evals.classes import score_classes
from stillhouse.evals.scores import Scores
from stillhouse.recipes.measuring import Evaluate
from stillhouse.stages.classified import Classified, read_logprobs, write_logprobs
from stillhouse.stages.comparing import Answers, summarise
from stillhouse.stages.contract import StageRequest
from stillhouse.stages.corpus import Corpus
from stillhouse.stages.evaluate_files import CLASSES
from stillhouse.stages.measured import Measured
from stillhouse.stages.named_answers import NamedAnswers
from stillhouse.tokens.encode import encode_conversation
from stillhouse.tokens.template import PlainTemplate
from stillhouse.tokens.tokenizer import load_tokenizer
from stillhouse.tokens.train import train_tokenizer

VERDICTS = ("good", "fair", "bad")
SCORES = (9, 5, 1)
NAMED = NamedAnswers(VERDICTS, "verdict")


def answer_of(place):
    return json.dumps({"score": SCORES[place], "verdict": VERDICTS[place]})


@pytest.fixture(scope="module")
def song_tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("songs")
    texts = [f"song {number} {answer_of(number % 3)}" for number in range(30)]
    train_tokenizer(texts * 3, 300, folder, context=128)
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def songs():
    """A song's number tells its verdict: what a student has to learn of its prompt."""
    return [
        Example(str(number), "holdout", (Message("user", f"song {number}"),), answer_of(number % 3))
        for number in range(12)
    ]


def taught(tokenizer, template, texts, steps=60):
    """A model that has learned these answers."""
    torch.manual_seed(0)
    model = build("llama", tokenizer, initializer_range=0.05)
    rows = [encode_conversation(one.messages(), template, tokenizer) for one in texts]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = torch.from_numpy(row.ids)
        is_trained = torch.from_numpy(row.is_trained)
        labels[place, : len(row.ids)][is_trained] = ids[place, : len(row.ids)][is_trained]
    for _ in range(steps):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    return model.eval()


def request_of(folder, named=NAMED, teacher=None):
    config = {
        "named": {"classes": list(named.classes), "field": named.field},
        "max_new_tokens": 60,
    }
    inputs = {"examples": folder} | ({"teacher": teacher} if teacher else {})
    return StageRequest(
        "evaluate", "student", "of", config, inputs=inputs, out=folder, scratch=folder
    )


def answers_to(examples, texts):
    said = [
        Completion(one.example_id, text, "stop", len(text))
        for one, text in zip(examples, texts, strict=True)
    ]
    measured = Measured("holdout", list(examples), [{} for _ in examples])
    return Answers(measured, said, Evaluate(), True)


@pytest.fixture
def look_at(song_tokenizer, tmp_path):
    """`look_at(engine, answers)` gives the columns and notes, behind a teacher that is certain."""

    def look(engine, answers, named=NAMED, taught_NC=None, context=128, teacher=None):
        if taught_NC is not None:
            teacher = tmp_path / "teacher"
            teacher.mkdir(exist_ok=True)
            write_logprobs(teacher / CLASSES, taught_NC)
        corpus = Corpus(tmp_path, tmp_path, song_tokenizer, PlainTemplate(song_tokenizer.eos_token))
        request = request_of(tmp_path, named, teacher)
        return Classified(request, corpus, answers, context).look(engine)

    return look


def certain(places):
    return np.log(np.full((len(places), 3), 5e-4) + (1 - 1.5e-3) * np.eye(3)[places])


def test_a_student_that_only_copies_the_score_agrees_behind_gold_answers_alone(
    song_tokenizer, songs, look_at
):
    # given a student to whom every song is as good as any other, and a teacher that is right
    template = PlainTemplate(song_tokenizer.eos_token)
    everything = [replace(one, answer=answer_of(place)) for one in songs[:6] for place in range(3)]
    student = taught(song_tokenizer, template, everything)
    engine = TransformersEngine(student, song_tokenizer, template)
    taught_NC = certain(np.arange(len(songs)) % 3)
    # when the class is read behind the gold answer, as it was, and in the student's own
    behind_gold = engine.classify(songs, VERDICTS, lambda one: NAMED.answers(one.answer))
    old = score_classes(taught_NC, np.stack([one.logprobs for one in behind_gold]))
    said = [one.text for one in engine.generate(songs, Sampling(40))]
    new = look_at(engine, answers_to(songs, said), taught_NC=taught_NC).columns
    # then the old number is perfect, and the new one tells the truth
    print(
        f"\n  behind the gold answer: agreement {old['class_same'].mean():.3f}, "
        f"KL {old['class_kl'].mean():.4f}; in its own: {new['class_same'].mean():.3f}, "
        f"KL {new['class_kl'].mean():.2f}, unread {new['class_unread'].mean():.3f}"
    )
    assert old["class_same"].mean() == 1.0
    assert old["class_kl"].mean() < 0.1
    assert new["class_unread"].mean() < 0.1
    assert new["class_same"].mean() < 0.6
    assert new["class_kl"].mean() > 2.0


class Telling:
    """An engine that finds the first class twice as likely as others, and notes what it reads."""

    def __init__(self):
        self.read = []

    def classify(self, examples, classes, answers=None, ends=None):
        weights = np.array([2.0] + [1.0] * (len(classes) - 1))
        for example in examples:
            texts = answers(example) if answers else classes
            cut = ends(example) if ends else [None] * len(texts)
            self.read.append([text[:end] for text, end in zip(texts, cut, strict=True)])
            logs = np.log(weights / weights.sum())
            yield ClassTargets(example.example_id, tuple(classes), logs, logs)


@pytest.mark.parametrize(
    ("text", "is_read"),
    [
        ('{"score": 9, "verdict": "good"}', True),
        ('{"verdict": "fair", "why": "joy"}', True),
        ('{"verdict": "bad", "verdict": "good"}', True),  # readers take the last
        ('{"verdict": "excellent"}', False),
        ('{"verdict": ["good"]}', False),
        ('{"verdict": "good", "why": "jo', False),  # cut: nobody can read it
        ('{"score": 9}', False),
        ('{"inner": {"verdict": "good"}}', False),
        ('{"score": NaN, "verdict": "good"}', False),  # no JSON, as for every other number
        ('{9: 1, "verdict": "good"}', False),
        ("good", False),
        ("", False),
    ],
)
def test_an_answer_has_a_class_where_a_reader_finds_one_of_them(text, is_read, songs, look_at):
    found = look_at(Telling(), answers_to(songs[:1], [text]), taught_NC=certain([0])).columns

    assert found["class_unread"][0] == 1 - is_read
    assert found["class_same"][0] == is_read
    assert found["classed"][0] == 1


def test_what_stands_behind_the_class_is_not_read(songs, look_at):
    engine = Telling()
    texts = ['{"score": 1, "verdict": "bad", "why": "war"}', '{"verdict":"good"}']

    look_at(engine, answers_to(songs[:2], texts), taught_NC=certain([0, 0]))

    assert engine.read == [
        [f'{{"score": 1, "verdict": "{name}"' for name in VERDICTS],
        [f'{{"verdict":"{name}"' for name in VERDICTS],
    ]


def test_a_number_is_read_until_it_ends(songs, look_at):
    engine = Telling()
    named = NamedAnswers((1, 10, True), "level")

    look_at(engine, answers_to(songs[:1], ['{"level":10,"a":0}']), named, certain([1]))

    assert engine.read == [['{"level":1,', '{"level":10,', '{"level":true,']]


def test_examples_whose_teacher_names_no_class_are_left_out_and_told(songs, look_at):
    taught_NC = np.vstack([certain([0]), [[np.nan] * 3], certain([1])])
    texts = ['{"verdict": "good"}', '{"verdict": "good"}', "no JSON"]

    found = look_at(Telling(), answers_to(songs[:3], texts), taught_NC=taught_NC)

    assert found.columns["classed"].tolist() == [1, 0, 1]
    assert found.columns["class_same"].tolist() == [1, 0, 0]
    assert found.columns["class_unread"].tolist() == [0, 0, 1]
    why = "1 of 3 examples are left out: the teacher's answer names no class"
    assert found.notes["class_agreement"] == found.notes["class_kl_to_teacher"] == why


def test_answers_without_a_class_are_counted_behind_a_teacher_that_tells_no_probabilities(
    songs, look_at, tmp_path
):
    (tmp_path / "api").mkdir()
    texts = ['{"verdict": "good"}', "no JSON"]

    found = look_at(Telling(), answers_to(songs[:2], texts), teacher=tmp_path / "api").columns

    assert found["class_unread"].tolist() == [0, 1]
    assert not found.keys() & {"class_kl", "class_jsd", "class_same"}


def test_a_teacher_keeps_what_it_said_for_the_others(songs, look_at, tmp_path):
    texts = ['{"verdict": "good"}', "no JSON"]

    found = look_at(Telling(), answers_to(songs[:2], texts)).columns

    kept = read_logprobs(tmp_path / CLASSES)
    np.testing.assert_allclose(np.exp(kept[0]), [0.5, 0.25, 0.25])
    assert np.isnan(kept[1]).all()
    assert found["class_kl"].tolist() == [0, 0]
    assert found["class_same"].tolist() == [1, 0]


def test_the_field_is_calibrated_by_the_class_that_was_written(songs, look_at):
    # songs 0 and 1 are good and fair; of the last nobody knows what is right
    examples = [*songs[:3], replace(songs[3], answer="{}")]
    texts = ['{"verdict": "good"}', '{"verdict": "good"}', "no JSON", '{"verdict": "fair"}']

    found = look_at(Telling(), answers_to(examples, texts)).columns

    np.testing.assert_allclose(found["confidence:verdict"], [0.5, 0.5, 1.0, 0.0])
    assert found["correct:verdict"].tolist() == [1, 0, 0, 0]
    assert found["confidence_asked:verdict"].tolist() == [1, 1, 1, 0]


def test_the_report_hears_of_the_fields_own_calibration(songs, look_at):
    answers = answers_to(songs[:3], ['{"verdict": "good"}', '{"verdict": "good"}', "no JSON"])
    columns = look_at(Telling(), answers).columns

    (told,) = summarise(answers, Scores(answers.measured.ids, columns))["calibration"]

    assert (told["of"], told["title"]) == ("verdict", "The class under verdict")
    assert told["error"] == pytest.approx(1 / 3)  # half sure of two, of which one is right
    assert [(one["n"], one["accuracy"]) for one in told["bins"]] == [(2, 0.5), (1, 0.0)]


def test_an_answer_in_which_a_longer_class_would_not_fit_is_unread(songs, look_at):
    text = '{"verdict": "good"}'
    answers = answer_that_took(answers_to(songs[:1], [text]), 59)

    found = [
        look_at(Telling(), answers, taught_NC=certain([0]), context=context).columns
        for context in (4, 128, None)
    ]

    assert [one["class_unread"][0] for one in found] == [1, 0, 0]


def answer_that_took(answers, tokens):
    return replace(answers, said=[replace(one, num_tokens=tokens) for one in answers.said])


def test_a_model_that_gives_no_numbers_is_no_unread_answer(songs, look_at):
    class Broken(Telling):
        def classify(self, *asked):
            for one in super().classify(*asked):
                yield replace(one, logprobs=one.logprobs * np.nan)

    with pytest.raises(InputError, match="class_logprob of example 0 is nan"):
        look_at(Broken(), answers_to(songs[:1], ['{"verdict": "good"}']))


def test_a_plain_answer_is_asked_for_behind_the_prompt_alone(songs, look_at):
    engine = Telling()

    found = look_at(
        engine, answers_to(songs[:2], ["good", "what?"]), NamedAnswers(VERDICTS)
    ).columns

    assert engine.read == [list(VERDICTS)] * 2
    assert set(found) == {"classed", "class_kl", "class_jsd", "class_same"}
    assert found["classed"].tolist() == [1, 1]
