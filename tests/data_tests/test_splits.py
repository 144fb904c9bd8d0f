"""Every part of a split is stratified, and the test part never moves."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.splits import Split, resplit, stratified_split, subset, thinned

Labels = NDArray[np.int64]


def labels_of(counts: list[int]) -> Labels:
    """Labels of classes of these sizes, in no particular order."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(7).permutation(labels).astype(np.int64)


def parts_of(split: Split) -> list[Labels]:
    return [split.train, split.val, split.test]


@pytest.mark.parametrize("counts", [[178, 182, 177, 183], [3, 3, 3], [1, 2, 3, 400], [50] * 40])
@pytest.mark.parametrize("shares", [(0.2, 0.2), (0.6, 0.2), (0.34, 0.33), (1.0, 0.0)])
def test_parts_are_disjoint_ascending_and_of_the_asked_size(
    counts: list[int], shares: tuple[float, float]
) -> None:
    labels = labels_of(counts)
    num_train, num_val = (int(share * len(labels)) for share in shares)
    split = stratified_split(labels, num_train=num_train, num_val=num_val, seed=3)
    assert [len(split.train), len(split.val)] == [num_train, num_val]
    assert sorted(np.concatenate(parts_of(split)).tolist()) == list(range(len(labels)))
    for part in parts_of(split):
        assert part.dtype == np.int64
        assert part.tolist() == sorted(part.tolist())


