"""What tells one kind of run from another: a search, an ablation, a contest of optimizers."""

from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from search.engine.conductor import Stage
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.journal import Journal
from search.records.trials import Trial
from search.tracking.background import BackgroundTracker
from trainable.data.datasets import Dataset

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One process that works at a run."""

    config: RunConfig
    plan: Plan
    dataset: Dataset
    journal: Journal
    tracker: BackgroundTracker
    console: Console


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One kind of run; journal, workers, tracking and the way to go on are the same for all.

    Attributes:
        kind: Its tag in the tracking store; empty for a search.
        result: Name of the file that is there once every trial has ended.
        make_plan: Resolves what was asked and loads the images.
        show: Prints the plan before anything is started; returns the expected seconds or None.
        totals: Expected trials by stage.
        stages: Makers of its stages; given the time of `time.monotonic` after which nothing new is
            tried, or None, and what prints a line beside the progress.
        watch: Makes what is called when a trial has ended.
        tell: Draws the conclusions, writes every file and prints the answer.
    """

    kind: str
    result: str
    make_plan: Callable[[RunConfig], tuple[Plan, Dataset]]
    show: Callable[[Console, RunConfig, Plan, Dataset], float | None]
    totals: Callable[[RunConfig, Plan], dict[str, int]]
    stages: Callable[[Session, float | None, Say], list[Callable[[], Stage]]]
    watch: Callable[[Session], Callable[[Trial], None]]
    tell: Callable[[Session], None]
