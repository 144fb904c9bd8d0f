"""Images of classes of very different sizes, and predictions of them, drawn with known truth.

Runs have a latent score on each image, as in `benchmarks.planted.confirmation`: how easy the image
is, what the seed does to all images and to each class, and what it does to this one. A wrong image
is predicted as another class, in proportion to how many images those have.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.planted.markdown import share
from search.records.metrics import BALANCED_TOP1, MACRO_F1

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

METRICS = (BALANCED_TOP1, MACRO_F1)
SEED = 0.06
"""Deviation of a run's score on all images, of the deviation of 1 between images and runs."""
SEED_OF_CLASS = 0.12
"""The same for all images of one class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Classes:
    """Classes of a part of the data.

    Attributes:
        name: For the table.
        sizes: Images of each class.
        recalls: Share of each class that the better recipe recognises.
        worse: The same of the worse one.
    """

    name: str
    sizes: tuple[int, ...]
    recalls: tuple[float, ...]
    worse: tuple[float, ...]

    @property
    def labels(self) -> Integers:
        """Class of each image."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


TAIL = (0.97, 0.94, 0.9, 0.8, 0.6)
TEN = tuple(np.linspace(0.98, 0.6, 10).tolist())
CASES = (
    Classes(
        name="120, 60, 30, 15, 8",
        sizes=(120, 60, 30, 15, 8),
        recalls=TAIL,
        worse=(0.97, 0.94, 0.9, 0.7, 0.4),
    ),
    Classes(
        name="the same, nearly all right",
        sizes=(120, 60, 30, 15, 8),
        recalls=(0.99, 0.99, 0.98, 0.97, 0.95),
        worse=(0.99, 0.99, 0.98, 0.97, 0.9),
    ),
    Classes(name="the same, equal recipes", sizes=(120, 60, 30, 15, 8), recalls=TAIL, worse=TAIL),
    Classes(name="292, 8", sizes=(292, 8), recalls=(0.98, 0.6), worse=(0.98, 0.4)),
    Classes(
        name="292, 8, nearly all right", sizes=(292, 8), recalls=(0.99, 0.95), worse=(0.99, 0.9)
    ),
    Classes(name="ten of 8", sizes=(8,) * 10, recalls=(0.9,) * 10, worse=(0.85,) * 10),
    Classes(name="fifty of 4", sizes=(4,) * 50, recalls=(0.9,) * 50, worse=(0.85,) * 50),
    Classes(
        name="400 to 8 in ten",
        sizes=(400, 240, 150, 90, 60, 36, 22, 13, 8, 8),
        recalls=TEN,
        worse=tuple(np.linspace(0.98, 0.5, 10).tolist()),
    ),
)


def predicted(right: npt.NDArray[np.bool_], labels: Integers, uniform: Floats) -> Integers:
    """Predict the true class where right, else another, the more often the larger it is."""
    sizes = np.bincount(labels)
    chance = np.tile(sizes.astype(float), (len(sizes), 1))
    np.fill_diagonal(chance, 0.0)
    ends = np.cumsum(chance / chance.sum(axis=1, keepdims=True), axis=1)
    ends[:, -1] = 1.0
    other = (uniform[..., None] > ends[labels]).sum(axis=-1)
    return np.where(right, labels, other).astype(np.int64)


def expected(sizes: Sequence[int], recalls: Floats) -> dict[str, float]:
    """Both metrics on very many images, in these proportions of classes."""
    of_class = np.array(sizes, float)
    wrong = of_class * (1 - recalls)
    # Share of the wrong images of class i that are predicted as j: sizes_j / (total - sizes_i).
    share_ = of_class[None, :] / (of_class.sum() - of_class)[:, None]
    np.fill_diagonal(share_, 0.0)
    hits = of_class * recalls
    as_class = hits + wrong @ share_
    f1 = 2 * hits / (of_class + as_class)
    return {BALANCED_TOP1.name: float(recalls.mean()), MACRO_F1.name: float(f1.mean())}


def share_of(values: Iterable[bool]) -> str:
    """Format how many of some are true."""
    return share(float(np.mean(list(values))))
