"""Whether whole groups can make half of the training images."""

from collections.abc import Sequence

from search.plan.stage_size import LEARNING_CURVE_TIMES
from spaces.errors import InputError
from trainable.data.datasets import Dataset
from trainable.data.splits import thinned

HALF = (0.4, 0.6)
"""Shares of the training images that pass for half of them, where whole groups are kept."""


def require_halves(dataset: Dataset, seeds: Sequence[int]) -> None:
    """Raise if the groups are too large to keep about half of the training images of a split.

    Args:
        dataset: The dataset; without groups nothing is looked at.
        seeds: Seeds of the splits.

    Raises:
        InputError: If less than 40 or more than 60 % would stay.
    """
    if dataset.groups is None:
        return
    num_half = len(dataset.split.train) // LEARNING_CURVE_TIMES
    for seed in seeds:
        split = dataset.fresh_split(seed)
        half = thinned(split, dataset.labels, num_half, seed=seed, groups=dataset.groups)
        if not HALF[0] <= len(half.train) / len(split.train) <= HALF[1]:
            raise InputError(
                "`learning_curve` halves the training images by whole groups, but groups are so "
                f"large that {len(half.train):,} of {len(split.train):,} would stay."
            )
