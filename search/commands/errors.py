"""How a run can end before it is done."""


class RunFailed(RuntimeError):  # noqa: N818  It is what happened, and reads so where it is raised.
    """A run failed after it had started; the message says where the log is and how to go on."""


class RunInterrupted(RuntimeError):  # noqa: N818  Like RunFailed.
    """The user interrupted a run; the message says how to go on.

    No KeyboardInterrupt: the command line library turns those into a bare "Aborted".
    """
