"""Successive halving keeps the best, once per trial, whatever the scores are."""

import inspect
import math
import random
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.execution.tune_controller import TuneController
from ray.tune.schedulers import AsyncHyperBandScheduler

from search.stages.rungs import Rungs


@pytest.mark.parametrize("keep", [Fraction(1, 3), Fraction(1, 2), Fraction(9, 10), Fraction(1)])
@pytest.mark.parametrize("seed", range(5))
def test_a_trial_passes_exactly_if_it_is_among_the_best_share_so_far(
    seed: int, keep: Fraction
) -> None:
    rungs = Rungs((5,), keep=float(keep))
    scores = random.Random(seed).sample(range(1000), 40)
    for i, score in enumerate(scores):
        better = sum(other > score for other in scores[:i])
        expected = better < keep * (i + 1)
        assert rungs.passes(f"t{i}", 5, float(score)) == expected


def test_a_score_that_changed_since_it_was_asked_about_counts_as_it_is_now() -> None:
    """A trial that failed and was started again passes its rungs a second time."""
    rungs, known = Rungs((5,), keep=1 / 3), dict[str, float]()
    rng = random.Random(0)
    for _ in range(300):
        name, score = f"t{rng.randrange(12)}", float(rng.randrange(8))
        known[name] = score
        least = sorted(known.values(), reverse=True)[-(-len(known) // 3) - 1]
        assert rungs.passes(name, 5, score) == (score >= least)
    assert rungs.scores[5] == known


def test_between_rungs_every_trial_passes_and_leaves_no_trace() -> None:
    rungs = Rungs((5,), keep=1 / 2)
    assert rungs.passes("good", 5, 1.0)
    assert rungs.passes("bad", 4, -100.0)
    assert rungs.scores[5] == {"good": 1.0}


def test_asking_again_counts_a_trial_once() -> None:
    rungs = Rungs((5,), keep=1 / 2)
    for _ in range(10):
        rungs.passes("a", 5, 1.0)
    assert rungs.scores[5] == {"a": 1.0}
    assert not rungs.passes("b", 5, 0.5)


@pytest.mark.parametrize("worthless", [math.nan, -math.inf])
def test_a_score_that_is_no_number_never_passes_and_stops_nobody_else(worthless: float) -> None:
    rungs = Rungs((5,), keep=1 / 2)
    assert not rungs.passes("broken", 5, worthless)
    assert rungs.passes("first", 5, -1.0)
    assert rungs.passes("second", 5, 0.0)


class Stock:
    """Ray's scheduler with one rung, asked as ours is."""

    def __init__(self) -> None:
        self.scheduler = AsyncHyperBandScheduler(
            time_attr="epoch",
            metric="score",
            mode="max",
            max_t=15,
            grace_period=5,
            reduction_factor=3,
        )

    def passes(self, trial_id: str, epoch: int, score: float) -> bool:
        trial: Any = SimpleNamespace(trial_id=trial_id)
        controller: Any = None
        if trial_id not in self.scheduler._trial_info:
            self.scheduler.on_trial_add(controller, trial)
        result = {"epoch": epoch, "score": score}
        return bool(self.scheduler.on_trial_result(controller, trial, result) == "CONTINUE")


SCORES = [float(score) for score in random.Random(0).sample(range(100), 12)]


def test_rungs_rebuilt_from_records_stop_what_stock_rungs_let_go_on_after_a_restart() -> None:
    ours, stock = Rungs((5,), keep=1 / 3), Stock()
    for i, score in enumerate(SCORES):
        ours.passes(f"t{i}", 5, score)
        stock.passes(f"t{i}", 5, score)
    assert not ours.passes("poor", 5, -1.0)
    assert not stock.passes("poor", 5, -1.0)

    rebuilt = Rungs((5,), keep=1 / 3)
    for i, score in enumerate(SCORES):
        rebuilt.passes(f"t{i}", 5, score)
    assert not rebuilt.passes("poor", 5, -1.0)
    # A restored Tune run makes a new scheduler: its state is left out of what is saved.
    assert '"_scheduler_alg"' in inspect.getsource(TuneController.__getstate__)
    assert Stock().passes("poor", 5, -1.0)


def test_a_nan_is_stopped_where_stock_rungs_let_it_go_on() -> None:
    ours, stock = Rungs((5,), keep=1 / 3), Stock()
    for i, score in enumerate(SCORES):
        ours.passes(f"t{i}", 5, score)
        stock.passes(f"t{i}", 5, score)
    assert not ours.passes("broken", 5, math.nan)
    assert stock.passes("broken", 5, math.nan)


def test_nothing_is_drawn_from_the_global_generator_where_stock_rungs_draw_for_each_trial() -> None:
    def state() -> list[int]:
        found = np.random.get_state(legacy=False)  # noqa: NPY002  It is what is asked about.
        assert isinstance(found, dict)
        return [*found["state"]["key"].tolist(), found["state"]["pos"]]

    ours, stock = Rungs((5,), keep=1 / 3), Stock()
    before = state()
    ours.passes("t", 5, 1.0)
    assert state() == before
    stock.passes("t", 5, 1.0)
    assert state() != before
