import numpy as np
import pytest
import torch

from stillhouse.losses.head import HeadTensors
from stillhouse.models import logits as logits_module
from stillhouse.models.draws import draw_tokens
from stillhouse.models.logits import BLOCK, NOTHING, LogitReader, LogitRows, sum_rows
from stillhouse.models.tally import NOT_DRAWN, tally, uniforms
from stillhouse.models.top_k import top_entries


def rows_of(values):
    """Logits (N, V) laid out in whole blocks."""
    num_rows, vocab_size = values.shape
    padded = torch.full((num_rows, -(-vocab_size // BLOCK) * BLOCK), NOTHING)
    padded[:, :vocab_size] = values
    return LogitRows(padded, vocab_size)


def naive_top_k(values, top_k):
    order = values.sort(dim=1, descending=True, stable=True)
    return order.values[:, :top_k], order.indices[:, :top_k]


@pytest.mark.parametrize("vocab_size", [5, 127, 128, 129, 1000, 40_000])
@pytest.mark.parametrize("top_k", [1, 7, 64, 1024])
@pytest.mark.parametrize("kind", ["smooth", "coarse", "equal"])
def test_the_top_entries_are_those_of_a_sort(vocab_size, top_k, kind):
    values = torch.randn(3, vocab_size, generator=torch.Generator().manual_seed(top_k))
    if kind == "coarse":  # many equal entries, on both sides of the border
        values = (values * 2).round() / 2
    elif kind == "equal":
        values = torch.zeros_like(values)
    rows = rows_of(values)

    found, ids = top_entries(rows, sum_rows(rows, (1.0,)).maxima_NM, top_k)

    expected, expected_ids = naive_top_k(values, top_k)
    assert torch.equal(found, expected)
    assert torch.equal(ids, expected_ids)


def test_no_entry_is_kept_of_none():
    rows = rows_of(torch.randn(3, 300))

    values, ids = top_entries(rows, sum_rows(rows, (1.0,)).maxima_NM, 0)

    assert values.shape == ids.shape == (3, 0)
    assert ids.dtype == torch.int64


@pytest.mark.parametrize("offset", [0.0, 55.0, -300.0, 3e4])
@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("group", [1, 600, 1 << 17])
def test_partitions_are_those_of_float64(offset, temperature, group, monkeypatch):
    monkeypatch.setattr(logits_module, "_GROUP_LOGITS", group)
    values = torch.randn(7, 500, generator=torch.Generator().manual_seed(1)) * 3
    values += offset
    values[3] -= 2 * offset  # rows of their own
    rows = rows_of(values)

    sums = sum_rows(rows, (1.0, temperature), in_blocks=temperature)

    softened = values.double() / temperature
    partition = sums.partitions[1]
    entropy = torch.distributions.Categorical(logits=softened).entropy()
    # Beside a logit of 30,000 float32 has 0.002 left.
    tolerance = 1e-5 + abs(offset) / temperature * 3e-7
    torch.testing.assert_close(partition.log_z_N, softened.logsumexp(1), atol=tolerance, rtol=0.0)
    torch.testing.assert_close(partition.entropy_N, entropy, atol=10 * tolerance, rtol=0.0)
    assert partition.sums_NM.shape == (7, 4)
    assert torch.equal(sums.maxima_NM.amax(1), values.amax(1))


def test_a_row_is_summed_alike_in_any_company():
    calm, loud = torch.randn(1, 500), torch.randn(1, 500) + 200

    alone = sum_rows(rows_of(calm), (1.0, 2.0)).partitions
    beside = sum_rows(rows_of(torch.cat([calm, loud])), (1.0, 2.0)).partitions

    for one, other in zip(alone, beside, strict=True):
        assert torch.equal(one.sums_NM[0], other.sums_NM[0])
        assert one.shift_N[0] == other.shift_N[0] == 0
        assert other.shift_N[1] != 0


def draws_of(logits, top_ids, uniform_NS, temperature=1.0):
    rows = rows_of(logits)
    partition = sum_rows(rows, (temperature,), in_blocks=temperature).partitions[0]
    return draw_tokens(rows, partition, top_ids, uniform_NS)


@pytest.mark.parametrize(("top_k", "temperature"), [(0, 1.0), (0, 2.0), (3, 0.7), (200, 1.0)])
def test_draws_are_unbiased(top_k, temperature):
    generator = torch.Generator().manual_seed(5)
    logits = (torch.randn(1, 300, generator=generator) * 2).expand(200, -1)
    _, top_ids = naive_top_k(logits, top_k)
    softened = (logits[0].double() / temperature).softmax(0)
    softened[top_ids[0]] = 0
    expected = (softened / softened.sum()).numpy()
    numbers = uniforms("an example", 200, 500, seed=1)

    drawn = draws_of(logits, top_ids, numbers, temperature)

    total = drawn.size
    counts = np.bincount(drawn.ravel(), minlength=300)
    is_kept = expected == 0
    assert counts[is_kept].sum() == 0
    deviation = np.sqrt(total * expected[~is_kept] * (1 - expected[~is_kept]))
    assert (np.abs(counts - total * expected)[~is_kept] < 5 * deviation + 1e-9).all()
    chi2 = ((counts - total * expected)[~is_kept] ** 2 / (total * expected[~is_kept])).sum()
    degrees = (~is_kept).sum() - 1
    assert abs(chi2 - degrees) < 5 * np.sqrt(2 * degrees)


def test_the_rest_beside_a_sure_token_is_drawn_as_it_is():
    logits = torch.full((1, 400), -30.0)
    logits[0, 130], logits[0, 131], logits[0, 300] = 40.0, 1.0, 1.0 + float(np.log(3))

    drawn = draws_of(logits, torch.tensor([[130]]), uniforms("an example", 1, 4000, seed=1))

    assert set(drawn[0].tolist()) == {131, 300}
    assert abs((drawn == 300).mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 4000)


@pytest.mark.parametrize("number", [0.0, 0.5, 1.0 - 2.0**-53])
def test_the_ends_of_the_unit_interval_give_an_id_that_is_there(number):
    logits = torch.full((1, 300), -2000.0)  # no mass at all
    logits[0, 140:160] = 0.0

    drawn = draws_of(logits, torch.zeros(1, 0).long(), np.full((1, 3), number))

    assert ((drawn >= 140) & (drawn < 160)).all()


def test_nothing_is_drawn_where_everything_is_kept():
    logits = torch.randn(2, 20)
    everything = torch.arange(20).expand(2, -1)

    drawn = draws_of(logits, everything, uniforms("an example", 2, 5, seed=0))

    assert (drawn == NOT_DRAWN).all()
    ids, counts = tally(drawn)
    assert not ids.any()
    assert not counts.any()


def test_draws_are_tallied():
    drawn = np.array([[2, 2, 7, 9], [5, 5, 5, 5], [NOT_DRAWN] * 4], np.int32)

    ids, counts = tally(drawn)

    assert ids.tolist() == [[2, 7, 9], [5, 0, 0], [0, 0, 0]]
    assert counts.tolist() == [[2, 1, 1], [4, 0, 0], [0, 0, 0]]


def test_uniform_numbers_belong_to_the_example():
    one = uniforms("one", 3, 5, seed=0)

    assert np.array_equal(one, uniforms("one", 3, 5, seed=0))
    assert np.array_equal(one[:2], uniforms("one", 2, 5, seed=0))
    assert not np.array_equal(one, uniforms("two", 3, 5, seed=0))
    assert not np.array_equal(one, uniforms("one", 3, 5, seed=1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chunks_give_the_head_s_logits(dtype, monkeypatch):
    generator = torch.Generator().manual_seed(2)
    head = HeadTensors(
        torch.randn(310, 16, generator=generator).to(dtype),
        torch.randn(310, generator=generator).to(dtype),
        logit_scale=0.5,
        logit_softcap=4.0,
        vocab_size=300,
    )
    hidden = torch.randn(10, 16, generator=generator).to(dtype)
    monkeypatch.setattr(logits_module, "_CHUNK_LOGITS", 3 * 384)
    wide = HeadTensors(head.weight_VH.double(), head.bias_V.double(), 0.5, 4.0, 300)
    expected = wide.logits(hidden.double()).float()

    with torch.inference_mode():
        for rows, chunk in LogitReader(head, dtype).read(hidden):
            # Products of bfloat16 numbers are exact in float32; only sums round.
            torch.testing.assert_close(chunk.logits_NW[:, :300], expected[rows], atol=1e-5, rtol=0)
            assert (chunk.logits_NW[:, 300:] == NOTHING).all()
            assert len(chunk.logits_NW) == min(3, 10 - rows.start)
