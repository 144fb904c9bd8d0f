"""Splits of a dataset into training, validation and test images."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InputError
from trainable.data.grouped_draw import draw_groups

TEST_SEED = 20_240
"""Seed that decides which images are test images wherever a dataset has no official test split.

It is no setting: a test split that moved with the user's seed would sooner or later hold images
that an earlier search was tuned on.
"""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """Three disjoint sets of image indices, each ascending.

    Attributes:
        train: Images that weights are fitted to.
        val: Images that recipes are compared on.
        test: Images that only the final confirmation sees.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def stratified_split(
    labels: NDArray[np.int64],
    *,
    num_train: int,
    num_val: int,
    seed: int,
    pool: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> Split:
    """Split the images of ``pool`` so that each class has nearly the same share of every part.

    What is left after ``num_train`` and ``num_val`` images is the test part. Which images these are
    depends on the labels and the sizes alone; ``seed`` only decides between train and validation.
    A class of three or more images is in every part that is large enough to hold every class.

    Groups stay in one part, so that its size is near to what is asked; a class of three or more
    groups is then in every part.

    Args:
        labels: Class of every image of the dataset, also of those outside the pool.
        num_train: Images to train on, at least 1.
        num_val: Images to validate on, at least 0.
        seed: Seed of the division between train and validation, at least 0.
        pool: Indices of the images to split; None is all of them.
        groups: Group of every image of the dataset; None splits image by image.

    Raises:
        InputError: If the pool has fewer images than train and validation need.
    """
    pool = np.arange(len(labels)) if pool is None else np.sort(pool)
    num_test = len(pool) - num_train - num_val
    if num_train < 1 or num_val < 0 or num_test < 0:
        raise InputError(
            "`1 <= num_train` and `num_train + num_val <= images` must hold, "
            f"but got {num_train} + {num_val} of {len(pool)} images."
        )
    test, rest = _draw(labels, pool, num_test, reserve=2, seed=TEST_SEED, groups=groups)
    val, train = _draw(labels, rest, num_val, reserve=1, seed=seed, groups=groups)
    return Split(train=train, val=val, test=test)


def resplit(
    split: Split,
    labels: NDArray[np.int64],
    *,
    seed: int,
    groups: NDArray[np.int64] | None = None,
) -> Split:
    """Divide the labelled pool (train and validation) afresh; test images stay.

    Sizes stay too, with groups as nearly as these permit.

    Args:
        split: The split whose pool is divided.
        labels: Class of every image of the dataset.
        seed: Seed of the new division, at least 0.
        groups: Group of every image, which stays in one part; None divides image by image.
    """
    fresh = stratified_split(
        labels,
        num_train=len(split.train),
        num_val=len(split.val),
        seed=seed,
        pool=np.concatenate([split.train, split.val]),
        groups=groups,
    )
    return replace(fresh, test=split.test)


def subset(
    split: Split,
    labels: NDArray[np.int64],
    num_train: int,
    seed: int,
    *,
    groups: NDArray[np.int64] | None = None,
) -> Split:
    """Keep ``num_train`` training images, drawn class by class, or whole groups of about as many.

    Validation shrinks with them to at most the larger of ``num_train`` and 300 images: who has few
    images to train on does not have thousands more to validate on, and evaluating would cost more
    than training. Test images stay.

    Args:
        split: The split to thin out.
        labels: Class of every image of the dataset.
        num_train: Training images to keep; at least one of each class.
        seed: Seed of the draw, at least 0.
        groups: Group of every image; None draws image by image.

    Raises:
        InputError: If there are fewer training images, or ``num_train`` is below the number of
            classes.
    """
    num_classes = len(np.unique(labels[split.train]))
    if not num_classes <= num_train <= len(split.train):
        raise InputError(
            f"`{num_classes} <= num_train <= {len(split.train)}` must hold, so that every class is "
            f"trained on and validation stays apart, but got {num_train}."
        )
    train, _ = _draw(labels, split.train, num_train, reserve=0, seed=seed, groups=groups)
    num_val = min(len(split.val), max(num_train, 300))
    val, _ = _draw(labels, split.val, num_val, reserve=0, seed=seed, groups=groups)
    return Split(train=train, val=val, test=split.test)


def thinned(
    split: Split,
    labels: NDArray[np.int64],
    num_train: int,
    *,
    seed: int,
    groups: NDArray[np.int64] | None = None,
) -> Split:
    """Keep ``num_train`` training images as `subset` does; all others stay.

    Args:
        split: The split to thin out.
        labels: Class of every image of the dataset.
        num_train: Training images to keep, in [1, all of them].
        seed: Seed of the draw, at least 0.
        groups: Group of every image; None draws image by image.
    """
    train, _ = _draw(labels, split.train, num_train, reserve=0, seed=seed, groups=groups)
    return replace(split, train=train)


def _draw(
    labels: NDArray[np.int64],
    pool: NDArray[np.int64],
    total: int,
    *,
    reserve: int,
    seed: int,
    groups: NDArray[np.int64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw ``total`` images of ``pool`` class by class; return them and the others, ascending."""
    if groups is not None:
        is_drawn = draw_groups(labels, groups, pool, total, reserve=reserve, seed=seed)
        return np.sort(pool[is_drawn]), np.sort(pool[~is_drawn])
    shuffled = np.random.default_rng(seed).permutation(pool)
    _, classes, counts = np.unique(labels[shuffled], return_inverse=True, return_counts=True)
    share = _allocate(counts, total, reserve)
    # Place of each image within its class, in the shuffled order: no loop over classes, because
    # ImageNet has a thousand of them.
    order = np.argsort(classes, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    drawn = place < share[classes]
    return np.sort(shuffled[drawn]), np.sort(shuffled[~drawn])


def _allocate(counts: NDArray[np.int64], total: int, reserve: int) -> NDArray[np.int64]:
    """Divide ``total`` images over classes of these sizes, by the largest remainder.

    Every class gets at least one if the total suffices, and keeps ``reserve`` images back unless
    the total cannot be reached otherwise.
    """
    cap = np.maximum(counts - reserve, 0)
    if cap.sum() < total:
        cap = counts
    quota = counts * (total / counts.sum())
    least = np.minimum(1 if total >= len(counts) else 0, cap)
    share: NDArray[np.int64] = np.clip(np.floor(quota).astype(np.int64), least, cap)
    while (missing := total - share.sum()) != 0:
        gap = quota - share
        if missing > 0:
            share[np.argmax(np.where(share < cap, gap, -np.inf))] += 1
        else:
            share[np.argmin(np.where(share > least, gap, np.inf))] -= 1
    return share
