"""Limit on the memory of all pictures that are decoded at once.

A picture takes what its pixels take, however small its file is; as many threads decode as there are
cores. Threads that would take more together than there is wait for each other.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from trainable.data.memory import memory_of_machine

MOST_PIXELS = 200_000_000
"""Pixels of a picture that is decoded unless asked otherwise: more than any camera takes."""
SHARE = 0.25
"""Share of memory that all pictures that are being decoded may take together."""
_BYTES_PER_PIXEL = 12
"""Pillow keeps four bytes a pixel: as stored, in RGB, and turned upright."""
_BYTES_PER_COEFFICIENT = 3
"""Memory of a progressive JPEG for each stored pixel, at whatever size it is decoded."""


class DecodeBudget:
    """Bytes that are handed out to threads and given back.

    Args:
        total: Bytes that there are. A picture that needs more is decoded alone.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken = 0
        self._changed = threading.Condition()
        self._of_thread = threading.local()

    @contextmanager
    def picture(self) -> Iterator[None]:
        """Surround all work on one picture, and give back its bytes at the end."""
        self._of_thread.taken = 0
        try:
            yield
        finally:
            taken, self._of_thread.taken = self._of_thread.taken, None
            with self._changed:
                self._taken -= taken
                self._changed.notify_all()

    def leave(self, share: float) -> None:
        """Keep that share of what there is: other processes on this machine decode as well."""
        with self._changed:
            self._total = int(share * self._total)

    def take(self, num_bytes: int) -> None:
        """Wait until the picture at hand may take so many bytes; nothing outside of `picture`.

        What is taken again for the same picture, because it is read a second time, is not counted
        twice.
        """
        held = getattr(self._of_thread, "taken", None)
        if held is None or num_bytes <= held:
            return
        with self._changed:
            # Given back first: two threads that each wait for the other's would wait for ever.
            self._taken -= held
            self._of_thread.taken = 0
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: not self._taken or self._taken + num_bytes <= self._total
            )
            self._taken += num_bytes
            self._of_thread.taken = num_bytes


def bytes_of(size: tuple[int, int], stored: tuple[int, int], *, is_progressive: bool) -> int:
    """Bytes that decoding a picture takes.

    Args:
        size: Sides that it is decoded at, in pixels.
        stored: Sides that it is stored at.
        is_progressive: Whether it is a JPEG whose lines come in several passes.
    """
    coefficients = _BYTES_PER_COEFFICIENT * stored[0] * stored[1] if is_progressive else 0
    return _BYTES_PER_PIXEL * size[0] * size[1] + coefficients


BUDGET = DecodeBudget(int(SHARE * memory_of_machine()))
"""The budget of this process."""
