"""Least squares in blocks, with an error term that includes the variation between blocks.

The model of a metric is: block + main effects + (where there are runs enough) pair interactions.
In a balanced two-level design every contrast weighs all runs equally, so the residual mean square
is an unbiased error term for each of them even when cells differ in variance (a cell where the
model stays at chance has none): the mean of the cell variances is what it estimates and what is
needed. It misses that an effect itself may differ from split to split. A new block would have
another effect, so that variation belongs into the interval. But two or three blocks estimate it
with one or two degrees of freedom, too few for any decision. The error term is therefore a
compromise fixed beforehand: each effect's own variation between blocks, moderated by the rest of
the residual, which counts as at most `PRIOR_DOF` degrees of freedom (the moderated t of Smyth 2004,
Stat. Appl. Genet. Mol. Biol. 3(1), with the prior's weight fixed instead of estimated). With two
blocks the rest dominates, with many the effect's own variation does.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy  # It loads a part of it when that is first used.

Floats = npt.NDArray[np.float64]

PRIOR_DOF = 12
"""Largest weight, in degrees of freedom, of the pooled residual in an effect's error term."""

MIN_RESIDUAL_DOF = 8
"""Fewest residual degrees of freedom that a balanced model with pair interactions must leave.

The rule looks at the design only, never at the outcome. In a balanced design the estimates of main
effects are the same without pairs, and a real interaction can only widen their intervals.
"""

MIN_UNBALANCED_DOF = 5
"""The same where runs are missing, as an interaction left out then biases the main effects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """Estimates of one contrast for each column of values.

    Attributes:
        mean: Estimates, one per column; NaN where the runs do not determine the contrast.
        std_error: Standard errors; infinite where there is no error term.
        dof: Degrees of freedom of the standard errors, the same for all columns; 0 where there is
            no error term.
    """

    mean: Floats
    std_error: Floats
    dof: int

    def interval(self, alpha: float) -> tuple[Floats, Floats]:
        """Compute both ends of the two-sided t interval with error probability ``alpha``."""
        quantile = t_quantile(alpha, self.dof)
        with np.errstate(invalid="ignore"):
            return self.mean - quantile * self.std_error, self.mean + quantile * self.std_error


def t_quantile(alpha: float, dof: int) -> float:
    """Return a two-sided t interval's half-width in standard errors; infinite for ``dof == 0``."""
    return -float(scipy.special.stdtrit(dof, alpha / 2.0)) if dof > 0 else float("inf")


def block_columns(blocks: npt.NDArray[np.int64]) -> Floats:
    """Make one indicator column per block, in ascending order of the block numbers."""
    indicators: Floats = (blocks[:, None] == np.unique(blocks)[None, :]).astype(np.float64)
    return indicators


def pair_columns(levels: Floats) -> tuple[list[tuple[int, int]], Floats]:
    """List the pairs of factors and, in the same order, the products of their level columns."""
    num_runs, num_factors = levels.shape
    pairs = [(i, j) for i in range(num_factors) for j in range(i + 1, num_factors)]
    products = [levels[:, i] * levels[:, j] for i, j in pairs]
    return pairs, np.stack(products, axis=1) if products else np.empty((num_runs, 0))


def factor_columns(levels: Floats, blocks: Floats, *, least_dof: int = MIN_RESIDUAL_DOF) -> Floats:
    """Make the columns of main effects, and of pair interactions if the runs suffice for them.

    They suffice if ``least_dof`` residual degrees of freedom are left, or `MIN_UNBALANCED_DOF`
    where runs are missing. Pairs stay out as well if a main effect could not be told from them:
    with one level of a factor lost, the effects of the others are known at its other level only.
    """
    products = pair_columns(levels)[1]
    rank = _geometry_of(np.hstack([blocks, levels, products])).rank
    is_balanced = not (levels.T @ blocks).any() and not (levels.T @ products).any()
    is_room = len(levels) - rank >= (least_dof if is_balanced else MIN_UNBALANCED_DOF)
    is_clear = rank == _geometry_of(np.hstack([blocks, products])).rank + levels.shape[1]
    return np.hstack([levels, products]) if is_room and is_clear else levels


