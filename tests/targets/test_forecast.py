import pytest
from tests.targets.builders import SIZES, build_targets, header_of

from stillhouse.targets.forecast import bytes_per_token, store_bytes

SHARD = 25


@pytest.mark.parametrize("spread", [2.0, 4.0])
@pytest.mark.parametrize(("num_tokens", "examples"), [(20, 100), (80, 25)])
@pytest.mark.parametrize(
    "header",
    [*map(header_of, SIZES), header_of("top_k_sampled", top_k=32, num_draws=50)],
    ids=lambda header: f"{header.codec}-{header.top_k}-{header.num_draws}",
)
def test_files_lie_within_the_forecast(tmp_path, fill, header, num_tokens, examples, spread):
    fill(
        tmp_path,
        examples,
        SHARD,
        make=lambda number: build_targets(number, num_tokens, header, spread),
        header=header,
    )

    size = sum(path.stat().st_size for path in tmp_path.glob("shard-*"))
    found = bytes_per_token(
        codec=header.codec,
        top_k=header.top_k,
        num_draws=header.num_draws,
        vocab_size=header.vocab_size,
        kd_temperatures=header.kd_temperatures,
    )
    low, high = (
        store_bytes(each, tokens=num_tokens * examples, examples=examples, shard_examples=SHARD)
        for each in (found.low, found.high)
    )

    assert low <= size - examples * len("example-000000") <= high
