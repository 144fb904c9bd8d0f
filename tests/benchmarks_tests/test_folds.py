"""Blocks as folds hold out every image of the pool once before any twice, class by class."""

from itertools import islice

import numpy as np

from benchmarks.planted.folds import folds
from benchmarks.planted.pool import fresh_splits
from trainable.data.splits import Split, stratified_split

LABELS = np.arange(240) % 10
START = stratified_split(LABELS, num_train=180, num_val=60, seed=0)


def test_a_round_of_folds_is_a_partition_and_the_next_one_another() -> None:
    splits = list(islice(folds(START, LABELS, np.random.default_rng(0)), 8))
    for one in splits:
        assert np.intersect1d(one.train, one.val).size == 0
        assert np.bincount(LABELS[one.val]).tolist() == [6] * 10
        assert len(one.train) == 180
    first, second = splits[:4], splits[4:]
    for round_ in (first, second):
        held_out = np.sort(np.concatenate([one.val for one in round_]))
        assert held_out.tolist() == list(range(240))
    assert all(not np.array_equal(a.val, b.val) for a in first for b in second)


def test_fresh_splits_share_images() -> None:
    def overlap(one: Split, other: Split) -> int:
        return len(np.intersect1d(one.val, other.val))

    splits = list(islice(fresh_splits(START, LABELS, np.random.default_rng(0)), 2))
    assert 0 < overlap(*splits) < 60
