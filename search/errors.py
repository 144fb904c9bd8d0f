"""How a run can end before it is done."""


class RunFailed(RuntimeError):  # noqa: N818  It is what happened, and reads so where it is raised.
    """A run failed after it had started; the message says where the log is and how to go on."""


class RunInterrupted(KeyboardInterrupt):
    """The user interrupted a run; the message says how to go on."""
