"""The clock on which searches are compared, and how budgets are read off their regrets."""

from collections.abc import Mapping

import numpy as np
import pytest

from benchmarks.efficiency.clock import METRIC, NUM_WORKERS, BestLast, replay
from benchmarks.efficiency.plot import Curve
from benchmarks.efficiency.surrogate import transformed, untransformed
from benchmarks.efficiency.table import (
    METRICS,
    NUM_POINTS,
    PROBLEMS,
    design,
    load_table,
    planned_runs,
)
from spaces.strengths.values import Strengths

EPOCHS = 4


def worse_by_number(strengths: Strengths, number: int) -> np.ndarray:
    """Trial 5 is the best at the end, and no trial is before its last epoch."""
    final = 1.0 + abs(number - 5)
    return np.array([[0.5, 9.0, 9.0]] * (EPOCHS - 1) + [[0.5, final, final]])


class Numbered(BestLast):
    """Proposals that tell which trial they were, as their smoothing."""

    def __init__(self, num_trials: int) -> None:
        super().__init__(self.propose)
        self._left = num_trials

    def propose(self, trial_id: str) -> Strengths:
        return Strengths(label_smoothing=int(trial_id.removeprefix("trial-")) / 100)

    def start(self) -> tuple[str, Strengths] | None:
        self._left -= 1
        return super().start() if self._left >= 0 else None


def test_two_trials_run_at_a_time_and_an_epoch_takes_a_second() -> None:
    (picked,) = replay(Numbered(8), worse_by_number, epochs=EPOCHS)
    assert picked.epochs == 8 * EPOCHS
    assert picked.time == 8 * EPOCHS / NUM_WORKERS
    assert picked.strengths.label_smoothing == pytest.approx(0.05)


def test_a_pick_at_a_time_knows_what_was_reported_until_then_and_no_more() -> None:
    picks = replay(Numbered(10**6), worse_by_number, epochs=EPOCHS, ask_at=(3.0, 4.0, 12.0))
    assert [p.epochs for p in picks] == [6, 8, 24]
    # Trial 0 and 1 end after 4 epochs: 1 is better. Trial 5 ends after 12.
    assert [round(100 * p.strengths.label_smoothing) for p in picks[1:]] == [1, 5]


def test_a_trial_that_is_stopped_costs_no_more_epochs() -> None:
    class Impatient(Numbered):
        def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> bool:
            super().report(trial_id, epoch, metrics)
            assert metrics[METRIC] > 0.0
            return epoch < 2

    (picked,) = replay(Impatient(8), worse_by_number, epochs=EPOCHS)
    assert picked.epochs == 16


def test_budgets_are_read_off_the_mean_regret() -> None:
    budgets = np.tile([4.0, 8.0, 16.0, 24.0], (2, 1))
    regrets = {"m": np.array([[8.0, 4.0, 2.0, 0.5], [8.0, 4.0, 2.0, 1.5]])}
    curve = Curve(budgets=budgets, regrets=regrets)
    assert curve.at("m", np.array([4.0, 6.0, 24.0])) == pytest.approx([8.0, 6.0, 1.0])
    assert curve.reaches("m", 3.0) == pytest.approx(12.0, abs=0.02)
    assert curve.reaches("m", 9.0) == 4.0
    assert curve.reaches("m", 0.9) == np.inf


def test_a_regret_that_rises_again_is_reached_only_when_it_stays_below() -> None:
    curve = Curve(
        budgets=np.array([[4.0, 8.0, 12.0, 16.0]]), regrets={"m": np.array([[9.0, 1.0, 5.0, 1.0]])}
    )
    assert curve.reaches("m", 3.0) == pytest.approx(14.0, abs=0.02)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_table_holds_recipes_of_the_plan(name: str) -> None:
    problem = PROBLEMS[name]
    table = load_table(problem)
    planned = {(run.point, run.seed) for run in planned_runs() if run.problem == name}
    assert set(zip(table.point.tolist(), table.seed.tolist(), strict=True)) <= planned
    assert table.curves.shape[1:] == (problem.recipe.epochs, len(METRICS))
    assert np.isfinite(table.curves).all()
    assert np.isfinite(table.test).all()
    assert (table.test[:, 0] <= 1.0).all()
    assert (table.test[:, 2] <= table.test[:, 1] + 1e-3).all()  # Scaling its logits helps.


@pytest.mark.parametrize("name", PROBLEMS)
def test_curves_survive_the_scales_on_which_they_are_fitted(name: str) -> None:
    table = load_table(PROBLEMS[name])
    back = untransformed(transformed(table))[:, : -len(METRICS)]
    np.testing.assert_allclose(back.reshape(table.curves.shape), table.curves, atol=0.0021)


@pytest.mark.parametrize("name", PROBLEMS)
def test_recipes_of_one_run_differ_in_their_average_alone(name: str) -> None:
    points = design(PROBLEMS[name])
    assert len(points) == NUM_POINTS
    for recipes in points:
        assert len({r.ema_decay for r in recipes}) == len(recipes)
        assert len({tuple(r.as_dict().items())[:3] for r in recipes}) == 1
