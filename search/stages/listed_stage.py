"""A stage that runs given lists of trials: experiment, confirmation, ablation, contest."""

from collections.abc import Callable, Sequence

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
        self._num_sure = num_sure
        self._listed: list[TrialSpec] = []
        self._num_batches = 0

    def next(self) -> TrialSpec | Wait:
        """Return the first listed trial that has not been started, or why there is none now."""
        while True:
            for spec in self._listed:
                known = self._journal.trials.get(spec.trial_id)
                if known is None:
                    return spec
                if known.spec.recipe != spec.recipe:
                    raise RuntimeError(
                        f"{spec.trial_id} was run with another recipe than it would be now."
                    )
            trials = self._journal.of_stage(self.name)
            must_wait = self._num_batches >= self._num_sure
            if must_wait and any(trial.status == "running" for trial in trials):
                return Wait.FOR_RUNNING
            more = self._batch(self._num_batches)
            if not more:
                return Wait.NO_MORE
            self._listed += more
            self._num_batches += 1

    def goes_on(self, trial: Trial) -> bool:
        """Return True: every listed trial runs to full length, as early values mislead."""
        return True

    def is_late(self, trial: Trial) -> bool:
        """Nothing that is listed may be missing."""
        return False

    def ended(self, trial: Trial) -> None:
        """Do nothing: later batches read the results from the journal."""
