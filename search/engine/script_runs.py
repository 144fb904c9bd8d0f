"""Calls of functions that take long, side by side on Ray: as many at once as there is room for."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError

Given = TypeVar("Given")
Answer = TypeVar("Answer")

POLL_S = 0.5
"""Seconds after which the driver looks up again, so that Ctrl-C is heard."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """A call whose worker died, or that failed by itself."""

    problem: str


class CallsOnRay:
    """Hands out calls of one function and gives back the answers as they come.

    Args:
        function: What is called, with one argument; it and its argument are pickled.
        cpus: CPU cores of one call; a fraction lets several share one.
        gpus: Share of a GPU of one call; Ray sets ``CUDA_VISIBLE_DEVICES``.
    """

    def __init__(self, function: Callable[[Given], Answer], *, cpus: float, gpus: float) -> None:
        # A call is not repeated by Ray: whoever asked decides that.
        self._remote: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(function)
        self._running: dict[Any, Any] = {}

    @property
    def num_running(self) -> int:
        """Calls without an answer."""
        return len(self._running)

    def start(self, name: str, given: Any) -> None:
        """Begin a call."""
        self._running[self._remote.remote(given)] = name

    def answers(self) -> Iterator[tuple[str, Any]]:
        """The answers that are there, waiting for one at most `POLL_S`: a value, or `Lost`."""
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=POLL_S)
        for reference in ready:
            name = self._running.pop(reference)
            try:
                yield name, ray.get(reference)
            except RayError as error:
                yield name, Lost(problem=str(error).strip().splitlines()[-1])

    def cancel(self) -> None:
        """Interrupt every call that runs and wait until it has ended, a few seconds at most."""
        for reference in self._running:
            ray.cancel(reference)
        with suppress(RayError):
            ray.wait(list(self._running), num_returns=len(self._running), timeout=15.0)
        self._running.clear()
