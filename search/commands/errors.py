"""Errors that end a run before it is finished."""

from pathlib import Path


class RunFailed(RuntimeError):  # noqa: N818  Named for the event, as it reads where it is raised.
    """A run failed after it had started; the message names the log and the command to resume."""


class RunInterrupted(RuntimeError):  # noqa: N818  Like RunFailed.
    """The user interrupted a run; the message names the command to resume it.

    It replaces KeyboardInterrupt, which the command line library turns into a bare "Aborted".

    Attributes:
        path: Directory of the run.
    """

    def __init__(self, message: str, *, path: Path) -> None:
        super().__init__(message)
        self.path = path
