"""The search stage: anchors first, then proposals that rungs may stop, then reruns."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from search.engine.conductor import Wait
from search.plan.stage_size import RERUNS, num_reruns
from search.records.journal import Journal
from search.records.metrics import score
from search.records.trials import Trial, TrialSpec
from search.stages.plateau import is_on_plateau
from search.stages.proposer import Proposer
from search.stages.rungs import Rungs
from search.stages.selection import RERUN, full_length, reruns
from spaces.recipe import Recipe
from spaces.space import Space


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSettings:
    """Settings of the search stage: budget, metric, evaluations and seeds.

    Attributes:
        num_samples: Number of trials, anchors included, reruns not; at least the number of anchors.
        metric: Metric that is maximised or minimised, see `search.records.metrics`.
        num_val: Number of validation images behind it.
        eval_epochs: Epochs after which a trial is evaluated; holds every rung.
        rerun_top: Number of best trials that are run again on fresh seeds before one is picked;
            below 2 none is.
        seed: Seed that fresh splits and seeds derive from.
        deadline: Value of `time.monotonic` in seconds after which no trial starts and running ones
            stop at their next report, or None.
        patience: Proposals in a row without a gain beyond noise after which the search stops
            proposing (`search.stages.plateau`), or None to use all samples.
        topped_up_at: Trials of any stage that the run had when more samples were asked for; 0 if
            they never were.
    """

    num_samples: int
    metric: str
    num_val: int
    eval_epochs: tuple[int, ...]
    rerun_top: int
    seed: int
    deadline: float | None = None
    patience: int | None = None
    topped_up_at: int = 0

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() > self.deadline


class SearchStage:
    """A stage that runs the anchors to full length, then proposals that rungs may stop early.

    All trials share the seed, so that they start from the same weights and see the same batches:
    two of them differ in their strengths only.

    Args:
        journal: Memory of the run.
        anchors: Recipes that are run first, by role.
        base: Recipe whose strengths a proposal replaces.
        space: Space that proposals are taken from.
        proposer: Proposer of the positions.
        rungs: Rule that stops proposals early.
        settings: Budget, metric, evaluations and seeds.
        say: Prints a line to the user: why the search ends before all samples are used.

    Attributes:
        proposer: As given.
    """

    name = "search"

    def __init__(
        self,
        journal: Journal,
        *,
        anchors: Mapping[str, Recipe],
        base: Recipe,
        space: Space,
        proposer: Proposer,
        rungs: Rungs,
        settings: SearchSettings,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._journal = journal
        self._say = say
        self._has_said = False
        self._anchors = list(anchors.items())
        self._base = base
        self._space = space
        self.proposer = proposer
        self._rungs = rungs
        self._settings = settings
        self._is_proposing = not self._is_closed()
        earlier = [t for t in journal.of_stage(self.name) if t.spec.role != RERUN]
        proposer.replay((trial, trial.spec.positions or None) for trial in earlier)
        for trial in earlier:
            self._climb(trial)

    def next(self) -> TrialSpec | Wait:
        """Return an anchor while one is left, then a proposal until all samples are used."""
        trials = self._journal.of_stage(self.name)
        number = len(trials)
        if number < len(self._anchors):
            role, recipe = self._anchors[number]
            spec = self._spec(number, f"anchor:{role}", recipe, _positions(self._space, recipe))
            if spec.positions:
                self.proposer.enqueue(spec.trial_id, spec.positions)
            return spec
        is_full = sum(t.spec.role != RERUN for t in trials) >= self._settings.num_samples
        is_over = is_full or self._settings.is_late or self._is_closed() or self._is_stuck()
        # This may change again, as a running trial may turn out to be a gain.
        self._is_proposing = not is_over
        if is_over:
            return self._rerun(trials)
        trial_id = TrialSpec(
            stage=self.name, number=number, role="proposed", recipe=self._base
        ).trial_id
        positions = self.proposer.propose(trial_id, number)
        recipe = self._space.apply(self._base, self._space.decode(positions))
        return replace(self._spec(number, "proposed", recipe, positions), never_stop=False)

    def goes_on(self, trial: Trial) -> bool:
        """Whether the trial passes the rung it is at and the deadline has not passed."""
        return not self._settings.is_late and self._climb(trial)

    def is_late(self, trial: Trial) -> bool:
        """Whether the clock has run out for a trial that may be stopped."""
        return self._settings.is_late and not trial.spec.never_stop

    def ended(self, trial: Trial) -> None:
        """Record an ended trial's scores at the rungs and tell the proposer its result."""
        if trial.spec.role == RERUN:
            return
        self._climb(trial)
        self.proposer.observe(trial, trial.spec.positions or None)

    def num_expected(self) -> Mapping[str, int]:
        """Return the number of samples and of reruns, as configured until fewer are known."""
        trials = self._journal.of_stage(self.name)
        searched = [trial for trial in trials if trial.spec.role != RERUN]
        contenders, num_searched = self._settings.rerun_top, self._settings.num_samples
        if not self._is_proposing:
            num_searched = len(searched)
            if all(trial.status != "running" for trial in searched):
                contenders = min(contenders, len(full_length(trials)))
        # A topped-up search has reruns of its earlier part beside those to come.
        return {
            self.name: max(num_searched, len(self._anchors), len(searched)),
            RERUNS: max(num_reruns(contenders), len(trials) - len(searched)),
        }

    def _is_stuck(self) -> bool:
        settings = self._settings
        if settings.patience is None:
            return False
        if settings.topped_up_at:
            # Whoever asks for more after a plateau wants to see whether it goes on.
            new = [t for t in self._since_asked() if t.spec.role == "proposed"]
            if len(new) < settings.patience:
                return False
        return is_on_plateau(
            self._journal.ended_of_stage(self.name),
            patience=settings.patience,
            metric=settings.metric,
            num_val=settings.num_val,
        )

    def _is_closed(self) -> bool:
        """Whether reruns or later stages have begun, so that no further trial may be proposed.

        That happens when the time budget ended the search and the run is resumed later. A top-up
        with more samples opens the search again.
        """
        return any(
            trial.spec.stage != self.name or trial.spec.role == RERUN
            for trial in self._since_asked()
        )

    def _since_asked(self) -> Iterable[Trial]:
        """Trials of any stage since the samples were asked for."""
        return islice(self._journal.trials.values(), self._settings.topped_up_at, None)

    def _rerun(self, trials: Sequence[Trial]) -> TrialSpec | Wait:
        if any(t.status == "running" and t.spec.role != RERUN for t in trials):
            return Wait.FOR_RUNNING
        settings = self._settings
        num_searched = sum(t.spec.role != RERUN for t in trials)
        if num_searched < settings.num_samples and self._is_stuck() and not self._has_said:
            self._has_said = True
            self._say(
                f"The search ends after {num_searched} of {settings.num_samples} trials: the last "
                f"{settings.patience} brought no gain beyond noise."
            )
        missing = reruns(
            trials,
            top=settings.rerun_top,
            metric=settings.metric,
            num_val=settings.num_val,
            seed=settings.seed,
        )
        if missing:
            return missing[0]
        # A round of reruns that is still running may be followed by another one.
        is_running = any(t.status == "running" for t in trials)
        return Wait.FOR_RUNNING if is_running else Wait.NO_MORE

    def _climb(self, trial: Trial) -> bool:
        passes = True
        for record in trial.records:
            value = score(
                record.metrics, metric=self._settings.metric, num_val=self._settings.num_val
            )
            if value is not None:
                passes = self._rungs.passes(trial.spec.trial_id, record.epoch, value)
        return passes

    def _spec(
        self, number: int, role: str, recipe: Recipe, positions: Mapping[str, float]
    ) -> TrialSpec:
        return TrialSpec(
            stage=self.name,
            number=number,
            role=role,
            recipe=recipe,
            positions=positions,
            eval_epochs=self._settings.eval_epochs,
        )


def _positions(space: Space, recipe: Recipe) -> dict[str, float]:
    """Return the positions of an anchor, or an empty mapping if it lies outside of the space."""
    raw = space.raw_of(recipe)
    if all(space.contains(name, value) for name, value in raw.items()):
        return space.encode(raw)
    return {}
