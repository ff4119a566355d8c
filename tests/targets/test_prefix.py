import numpy as np
import pytest
from tests.targets.builders import build_targets, header_of

from stillhouse.core.errors import ArtifactError
from stillhouse.targets.read import TargetReader


@pytest.fixture
def reader(tmp_path, fill):
    return TargetReader(fill(tmp_path, 2, make=lambda number: build_targets(number, 12)))


@pytest.fixture
def stored(reader):
    return reader.get("example-000001")


@pytest.mark.parametrize("length", [0, 1, 7, 12])
def test_a_shorter_context_gets_the_first_tokens(reader, stored, length):
    found = reader.get_prefix(
        "example-000001", stored.token_ids[:length], stored.byte_offsets[:length]
    )

    assert found.key == stored.key
    np.testing.assert_array_equal(found.token_ids, stored.token_ids[:length])
    np.testing.assert_array_equal(found.top_logprobs, stored.top_logprobs[:length])
    np.testing.assert_array_equal(found.log_z, stored.log_z[:length])


def test_a_longer_context_gets_what_was_scored(reader, stored):
    longer = np.concatenate([stored.token_ids, [3, 4]])
    spans = np.concatenate([stored.byte_offsets, [[90, 92], [92, 93]]])

    found = reader.get_prefix("example-000001", longer, spans)

    np.testing.assert_array_equal(found.top_ids, stored.top_ids)


def test_draws_are_cut_with_the_rest(tmp_path, fill):
    header = header_of("top_k_sampled")
    folder = fill(tmp_path, 1, make=lambda number: build_targets(number, 9, header), header=header)
    reader = TargetReader(folder)
    stored = reader.get("example-000000")

    found = reader.get_prefix("example-000000", stored.token_ids[:4], stored.byte_offsets[:4])

    np.testing.assert_array_equal(found.draws.counts, stored.draws.counts[:4])
    assert found.draws.entropy.shape == (4,)


def test_a_left_cut_answer_is_refused(reader, stored):
    with pytest.raises(ArtifactError, match=r"'example-000001'.*token 0 .*\n.*label again"):
        reader.get_prefix("example-000001", stored.token_ids[3:], stored.byte_offsets[3:])


def test_shifted_bytes_are_refused(reader, stored):
    with pytest.raises(ArtifactError, match=r"token 0 of the answer stands at bytes \[7, "):
        reader.get_prefix("example-000001", stored.token_ids, stored.byte_offsets - 2)


def test_another_token_in_the_middle_is_refused(reader, stored):
    other = stored.token_ids.copy()
    other[5] += 1

    with pytest.raises(ArtifactError, match=rf"token 5 of the answer is {stored.token_ids[5]} "):
        reader.get_prefix("example-000001", other, stored.byte_offsets)


def test_another_example_is_refused(reader, stored):
    with pytest.raises(ArtifactError, match="nothing for the example 'ghost'"):
        reader.get_prefix("ghost", stored.token_ids, stored.byte_offsets)
