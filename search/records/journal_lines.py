"""Reading and checking of the lines of a journal."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from search.records.strict_json import one_line, parse_json
from search.records.trials import STATUSES, Record, Trial, TrialSpec
from spaces.errors import InputError

_NUMBER = (int, float)
EVENTS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "session": {"num_cores": _NUMBER, "cores_per_trial": _NUMBER},
    "start": {"trial_id": str, "spec": dict},
    "restart": {"trial_id": str},
    "place": {"trial_id": str, "node": str, "host": str},
    "checkpoint": {"trial_id": str, "path": str},
    "model": {"trial_id": str, "sha256": str},
    "end": {"trial_id": str, "status": str, "reason": str},
}
"""Keys and types of each kind of event, besides ``time``."""


def read_lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each complete line of a file, with a description of its place."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return  # Incomplete because of a crash; the journal removes it.
            yield f"{path} line {number}", line


def read_event(line: bytes, trials: Mapping[str, Trial], *, where: str) -> dict[str, Any]:
    """Read one line of ``trials.jsonl``, given the trials of the lines before it.

    Raises:
        InputError: If it is no event, or the event of a trial that never started.
    """
    event: dict[str, Any] = parse_json(line, where=where)
    kind = event.get("event") if isinstance(event, dict) else None
    needed = EVENTS.get(kind) if isinstance(kind, str) else None
    if needed is None:
        raise InputError(f"{where} is no event of a trial.")
    for name, accepted in {**needed, "time": _NUMBER}.items():
        value = event.get(name)
        if not isinstance(value, accepted) or isinstance(value, bool):
            raise InputError(f"{where} must hold a `{name}`, but got {one_line(repr(value))}.")
    session_s = event.get("session_s", 0.0)
    if not isinstance(session_s, _NUMBER) or isinstance(session_s, bool) or session_s < 0.0:
        raise InputError(f"{where}: `session_s >= 0` must hold, but got {session_s!r:.40}.")
    if kind == "start":
        spec = TrialSpec.from_dict(event["spec"], where=where)
        if spec.trial_id != event["trial_id"] or spec.trial_id in trials:
            raise InputError(f"{where} starts {event['trial_id']!r} twice or under a false name.")
    elif kind != "session" and event["trial_id"] not in trials:
        raise InputError(f"{where} tells of {event['trial_id']!r}, which never started.")
    if kind == "end" and event["status"] not in STATUSES:
        raise InputError(f"{where}: `status` must be one of {', '.join(STATUSES)}.")
    return event


def read_record(line: bytes, trials: Mapping[str, Trial], *, where: str) -> Record:
    """Read one line of ``records.jsonl``, given the trials and their epochs so far.

    Raises:
        InputError: If it is no record, or not of the next epoch of a trial that started.
    """
    # Not `parse_json`: a run has up to a million of these lines.
    try:
        data = json.loads(line)
        trial = trials[data["trial_id"]]
        record = Record.from_dict(data)
        is_sound = record.stage == trial.spec.stage and type(record.epoch) is int
        is_sound = is_sound and all(map(math.isfinite, (record.time, *record.metrics.values())))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        is_sound = False
    if not is_sound:
        raise InputError(f"{where} is no record of an epoch of a trial that started.")
    if record.epoch != trial.epoch + 1:
        raise InputError(
            f"{where} must be epoch {trial.epoch + 1} of {record.trial_id}, but is {record.epoch}."
        )
    return record