def contrast(
    model: Floats,
    weights: Floats,
    values: Floats,
    *,
    own: Floats,
    prior_dof: int = PRIOR_DOF,
    inflation: float = 1.0,
) -> Contrast:
    """Estimate the contrast ``weights @ coefficients`` with the moderated error term.

    Args:
        model: Columns of the linear model, runs in rows.
        weights: Weight of each coefficient in the contrast.
        values: Outcomes, runs in rows, one column per outcome.
        own: Columns that span the contrast's variation between blocks.
        prior_dof: Largest weight of the rest of the residual, in degrees of freedom.
        inflation: Prior guess of the ratio of the contrast's own mean square to the residual one; 1
            if the contrast does not vary between blocks.
    """
    num_runs, num_columns = values.shape
    if num_runs == 0:
        return _unknown(num_columns)
    geometry, rest_geometry = _geometry_of(model), _geometry_of(np.hstack([model, own]))
    functional = _functional_of(model, weights)
    if functional is None:
        return _unknown(num_columns)
    mean = functional @ values
    own_dof = rest_geometry.rank - geometry.rank
    rest_dof = num_runs - rest_geometry.rank
    prior_dof = min(prior_dof, rest_dof)
    dof = own_dof + prior_dof
    if dof == 0:
        return Contrast(mean=mean, std_error=np.full(num_columns, np.inf), dof=0)
    residual = _residual_squares(geometry.basis, values)
    rest = _residual_squares(rest_geometry.basis, values)
    prior = inflation * rest / rest_dof if rest_dof else np.zeros(num_columns)
    # The difference of two sums of squares can come out below zero by rounding.
    variance = (prior_dof * prior + np.maximum(residual - rest, 0.0)) / dof
    return Contrast(mean=mean, std_error=np.sqrt(variance * (functional @ functional)), dof=dof)


def _rank(columns: Floats) -> int:
    return int(np.linalg.matrix_rank(columns)) if columns.size else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Geometry:
    """Decomposition of a model matrix: all that least squares needs besides the outcomes.

    Attributes:
        inverse: Pseudo-inverse.
        rank: Rank.
        basis: Orthonormal basis of the column space.
    """

    inverse: Floats
    rank: int
    basis: Floats


def _geometry_of(model: Floats) -> _Geometry:
    return _known_geometry(np.ascontiguousarray(model).tobytes(), model.shape)


@lru_cache(maxsize=512)
def _known_geometry(content: bytes, shape: tuple[int, ...]) -> _Geometry:
    # Cached, for all metrics, looks and replays of an experiment share a few model matrices.
    model = np.frombuffer(content).reshape(shape)
    if not model.size:
        empty: Floats = np.zeros(shape[::-1])
        return _Geometry(inverse=empty, rank=0, basis=np.zeros(shape))
    basis, scale, _ = np.linalg.svd(model, full_matrices=False)
    basis = basis[:, scale > 1e-9 * scale.max()]
    inverse = np.asarray(np.linalg.pinv(model), np.float64)
    return _Geometry(inverse=inverse, rank=_rank(model), basis=basis)


def _functional_of(model: Floats, weights: Floats) -> Floats | None:
    """Return the weight of each run in the estimate of a contrast; None if it is not known."""
    return _known_functional(np.ascontiguousarray(model).tobytes(), model.shape, weights.tobytes())


@lru_cache(maxsize=512)
def _known_functional(content: bytes, shape: tuple[int, ...], weighed: bytes) -> Floats | None:
    model, weights = np.frombuffer(content).reshape(shape), np.frombuffer(weighed)
    functional: Floats = weights @ _known_geometry(content, shape).inverse
    return functional if np.allclose(functional @ model, weights, atol=1e-8) else None


def _residual_squares(basis: Floats, values: Floats) -> Floats:
    residual = values - basis @ (basis.T @ values)
    squares = np.einsum("rc,rc->c", residual, residual)
    # Residuals of a perfect fit are rounding errors, not noise.
    tiny = (1e-12 * np.abs(values).max(axis=0, initial=0.0)) ** 2 * len(values)
    return np.where(squares <= tiny, 0.0, squares)


def _unknown(num_columns: int) -> Contrast:
    return Contrast(
        mean=np.full(num_columns, np.nan), std_error=np.full(num_columns, np.inf), dof=0
    )
