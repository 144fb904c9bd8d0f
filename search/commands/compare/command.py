"""``make compare`` from top to bottom: check, show the plan, run the script, tell the answer."""

import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from search.commands.compare.asked.placeholders import placeholders
from search.commands.compare.asked.request import Request
from search.commands.compare.plan_text import plan_lines
from search.commands.compare.run_log import RunLog, is_hopeless
from search.commands.compare.running import run_all
from search.commands.compare.telling import tell
from search.commands.compare.tracked import child_runs, compare_info
from search.commands.console import make_console, say, tell_of_tracking
from search.commands.errors import RunFailed, RunInterrupted
from search.commands.live import LiveConsole
from search.commands.session import interruptible, log_file
from search.engine import cluster
from search.engine import run as tune_run
from search.engine.session_place import require_session_place
from search.records.command_line import next_command
from search.records.files import (
    make_writable,
    only_driver,
    read_json,
    require_closed,
    write_json,
)
from search.records.home import Home
from search.records.run_names import require_run_name
from search.tracking.open_store import STORE_DIR
from search.tracking.scripts.tracker import CompareTracker
from spaces.errors import InputError

FILE = "compare.json"
_SCRIPTS = (".py", ".sh", ".R", ".jl")
log = logging.getLogger("search")


def compare_new(request: Request, *, dry_run: bool = False, console: Console | None = None) -> None:
    """Do a comparison from the beginning, or only show what would be run.

    Args:
        request: What is asked.
        dry_run: Whether to only show it.
        console: Console to print to; None for standard output.

    Raises:
        InputError: If anything given is wrong; nothing has been written then.
    """
    require_run_name(request.run_name, flag="run_name")
    request.check_new()
    _require_program(request)
    path = request.path
    if not dry_run:
        _require_unbegun(path)
    console = console or make_console()
    for line in plan_lines(request, every_run=dry_run):
        say(console, line)
    if dry_run:
        return
    _reach(request)
    make_writable(path)
    with only_driver(path):
        _require_unbegun(path)  # Again: another start under this name may have come first.
        request = replace(request, home=Home.at(path, has_begun=True))
        write_json(path / FILE, request.to_dict())
        _work(request, console)


def _require_program(request: Request) -> None:
    """Refuse a command whose program or script is not here; another machine may have it."""
    program, *following = request.words
    if request.ray_address is not None or placeholders([program]):
        return
    place = Path(request.working_dir, program) if "/" in program else program
    if shutil.which(place) is None:
        raise InputError(
            f"`--command` begins with {program!r}, which is no program on this machine."
        )
    script = following[0] if following else ""
    is_script = script.endswith(_SCRIPTS) and not placeholders([script])
    if is_script and not Path(request.working_dir, script).is_file():
        raise InputError(f"`--command` calls {script!r}, and there is no such file.")


def _require_unbegun(path: Path) -> None:
    """Refuse a directory that holds more than the lock of a start that was killed at once."""
    if not path.exists() or all(found.name == ".lock" for found in path.iterdir()):
        return
    if is_hopeless(path):  # Going on would end as it did before.
        raise InputError(
            f"{path} exists, and no run of it left a result; delete it, or choose another "
            "`--run-name`."
        )
    raise InputError(
        f"{path} exists; choose another `--run-name`, or go on with: "
        f"{next_command('resume', RUN=path)}"
    )


def compare_again(
    path: Path, *, max_blocks: int | None = None, console: Console | None = None
) -> None:
    """Go on with an interrupted comparison, or top up a finished one.

    A finished one of which no more is asked is only written out again.

    Args:
        path: Its directory.
        max_blocks: Most rounds from now on, what was run included; None for those of before.
        console: Console to print to; None for standard output.

    Raises:
        InputError: If it is no comparison, or no more is asked than was planned.
    """
    require_closed(path)
    request = Request.from_dict(read_json(path / FILE), path=path)
    if max_blocks is not None and max_blocks != request.rounds:
        request = request.topped_up(max_blocks)
    _reach(request)
    with only_driver(path):
        if max_blocks is not None:
            write_json(path / FILE, request.to_dict())
        _work(request, console or make_console())


def _reach(request: Request) -> None:
    if request.ray_address:
        cluster.connect(request.ray_address)
    else:
        require_session_place()


def _work(request: Request, console: Console) -> None:
    """Everything after the plan; whatever happens, the directory can be gone on from."""
    path, layout, started = request.path, request.layout, time.monotonic()
    go_on = f"Interrupted. Go on with: {next_command('resume', RUN=path)}"
    may_leave = not isinstance(console, LiveConsole)
    with log_file(path / "log.txt"), interruptible(may_leave=may_leave) as interruption:
        run_log = RunLog(path)
        tracker = CompareTracker(
            request.tracking_uri, store_dir=STORE_DIR, info=compare_info(request)
        )
        tell_of_tracking(console, tracker.problems)
        has_failed = False
        again = next_command("resume", RUN=path)
        try:
            run_all(request, layout, run_log, tracker, console)
            run_log.add_seconds(time.monotonic() - started)
            tell(request, layout, run_log, tracker, console)
        except KeyboardInterrupt:
            interruption.closes(go_on)
            tracker.close("KILLED", child_runs(request, run_log))
            raise RunInterrupted(go_on, path=path) from None
        except Exception as error:
            has_failed = True
            log.exception("the comparison failed")
            tracker.close("FAILED", child_runs(request, run_log))
            what = (
                str(error) if isinstance(error, RunFailed) else f"{type(error).__name__}: {error}"
            )
            # The script or what is asked of it is wrong: going on would run the same again.
            next_step = (
                "Mend that and compare anew."
                if isinstance(error, RunFailed)
                else f"Go on with: {again}"
            )
            raise RunFailed(f"{what} The log is {path / 'log.txt'}. {next_step}") from error
        finally:
            interruption.closes(go_on)
            tune_run.stop_ray(keeps_logs=has_failed)
    tell_of_tracking(console, tracker.problems)
