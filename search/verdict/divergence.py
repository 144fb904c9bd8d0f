"""Whether diverging is tied to a strength: what least squares cannot see, for it needs a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from search.verdict.effects import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Divergence:
    """How often runs diverged at each level of one strength.

    Attributes:
        diverged: Runs that diverged at the reference level and at the best level.
        runs: All runs at the reference level and at the best level.
        p_value: Fisher's exact test, two-sided, of the level making no difference.
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
            diverged=diverged, runs=total, p_value=float(stats.fisher_exact(table).pvalue)
        )
    return result
