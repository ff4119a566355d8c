"""The engine of GGUF files against a child process that has no llama.cpp in it."""

import gc
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.engines.fakes.gguf_child import logits_after, write_model

from stillhouse.core.errors import EngineDiedError, InputError, ModelError, UsageError
from stillhouse.core.rows import Example, Message
from stillhouse.core.sampling import Sampling
from stillhouse.engines import llama_cpp as engine_module
from stillhouse.engines.child_process import ChildProcess
from stillhouse.engines.llama_cpp import GgufSettings, LlamaCppEngine
from stillhouse.models.scoring import Scoring
from stillhouse.tokens.encode import encode_conversation, encode_prompt

ROOT = Path(__file__).resolve().parents[2]
FAKE = (sys.executable, "-m", "tests.engines.fakes.gguf_child")
SHORT = "the fox"
LONG = "the quick brown fox jumps over the lazy dog and runs home again"


@pytest.fixture(autouse=True)
def fake_child(monkeypatch):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(engine_module, "_COMMAND", FAKE)
    monkeypatch.setattr(engine_module, "_PACKAGE", "json")


@pytest.fixture
def texts(tokenizer):
    return [tokenizer.token_of(number) for number in range(tokenizer.vocab_size)]


@pytest.fixture
def start(tokenizer, template, texts, tmp_path):
    """Opens a fake model; what is told of the file goes to it, the rest to the engine."""
    engines = []

    def open_engine(fault=None, context=128, ends=(), top=-1, **told):
        path = write_model(tmp_path / "model.gguf", texts, context, ends, fault)
        scoring = told.pop("scoring", Scoring(tokenizer.vocab_size, top_k=4))
        settings = GgufSettings(threads=1, top_logprobs=top)
        engines.append(LlamaCppEngine(path, tokenizer, template, scoring, settings=settings))
        return engines[-1]

    yield open_engine
    for engine in engines:
        engine.close()


@pytest.fixture
def failing(tmp_path):
    """A fault for texts of many tokens; short ones are safe from it."""

    def fault(kind, times=1, tokens=25, **more):
        counts = str(tmp_path / "counts")
        return {"kind": kind, "times": times, "tokens": tokens, "counts": counts, **more}

    return fault


def example(name, text=SHORT, answer="yes yes"):
    return Example(name, "labelled", (Message("user", text),), answer)


def naive_logprobs(ids, vocab_size):
    """(T - 1, V) log-probabilities after each token but the last."""
    rows = [logits_after(ids[: place + 1], vocab_size) for place in range(len(ids) - 1)]
    rows = np.array(rows, np.float64)
    return rows - np.log(np.exp(rows).sum(1, keepdims=True))


def test_scores_are_those_of_the_textbook(start, tokenizer, template):
    temperatures = (1.0, 2.0)
    scoring = Scoring(tokenizer.vocab_size, top_k=5, kd_temperatures=temperatures)
    asked = [example("e1"), example("e2", LONG, "no"), example("e3", SHORT, LONG)]

    found = list(start(scoring=scoring).score(asked))

    assert [one.key.example_id for one in found] == ["e1", "e2", "e3"]
    for given, one in zip(asked, found, strict=True):
        text = encode_conversation(given.messages(), template, tokenizer)
        dense = naive_logprobs(text.ids.tolist(), tokenizer.vocab_size)[text.is_trained[1:]]
        order = np.argsort(-dense, axis=1, kind="stable")[:, :5]
        soft = np.stack([np.log(np.exp(dense / t).sum(1)) for t in temperatures], 1)
        assert one.key.completion_digest == text.completion_digest
        assert one.key.view_digest == text.view_digest
        np.testing.assert_array_equal(one.token_ids, text.ids[text.is_trained])
        np.testing.assert_array_equal(one.byte_offsets, text.byte_offsets[text.is_trained])
        np.testing.assert_array_equal(one.top_ids, order)
        np.testing.assert_allclose(one.top_logprobs, np.take_along_axis(dense, order, 1), atol=1e-5)
        own = np.take_along_axis(dense, one.token_ids[:, None], 1)[:, 0]
        np.testing.assert_allclose(one.observed_logprobs, own, atol=1e-5)
        np.testing.assert_allclose(one.log_z, soft, atol=1e-5)


