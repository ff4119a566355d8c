import pytest
from tests.models.tiny_models import CONFIGS, save


@pytest.fixture(scope="session")
def folders(tmp_path_factory, tokenizer, tokenizer_folder):
    root = tmp_path_factory.mktemp("models")
    return {name: save(name, tokenizer, tokenizer_folder, root / name) for name in CONFIGS}
