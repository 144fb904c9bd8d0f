"""What the advised recipe gains in recorded cases: the cell that it is, against the reference's.

The two cells are predicted from all runs of the case, with the mean of each block, main effects and
pair interactions taken out by least squares. A cell of four strengths is in half of the blocks, so
its own runs alone would tell half as much.
"""

import math
from collections.abc import Collection, Mapping

import numpy as np

from benchmarks.planted.verdicts import Diagnosis, Recorded
from search.verdict.answer.advised_value import advised_value
from search.verdict.blocked_model import block_columns, pair_columns
from search.verdict.design import EMA_FACTOR
from search.verdict.effects import design_of, outcomes

METRIC = "val/top1"


def advised_gain(recorded: Recorded, diagnosis: Diagnosis) -> float:
    """Points of top-1 by which the advised recipe is above the reference, over all blocks."""
    dials = diagnosis.dials
    return recipe_gain(recorded, [d.strength for d in dials if advised_value(d)[0] != d.reference])


def recipe_gain(recorded: Recorded, names: Collection[str]) -> float:
    """Points of top-1 that the reference gains with these strengths at the best's value."""
    return 100 * (cell_mean(recorded, dict.fromkeys(names, 1)) - cell_mean(recorded, {}))


def cell_mean(recorded: Recorded, levels: Mapping[str, int]) -> float:
    """Mean top-1 of a recipe over all blocks; NaN where the runs cannot tell.

    Args:
        recorded: The case.
        levels: 1 for the strengths at the best's value; what is missing is at the reference's.
    """
    everything = [run for runs in recorded.blocks.values() for run in runs]
    average = "best" if levels.get(EMA_FACTOR, -1) > 0 else "reference"
    kept, values = outcomes(everything, average, METRIC)
    if not kept:
        return math.nan
    names = tuple(name for name in recorded.names if name != EMA_FACTOR)
    design, blocks = design_of(kept, names)
    inside = block_columns(blocks)
    model = np.hstack([inside, design, pair_columns(design)[1]])
    asked = np.array([[float(levels.get(name, -1)) for name in names]])
    share = np.full((1, inside.shape[1]), 1.0 / inside.shape[1])
    at = np.hstack([share, asked, pair_columns(asked)[1]])
    inverse = np.linalg.pinv(model)
    if not np.allclose(at @ inverse @ model, at, atol=1e-8):
        return math.nan
    return float((at @ inverse @ values).item())
