import pytest
from tests.targets.builders import assert_kept, build_header, build_targets

from stillhouse.targets.write import TargetWriter


@pytest.fixture(scope="session")
def header():
    return build_header()


@pytest.fixture
def make():
    return build_targets


@pytest.fixture
def fill(header):
    """Writes examples 0..n-1 to a folder and closes the store."""

    def write(folder, count, shard_examples=5, make=build_targets, header=header):
        with TargetWriter(folder, header, shard_examples) as writer:
            for number in range(writer.done, count):
                writer.append(make(number))
        return folder

    return write


@pytest.fixture
def kept():
    return assert_kept
