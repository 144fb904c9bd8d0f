"""Test whether a strength's level changes how often runs diverge.

Least squares cannot tell, as a diverged run has no value of the metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # It loads a part of it when that is first used.

from search.verdict.effects import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """Counts of diverged runs at each level of one strength, with a test of their difference.

    Attributes:
        diverged: Number of diverged runs at the reference level and at the best level.
        runs: Number of all runs at the reference level and at the best level.
        p_value: Two-sided p-value of Fisher's exact test that the level makes no difference.
    """

    diverged: tuple[int, int]
    runs: tuple[int, int]
    p_value: float


def divergence_by_level(runs: Sequence[Run], names: tuple[str, ...]) -> Mapping[str, Divergence]:
    """Count diverged runs by level of each trajectory factor; empty if none diverged."""
    if not any(run.diverged for run in runs):
        return {}
    result = {}
    for name in names:
        counts = {
            level: [run.diverged for run in runs if run.levels[name] == level] for level in (-1, 1)
        }
        diverged = (sum(counts[-1]), sum(counts[1]))
        total = (len(counts[-1]), len(counts[1]))
        table = np.array([diverged, (total[0] - diverged[0], total[1] - diverged[1])])
        result[name] = Divergence(
            diverged=diverged, runs=total, p_value=float(scipy.stats.fisher_exact(table).pvalue)
        )
    return result
