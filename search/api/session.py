"""The surroundings of a public function's work: its output, Ray, and the ways in which it ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.console import Console

from search.api.cell import cell, in_notebook
from search.commands.errors import RunInterrupted
from spaces.errors import InputError


class Interrupted(KeyboardInterrupt):
    """The user stopped a run, by Ctrl-C or a notebook's stop button; everything is on disk.

    The message says how to go on. A notebook shows it as one line.
    """

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@contextmanager
def at_work(title: str, *, hint: str = "", by: str = "resume") -> Iterator[Console | None]:
    """Give a command its console, and leave nothing behind however it ends.

    Args:
        title: Title of the display in a notebook.
        hint: Sentence on stopping and going on, shown there while the command works.
        by: The public function that goes on with what was stopped.

    Yields:
        The console of the notebook's cell, or None outside of notebooks.

    Raises:
        InputError: If this process is connected to Ray already, or an argument is wrong.
        Interrupted: If the user stopped it.
    """
    _require_no_ray()
    try:
        with cell(title, hint=hint) if in_notebook() else nullcontext() as console:
            yield console
    except InputError as error:
        raise InputError(str(error)) from None  # Its way through our code helps nobody.
    except RunInterrupted as error:
        raise Interrupted(f"Interrupted. Go on with: {_go_on(error.path, by)}") from None
    except KeyboardInterrupt:
        raise Interrupted("Interrupted before anything was started.") from None
    finally:
        _disconnect()


def _go_on(path: Path, by: str) -> str:
    """Write the call that goes on with the run in a directory."""
    if by == "train":
        return f"search.train(run_name={path.name!r}, run_dir={str(path.parent)!r})"
    run = "run=" if by == "compare" else ""
    return f"search.{by}({run}{str(path)!r})"


def _require_no_ray() -> None:
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        raise InputError(
            "Ray must not be running in this process yet, for a run starts its own or connects to "
            "`ray_address`; call ray.shutdown() first."
        )


def _disconnect() -> None:
    """End the connection of a command that failed before its run began."""
    if "ray" in sys.modules:
        from search.engine.run import stop_ray

        stop_ray()