def test_a_greedy_completion_takes_the_likeliest_token_until_an_end(start, tokenizer, template):
    prompt = encode_prompt(example("e").prompt, template, tokenizer).tolist()
    expected = []
    for _ in range(6):
        row = logits_after(prompt + expected, tokenizer.vocab_size)
        expected.append(int(row.argmax()))

    (cut,) = start(top=3).generate([example("e")], Sampling(6))
    (ended,) = start(ends=expected[4:5]).generate([example("e")], Sampling(6))

    assert (cut.finish, cut.num_tokens) == ("length", 6)
    assert cut.text == tokenizer.decode(expected)
    assert (ended.finish, ended.text) == ("stop", tokenizer.decode(expected[:4]))
    dense = naive_logprobs([*prompt, *expected], tokenizer.vocab_size)[-6:]
    assert [one.token for one in cut.logprobs] == tokenizer.token_bytes(np.array(expected))
    np.testing.assert_allclose([one.logprob for one in cut.logprobs], dense.max(1), atol=1e-9)
    assert all(len(one.top) == 3 and one.top[0][1] == one.logprob for one in cut.logprobs)
    assert ended.logprobs == ()


def test_a_draw_depends_on_prompt_and_index_alone(start):
    engine = start()
    drawn = Sampling(20, temperature=1.5)
    asked = [example("e1"), example("e2")]

    first = list(engine.generate(asked, drawn))
    again = list(engine.generate(asked[::-1], replace(drawn, batch_size=1)))[::-1]
    other = list(engine.generate(asked, replace(drawn, sample_index=1)))

    assert first == again
    assert [one.sample_index for one in other] == [1, 1]
    assert len({one.text for one in (*first, *other)}) == 4


def test_drawn_tokens_follow_the_softened_distribution(start, tokenizer, template):
    engine = start(top=1)
    prompt = encode_prompt(example("e").prompt, template, tokenizer)
    weights = np.exp(logits_after(prompt.tolist(), tokenizer.vocab_size) / 0.7)
    likeliest = int(weights.argmax())

    asked = [example(f"e{number}") for number in range(300)]
    found = list(engine.generate(asked, Sampling(1, temperature=0.7)))

    (token,) = tokenizer.token_bytes(np.array([likeliest]))
    share = sum(one.logprobs[0].token == token for one in found) / 300
    expected = weights[likeliest] / weights.sum()
    assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 300))


@pytest.mark.parametrize("kind", ["kill", "null", "abort", "exit", "torn", "noise"])
def test_a_process_that_dies_once_is_replaced_and_asked_again(kind, start, failing):
    asked = [example("e1"), example("e2", LONG), example("e3")]
    sound = list(start().score(asked))

    found = list(start(failing(kind)).score(asked))

    for one, other in zip(found, sound, strict=True):
        assert one.key == other.key
        np.testing.assert_array_equal(one.top_logprobs, other.top_logprobs)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("kill", "was ended by SIGKILL while scoring example e2"),
        ("null", "was ended by SIGSEGV while scoring example e2"),
        ("abort", r"SIGABRT while scoring example e2; it last said: .*GGML_ASSERT\(false\)"),
        ("exit", "ended with code 7 while scoring example e2"),
        ("torn", "wrote what is no answer .* while scoring example e2"),
        ("noise", "wrote what is no answer .*llama_perf"),
    ],
)
def test_an_example_that_it_dies_of_twice_is_named(kind, told, start, failing, tmp_path):
    engine = start(failing(kind, times=2))
    scores = engine.score([example("e1"), example("e2", LONG)])

    assert next(scores).key.example_id == "e1"
    with pytest.raises(EngineDiedError, match=told) as raised:
        next(scores)

    assert str(tmp_path / "model.gguf") in str(raised.value)
    assert raised.value.exit_code == 1
    # The engine is of use for the others.
    assert next(engine.score([example("e3")])).key.example_id == "e3"


def make_impatient(engine):
    """Half a second of silence is too long from now on; a process that starts may take its time."""
    child = engine._child
    child._silence_s = child._reader._silence_s = 0.5
    return child


