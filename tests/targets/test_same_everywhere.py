"""What decides how bits are read must not depend on how a machine rounds."""

import hashlib

import numpy as np
import pytest
from tests.targets.golden.make import FOLDER, HEADER

from stillhouse.targets import kept, models, quantise
from stillhouse.targets.read import TargetReader


def digest(*arrays):
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array, "<i8").tobytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        (kept.COARSE_LEVELS, "a4a5010c4d68b4e8"),
        (kept._NATS, "84d0b337bc1ce4f7"),
        (kept._ROOMS, "5beb36e476816078"),
        (quantise._SHARES, "32f7b7062b4ce290"),
        (models._FREQUENCIES, "482011b6110b5e4c"),
        (models._EDGES, "0cd60e6ede370d94"),
    ],
    ids=["coarse levels", "nats", "rooms", "shares", "frequencies", "edges"],
)
def test_tables_that_a_store_was_written_with_never_change(table, wanted):
    assert digest(table) == wanted


def test_no_entry_that_was_rounded_lies_near_a_border():
    nats = -quantise.to_logprobs(np.arange(quantise.NOTHING))
    coarse = 15.2 + 2.0 * (nats[kept._LAST_FINE + 1 :] - 3.0)
    shares = np.exp(-nats[quantise._EDGE_LEVEL + 1 :]) * quantise._ONE

    for values in (coarse[coarse < 48], nats[(nats > 0) & (nats < 12)], shares + 0.5):
        assert np.abs(values - np.rint(values)).min() > 1e-4


def test_a_store_made_elsewhere_gives_the_same_arrays():
    reader = TargetReader(FOLDER, HEADER)
    reader.verify()
    first, second = (reader.get(example_id) for example_id in reader.example_ids)

    assert ids_of(first) == "2efdbc0e6574750e"
    assert ids_of(second) == "7ec8d183f12a636c"
    np.testing.assert_allclose(sums_of(first), FIRST, rtol=1e-6)
    np.testing.assert_allclose(sums_of(second), SECOND, rtol=1e-6)


def ids_of(targets):
    draws = targets.draws
    return digest(targets.token_ids, targets.byte_offsets, targets.top_ids, draws.ids, draws.counts)


def sums_of(targets):
    values = (targets.observed_logprobs, targets.top_logprobs, targets.log_z, targets.draws.entropy)
    places = np.arange(1, 25, dtype=np.float64)
    return [float(places @ each.reshape(24, -1).sum(axis=1, dtype=np.float64)) for each in values]


FIRST = [-1771.4786, -3898.3875, 617.5307, 1469.6875]
SECOND = [-1774.0757, -2627.3197, 613.3751, 1463.5312]
