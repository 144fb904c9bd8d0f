"""A stage that runs given lists of trials: experiment, confirmation, ablation, contest."""

from collections.abc import Callable, Mapping, Sequence

from search.engine.conductor import Wait
from search.records.journal import Journal
from search.records.trials import Trial, TrialSpec


class ListedStage:
    """A stage that runs lists of trials, one batch after the other, each to full length.

    Args:
        name: Name of the stage.
        journal: Memory of the run.
        batch: Returns the trials of batch number ``b``, or nothing when there is no further batch.
            It is called when all earlier batches ended, or at once while ``b < num_sure``.
        num_sure: Number of first batches that do not depend on earlier results.
    """

    def __init__(
        self,
        name: str,
        journal: Journal,
        batch: Callable[[int], Sequence[TrialSpec]],
        *,
        num_sure: int = 1,
    ) -> None:
        self.name = name
        self._journal = journal
        self._batch = batch
        self._listed: list[TrialSpec] = []
        self._num_batches = 0
        for _ in range(num_sure):  # At once, as `num_expected` counts them from the beginning.
            self._list_more()

    def next(self) -> TrialSpec | Wait:
        """Return the first listed trial that may start and has not, or why there is none now."""
        while True:
            for spec in self._listed:
                known = self._journal.trials.get(spec.trial_id)
                if known is None:
                    if self._waits(spec):
                        continue
                    return spec
                if known.spec.recipe != spec.recipe:
                    raise RuntimeError(
                        f"{spec.trial_id} was run with another recipe than it would be now."
                    )
            trials = self._journal.of_stage(self.name)
            if any(trial.status == "running" for trial in trials):
                return Wait.FOR_RUNNING
            if not self._list_more():
                return Wait.NO_MORE

    def num_expected(self) -> Mapping[str, int]:
        """Return the number of trials that are listed so far."""
        # A resumed stage has begun what it will list once it is asked for more.
        return {self.name: max(len(self._listed), len(self._journal.of_stage(self.name)))}

    def goes_on(self, trial: Trial) -> bool:
        """Return True: every listed trial runs to full length, as early values mislead."""
        return True

    def is_late(self, trial: Trial) -> bool:
        """Nothing that is listed may be missing."""
        return False

    def ended(self, trial: Trial) -> None:
        """Do nothing: later batches read the results from the journal."""

    def _waits(self, spec: TrialSpec) -> bool:
        """Whether a trial that the given one averages with itself still runs."""
        return any(
            (trial := self._journal.trials.get(name)) is not None and trial.status == "running"
            for name in spec.soup_of
        )

    def _list_more(self) -> bool:
        more = self._batch(self._num_batches)
        self._listed += more
        self._num_batches += 1
        return bool(more)
