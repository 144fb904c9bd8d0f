"""Display of progress while trials run: a changing line in a terminal, or lines in a log."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console

from search.commands.console import say
from search.commands.live import Live, Shown, StageShown, live_display
from search.plan.resources import in_parts
from search.plan.stage_size import RERUNS, SEARCH, StageSize
from search.plan.text import duration
from search.plan.time_left import time_left_s
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
        console: Console to print to; a terminal gets a line that changes, a cell of a notebook a
            display that does, and anything else a line for each trial that ended.
        sizes: Planned sizes of the stages, in order.
        space: Space whose strengths and searched extra axes are shown.
        metric: Metric of the search, see `search.records.metrics`.
        num_val: Number of validation images behind it.
        deadline: Value of `time.monotonic` in seconds at which the budget ends, or None.
    """

    def __init__(
        self,
        console: Console,
        *,
        sizes: Sequence[StageSize],
        space: Space,
        metric: str,
        num_val: int,
        deadline: float | None,
    ) -> None:
        self._console = console
        self._sizes = sizes
        self._num_expected: dict[str, int] = {}
        self._running: set[str] = set()
        self._most_running = 1
        self._space = space
        self._metric = metric
        self._num_val = num_val
        self._deadline = deadline
        self._trials: dict[str, Trial] = {}
        self._live: Live | None = None
        self._due_at = time.monotonic()
        self._told_of_parts = False

    def __enter__(self) -> "Progress":
        self._live = live_display(self._console)
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            if self._trials:  # The last change may have come too soon to be shown.
                self._live.update(self._shown(list(self._trials.values())[-1].spec.stage))
            self._live.stop()

    def know(self, trials: Iterable[Trial]) -> None:
        """Count the trials of earlier sessions, without printing anything."""
        self._trials |= {trial.spec.trial_id: trial for trial in trials}

    def seen(self, trial: Trial, *, num_expected: Mapping[str, int]) -> None:
        """Update the display after a trial started, reported or ended.

        Args:
            trial: The trial with its present state.
            num_expected: Number of trials that its stage expects to run in all, by size name.
        """
        self._num_expected |= num_expected
        before = self._trials.get(trial.spec.trial_id)
        self._trials[trial.spec.trial_id] = trial
        if trial.status == "running":
            self._running.add(trial.spec.trial_id)
        else:
            self._running.discard(trial.spec.trial_id)
        self._most_running = max(self._most_running, len(self._running))
        parts = trial.records[-1].metrics.get(PARTS) if trial.records else None
        if parts and not self._told_of_parts:  # Say it once: it concerns most trials.
            self._told_of_parts = True
            told = in_parts(trial.spec.trial_id, trial.spec.recipe.batch_size, int(parts))
            say(self._console, f"{told} Each such trial reports {PARTS}.", style="yellow")
        # The summary looks at all trials, which may be thousands.
        if self._live and time.monotonic() >= self._due_at:
            self._live.update(self._shown(trial.spec.stage))
            self._due_at = time.monotonic() + SHOWN_EVERY_S
        if trial.status != "running" and (before is None or before.status == "running"):
            if self._live:
                STORY.info("%s", self._line(trial))
            else:
                say(self._console, self._line(trial))

    def say(self, text: str) -> None:
        """Print a sentence above the changing line."""
        say(self._console, text)

    def _shown(self, stage: str) -> Shown:
        counts = Counter(t.spec.stage for t in self._trials.values() if t.status != "running")
        # Reruns of the search have a size of their own, and are trials of it.
        stages = dict.fromkeys(s.name for s in self._sizes if s.name != RERUNS)
        return Shown(
            stages=tuple(
                StageShown(name=name, num_ended=counts[name], num_expected=self._total(name))
                for name in stages
            ),
            text=self._summary(stage),
        )

    def _summary(self, stage: str) -> str:
        of_stage = [t for t in self._trials.values() if t.spec.stage == stage]
        counts = Counter(t.status for t in of_stage)
        parts = [f"{stage} {len(of_stage) - counts['running']}/{self._total(stage)}"]
        parts += [f"{n} {status}" for status, n in sorted(counts.items())]
        best = self._best()
        if best is not None:
            parts.append(f"best {self._measured(best)} with {self._values(best)}")
        return " · ".join([*parts, *self._time_left()])

    def _line(self, trial: Trial) -> str:
        spec = trial.spec
        number = f"{spec.number + 1}/{self._total(spec.stage)}"
        ending = trial.status if trial.is_full_length else f"{trial.status} at {trial.epoch}"
        said = (
            f"{spec.stage} {number} {spec.role}: {ending}, "
            f"{self._measured(trial)} ({self._values(trial)})"
        )
        return " · ".join([said, *self._time_left()])

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

    def _total(self, stage: str) -> int:
        """Return the number of trials of a stage, reruns of the search included."""
        names = (stage, RERUNS) if stage == SEARCH else (stage,)
        planned = {size.name: size.num_trials for size in self._sizes}
        return sum((planned | self._num_expected).get(name, 0) for name in names)

    def _time_left(self) -> list[str]:
        """Return the estimated time left in words, or nothing while too few trials have ended."""
        left_s = time_left_s(
            self._trials.values(),
            self._sizes,
            num_expected=self._num_expected,
            num_workers=self._most_running,
            until_s=math.inf if self._deadline is None else self._deadline - time.monotonic(),
        )
        return [] if left_s is None else [f"about {duration(left_s)} left"]
