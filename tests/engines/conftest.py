import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
sys.path.append(str(Path(__file__).parents[1] / "models"))

from tiny_models import CORPUS

from stillhouse.tokens.template import ChatTemplate
from stillhouse.tokens.tokenizer import load_tokenizer
from stillhouse.tokens.train import train_tokenizer


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(CORPUS, 300, folder, context=128)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder):
    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="session")
def template(tokenizer):
    return ChatTemplate.of(tokenizer)
