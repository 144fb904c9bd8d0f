"""What is said of search metrics on planted recipes, and that the default is what won."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks.efficiency.selection_metric import Measured, correlation, regret, resampled, winner
from benchmarks.efficiency.table import NUM_FOLDS
from search.plan.config import RunConfig

TEST = np.array([3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0])
EVERY_TRIPLE = np.array([[i, j, k] for i in range(8) for j in range(i) for k in range(j)])


def test_the_default_search_metric_is_the_one_that_picks_best_on_the_recorded_recipes() -> None:
    (default,) = [f.default for f in dataclasses.fields(RunConfig) if f.name == "metric"]
    assert default == winner()


def test_correlation_is_spearman_s_on_average_over_validation_sets() -> None:
    scores = np.random.default_rng(0).integers(0, 4, (8, 5)).astype(float)  # With ties.
    expected = np.mean([spearmanr(scores[:, fold], TEST).statistic for fold in range(5)])
    assert correlation(scores, TEST) == pytest.approx(expected)


def test_a_metric_that_knows_the_test_has_no_regret_and_its_opposite_all_there_is() -> None:
    known = np.stack([TEST, 10.0 * TEST], axis=1)
    assert regret(known, TEST, EVERY_TRIPLE) == 0.0
    spread = np.mean([np.ptp(TEST[triple]) for triple in EVERY_TRIPLE])
    assert regret(-known, TEST, EVERY_TRIPLE) == pytest.approx(spread)


def test_a_metric_that_knows_nothing_has_the_regret_of_a_blind_draw() -> None:
    blind = np.random.default_rng(0).random((8, 20_000))
    expected = np.mean([TEST[triple].max() - TEST[triple].mean() for triple in EVERY_TRIPLE])
    assert regret(blind, TEST, EVERY_TRIPLE) == pytest.approx(expected, rel=0.01)


def test_resamples_keep_the_recipes_of_a_run_together() -> None:
    rows = np.arange(8.0)
    data = Measured(
        scores={"val/nll": np.tile(rows[:, None], (1, NUM_FOLDS))},
        test={"test/top1": rows},
        runs=tuple(np.arange(2 * i, 2 * i + 2) for i in range(4)),
    )
    drawn = resampled(data, np.random.default_rng(0))
    pairs = drawn.test["test/top1"].reshape(4, 2)
    assert (pairs[:, 1] == pairs[:, 0] + 1).all()
    assert (pairs[:, 0] % 2 == 0).all()
    assert (drawn.scores["val/nll"] == drawn.test["test/top1"][:, None]).all()
