"""Detection of hung workers by the time since their last report."""

import time
from collections.abc import Callable, Collection

LEAST_S = 600.0
"""Least limit in seconds: imports, a cold disk, a slow first batch."""
TIMES_SLOWEST = 20.0
"""Limit as a multiple of the slowest epoch of any worker."""
UNKNOWN_S = 3600.0
"""Limit of the first epoch in seconds, for a run without an estimate."""


class Silence:
    """The time of each worker's last report.

    Args:
        timeout_s: Seconds of silence after which a worker counts as hung; None for `TIMES_SLOWEST`
            times the slowest epoch and `LEAST_S` at least.
        run_s: Expected seconds of the whole run, or None if unknown. While no epoch was reported,
            an epoch may take so long: it is shorter than the run.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        *,
        timeout_s: float | None,
        run_s: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timeout_s = timeout_s
        self._run_s = UNKNOWN_S if run_s is None else run_s
        self._clock = clock
        self._slowest_s: float | None = None
        self._since: dict[str, float] = {}
        self._starting: frozenset[str] = frozenset()

    @property
    def limit_s(self) -> float:
        """Seconds after which a silent worker counts as hung."""
        if self._timeout_s is not None:
            return self._timeout_s
        if self._slowest_s is None:
            return max(LEAST_S, self._run_s)
        return max(LEAST_S, TIMES_SLOWEST * self._slowest_s)

    def work(self, training: Collection[str], starting: Collection[str] = ()) -> None:
        """Update the sets of workers: new ones count as silent from now, others are forgotten.

        Args:
            training: Workers that train.
            starting: Workers that do not train yet. On a busy machine imports alone may take
                longer than a limit that was typed with epochs in mind.
        """
        now = self._clock()
        known = {name: at for name, at in self._since.items() if name not in self._starting}
        begun = {name: at for name, at in self._since.items() if name in self._starting}
        self._since = {name: known.get(name, now) for name in training}
        self._since |= {name: begun.get(name, now) for name in starting}
        self._starting = frozenset(starting)

    def heard(self, name: str) -> None:
        """Record that a worker reported an epoch."""
        now = self._clock()
        if name in self._since:
            self._slowest_s = max(self._slowest_s or 0.0, now - self._since[name])
        self._since[name] = now

    def restart(self, name: str) -> None:
        """Forget the silence of a worker whose work another one takes over."""
        self._since.pop(name, None)

    def too_long(self) -> dict[str, float]:
        """Return the seconds of silence of each worker that was silent beyond the limit."""
        now, limit_s = self._clock(), self.limit_s
        silent = {name: now - since for name, since in self._since.items()}
        return {
            name: seconds
            for name, seconds in silent.items()
            if seconds > (max(LEAST_S, limit_s) if name in self._starting else limit_s)
        }
