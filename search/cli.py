"""The commands: what each takes, and which exit code tells how it ended.

Heavy libraries are imported inside the commands, so that ``--help`` answers at once.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from search.flags import PLANNING, flags
from spaces.errors import InputError

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Which regularizers of a training recipe to turn down, to what, and how sure you can be."""


@cli.command()
@flags(PLANNING)
def run(**given: Any) -> None:
    """Search, attribute, confirm and export: the main job."""
    from search.pipeline import run_new

    run_new(_config(given))


@cli.command()
@flags(PLANNING)
def plan(**given: Any) -> None:
    """Print what a search would do and how long it would take; start nothing."""
    from search.pipeline import print_plan

    print_plan(_config(given))


@cli.command()
@flags(PLANNING + " best")
def diagnose(**given: Any) -> None:
    """Judge a recipe without a search, against the size-scaled default or --best."""
    from search.pipeline import run_new

    run_new(_config(given, stages=("attribute", "confirm")))


@cli.command()
@flags("run run-dir")
def resume(**given: Any) -> None:
    """Go on with an interrupted run, whichever stage it was in."""
    from search.pipeline import run_again

    run_again(_run_path(given))


@cli.command()
@flags("run run-dir num-train epochs batch-size")
def export(**given: Any) -> None:
    """Write the best recipe for other trainers again, optionally rescaled to another size."""
    from search.export import export_run

    path = _run_path(given)
    export_run(path, **{k: given[k] for k in ("num_train", "epochs", "batch_size")})


@cli.command()
@flags("host port tracking-uri")
def ui(**given: Any) -> None:
    """Serve MLflow and print the address of the newest search."""
    from search.pipeline import STORE_DIR
    from search.ui import serve

    serve(STORE_DIR, given["host"], given["port"])


def main(arguments: Sequence[str]) -> int:
    """Run a command; the one place where errors become exit codes.

    Returns:
        0 done, 2 wrong input (one line, nothing written), 1 failed while running, 130 interrupted.
    """
    try:
        cli.main(args=list(arguments), prog_name="python -m search", standalone_mode=False)
    except InputError as error:
        return _complain(str(error), WRONG_INPUT)
    except click.ClickException as error:
        return _complain(error.format_message(), WRONG_INPUT)
    except (KeyboardInterrupt, click.Abort) as error:
        return _complain(f"Interrupted.{_resume_hint(error)}", INTERRUPTED)
    except Exception as error:  # The last line of defence: say what failed, where the log is.
        if "-v" in arguments:
            raise
        from search.pipeline import RunFailed

        if not isinstance(error, RunFailed):
            raise
        return _complain(str(error), FAILED)
    return DONE
