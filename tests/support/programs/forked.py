"""Programs of this project as processes of their own that need not import the libraries anew.

Imports are half of what the driver of a small search costs, and the tests start dozens of them.
Processes are forked from one that has imported the libraries, and the few modules of ours that
prepare that, and done nothing else. How a program starts by itself, other tests see
(`tests.whole.test_end_to_end.test_a_search_leaves_everything_it_promises`).
"""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import chdir, suppress
from pathlib import Path

from search.records.provenance import ROOT

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.support.programs.preloaded"])

_AUTH_MODE = {name: os.environ[name] for name in ("RAY_AUTH_MODE",) if name in os.environ}
"""The mode of whoever runs the tests, if any. `ray.init` sets another in the process that calls it,
as some tests do, for what that starts. A forked process, with Ray already imported, would not
notice, and be refused by the cluster that it starts itself."""


class Forked:
    """A process that runs ``python -m module arguments``: what tests use of `subprocess.Popen`.

    It is the first of a session, so that all it starts can be killed with it, and heeds Ctrl-C.

    Args:
        module: Name of the module.
        arguments: Its command line.
        environment: Variables that it has beside those of this process. What a library reads when
            it is imported, as threads of torch or settings of Ray, is that of the first of these
            processes.
        has_one_output: Whether what it writes to standard error is part of its output.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        has_one_output: bool = True,
    ) -> None:
        self.args = [module, *arguments]
        self._out, self._errors = _new_file(), None if has_one_output else _new_file()
        environ = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
        environ |= {"MLFLOW_DISABLE_TELEMETRY": "true"} | _AUTH_MODE | dict(environment or {})
        self._process = _forks.Process(
            target=_run, args=(self.args, environ, self._out, self._errors)
        )
        with chdir(ROOT):  # Where the first process, from which others are forked, finds our code.
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        # multiprocessing would wait for it at the end, also where a test has failed.
        atexit.register(self.kill)

    @property
    def returncode(self) -> int | None:
        """Exit status, minus the signal that ended it, or None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def lines(self) -> list[str]:
        """Whole lines that it has written to standard output until now."""
        return self._out.read_text().rpartition("\n")[0].splitlines()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait until it has ended; return what it wrote to standard output and standard error.

        Raises:
            subprocess.TimeoutExpired: If it has not ended after so many seconds.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self._out.read_text(), self._errors.read_text() if self._errors else ""

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):  # It may have ended meanwhile.
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _new_file() -> Path:
    file, name = tempfile.mkstemp(prefix="forked-", suffix=".txt")
    os.close(file)
    atexit.register(Path(name).unlink, missing_ok=True)
    return Path(name)


def _run(
    words: Sequence[str],
    environ: Mapping[str, str],
    out: Path,
    errors: Path | None,
) -> None:
    """Be that program, in a process that was just forked."""
    os.setsid()
    # A shell starts what runs in the background with SIGINT ignored, and children inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environ)
    for number, path in ((1, out), (2, errors or out)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    module, *arguments = words
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()  # multiprocessing leaves them out.
