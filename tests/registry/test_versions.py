"""A version is what its bytes are: immutable, kept once, and found out when harmed."""

import pytest

from stillhouse.core.errors import ArtifactError
from stillhouse.registry.versions import Registry


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "merged").mkdir(parents=True)
    (folder / "merged" / "model.safetensors").write_bytes(b"weights")
    (folder / "README.md").write_text("card")
    return folder


def publish(root, bundle, **changes):
    facts = {"numbers": {"exact_match": 1.0}, "verdict": {}, "made_by": {"bundle": "export-1"}}
    return Registry(root).publish("mine", bundle, **(facts | changes))


def test_the_same_content_twice_is_one_version(tmp_path, bundle):
    first, second = publish(tmp_path / "r", bundle), publish(tmp_path / "r", bundle)
    assert first == second
    assert len(list((tmp_path / "r" / "mine" / "versions").iterdir())) == 1
    assert [file.path for file in first.files] == ["README.md", "merged/model.safetensors"]


def test_other_numbers_are_another_version_that_shares_its_files(tmp_path, bundle):
    first = publish(tmp_path / "r", bundle)
    second = publish(tmp_path / "r", bundle, numbers={"exact_match": 0.5})
    assert first.version_id != second.version_id
    assert len(list((tmp_path / "r" / "blobs").iterdir())) == 2


def test_a_version_is_read_and_verified(tmp_path, bundle):
    registry = Registry(tmp_path / "r")
    version = publish(tmp_path / "r", bundle)
    assert registry.read("mine", version.version_id) == version
    registry.verify(version)
    registry.blob(version.files[0].sha256).write_text("other")
    with pytest.raises(ArtifactError, match=r"not the bytes of README\.md.*\n.*register it again"):
        registry.verify(version)
    assert publish(tmp_path / "r", bundle) == version
    registry.verify(version)


def test_an_absent_or_torn_version_is_named(tmp_path, bundle):
    registry = Registry(tmp_path / "r")
    version = publish(tmp_path / "r", bundle)
    with pytest.raises(ArtifactError, match="no version v-0 of 'mine'"):
        registry.read("mine", "v-0")
    (tmp_path / "r" / "mine" / "versions" / f"{version.version_id}.json").write_text("{")
    with pytest.raises(ArtifactError, match="torn"):
        registry.read("mine", version.version_id)


def test_a_version_does_not_follow_a_bundle_that_changes_later(tmp_path, bundle):
    registry = Registry(tmp_path / "r")
    version = publish(tmp_path / "r", bundle)
    (bundle / "README.md").write_text("changed")
    registry.verify(version)
    kept = next(file for file in version.files if file.path == "README.md")
    assert registry.blob(kept.sha256).read_text() == "card"
