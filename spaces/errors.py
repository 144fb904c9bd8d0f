"""The one exception that means: what the user gave is wrong."""


class InputError(ValueError):
    """What the user gave is wrong; the message is one line that says what must hold and what came.

    The command line turns it into exit code 2 without a traceback. Any other exception is a bug or
    a failure while running.
    """
