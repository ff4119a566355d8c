import pytest

from stillhouse.targets.forecast import BYTES_PER_EXAMPLE, bytes_per_token
from stillhouse.targets.read import TargetReader


@pytest.mark.parametrize(("num_tokens", "examples"), [(3, 600), (40, 600), (2000, 12)])
def test_forecast_is_within_five_percent_of_the_files(tmp_path, fill, make, num_tokens, examples):
    fill(tmp_path, examples, examples, make=lambda number: make(number, num_tokens=num_tokens))

    size = sum(path.stat().st_size for path in tmp_path.glob("shard-*"))
    each = BYTES_PER_EXAMPLE + len("example-000000")
    forecast = examples * (each + num_tokens * bytes_per_token(8, 2))

    assert TargetReader(tmp_path).num_tokens == examples * num_tokens
    assert size == pytest.approx(forecast, rel=0.05)


def test_the_closed_form_is_as_written():
    assert bytes_per_token(64, 1) == 16 + 8 * 64 + 4