@pytest.mark.parametrize("counts", [[178, 182, 177, 183], [30, 300, 3000], [101] * 10])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_class_has_its_share_of_every_part(counts: list[int], seed: int) -> None:
    labels = labels_of(counts)
    num_images = len(labels)
    split = stratified_split(labels, num_train=num_images // 2, num_val=num_images // 5, seed=seed)
    for part in parts_of(split):
        for label, count in enumerate(counts):
            fair = count * len(part) / num_images
            # Train is what test and validation leave over, so their rounding adds up there.
            assert abs(int((labels[part] == label).sum()) - fair) <= 2


def test_the_asked_number_is_divided_by_the_largest_remainder() -> None:
    # By hand: 10 of 30, 30 and 40 images are 3, 3 and 4; 11 of them are 3.3, 3.3 and 4.4.
    labels = labels_of([30, 30, 40])
    for num_val, expected in [(10, [3, 3, 4]), (11, [3, 3, 5])]:
        split = stratified_split(labels, num_train=100 - num_val, num_val=num_val, seed=0)
        assert np.bincount(labels[split.val]).tolist() == expected


@pytest.mark.parametrize(("num_train", "num_val"), [(305, 102), (100, 100), (20, 470), (470, 20)])
def test_a_class_of_three_images_is_in_every_part(num_train: int, num_val: int) -> None:
    labels = labels_of([3, 3, 500, 3])
    for seed in range(5):
        split = stratified_split(labels, num_train=num_train, num_val=num_val, seed=seed)
        for part in parts_of(split):
            assert set(labels[part]) == {0, 1, 2, 3}


def test_the_seed_moves_train_and_validation_but_never_test() -> None:
    labels = labels_of([40, 50, 60])
    splits = [stratified_split(labels, num_train=60, num_val=40, seed=seed) for seed in range(4)]
    assert len({tuple(split.test) for split in splits}) == 1
    assert len({tuple(split.train) for split in splits}) == 4
    assert len({tuple(split.val) for split in splits}) == 4


def test_the_same_seed_gives_the_same_split_whatever_random_state_the_process_is_in() -> None:
    labels = labels_of([40, 50, 60])
    np.random.seed(1)  # noqa: NPY002 - the state that must not matter
    random.seed(1)
    once = stratified_split(labels, num_train=60, num_val=40, seed=5)
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    state = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    again = stratified_split(labels, num_train=60, num_val=40, seed=5)
    for one, other in zip(parts_of(once), parts_of(again), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index]  # noqa: NPY002


def test_only_the_pool_is_split_and_its_order_does_not_matter() -> None:
    labels = labels_of([40, 50, 60])
    pool = np.arange(0, 150, 2)
    one = stratified_split(labels, num_train=40, num_val=20, seed=1, pool=pool)
    other = stratified_split(labels, num_train=40, num_val=20, seed=1, pool=pool[::-1])
    for mine, yours in zip(parts_of(one), parts_of(other), strict=True):
        np.testing.assert_array_equal(mine, yours)
    assert sorted(np.concatenate(parts_of(one)).tolist()) == pool.tolist()


@pytest.mark.parametrize(("num_train", "num_val"), [(0, 10), (10, -1), (100, 51), (151, 0)])
def test_a_split_that_does_not_fit_is_refused(num_train: int, num_val: int) -> None:
    with pytest.raises(InputError, match=f"but got {num_train} \\+ {num_val} of 150 images"):
        stratified_split(labels_of([50, 100]), num_train=num_train, num_val=num_val, seed=0)


def test_a_fresh_split_of_the_pool_keeps_sizes_and_test_images() -> None:
    labels = labels_of([40, 50, 60])
    split = stratified_split(labels, num_train=60, num_val=40, seed=0)
    pool = sorted([*split.train.tolist(), *split.val.tolist()])
    fresh = [resplit(split, labels, seed=seed) for seed in (1, 2, 3)]
    for other in fresh:
        np.testing.assert_array_equal(other.test, split.test)
        assert sorted([*other.train.tolist(), *other.val.tolist()]) == pool
        assert (len(other.train), len(other.val)) == (60, 40)
        assert np.abs(np.bincount(labels[other.val]) - 40 * np.array([40, 50, 60]) / 150).max() <= 1
    assert len({tuple(other.train) for other in fresh}) == 3
    again = resplit(split, labels, seed=2)
    np.testing.assert_array_equal(again.train, fresh[1].train)


def test_fresh_splits_share_no_more_validation_images_than_chance() -> None:
    labels = labels_of([500, 500])
    split = stratified_split(labels, num_train=500, num_val=500, seed=0)
    one, other = (resplit(split, labels, seed=seed).val for seed in (1, 2))
    # 250 of 500 are expected, with a standard deviation of 8.
    assert 200 < len(np.intersect1d(one, other)) < 300


@pytest.mark.parametrize("num_train", [3, 30, 299, 600])
def test_a_subset_keeps_the_proportions_of_the_classes(num_train: int) -> None:
    labels = labels_of([300, 300, 600])
    split = stratified_split(labels, num_train=600, num_val=400, seed=0)
    small = subset(split, labels, num_train, seed=4)
    assert len(small.train) == num_train
    assert set(small.train) <= set(split.train)
    assert set(small.val) <= set(split.val)
    np.testing.assert_array_equal(small.test, split.test)
    fair = num_train * np.array([0.25, 0.25, 0.5])
    assert np.abs(np.bincount(labels[small.train], minlength=3) - fair).max() <= 1
    assert np.bincount(labels[small.train], minlength=3).min() >= 1


@pytest.mark.parametrize("in_groups", [False, True])
@pytest.mark.parametrize("num_train", [3, 10, 300, 600])
def test_a_thinned_split_trains_on_fewer_images_and_measures_on_all(
    num_train: int, in_groups: bool
) -> None:
    labels = labels_of([300, 300, 600])
    groups = np.arange(len(labels)) // 2 if in_groups else None
    split = stratified_split(labels, num_train=600, num_val=400, seed=0, groups=groups)
    thin = thinned(split, labels, num_train, seed=4, groups=groups)
    np.testing.assert_array_equal(thin.val, split.val)
    np.testing.assert_array_equal(thin.test, split.test)
    assert set(thin.train) <= set(split.train)
    assert len(thin.train) == pytest.approx(num_train, abs=2 * in_groups)
    # The same images as a smaller dataset would have.
    small = subset(split, labels, num_train, seed=4, groups=groups)
    np.testing.assert_array_equal(thin.train, small.train)
    if groups is not None:
        left = set(split.train) - set(thin.train)
        assert not set(groups[list(left)]) & set(groups[thin.train])


@pytest.mark.parametrize(("num_train", "num_val"), [(10, 300), (299, 300), (350, 350), (600, 400)])
def test_validation_shrinks_with_the_subset_down_to_300(num_train: int, num_val: int) -> None:
    labels = labels_of([300, 300, 600])
    split = stratified_split(labels, num_train=600, num_val=400, seed=0)
    assert len(subset(split, labels, num_train, seed=4).val) == num_val


@pytest.mark.parametrize("num_train", [-1, 0, 2, 61])
def test_a_subset_without_a_class_or_larger_than_train_is_refused(num_train: int) -> None:
    labels = labels_of([40, 50, 60])
    split = stratified_split(labels, num_train=60, num_val=40, seed=0)
    with pytest.raises(InputError, match=f"`3 <= num_train <= 60` must hold.*got {num_train}"):
        subset(split, labels, num_train, seed=0)
