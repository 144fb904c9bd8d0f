"""From the flags of ``compare`` to a request: files read, paths absolute, lists taken apart."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.commands.compare.asked.configurations import read_configuration
from search.commands.compare.asked.request import Request, new_id
from search.records.passwords import with_password
from search.records.run_names import plain_name
from spaces.errors import InputError


def request_of(given: Mapping[str, Any]) -> Request:
    """Turn flags into a request, with both configurations read.

    Args:
        given: Values of the flags by name; None or empty where a flag was not typed.

    Raises:
        InputError: If a flag is missing or a file cannot be read.
    """
    for name in ("reference", "best", "command"):
        if not given[name]:
            raise InputError(f"`--{name}` must be given; `compare --help` has an example.")
    reference, best = (read_configuration(Path(given[name])) for name in ("reference", "best"))
    stem = plain_name(Path(given["reference"]).stem)
    name = given["run_name"] or f"compare-{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    kept = (
        *("command", "direction", "margin", "min_blocks", "max_blocks", "max_runs"),
        *("confirm_seeds", "folds", "seed", "cpus_per_run", "gpus_per_run", "ray_address"),
    )
    return Request(
        run_dir=str(Path(os.path.realpath(given["run_dir"]), name)),
        run_name=name,
        created=time.strftime("%Y-%m-%d %H:%M:%S"),
        compare_id=new_id(),
        reference=reference.values,
        best=best.values,
        format=reference.format,
        reference_path=given["reference"],
        best_path=given["best"],
        metrics=_metrics(given["metric"]),
        groups=_words(given["group"]),
        fixed=_words(given["fix"]),
        required=tuple(
            part.strip() for text in given["require"] for part in text.split(";") if part.strip()
        ),
        working_dir=str(Path.cwd()),
        tracking_uri=with_password(given["tracking_uri"]),
        time_limit_s=_time_limit(given),
        **{name: given[name] for name in kept if given[name] is not None},
    )


def _time_limit(given: Mapping[str, Any]) -> float | None:
    """The time limit of a run, whichever of its two names was typed."""
    limit: float | None = given["time_limit_s"]
    timeout: float | None = given["run_timeout_s"]
    if limit is not None and timeout is not None and limit != timeout:
        raise InputError("`--time-limit-s` and `--run-timeout-s` say the same: give one of them.")
    return timeout if limit is None else limit


def _metrics(texts: Sequence[str]) -> tuple[str, ...]:
    """Take apart metrics that make passes in one value; blanks in an expression are its own."""
    return tuple(
        word for text in texts for word in ([text] if text.startswith("log:") else text.split())
    )


def _words(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for text in texts for word in text.split())
