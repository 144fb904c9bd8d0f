"""Display of progress while trials run: a changing line in a terminal, or lines in a log."""

import time
from collections import Counter

from rich.console import Console
from rich.status import Status
from rich.text import Text

from search.commands.console import say
from search.plan.resources import in_parts
from search.records.metrics import NLL_REFINED, decided_by, metric_of, score
from search.records.story import STORY
from search.records.trials import Trial
from search.verdict.wording import raw, short_name
from spaces.space import Space
from trainable.gpu_memory import PARTS

SHOWN_EVERY_S = 0.25
"""Seconds between two updates of the line in a terminal."""


class Progress:
    """A display of the number of trials, the best trial so far, and the time left.

    Args:
        console: Console to print to; a terminal gets a line that changes, anything else a line for
            each trial that ended.
        totals: Expected number of trials by stage.
        space: Space whose strengths and searched extra axes are shown.
        metric: Metric of the search, see `search.records.metrics`.
        num_val: Number of validation images behind it.
        deadline: Value of `time.monotonic` in seconds at which the budget ends, or None.
    """

    def __init__(
        self,
        console: Console,
        *,
        totals: dict[str, int],
        space: Space,
        metric: str,
        num_val: int,
        deadline: float | None,
    ) -> None:
        self._console = console
        self._totals = totals
        self._space = space
        self._metric = metric
        self._num_val = num_val
        self._deadline = deadline
        self._trials: dict[str, Trial] = {}
        self._started_at = time.monotonic()
        self._status: Status | None = None
        self._due_at = self._started_at
        self._told_of_parts = False

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._status = self._console.status(Text("starting workers"))
            self._status.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._status:
            self._status.stop()

    def seen(self, trial: Trial) -> None:
        """Update the display after a trial started, reported or ended."""
        before = self._trials.get(trial.spec.trial_id)
        self._trials[trial.spec.trial_id] = trial
        parts = trial.records[-1].metrics.get(PARTS) if trial.records else None
        if parts and not self._told_of_parts:  # Say it once: it concerns most trials.
            self._told_of_parts = True
            told = in_parts(trial.spec.trial_id, trial.spec.recipe.batch_size, int(parts))
            say(self._console, f"{told} Each such trial reports {PARTS}.", style="yellow")
        # The summary looks at all trials, which may be thousands.
        if self._status and time.monotonic() >= self._due_at:
            self._status.update(Text(self._summary(trial.spec.stage)))
            self._due_at = time.monotonic() + SHOWN_EVERY_S
        if trial.status != "running" and (before is None or before.status == "running"):
            if self._status:
                STORY.info("%s", self._line(trial))
            else:
                say(self._console, self._line(trial))

    def say(self, text: str) -> None:
        """Print a sentence above the changing line."""
        say(self._console, text)

    def _summary(self, stage: str) -> str:
        of_stage = [t for t in self._trials.values() if t.spec.stage == stage]
        counts = Counter(t.status for t in of_stage)
        total = max(self._totals[stage], len(of_stage))
        parts = [f"{stage} {len(of_stage) - counts['running']}/{total}"]
        parts += [f"{n} {status}" for status, n in sorted(counts.items())]
        best = self._best()
        if best is not None:
            parts.append(f"best {self._measured(best)} with {self._values(best)}")
        left = self._left_s()
        if left is not None:
            parts.append(f"about {left / 60:.0f} min left")
        return " · ".join(parts)

    def _line(self, trial: Trial) -> str:
        spec = trial.spec
        number = f"{spec.number + 1}/{max(self._totals[spec.stage], spec.number + 1)}"
        ending = trial.status if trial.is_full_length else f"{trial.status} at {trial.epoch}"
        return (
            f"{spec.stage} {number} {spec.role}: {ending}, "
            f"{self._measured(trial)} ({self._values(trial)})"
        )

    def _values(self, trial: Trial) -> str:
        values = self._space.raw_of(trial.spec.recipe)
        return " ".join(f"{short_name(name)} {raw(values[name])}" for name in self._space.names)

    def _measured(self, trial: Trial) -> str:
        """Format a trial's newest deciding metric, searched metric and log-loss."""
        shown = dict.fromkeys((decided_by(self._metric), metric_of(self._metric), NLL_REFINED))
        values = {metric: trial.last(metric.on("val")) for metric in shown}
        parts = [f"{m.head} {m.unit.value(v)}" for m, v in values.items() if v is not None]
        return f"val {', '.join(parts)}" if parts else "no result"

    def _best(self) -> Trial | None:
        def value(trial: Trial) -> float:
            scored = score(trial.records[-1].metrics, metric=self._metric, num_val=self._num_val)
            return -1e9 if scored is None else scored

        full = [t for t in self._trials.values() if t.spec.stage == "search" and t.is_full_length]
        return max(full, key=value, default=None)

    def _left_s(self) -> float | None:
        ended = sum(t.status != "running" for t in self._trials.values())
        if ended < 3:
            return None
        per_trial_s = (time.monotonic() - self._started_at) / ended
        left_s = per_trial_s * max(0, sum(self._totals.values()) - ended)
        if self._deadline is not None:
            left_s = min(left_s, max(0.0, self._deadline - time.monotonic()))
        return left_s
