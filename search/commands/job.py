"""Interface of the kinds of runs: a search, an ablation, a contest of optimizers."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from search.engine.conductor import Stage
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.stage_size import StageSize
from search.records.journal import Journal
from search.records.trials import Trial
from search.tracking.background import BackgroundTracker
from trainable.data.datasets import Dataset

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """The objects of one process that works on a run.

    ``started_at`` is the value of `time.monotonic` from which its wall-clock counts.
    """

    config: RunConfig
    plan: Plan
    dataset: Dataset
    journal: Journal
    tracker: BackgroundTracker
    console: Console
    started_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One kind of run; journal, workers, tracking and resuming are the same for all kinds.

    Attributes:
        kind: Its tag in the tracking store; empty for a search.
        result: Name of the file that exists once every trial has ended.
        make_plan: Resolves the configuration into a plan and loads the images.
        show: Prints the plan before anything is started; returns the sizes of the stages with the
            expected seconds of a trial.
        sizes: Returns the expected sizes of its stages before anything is timed.
        stages: Returns the functions that make its stages. Its arguments are the session, the
            value of `time.monotonic` after which nothing new is tried (or None), and a function
            that prints a line beside the progress.
        watch: Returns a function that is called when a trial has ended.
        tell: Computes the results, writes all files and prints the results.
    """

    kind: str
    result: str
    make_plan: Callable[[RunConfig], tuple[Plan, Dataset]]
    show: Callable[[Console, RunConfig, Plan, Dataset], list[StageSize]]
    sizes: Callable[[RunConfig, Plan], list[StageSize]]
    stages: Callable[[Session, float | None, Say], list[Callable[[], Stage]]]
    watch: Callable[[Session], Callable[[Trial], None]]
    tell: Callable[[Session], None]