@pytest.mark.parametrize("kind", ["hang", "stop"])
def test_a_process_that_says_nothing_is_ended_and_replaced(kind, start, failing):
    engine = start(failing(kind))
    silent = make_impatient(engine).process_id

    (found,) = engine.score([example("e", LONG)])

    assert found.key.example_id == "e"
    assert engine._child.process_id != silent
    assert not is_running(silent)


@pytest.mark.parametrize("ask", ["score", "generate"])
def test_a_long_prompt_is_no_silence(ask, start, failing):
    engine = start(failing("slow"))
    patient = make_impatient(engine).process_id
    asked = [example("e", LONG)]

    list(engine.score(asked) if ask == "score" else engine.generate(asked, Sampling(2)))

    assert engine._child.process_id == patient


@pytest.mark.parametrize("num_tokens", [1, 1 << 20])  # the second is more than a pipe holds
def test_a_process_that_takes_no_question_is_ended(num_tokens, start):
    child = make_impatient(start())
    os.kill(child.process_id, signal.SIGSTOP)

    question = {"ids": np.zeros(num_tokens, np.int32)}
    with pytest.raises(
        EngineDiedError, match=r"said nothing for 0\.5 s and was ended while asking"
    ):
        child.ask("asking", {"ask": "score"}, question)

    assert not is_running(child.process_id)


def test_a_completion_that_it_dies_of_twice_is_an_error_of_its_own(start, failing):
    engine = start(failing("null", times=2))
    asked = [example("e1"), example("e2", LONG), example("e3")]

    found = list(engine.generate(asked, Sampling(8)))

    assert [one.finish for one in found] == ["length", "error", "length"]
    assert (found[1].reason, found[1].text, found[1].example_id) == ("crashed", "", "e2")


def test_a_model_that_dies_of_every_prompt_is_given_up(start, failing):
    engine = start(failing("abort", times=100, tokens=1))
    found = engine.generate([example(f"e{number}") for number in range(9)], Sampling(8))

    assert [next(found).reason, next(found).reason] == ["crashed", "crashed"]
    with pytest.raises(EngineDiedError, match="SIGABRT while completing example e2"):
        next(found)


def test_a_file_that_llama_cpp_dies_of_is_named(start, failing, tmp_path):
    with pytest.raises(EngineDiedError, match="SIGSEGV while loading the file") as raised:
        start(failing("null", tokens=0, place="load"))

    assert str(tmp_path / "model.gguf") in str(raised.value)
    assert "damaged file" in raised.value.hint


@pytest.mark.parametrize(
    ("kind", "error", "told"),
    [
        ("nan", ModelError, "model.gguf, scoring example e: the model's logits are no numbers"),
        (
            "refuse",
            ModelError,
            "scoring example e: 3 tokens are refused with code -3\n  -> take another",
        ),
        ("crash", Exception, "ZeroDivisionError"),
    ],
)
def test_an_error_of_the_child_keeps_its_class_and_costs_no_process(
    kind, error, told, start, failing
):
    engine = start(failing(kind))
    before = engine._child.process_id

    with pytest.raises(error, match=told):
        list(engine.score([example("e", LONG)]))

    assert next(engine.score([example("e1")])).key.example_id == "e1"
    assert engine._child.process_id == before


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"GG", "is no GGUF file"),
        (b"PK\3\4 a zip file", r"is no GGUF file: it opens with b'PK"),
        (None, "there is no file"),
    ],
)
def test_a_file_that_is_no_gguf_starts_no_process(
    content, told, tokenizer, template, tmp_path, monkeypatch
):
    monkeypatch.setattr(engine_module, "ChildProcess", None)
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ModelError, match=told) as raised:
        LlamaCppEngine(path, tokenizer, template)

    assert str(path) in str(raised.value)


def test_without_llama_cpp_the_extra_is_named(start, monkeypatch):
    monkeypatch.setattr(engine_module, "_PACKAGE", "a_package_that_nobody_has")

    with pytest.raises(UsageError, match=r"llama-cpp-python") as raised:
        start()

    assert 'pip install "stillhouse[gguf]"' in raised.value.hint


