"""Expected number of trials of each stage, and the time that they take."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.files import read_json
from search.records.strict_json import build
from search.records.trials import Trial
from search.verdict.design import blocks_per_look, cells
from spaces.errors import InputError
from spaces.strengths.registry import WITHIN_RUN, strength
from trainable.measurement import MOST_FOR_STATISTICS
from trainable.timing import Timing

SEARCH = "search"
"""Name of the search without its reruns."""
REFINE = "refine"
"""Name of the stage that tries values between two ends of a turned strength."""
LEARNING_CURVE = "learning_curve"
"""Name of the stage that runs a round of the experiment on half of the training images."""
LEARNING_CURVE_TIMES = 2
"""Factor on its epochs, which makes about as many steps."""
BETWEEN = 2
"""Values that it tries between both ends."""
MOST_TRIALS = 1_000_000
"""Largest number of trials that a size may have."""
RERUNS = "reruns"
"""Name of the reruns of a search, which are counted apart."""
FEW_SEEDS = 3
"""Number of fresh seeds of the recipes that are confirmed for comparison only."""
ANOTHER_ROUND = 0.36
"""Probability that the experiment runs one more round than it must, and then another one.

Of two to four rounds of eight runs it makes 19.9 runs on average; recorded diagnoses took 19.6
(docs/planted.md), simulated ones with an effect of three points 23.8 (docs/verdict.md).
"""
STARTUP_S = 25.0
"""Seconds to start Ray, its workers and the tracking store; measured 20 to 30 on 2 cores."""
FROZEN_FIT_S = 1.0
"""Seconds to load a backbone and fit both classifiers on its features; measured 0.9 for 300 images
of 1280 features on one CPU thread. More images take longer, and still far less than to train on."""
OVERHEAD = 1.15
"""Factor from training time to total time, which includes waiting at the end of each stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSize:
    """Number of trials that a stage is expected to run, and the time of each.

    Attributes:
        name: The stage, or `RERUNS`.
        num_trials: Number of trials that it runs unless it ends early or is extended.
        epochs: Number of epochs of a trial of full length.
        full_s: Seconds of such a trial, or None if it was not timed.
        share: Share of its full length that a trial trains for on average.
        round_size: Number of trials of a round that it may add, see `ANOTHER_ROUND`.
        max_trials: Number of trials with all such rounds, or 0. No round begins after the deadline.
    """

    name: str
    num_trials: int
    epochs: int
    full_s: float | None = None
    share: float = 1.0
    round_size: int = 1
    max_trials: int = 0

    def __post_init__(self) -> None:
        # It may come from a file of somebody else, and `time_left_s` simulates every trial.
        for name in ("num_trials", "max_trials"):
            if not 0 <= getattr(self, name) <= MOST_TRIALS:
                raise InputError(
                    f"`0 <= {name} <= {MOST_TRIALS}` must hold, but got {getattr(self, name)}."
                )
        for name in ("epochs", "round_size"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name} >= 1` must hold, but got {getattr(self, name)}.")

    def expected_more(self, num_trials: int) -> float:
        """Estimate the number of trials beyond those that are certain to run.

        Args:
            num_trials: Number of certain trials of the stage, those that ended included.
        """
        rounds = max(0, self.max_trials - num_trials) // self.round_size
        return self.round_size * sum(ANOTHER_ROUND**k for k in range(1, rounds + 1))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    stages: tuple[StageSize, ...] = ()


def size_name(trial: Trial) -> str:
    """Return the name of the size that counts a trial."""
    return trial.spec.stage if trial.spec.rerun_of is None else RERUNS


def search_sizes(plan: Plan, config: RunConfig, timing: Timing | None) -> list[StageSize]:
    """Return the sizes of the stages search, attribute and confirm, in order.

    Args:
        plan: The run's plan.
        config: The run's settings.
        timing: Measured time of a step and of an evaluated image, or None if unknown.
    """
    # Validation with raw and averaged weights, and as many training images with those that ship.
    evaluated_s = 3 * plan.data.num_val * timing.evaluated_image_s if timing else 0.0
    # One average once more on validation images, after a pass over training images.
    num_again = plan.data.num_val + min(plan.data.num_train, MOST_FOR_STATISTICS)
    is_again = any(WITHIN_RUN[name].needs_average for name in plan.within_names)
    within_s = num_again * timing.evaluated_image_s if timing and is_again else 0.0
    test_s = 2 * plan.data.num_test * timing.evaluated_image_s if timing else 0.0
    # Once per seed, with the run of the advised recipe.
    share = config.confirm_seeds / usual_confirm_runs(config)
    if timing:
        # The mirror images of the test images.
        test_s += share * plan.data.num_test * timing.evaluated_image_s
    if timing and plan.task.pretrained:
        num_features = plan.data.num_train + plan.data.num_test
        test_s += share * (num_features * timing.evaluated_image_s + FROZEN_FIT_S)
        # A soup tries each other recipe's weights on validation images, and tests the average.
        share = min(config.confirm_seeds, FEW_SEEDS) / usual_confirm_runs(config)
        statistics = min(plan.data.num_train, MOST_FOR_STATISTICS)
        tried = 4 * (plan.data.num_val + statistics) + statistics + plan.data.num_test
        test_s += share * tried * timing.evaluated_image_s

    def full_s(num_evaluations: int, more_s: float = 0.0) -> float | None:
        if timing is None:
            return None
        return plan.task.total_steps * timing.step_s + num_evaluations * evaluated_s + more_s

    epochs, num_anchors = plan.task.epochs, len(plan.anchors)
    proposed = max(0, config.num_samples - num_anchors)
    num_searched = num_anchors + proposed
    a_round = usual_runs_per_round(plan)
    sizes = {
        SEARCH: [
            StageSize(
                name=SEARCH,
                num_trials=num_searched,
                epochs=epochs,
                full_s=full_s(len(plan.eval_epochs)),
                # The share ``keep`` of the trials is assumed to pass each rung.
                share=(num_anchors + proposed * _kept(plan, config)) / num_searched,
            ),
            StageSize(
                name=RERUNS,
                num_trials=num_reruns(config.rerun_top),
                epochs=epochs,
                full_s=full_s(1),
            ),
        ],
        "attribute": [
            StageSize(
                name="attribute",
                num_trials=a_round * config.min_blocks,
                epochs=epochs,
                # Two averages more, each on both parts, are 4/3 more.
                full_s=full_s(2, more_s=within_s),
                round_size=a_round,
                max_trials=a_round * config.max_blocks,
            )
        ],
        "confirm": [
            StageSize(
                name="confirm",
                num_trials=usual_confirm_runs(config),
                epochs=epochs,
                full_s=full_s(1, more_s=test_s),
            )
        ],
    }
    return with_requests([size for stage in config.stages for size in sizes[stage]], config)


def with_requests(sizes: Sequence[StageSize], config: RunConfig) -> list[StageSize]:
    """Add the sizes of the stages that run on request only, where they are asked for.

    Their runs are as long as those before them; on half of the training images, in more epochs.
    """
    others = [size for size in sizes if size.name not in (REFINE, LEARNING_CURVE)]
    if not others:
        return []
    asked, like = [], replace(others[-1], round_size=1, max_trials=0)
    if config.refine:
        # The advised value is run once for all strengths, the reference's and those between for
        # each.
        num_trials = config.confirm_seeds * (1 + (BETWEEN + 1) * len(config.refine))
        asked.append(replace(like, name=REFINE, num_trials=num_trials))
    if config.learning_curve:
        a_round = sum(size.round_size for size in others if size.name == "attribute")
        advised = config.confirm_seeds if "confirm" in config.stages else 0
        epochs = LEARNING_CURVE_TIMES * like.epochs
        asked.append(
            replace(like, name=LEARNING_CURVE, num_trials=a_round + advised, epochs=epochs)
        )
    return [*others, *asked]


def estimate_s(sizes: Iterable[StageSize], num_workers: int) -> float | None:
    """Estimate the wall-clock time of a whole run in seconds; None if a stage was not timed."""
    total_s = 0.0
    for size in sizes:
        if size.full_s is None:
            return None
        number = size.num_trials + size.expected_more(size.num_trials)
        total_s += number * size.share * size.full_s
    return STARTUP_S + OVERHEAD * total_s / num_workers


def read_sizes(path: Path) -> list[StageSize]:
    """Read the sizes from ``plan.json``; an older version wrote none.

    Raises:
        InputError: If a value is missing, of the wrong type or outside its interval.
    """
    return list(build(_Kept, read_json(path), where=str(path)).stages)


def usual_confirm_runs(config: RunConfig) -> int:
    """Count the runs of the confirm stage if no two of its five recipes are equal."""
    return 2 * config.confirm_seeds + 3 * min(config.confirm_seeds, FEW_SEEDS)


def usual_runs_per_round(plan: Plan) -> int:
    """Count the runs of a round if reference and best differ in all names that get a dial."""
    trajectory = tuple(name for name in plan.dial_names if strength(name).acts_back_on_training)
    return blocks_per_look(len(trajectory)) * len(cells(trajectory, block=0))


def num_reruns(contenders: int) -> int:
    """Count the reruns on fresh seeds: all contenders, then the better half, down to two."""
    number = 0
    while contenders > 1:
        number += contenders
        contenders = 0 if contenders == 2 else max(2, contenders // 2)
    return number


def _kept(plan: Plan, config: RunConfig) -> float:
    """Estimate the mean share of its full length that a proposed trial trains for."""
    share, trained, before = 1.0, 0.0, 0
    for rung in (*plan.rungs, plan.task.epochs):
        trained += share * (rung - before)
        share, before = share * config.keep, rung
    return trained / plan.task.epochs
