"""Patience with a store for tests of what it holds, however slow the machine is."""

from search.tracking.open_store import failures
from search.tracking.patience import Patience


def no_hurry() -> Patience:
    """Return a patience for which time stands still, so that a slow store is not spared."""
    return Patience(failures(), clock=lambda: 0.0)
