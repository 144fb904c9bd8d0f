"""The error term against its definition, and what it does without runs enough."""

import itertools

import numpy as np
import pytest
from scipy import stats

from search.verdict.blocked_model import (
    PRIOR_DOF,
    block_columns,
    contrast,
    factor_columns,
    pair_columns,
    t_quantile,
)


def factorial(num_factors: int, num_blocks: int) -> tuple[np.ndarray, np.ndarray]:
    cells = np.array(list(itertools.product((-1.0, 1.0), repeat=num_factors)))
    return np.vstack([cells] * num_blocks), np.repeat(np.arange(num_blocks), len(cells))


@pytest.mark.parametrize("num_blocks", [2, 3, 5])
def test_the_moderated_error_equals_its_definition_block_by_block(num_blocks: int) -> None:
    rng = np.random.default_rng(num_blocks)
    levels, blocks = factorial(3, num_blocks)
    y = rng.normal(size=len(levels)) + 5.0 * blocks
    inside = block_columns(blocks)
    model = np.hstack([inside, levels])
    weights = np.array([0.0] * num_blocks + [2.0, 0.0, 0.0])
    found = contrast(model, weights, y[:, None], own=inside * levels[:, [0]])

    # By hand: the effect in each block, their variation, and what is left beside it.
    by_block = np.array(
        [
            y[(blocks == b) & (levels[:, 0] > 0)].mean()
            - y[(blocks == b) & (levels[:, 0] < 0)].mean()
            for b in range(num_blocks)
        ]
    )
    residual = y.copy()
    for b in range(num_blocks):
        residual[blocks == b] -= y[blocks == b].mean()
    for factor in range(3):
        residual -= levels[:, factor] * (levels[:, factor] @ y) / len(y)
    own_squares = (8 / 4) * ((by_block - by_block.mean()) ** 2).sum()
    rest_dof = len(y) - num_blocks - 3 - (num_blocks - 1)
    rest = ((residual**2).sum() - own_squares) / rest_dof
    prior_dof = min(PRIOR_DOF, rest_dof)
    dof = prior_dof + num_blocks - 1
    variance = (prior_dof * rest + own_squares) / dof

    assert found.dof == dof
    assert found.mean[0] == pytest.approx(by_block.mean())
    assert found.std_error[0] == pytest.approx(np.sqrt(4 * variance / len(y)))


def test_many_blocks_let_the_variation_of_the_effect_itself_prevail() -> None:
    rng = np.random.default_rng(0)
    num_blocks = 200
    levels, blocks = factorial(3, num_blocks)
    slopes = rng.normal(0.0, 3.0, num_blocks)
    y = rng.normal(0.0, 1.0, len(levels)) + levels[:, 0] * slopes[blocks] / 2
    inside = block_columns(blocks)
    model = np.hstack([inside, levels])
    for factor, truth in ((0, np.sqrt((9 + 4 / 8) / num_blocks)), (1, np.sqrt(4 / len(y)))):
        weights = np.zeros(model.shape[1])
        weights[num_blocks + factor] = 2.0
        found = contrast(model, weights, y[:, None], own=inside * levels[:, [factor]])
        assert found.std_error[0] == pytest.approx(truth, rel=0.25)


def test_columns_are_estimated_independently_of_each_other() -> None:
    rng = np.random.default_rng(0)
    levels, blocks = factorial(2, 3)
    values = rng.normal(size=(len(levels), 4)) * [1.0, 100.0, 1e-3, 0.0]
    inside = block_columns(blocks)
    model = np.hstack([inside, levels])
    weights = np.array([0.0, 0.0, 0.0, 2.0, 0.0])
    together = contrast(model, weights, values, own=inside * levels[:, [0]])
    for column in range(4):
        alone = contrast(model, weights, values[:, [column]], own=inside * levels[:, [0]])
        assert together.mean[column] == pytest.approx(alone.mean[0])
        assert together.std_error[column] == pytest.approx(alone.std_error[0])
    assert together.std_error[3] == 0.0


def test_a_perfect_fit_leaves_no_error_in_spite_of_rounding() -> None:
    levels, blocks = factorial(3, 2)
    y = 0.9 + 0.017 * levels[:, 0] - 0.003 * levels[:, 1] + 0.1 * blocks
    inside = block_columns(blocks)
    model = np.hstack([inside, levels])
    weights = np.array([0.0, 0.0, 2.0, 0.0, 0.0])
    found = contrast(model, weights, y[:, None], own=inside * levels[:, [0]])
    assert found.mean[0] == pytest.approx(0.034)
    assert found.std_error[0] == 0.0


def test_what_the_runs_cannot_separate_is_unknown_and_not_guessed() -> None:
    levels = np.array([[-1.0, -1.0], [1.0, 1.0], [-1.0, -1.0], [1.0, 1.0]])
    inside = block_columns(np.array([0, 0, 1, 1]))
    model = np.hstack([inside, levels])
    values = np.array([[0.1], [0.2], [0.1], [0.3]])
    own = inside * levels[:, [0]]
    one_of_two = contrast(model, np.array([0.0, 0.0, 2.0, 0.0]), values, own=own)
    assert np.isnan(one_of_two.mean[0])
    assert all(np.isnan(end[0]) for end in one_of_two.interval(0.05))
    assert one_of_two.dof == 0
    both_together = contrast(model, np.array([0.0, 0.0, 2.0, 2.0]), values, own=own)
    assert both_together.mean[0] == pytest.approx(0.15)


def test_without_degrees_of_freedom_there_is_a_mean_but_no_interval() -> None:
    levels = np.array([[-1.0], [1.0]])
    inside = block_columns(np.array([0, 0]))
    model = np.hstack([inside, levels])
    found = contrast(model, np.array([0.0, 2.0]), np.array([[0.2], [0.5]]), own=inside * levels)
    assert found.mean[0] == pytest.approx(0.3)
    low, high = found.interval(0.05)
    assert (low[0], high[0]) == (-np.inf, np.inf)


def test_pairs_enter_only_where_they_leave_eight_degrees_of_freedom() -> None:
    for num_factors, num_blocks, has_pairs in ((3, 1, False), (3, 2, True), (2, 2, False)):
        levels, blocks = factorial(num_factors, num_blocks)
        columns = factor_columns(levels, block_columns(blocks))
        assert (columns.shape[1] > num_factors) == has_pairs


def test_pair_columns_are_products_in_the_order_of_the_pairs() -> None:
    levels, _ = factorial(3, 1)
    pairs, products = pair_columns(levels)
    assert pairs == [(0, 1), (0, 2), (1, 2)]
    for column, (i, j) in enumerate(pairs):
        assert (products[:, column] == levels[:, i] * levels[:, j]).all()
    assert pair_columns(levels[:, :1])[1].shape == (8, 0)


@pytest.mark.parametrize("dof", [1, 2, 8, 1000])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_t_quantiles_leave_alpha_outside(dof: int, alpha: float) -> None:
    assert 2 * stats.t.sf(t_quantile(alpha, dof), dof) == pytest.approx(alpha)
    assert t_quantile(alpha, 0) == float("inf")
