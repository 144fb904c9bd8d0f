"""The searches that are compared.

Each is driven by its own code: ours by the search stage (`benchmarks.efficiency.ours`), stock by
Ray Tune's ``OptunaSearch`` and ``ASHAScheduler``, called in the order in which Ray's controller
calls them, and Syne Tune's by its schedulers. What is simulated is the training and the clock
alone. Imports are late, because Syne Tune lives in an environment that has neither Ray nor this
project's requirements.
"""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.efficiency.clock import METRIC, BestLast, Search
from benchmarks.efficiency.table import Problem
from spaces.space import Space
from spaces.strengths.registry import STRENGTHS
from spaces.strengths.values import Strengths

PUBLISHED_RANGES = {
    "weight_decay": (1e-4, 1.0),
    "label_smoothing": (0.0, 0.2),
    "drop_path_rate": (0.0, 0.3),
    "ema_decay": (0.9, 0.9999),
    "warmup_fraction": (0.0, 0.3),
}
"""Fixed ranges around published raw values; weight decay is searched on a log scale. The lower end
of the EMA is far below every published decay (0.9998 and up), which helps whoever searches them."""

Ranges = dict[str, tuple[float, float, bool]]
"""Both ends by name, and whether the scale is logarithmic."""
Decode = Callable[[Mapping[str, float]], Strengths]


def random_search(problem: Problem, seed: int, *, scaled: bool) -> Search:
    """Independent draws, each trained to full length."""
    rng = np.random.default_rng(seed)
    ends, decode = _ranges(problem, scaled=scaled)

    def propose(trial_id: str) -> Strengths:
        drawn = {}
        for name, (low, high, is_log) in ends.items():
            share = rng.random()
            drawn[name] = low * (high / low) ** share if is_log else low + (high - low) * share
        return decode(drawn)

    return BestLast(propose)


def stock(problem: Problem, seed: int, *, scaled: bool) -> Search:
    """Ray Tune's OptunaSearch with its ASHAScheduler, all settings at their defaults."""
    import logging

    import optuna
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("ray").setLevel(logging.ERROR)
    ends, decode = _ranges(problem, scaled=scaled)
    searcher: Any = OptunaSearch(
        space={
            name: optuna.distributions.FloatDistribution(low, high, log=is_log)
            for name, (low, high, is_log) in ends.items()
        },
        metric=METRIC,
        mode="min",
        seed=seed,
    )
    scheduler: Any = ASHAScheduler(metric=METRIC, mode="min", max_t=problem.recipe.epochs)

    class Stock(BestLast):
        def start(self) -> tuple[str, Strengths] | None:
            started = super().start()
            assert started is not None
            scheduler.on_trial_add(None, SimpleNamespace(trial_id=started[0]))
            return started

        def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> bool:
            super().report(trial_id, epoch, metrics)
            trial = SimpleNamespace(trial_id=trial_id)
            result = {**metrics, "training_iteration": epoch}
            # As `TuneController._process_trial_result`: the searcher is not told what stops.
            if scheduler.on_trial_result(None, trial, result) == scheduler.CONTINUE:
                searcher.on_trial_result(trial_id, result)
                return True
            scheduler.on_trial_complete(None, trial, result)
            searcher.on_trial_complete(trial_id, result)
            return False

    return Stock(lambda trial_id: decode(searcher.suggest(trial_id)))


def syne(problem: Problem, seed: int, *, scheduler_name: str) -> Search:
    """A multi-fidelity scheduler of Syne Tune over the fixed ranges, settings at their defaults."""
    from syne_tune.backend.trial_status import Trial  # type: ignore[import-not-found]
    from syne_tune.config_space import loguniform, uniform  # type: ignore[import-not-found]
    from syne_tune.optimizer import baselines  # type: ignore[import-not-found]

    np.random.seed(seed)  # noqa: NPY002 - what its ASHA draws brackets from
    ends, decode = _ranges(problem, scaled=False)
    scheduler = getattr(baselines, scheduler_name)(
        config_space={
            name: loguniform(low, high) if is_log else uniform(low, high)
            for name, (low, high, is_log) in ends.items()
        },
        metric=METRIC,
        time_attr="epoch",
        max_t=problem.recipe.epochs,
        random_seed=seed,
    )
    trials: dict[str, Any] = {}

    class Syne(BestLast):
        def report(self, trial_id: str, epoch: int, metrics: Mapping[str, float]) -> bool:
            super().report(trial_id, epoch, metrics)
            result = {**metrics, "epoch": epoch}
            # As `Tuner._process_new_results`; the last epoch is answered with a stop, too.
            goes_on = bool(scheduler.on_trial_result(trials[trial_id], result) == "CONTINUE")
            if not goes_on:
                scheduler.on_trial_remove(trials[trial_id])
            return goes_on

    def propose(trial_id: str) -> Strengths:
        config = scheduler.suggest().config
        trials[trial_id] = Trial(trial_id=len(trials), config=config, creation_time=None)
        scheduler.on_trial_add(trials[trial_id])
        return decode(config)

    return Syne(propose)


def _ranges(problem: Problem, *, scaled: bool) -> tuple[Ranges, Decode]:
    if not scaled:
        published = {n: (*ends, n == "weight_decay") for n, ends in PUBLISHED_RANGES.items()}
        return published, Strengths.from_dict
    space = Space.for_task(problem.task)
    dials = dict.fromkeys(STRENGTHS, (0.0, 1.0, False))
    return dials, lambda positions: Strengths.from_dict(space.decode(positions))
