"""Copies of bundles are numbered: each bundle once, each number once, whoever else numbers too."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from stillhouse.core.errors import ArtifactError, UsageError
from stillhouse.core.hashing import digest_file, digest_folder
from stillhouse.export.bundle_files import bundle_files
from stillhouse.export.numbered import copy_numbered
from stillhouse.store.artifacts import FileEntry


@pytest.fixture
def bundle(tmp_path):
    """A bundle that says something."""

    def build(text):
        folder = tmp_path / "bundles" / text
        folder.mkdir(parents=True)
        (folder / "version_info.json").write_text(f'{{"version": "{text}"}}')
        (folder / "weights").write_bytes(text.encode() * 999)
        paths = sorted(folder.iterdir())
        return bundle_files(folder, [
            FileEntry(path=one.name, bytes=one.stat().st_size, sha256=digest_file(one))
            for one in paths
        ])  # fmt: skip

    return build


@pytest.fixture
def pattern(tmp_path):
    return tmp_path / "models" / "gpt-oss-christian-music-v{n}"


def names(pattern):
    return sorted(one.name for one in pattern.parent.iterdir() if one.name[0] != ".")


def test_each_bundle_gets_one_number_and_keeps_it(bundle, pattern):
    first, second = bundle("one"), bundle("two")

    made = [copy_numbered(files, pattern) for files in (first, second, first, second)]

    folders = [pattern.with_name(f"gpt-oss-christian-music-v{n}") for n in (1, 2)]
    assert made == [
        (folders[0], True),
        (folders[1], True),
        (folders[0], False),
        (folders[1], False),
    ]
    assert [digest_folder(one) for one in folders] == [
        digest_folder(files[0].path.parent) for files in (first, second)
    ]
    assert names(pattern) == [one.name for one in folders]


def test_no_number_is_given_twice_whatever_has_it(bundle, pattern):
    copy_numbered(bundle("one"), pattern)
    pattern.with_name("gpt-oss-christian-music-v7").write_text("a file of somebody")
    pattern.with_name("gpt-oss-christian-music-v08").mkdir()

    folder, _ = copy_numbered(bundle("two"), pattern)

    assert folder.name == "gpt-oss-christian-music-v8"


def test_a_copy_that_was_changed_is_no_copy(bundle, pattern):
    files = bundle("one")
    folder, _ = copy_numbered(files, pattern)
    (folder / "weights").write_bytes(b"other")

    assert copy_numbered(files, pattern)[0].name == "gpt-oss-christian-music-v2"


def test_who_number_at_the_same_time_get_one_number_each(bundle, pattern):
    bundles = [bundle(f"b{n}") for n in range(4)]

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda files: copy_numbered(files, pattern), bundles * 4))

    by_bundle = [{folder.name for folder, _ in made[n::4]} for n in range(4)]
    assert all(len(one) == 1 for one in by_bundle)
    assert set.union(*by_bundle) == {f"gpt-oss-christian-music-v{n}" for n in (1, 2, 3, 4)}
    assert sum(is_new for _, is_new in made) == 4


def test_a_copy_that_ended_in_the_middle_takes_no_number(bundle, pattern):
    files = bundle("one")
    files[1].path.write_bytes(b"torn")
    with pytest.raises(ArtifactError):
        copy_numbered(files, pattern)
    assert names(pattern) == []

    assert copy_numbered(bundle("two"), pattern)[0].name == "gpt-oss-christian-music-v1"


@pytest.mark.parametrize("name", ["v{n}/songs", "songs-{n}-{n}", "a{n}/b{n}"])
def test_a_number_stands_once_and_in_the_last_folder(bundle, tmp_path, name):
    with pytest.raises(UsageError, match="where no number can stand"):
        copy_numbered(bundle("one"), tmp_path / name)
