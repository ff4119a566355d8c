"""llama.cpp itself: the same weights give the same targets in memory, in a file, behind a server.

Compared are float32 weights with float32 keys and values on all three sides. What was measured is
printed; `make test-long` shows it.
"""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.engines import asking
from tests.engines.test_llama_cpp import LONG, example
from tests.models.tiny_models import build

from stillhouse.core.errors import EngineDiedError, InputError, ModelError, StillhouseError
from stillhouse.core.sampling import Sampling
from stillhouse.engines.gateway import GatewaySettings
from stillhouse.engines.llama_cpp import GgufSettings, LlamaCppEngine
from stillhouse.engines.transformers import TransformersEngine
from stillhouse.engines.wire import Decoding
from stillhouse.models.scoring import Scoring
from stillhouse.tokens.encode import encode_conversation
from stillhouse.tokens.train import train_tokenizer

if not (find_spec("llama_cpp") and find_spec("gguf")):
    # Looked for, not imported: the process of the tests stays free of it.
    pytest.skip("make test-long installs llama-cpp-python and gguf", allow_module_level=True)
from tests.engines.gguf_files import write_gguf

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("llama_cpp")]

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-4
TEMPERATURES = (1.0, 2.0, 0.5)
WORDS = (
    "the", "quick", "brown", "fox", "jumps", "über", "lazy dogs", "🦊", "{'intent': 'refund'}",
    "0123", "naïve\n\n", "", "yes,", "no",
)  # fmt: skip
FAMILIES = ("qwen3", "llama")


def text_of(draw, words):
    return " ".join(draw.choice(WORDS) for _ in range(words))


def examples(count, seed=0):
    draw = random.Random(seed)
    return [
        example(f"e{number}", text_of(draw, draw.randint(1, 8)), text_of(draw, draw.randint(1, 10)))
        for number in range(count)
    ]


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tokenizer):
    """Random weights, large enough that no two tokens are nearly as likely."""
    return build(request.param, tokenizer, seed=3, max_position_embeddings=256)


@pytest.fixture(scope="module")
def path(model, tokenizer_folder, tmp_path_factory):
    return write_gguf(model, tokenizer_folder, tmp_path_factory.mktemp("gguf") / "model.gguf")


@pytest.fixture(scope="module")
def scoring(tokenizer):
    return Scoring(tokenizer.vocab_size, top_k=16, kd_temperatures=TEMPERATURES)


@pytest.fixture(scope="module")
def in_memory(model, tokenizer, template, scoring):
    return TransformersEngine(model, tokenizer, template, scoring)


@pytest.fixture(scope="module")
def in_file(path, tokenizer, template, scoring):
    settings = GgufSettings(threads=1, top_logprobs=5)
    with LlamaCppEngine(path, tokenizer, template, scoring, settings=settings) as engine:
        yield engine


def widest(pairs):
    """The largest difference of any two arrays."""
    return max(float(np.abs(one - other).max(initial=0.0)) for one, other in pairs)


def test_a_file_scores_as_the_model_in_memory(in_memory, in_file, model):
    asked = examples(40)

    wanted, found = list(in_memory.score(asked)), list(in_file.score(asked))

    for one, other in zip(found, wanted, strict=True):
        assert one.key == other.key
        np.testing.assert_array_equal(one.top_ids, other.top_ids)
    for column in ("observed_logprobs", "top_logprobs", "log_z"):
        pairs = [
            (getattr(a, column), getattr(b, column)) for a, b in zip(found, wanted, strict=True)
        ]
        print(f"{model.config.model_type} {column}: largest difference {widest(pairs):.1e} nats")
        assert widest(pairs) <= TOLERANCE
    tokens = sum(len(one.token_ids) for one in found)
    spread = np.concatenate([one.observed_logprobs for one in found]).std()
    print(f"{tokens} tokens, their log-probabilities spread by {spread:.2f} nats")
    assert tokens > 400
    assert spread > 1.0


def test_draws_from_a_file_are_those_of_the_model_in_memory(path, model, tokenizer, template):
    scoring = Scoring(tokenizer.vocab_size, top_k=4, num_draws=16, seed=5)
    asked = examples(10)
    wanted = list(TransformersEngine(model, tokenizer, template, scoring).score(asked))
    with LlamaCppEngine(path, tokenizer, template, scoring) as engine:
        found = list(engine.score(asked))

    drawn = [(a.draws, b.draws) for a, b in zip(found, wanted, strict=True)]
    same = sum((a.ids[:, :1] == b.ids[:, :1]).sum() for a, b in drawn)
    assert widest([(a.entropy, b.entropy) for a, b in drawn]) <= TOLERANCE
    # A draw that falls on the border of two ids may go either way.
    assert same >= 0.99 * sum(len(a.ids) for a, _ in drawn)


