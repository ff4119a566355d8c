import numpy as np

from stillhouse.targets.kinds import find_kinds


def shard(num_examples, random):
    """Positions of two kinds that take turns; each has ids of its own beside some common ones."""
    kinds = [np.arange(50) % 2 for _ in range(num_examples)]
    ids = [
        np.where(
            random.random((50, 20)) < 0.2,
            random.integers(0, 30, (50, 20)),
            100 + 100 * kind[:, None] + random.integers(0, 60, (50, 20)),
        )
        for kind in kinds
    ]
    return kinds, ids


def test_positions_with_other_ids_are_of_other_kinds():
    kinds, ids = shard(40, np.random.default_rng(0))

    found = find_kinds(ids, 400)

    mine, its = np.concatenate(kinds), np.concatenate(found)
    assert its.min() >= 1
    assert all(len(set(mine[its == kind])) == 1 for kind in set(its))


def test_unused_places_say_nothing():
    _, ids = shard(40, np.random.default_rng(0))
    padded = [np.pad(each, ((0, 0), (0, 3)), constant_values=-1) for each in ids]

    for one, other in zip(find_kinds(ids, 400), find_kinds(padded, 400), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_small_shard_has_no_kinds():
    _, ids = shard(3, np.random.default_rng(0))

    assert not np.concatenate(find_kinds(ids, 400)).any()
    assert [len(kinds) for kinds in find_kinds([np.zeros((0, 5), np.int64)], 400)] == [0]