def test_a_vocabulary_that_is_not_the_tokenizers_is_refused(tokenizer, template, texts, tmp_path):
    path = tmp_path / "model.gguf"

    write_model(path, texts[:-1])
    with pytest.raises(ModelError, match=f"the tokenizer has {len(texts)} ids"):
        LlamaCppEngine(path, tokenizer, template)
    write_model(path, [*texts[:40], texts[41], texts[40], *texts[42:]])
    with pytest.raises(ModelError, match="id 40 is") as raised:
        LlamaCppEngine(path, tokenizer, template)
    assert repr(texts[40]) in str(raised.value)
    assert repr(texts[41]) in str(raised.value)


def test_rows_behind_the_vocabulary_are_padding(tokenizer, template, texts, tmp_path):
    path = write_model(tmp_path / "model.gguf", [*texts, "[PAD0]", "[PAD1]"])

    with LlamaCppEngine(path, tokenizer, template) as engine:
        (found,) = engine.score([example("e")])

    assert found.top_ids.max() < tokenizer.vocab_size


def test_texts_that_do_not_fit_are_refused_before_they_are_asked(start):
    engine = start(context=30)

    with pytest.raises(InputError, match=r"tokens of example e2 exceed the context"):
        list(engine.score([example("e1"), example("e2", LONG * 2)]))
    with pytest.raises(InputError, match=r"and max_new_tokens 40 exceed .*, 30 tokens"):
        list(engine.generate([example("e1")], Sampling(40)))
    with pytest.raises(InputError, match="example e1 has no answer to score"):
        list(engine.score([replace(example("e1"), answer=None)]))


def test_a_closed_engine_opens_again_when_it_is_asked(start):
    engine = start()
    engine.close()

    assert next(engine.score([example("e1")])).key.example_id == "e1"


def test_an_engine_that_is_forgotten_leaves_no_process(start, tokenizer, template, tmp_path):
    start()
    engine = LlamaCppEngine(tmp_path / "model.gguf", tokenizer, template)
    process_id = engine._child.process_id
    del engine
    gc.collect()

    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


def test_a_killed_caller_leaves_no_process(texts, failing, tokenizer_folder, tmp_path):
    path = write_model(tmp_path / "model.gguf", texts, fault=failing("hang", tokens=1))
    code = f"""
import sys
from pathlib import Path
from tests.engines.fakes import gguf_child
from tests.engines.test_llama_cpp import FAKE, example
from stillhouse.engines import llama_cpp
from stillhouse.tokens.template import ChatTemplate
from stillhouse.tokens.tokenizer import load_tokenizer
llama_cpp._COMMAND, llama_cpp._PACKAGE = (*FAKE, "apart"), "json"
tokenizer = load_tokenizer(Path({str(tokenizer_folder)!r}))
engine = llama_cpp.LlamaCppEngine(Path({str(path)!r}), tokenizer, ChatTemplate.of(tokenizer))
print(engine._child.process_id, flush=True)
list(engine.score([example("e")]))
"""
    caller = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    child = int(caller.stdout.readline())
    caller.kill()
    caller.communicate()

    for _ in range(200):
        if not is_running(child):
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    raise AssertionError("the child outlived its caller")


def is_running(process_id):
    """A process that ended counts as ended, also before its parent has waited for it."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_engine_brings_no_torch(tmp_path):
    code = "import sys, stillhouse.engines.llama_cpp, stillhouse.engines.llama_cpp_child\n"
    code += "assert not {'torch', 'transformers', 'llama_cpp'} & set(sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_the_engine_says_what_it_can_do(start, tokenizer):
    can = start().capabilities

    assert (can.text, can.own_logprobs, can.scoring, can.full_logits) == (True,) * 4
    assert can.top_logprobs == tokenizer.vocab_size


def test_the_memory_of_a_process_is_its_own_and_not_its_parents():
    ballast = np.ones(1 << 26)  # 512 MB here, of which the other process has nothing
    child = ChildProcess((sys.executable, "-c", "input()"), "a waiting process", 5.0)
    try:
        time.sleep(0.5)
        assert 0 < child.peak_bytes() < ballast.nbytes // 4
    finally:
        child.close()
