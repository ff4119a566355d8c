"""The files of a tokenizer travel together and are told apart by their bytes."""

import pytest

from stillhouse.core.errors import ModelError
from stillhouse.tokens.files import TOKENIZER_FILES, copy_tokenizer, digest_tokenizer


def test_the_digest_is_of_the_tokenizers_own_files_and_not_of_the_place(tiny_folder, tmp_path):
    copy_tokenizer(tiny_folder, tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").write_bytes(b"other weights")

    assert digest_tokenizer(tmp_path / "copy") == digest_tokenizer(tiny_folder)


@pytest.mark.parametrize("name", TOKENIZER_FILES)
def test_every_file_changes_the_digest(name, tiny_folder, tmp_path):
    copy_tokenizer(tiny_folder, tmp_path)

    with (tmp_path / name).open("ab") as stream:
        stream.write(b" ")

    assert digest_tokenizer(tmp_path) != digest_tokenizer(tiny_folder)


def test_a_folder_without_a_tokenizer_has_nothing_to_copy(tmp_path):
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        copy_tokenizer(tmp_path, tmp_path / "copy")
