import pytest

from stillhouse.targets.forecast import BYTES_PER_EXAMPLE, bytes_per_token
from stillhouse.targets.read import TargetReader


@pytest.mark.parametrize(("num_tokens", "examples"), [(20, 100), (200, 12)])
def test_files_lie_within_the_forecast(tmp_path, fill, make, num_tokens, examples):
    fill(tmp_path, examples, examples, make=lambda number: make(number, num_tokens=num_tokens))

    size = sum(path.stat().st_size for path in tmp_path.glob("shard-*"))
    found = bytes_per_token(top_k=8, vocab_size=5000, kd_temperatures=(1.0, 2.0))
    rows = examples * (BYTES_PER_EXAMPLE + len("example-000000"))
    tokens = examples * num_tokens

    assert TargetReader(tmp_path).num_tokens == tokens
    assert rows + tokens * found.low <= size <= rows + tokens * found.high
