"""Recall of each class on the test images, and which classes are taken for which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassRecall:
    """Number of test images of one class, and the share of them that a recipe gets right.

    Attributes:
        index: Index of the class.
        num_images: Number of its test images.
        mean: Share of them that is right, averaged over seeds, in [0, 1].
        lowest: The same of the worst seed.
        highest: The same of the best seed.
    """

    index: int
    num_images: int
    mean: float
    lowest: float
    highest: float


@dataclass(frozen=True, kw_only=True, slots=True)
class MixUp:
    """Images of one class that are taken for another one.

    Attributes:
        true: Index of their class.
        predicted: Index of the class they are taken for.
        share: Share of the test images of ``true``, averaged over seeds, in (0, 1].
    """

    true: int
    predicted: int
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """Confusion matrices of one recipe on the same test images, one for each seed.

    Attributes:
        counts: Numbers of images: seeds, true classes, predicted classes.
    """

    counts: Counts

    @property
    def num_seeds(self) -> int:
        """Number of runs."""
        return len(self.counts)

    @property
    def num_classes(self) -> int:
        """Number of classes, with those that have no test images."""
        return int(self.counts.shape[1])

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each true class (rows) per predicted class, averaged over seeds.

        Each row adds to 1; that of a class without test images is NaN.
        """
        totals = self.counts.sum(axis=2, keepdims=True)
        with np.errstate(invalid="ignore"):
            of_each: NDArray[np.float64] = self.counts / totals
        return np.asarray(of_each.mean(axis=0))

    def by_class(self) -> tuple[ClassRecall, ...]:
        """List the recall of each class that has test images, the worst class first.

        Of equal ones that with more images comes first, as its recall is known best.
        """
        found = []
        for index in range(self.num_classes):
            rows = self.counts[:, index]
            total = int(rows[0].sum())
            if total:
                recalls = rows[:, index] / total
                found.append(
                    ClassRecall(
                        index=index,
                        num_images=total,
                        mean=float(recalls.mean()),
                        lowest=float(recalls.min()),
                        highest=float(recalls.max()),
                    )
                )
        return tuple(sorted(found, key=lambda one: (one.mean, -one.num_images)))

    def mix_ups(self) -> tuple[MixUp, ...]:
        """List which class is taken for which, the largest number of images first."""
        means = self.counts.mean(axis=0)
        pairs = np.argwhere(means > 0.0)
        found = [(int(true), int(other)) for true, other in pairs if true != other]
        found.sort(key=lambda pair: -means[pair])
        shares = self.shares
        return tuple(MixUp(true=t, predicted=p, share=float(shares[t, p])) for t, p in found)


def confusion_of(
    runs: Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]], *, num_classes: int
) -> Confusion | None:
    """Count true against predicted classes.

    Args:
        runs: True and predicted class index of each test image, by run; each run has the same
            images.
        num_classes: Number of classes.

    Returns:
        None without any run.
    """
    if not runs:
        return None
    counts = np.zeros((len(runs), num_classes, num_classes), np.int64)
    for matrix, (labels, predicted) in zip(counts, runs, strict=True):
        np.add.at(matrix, (labels, predicted), 1)
    return Confusion(counts=counts)
