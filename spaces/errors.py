"""The exception for wrong input by the user."""


class InputError(ValueError):
    """Error for wrong input by the user; its message, one line, says what must hold and was given.

    The command line turns it into exit code 2 without a traceback. Any other exception is a bug or
    a failure while running.
    """

    def _render_traceback_(self) -> list[str]:
        """Say what a notebook shows of it: the line, and not the way through our code."""
        return [f"{type(self).__name__}: {self}"]
