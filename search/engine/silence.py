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

    @property
    def limit_s(self) -> float:
        """Seconds after which a silent worker counts as hung."""
        if self._timeout_s is not None:
            return self._timeout_s
        if self._slowest_s is None:
            return max(LEAST_S, self._run_s)
        return max(LEAST_S, TIMES_SLOWEST * self._slowest_s)

    def work(self, names: Collection[str]) -> None:
        """Update the set of workers: new ones count as silent from now, others are forgotten."""
        now = self._clock()
        self._since = {name: self._since.get(name, now) for name in names}

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
        now = self._clock()
        silent = {name: now - since for name, since in self._since.items()}
        return {name: seconds for name, seconds in silent.items() if seconds > self.limit_s}
