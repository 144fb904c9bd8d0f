"""Recall per class and mix-ups, held against counting image by image."""

import math

import numpy as np
import pytest

from search.verdict.confusion import Confusion, confusion_of

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])


def made(*predicted: list[int], num_classes: int = 3) -> Confusion:
    runs = [(LABELS, np.array(of_run)) for of_run in predicted]
    found = confusion_of(runs, num_classes=num_classes)
    assert found is not None
    return found


def test_counts_and_recalls_agree_with_counting_each_image() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, 200)
    predicted = [rng.integers(0, 5, 200) for _ in range(3)]
    found = confusion_of([(labels, of_run) for of_run in predicted], num_classes=5)
    assert found is not None
    for true in range(5):
        for other in range(5):
            for run, of_run in enumerate(predicted):
                pairs = zip(labels, of_run, strict=True)
                assert found.counts[run, true, other] == sum(p == (true, other) for p in pairs)
    for one in found.by_class():
        shares = [float((run[labels == one.index] == one.index).mean()) for run in predicted]
        assert one.num_images == int((labels == one.index).sum())
        assert (one.mean, one.lowest, one.highest) == pytest.approx(
            (sum(shares) / 3, min(shares), max(shares))
        )


def test_the_worst_class_comes_first_and_of_equal_ones_that_with_more_images() -> None:
    found = made([0, 0, 1, 1, 1, 2, 2, 2])
    assert [one.index for one in found.by_class()] == [0, 1, 2]
    assert [one.mean for one in found.by_class()] == [0.5, 0.5, 1.0]


def test_mix_ups_are_sorted_by_images_and_told_as_shares_of_the_true_class() -> None:
    found = made([0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 2, 2, 2])
    assert [(m.true, m.predicted) for m in found.mix_ups()] == [(0, 1), (1, 2)]
    # One and a half of four images on average, and one of two: the rarer one has the larger share.
    assert [m.share for m in found.mix_ups()] == [1.5 / 4, 0.5]


def test_rows_of_shares_add_to_one_and_a_class_without_images_has_none() -> None:
    found = made([0, 0, 1, 3, 1, 2, 2, 2], num_classes=4)
    assert found.shares[:3].sum(axis=1) == pytest.approx(1.0)
    assert all(math.isnan(share) for share in found.shares[3])
    assert 3 not in [one.index for one in found.by_class()]
    assert (0, 3) in [(m.true, m.predicted) for m in found.mix_ups()]


def test_without_a_run_there_is_none() -> None:
    assert confusion_of([], num_classes=3) is None