def test_greedy_completions_of_a_file_are_those_of_the_model_in_memory(in_memory, in_file):
    asked = examples(20, seed=1)

    wanted = list(in_memory.generate(asked, Sampling(24)))
    found = list(in_file.generate(asked, Sampling(24)))

    for one, other in zip(found, wanted, strict=True):
        assert (one.example_id, one.text, one.finish, one.num_tokens) == (
            other.example_id, other.text, other.finish, other.num_tokens
        )  # fmt: skip


def test_its_own_logprobs_are_its_scores_of_that_text(in_file, tokenizer, template):
    compared, prompts = [], examples(60, seed=2)
    for asked, one in zip(prompts, in_file.generate(prompts, Sampling(3)), strict=True):
        text = encode_conversation(asked.messages(one.text), template, tokenizer)
        written = [one_token.token for one_token in one.logprobs]
        ids = text.ids[text.is_trained][: len(written)]
        if tokenizer.token_bytes(ids) != written:
            continue  # the text, encoded again, has other tokens than the model wrote
        (scored,) = in_file.score([example(one.example_id, asked.prompt[0].content, one.text)])
        own = np.array([one_token.logprob for one_token in one.logprobs])
        compared.append((own, scored.observed_logprobs[: len(own)]))

    print(f"own and scored, {len(compared)} completions: {widest(compared):.1e} nats")
    assert len(compared) >= 5
    assert widest(compared) <= TOLERANCE


def test_padded_rows_of_the_head_get_no_mass(tokenizer, tokenizer_folder, template, tmp_path):
    model = build("qwen3", tokenizer, vocab_size=tokenizer.vocab_size + 20)
    path = write_gguf(model, tokenizer_folder, tmp_path / "padded.gguf")
    scoring = Scoring(tokenizer.vocab_size, top_k=1000)
    wanted = list(TransformersEngine(model, tokenizer, template, scoring).score(examples(4)))

    with LlamaCppEngine(path, tokenizer, template, scoring) as engine:
        found = list(engine.score(examples(4)))

    assert (
        widest([(a.top_logprobs, b.top_logprobs) for a, b in zip(found, wanted, strict=True)])
        <= TOLERANCE
    )


def test_a_text_longer_than_one_step_is_scored_whole(
    tokenizer, tokenizer_folder, template, tmp_path
):
    model = build("qwen3", tokenizer, max_position_embeddings=2048)
    path = write_gguf(model, tokenizer_folder, tmp_path / "long.gguf")
    asked = [example("short"), example("long", LONG * 20, LONG * 20), example("short again")]
    wanted = list(TransformersEngine(model, tokenizer, template).score(asked))

    with LlamaCppEngine(path, tokenizer, template) as engine:
        found = list(engine.score(asked))

    assert len(found[1].token_ids) > 512
    assert (
        widest([(a.top_logprobs, b.top_logprobs) for a, b in zip(found, wanted, strict=True)])
        <= TOLERANCE
    )


