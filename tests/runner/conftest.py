"""Shared by the tests of plans."""

import pytest
from huggingface_hub import constants


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No hub, nothing in the cache, and an empty folder to work in."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path
