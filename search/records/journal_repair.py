"""Repair of a journal that lost lines in its middle, by power loss or a bad disk.

Lines before the first lost one are kept. After it, those that rest on a lost line go too:

- A trial that lost an epoch is trained again from its beginning. The epochs that are known are not
  noted again: they have the same numbers.
- Where the start of a trial was lost, trials that started later were numbered and chosen with it in
  mind. They are forgotten and chosen anew.
"""

from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.records.journal_lines import read_event, read_lines, read_record
from search.records.strict_json import parse_json
from search.records.trials import Record, Trial, TrialSpec
from spaces.errors import InputError

_RESTS_ON_RECORDS = ("checkpoint", "model", "end", "restart")


@dataclass(frozen=True, kw_only=True, slots=True)
class Repaired:
    """The intact part of a damaged journal.

    Attributes:
        events: Kept lines of ``trials.jsonl``, each with its event.
        records: Kept lines of ``records.jsonl``, each with its record.
        told: Description of what was dropped.
    """

    events: list[tuple[bytes, dict[str, Any]]]
    records: list[tuple[bytes, Record]]
    told: str


def repair(events_path: Path, records_path: Path) -> Repaired:
    """Read the intact part of a damaged journal.

    Raises:
        InputError: If no trial can be read though one is there: it is of another version.
    """
    events, num_bad, first_bad, has_lost_start = _sound_events(events_path)
    known = {e["trial_id"]: e for _, e in events if e["event"] == "start"}
    if num_bad and not has_lost_start:
        # The last of a stage leaves no gap between numbers, but its epochs.
        has_lost_start = any(_tells_of_unknown(line, known) for _, line in read_lines(records_path))
    if has_lost_start:
        num_sound = first_bad
        started = {e["trial_id"] for _, e in events[:num_sound] if e["event"] == "start"}
        events = [line for line in events if line[1].get("trial_id") in started | {None}]
    trials = {
        e["trial_id"]: Trial(spec=TrialSpec.from_dict(e["spec"]))
        for _, e in events
        if e["event"] == "start"
    }
    records, trials, num_bad_records = _sound_records(records_path, trials)
    short = _short_of_records(events, trials)
    events = [
        (line, e)
        for line, e in events
        if not (e["event"] in _RESTS_ON_RECORDS and e["trial_id"] in short)
    ]
    parts = []
    if num_bad:
        parts.append(f"{num_bad} of {events_path.name}")
    if num_bad_records:
        parts.append(f"{num_bad_records} of {records_path.name}")
    told = f"The journal in {events_path.parent} was damaged; lines dropped: {', '.join(parts)}."
    if has_lost_start:
        told += " Trials that started after them are forgotten."
    if short:
        told += f" Trained again: {', '.join(sorted(short))}."
    told += " The damaged files are kept beside it under the ending .damaged."
    return Repaired(events=events, records=records, told=told)


def _sound_events(path: Path) -> tuple[list[tuple[bytes, dict[str, Any]]], int, int, bool]:
    """Events that can be read, how many cannot, how many stand before those, if a start is lost."""
    sound: list[tuple[bytes, dict[str, Any]]] = []
    trials: dict[str, Trial] = {}
    num_bad, first_bad, has_lost_start = 0, -1, False
    refused: InputError | None = None
    for where, line in read_lines(path):
        try:
            event = read_event(line, trials, where=where)
        except InputError as bad:
            num_bad += 1
            if b'"start"' in line and _is_json(line):
                refused = refused or bad
            first_bad = len(sound) if first_bad < 0 else first_bad
            has_lost_start = has_lost_start or _tells_of_unknown(line, trials)
            continue
        sound.append((line, event))
        if event["event"] == "start":
            trials[event["trial_id"]] = Trial(spec=TrialSpec.from_dict(event["spec"]))
    if refused is not None and not trials:
        raise refused
    numbers: dict[str, set[int]] = {}
    for trial in trials.values():
        numbers.setdefault(trial.spec.stage, set()).add(trial.spec.number)
    has_gap = any(found != set(range(len(found))) for found in numbers.values())
    return sound, num_bad, first_bad, num_bad > 0 and (has_lost_start or has_gap)


def _is_json(line: bytes) -> bool:
    try:
        parse_json(line, where="")
    except InputError:
        return False
    return True


def _tells_of_unknown(line: bytes, trials: Container[str]) -> bool:
    """Whether a line is whole, and tells of a trial whose start is not there."""
    try:
        event = parse_json(line, where="")
    except InputError:
        return False
    name = event.get("trial_id") if isinstance(event, dict) else None
    return isinstance(name, str) and name not in trials


def _sound_records(
    path: Path, trials: dict[str, Trial]
) -> tuple[list[tuple[bytes, Record]], dict[str, Trial], int]:
    """Records whose epochs follow each other, the trials with them, and how many are dropped."""
    sound, num_bad = [], 0
    for where, line in read_lines(path):
        try:
            record = read_record(line, trials, where=where)
        except InputError:
            num_bad += 1
            continue
        trial = trials[record.trial_id]
        trials[record.trial_id] = replace(trial, records=(*trial.records, record))
        sound.append((line, record))
    return sound, trials, num_bad


def _short_of_records(
    events: Iterable[tuple[bytes, dict[str, Any]]], trials: dict[str, Trial]
) -> set[str]:
    """Trials of which the events know more epochs than there are records."""
    known: Counter[str] = Counter()
    for _, event in events:
        if event["event"] not in ("checkpoint", "end"):
            continue
        name = event["trial_id"]
        epoch = event.get("epoch", 0)
        if event["event"] == "end" and event["status"] == "finished":
            epoch = trials[name].spec.recipe.epochs
        known[name] = max(known[name], epoch if isinstance(epoch, int) else 0)
    return {name for name, epoch in known.items() if trials[name].epoch < epoch}