def test_a_file_that_is_cut_anywhere_is_refused_with_its_name(path, tokenizer, template, tmp_path):
    whole = path.read_bytes()
    cut = tmp_path / "cut.gguf"
    for size in (4, 5, 23, 24, 100, 5_000, len(whole) // 2, len(whole) - 33):
        cut.write_bytes(whole[:size])
        with pytest.raises(StillhouseError, match=re.escape(str(cut))) as raised:
            LlamaCppEngine(cut, tokenizer, template)
        assert isinstance(raised.value, ModelError | EngineDiedError)
        assert raised.value.hint


def test_a_header_with_a_wrong_byte_is_refused_or_harmless(path, tokenizer, template, tmp_path):
    whole = bytearray(path.read_bytes())
    torn = tmp_path / "torn.gguf"
    errors = []
    for place in (4, 8, 16, 24, 30, 200, 1_000):
        changed = whole.copy()
        changed[place] ^= 0x55
        torn.write_bytes(changed)
        try:
            LlamaCppEngine(torn, tokenizer, template).close()
        except (ModelError, EngineDiedError) as error:
            errors.append(str(error))
    assert all(str(torn) in error for error in errors)
    assert len(errors) >= 4


def test_a_file_with_another_vocabulary_is_refused(path, template, tmp_path):
    other = train_tokenizer(["entirely other words make other merges"] * 4, 300, tmp_path)

    with pytest.raises(ModelError, match="take tokenizer and weights from one place"):
        LlamaCppEngine(path, other, template)


def test_a_text_beyond_the_context_is_refused(in_file):
    with pytest.raises(InputError, match=r"exceed the context of .*, 256 tokens"):
        list(in_file.score([example("e", LONG * 20)]))


def test_a_child_killed_between_two_questions_is_replaced(in_file):
    asked = examples(2)
    before = list(in_file.score(asked))
    os.kill(in_file._child.process_id, signal.SIGKILL)

    after = list(in_file.score(asked))

    assert (
        widest([(a.top_logprobs, b.top_logprobs) for a, b in zip(after, before, strict=True)])
        == 0.0
    )


def test_a_child_killed_again_and_again_ends_in_an_error_not_in_a_wait(in_file):
    is_over = threading.Event()

    def kill():
        while not is_over.wait(0.02):
            child = in_file._child
            if child is not None:
                try:
                    os.kill(child.process_id, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(EngineDiedError, match="was ended by SIGKILL while"):
            list(in_file.generate(examples(200), Sampling(100)))
    finally:
        is_over.set()
        killer.join()
    assert len(list(in_file.score(examples(2)))) == 2


@pytest.fixture(scope="module")
def server(path):
    """llama.cpp's model behind OpenAI's format, as llama-cpp-python brings it; its address."""
    if not find_spec("starlette_context"):
        pytest.skip("make test-long installs the server of llama-cpp-python")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"model": path, "model_alias": "tiny", "host": "127.0.0.1", "port": port, "n_ctx": 256,
            "n_threads": 1, "n_threads_batch": 1, "type_k": 0, "type_v": 0, "logits_all": "true",
            "flash_attn": "false", "verbose": "false"}  # fmt: skip
    options = [part for name, value in told.items() for part in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", "llama_cpp.server", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/v1"
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(url, process):
    for _ in range(600):
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(f"{url}/models", timeout=5) as reply:
                assert reply.status == 200
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server does not answer")


def post(url, **body):
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def spelt_once(tokenizer):
    """Id by text, of the tokens whose text no other token has: a server tells tokens as texts."""
    spelt = {}
    for number, token in enumerate(tokenizer.token_bytes(np.arange(tokenizer.vocab_size))):
        text = token.decode("utf-8", errors="ignore")
        spelt.setdefault(text, []).append(number)
    special = set(range(5))  # the trained tokenizer puts them first
    return {
        text: numbers[0]
        for text, numbers in spelt.items()
        if text and len(numbers) == 1 and numbers[0] not in special
    }


def served_entries(server, text, tokenizer):
    """What the server says follows each token of given text but the first: log-probability by id.

    Its chat form tells nothing about given text; its completions do with `echo`. The entry that
    stands at a token is the distribution *after* that token, and the first entry is left out.
    """
    reply = post(
        f"{server}/completions",
        prompt=text.text,
        echo=True,
        max_tokens=1,
        logprobs=tokenizer.vocab_size,
        temperature=0.0,
    )
    assert reply["usage"]["prompt_tokens"] == len(text.ids)
    known = spelt_once(tokenizer)
    return [
        {known[word]: value for word, value in (entry or {}).items() if word in known}
        for entry in reply["choices"][0]["logprobs"]["top_logprobs"]
    ]


def test_given_text_has_the_same_targets_in_memory_in_a_file_and_behind_a_server(
    server, in_memory, in_file, tokenizer, template, model
):
    asked = examples(12, seed=3)
    texts = [encode_conversation(one.messages(), template, tokenizer) for one in asked]
    served = [served_entries(server, text, tokenizer) for text in texts]

    for name, engine in (("memory", in_memory), ("file", in_file)):
        observed, top = [], []
        for text, entries, found in zip(texts, served, engine.score(asked), strict=True):
            for place, at in enumerate(np.flatnonzero(text.is_trained).tolist()):
                told = entries[at - 1]
                own = found.observed_logprobs[place]
                observed += [told[token] - own for token in text.ids[at : at + 1] if token in told]
                kept = zip(found.top_ids[place].tolist(), found.top_logprobs[place], strict=True)
                top += [told[token] - value for token, value in kept if token in told]
        print(
            f"{model.config.model_type}, server and {name}, largest differences in nats: observed "
            f"{np.abs(observed).max():.1e} of {len(observed)} tokens, "
            f"top {np.abs(top).max():.1e} of {len(top)} entries"
        )
        assert np.abs([*observed, *top]).max() <= TOLERANCE
        assert len(observed) > 60
        assert len(top) > 600


def test_our_openai_engine_asks_a_real_server(server, in_file, tokenizer, tmp_path, model):
    asked = examples(20, seed=4)
    wanted = list(in_file.generate(asked, Sampling(8)))

    with asking.engine(
        tmp_path,
        server,
        model="tiny",
        dialect="llama_server",
        settings=GatewaySettings(concurrency=2, timeout_s=60.0),
        decoding=Decoding(top_logprobs=5),
    ) as remote:
        found = list(remote.generate(asked, Sampling(8)))

    differences = []
    for one, other in zip(found, wanted, strict=True):
        assert one.example_id == other.example_id
        if one.finish == "error":
            # What a tiny model says may have no text at all.
            assert one.reason == "empty_answer"
            continue
        # The server writes on where an answer was cut within a character.
        assert one.num_tokens == len(one.logprobs) >= other.num_tokens
        assert one.finish == other.finish
        for served, own in zip(one.logprobs, other.logprobs, strict=False):
            # It writes special tokens and parts of characters as nothing.
            assert served.token in (own.token, b"")
            differences.append(served.logprob - own.logprob)
    print(
        f"{model.config.model_type}, own log-probabilities, server and file: "
        f"{np.abs(differences).max():.1e} nats, {len(differences)} tokens"
    )
    assert np.abs(differences).max() <= TOLERANCE
    assert len(differences) >= 80
