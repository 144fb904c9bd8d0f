"""The journal of a run: append-only files from which all other state is rebuilt.

``records.jsonl`` holds one line per reported epoch, ``trials.jsonl`` one line per event of a trial
(start, place, checkpoint, end). An event, and every record before it, is on disk before the search
acts on it, so a crash never loses what a decision was based on: the end of a process loses nothing.
A power failure may lose records of the last `SYNC_EVERY_S` (and of the half second until `tick` is
called), if no event came after them: those trials resume from their last checkpoint and report the
same numbers again. Searcher, scheduler, experiment and tracking are all replayed from here; Ray's
and Optuna's own state files are never read back.

Lines lost in the middle are reported and dispensed with (`search.records.journal_repair`).
"""

import json
import os
import shutil
import time
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any

from search.records.journal_lines import read_event, read_lines, read_record
from search.records.journal_repair import Repaired, repair
from search.records.trials import Record, Trial, TrialSpec
from spaces.errors import InputError
from trainable.whole_file import commit, sync

SYNC_EVERY_S = 1.0
"""Seconds for which records may wait for a disk sync, as one per record would slow short epochs."""


class Journal:
    """All trials of one run, in memory and on disk.

    Args:
        run_dir: Directory of the run; must exist.

    Attributes:
        trials: All trials in the order they were started, by `TrialSpec.trial_id`.
        model: Name of the trial whose weights were written out last, and the SHA-256 of the file;
            None if none were.
        damage: What was dropped because lines were lost or changed, in a sentence; else nothing.

    Raises:
        InputError: If trials are there but none can be read, as in a journal of another version.
    """

    def __init__(self, run_dir: Path) -> None:
        self._forget()
        self.damage = ""
        self._began_at = time.monotonic()
        self._open_files: dict[Path, FileIO] = {}
        self._are_synced, self._synced_at = True, time.monotonic()
        self._records_path = run_dir / "records.jsonl"
        self._events_path = run_dir / "trials.jsonl"
        self._repaired: Repaired | None = None
        try:
            self._read()
        except InputError:
            self._repaired = repair(self._events_path, self._records_path)
            self.damage = self._repaired.told
            self._forget()
            for _, event in self._repaired.events:
                self._apply(event)
            for _, record in self._repaired.records:
                self._append_record(record)

    def _forget(self) -> None:
        self.trials: dict[str, Trial] = {}
        self.model: tuple[str, str] | None = None
        self._ended: dict[str, None] = {}  # As an ordered set.
        self._earlier_wall_s = self._session_s = 0.0
        self._session_started = 0.0  # By the wall clock, for events that know no other.
        self._num_cores = self._cores_per_trial = 0.0

    def _read(self) -> None:
        for where, line in read_lines(self._events_path):
            self._apply(read_event(line, self.trials, where=where))
        for where, line in read_lines(self._records_path):
            self._append_record(read_record(line, self.trials, where=where))

    @property
    def wall_s(self) -> float:
        """Total duration of all sessions in seconds, each from its beginning to its last event.

        Measured by the monotonic clock, as the system's time may be set while a run works.
        """
        return self._earlier_wall_s + self._session_s

    @property
    def core_s(self) -> float:
        """Duration of all sessions times the number of cores of the last session."""
        return self.wall_s * self._num_cores

    @property
    def cores_per_trial(self) -> float:
        """Number of CPU cores of a running trial."""
        return self._cores_per_trial

    def begin_session(
        self, *, num_cores: float, cores_per_trial: float, running_s: float = 0.0
    ) -> None:
        """Record that a process begins to work on the run; call it once per process.

        Args:
            num_cores: Number of CPU cores for all trials together.
            cores_per_trial: Number of CPU cores of one trial.
            running_s: Seconds that the process has been running already.
        """
        self._began_at = time.monotonic() - running_s
        self._event(
            {"event": "session", "num_cores": num_cores, "cores_per_trial": cores_per_trial}
        )

    def start(self, spec: TrialSpec) -> Trial:
        """Record the start of a new trial."""
        self._event({"event": "start", "trial_id": spec.trial_id, "spec": spec.to_dict()})
        return self.trials[spec.trial_id]

    def restart(self, trial_id: str) -> Trial:
        """Record that a failed trial is run again."""
        self._event({"event": "restart", "trial_id": trial_id})
        return self.trials[trial_id]

    def report(self, record: Record) -> bool:
        """Record one reported epoch.

        Returns:
            False if this epoch is known already: a trial that was retried or resumed repeats the
            epochs since its last checkpoint, with the same numbers.
        """
        known = self.trials[record.trial_id].epoch
        if record.epoch <= known:
            return False
        if record.epoch != known + 1:
            raise RuntimeError(
                f"{record.trial_id} reported epoch {record.epoch} right after epoch {known}."
            )
        self._write(self._records_path, record.to_dict())
        self._append_record(record)
        self._are_synced = False
        if time.monotonic() - self._synced_at >= SYNC_EVERY_S:
            self._sync_records()
        return True

    def place(self, trial_id: str, *, node: str, host: str) -> None:
        """Record the node of the cluster on which a trial runs, if it has changed."""
        if self.trials[trial_id].node != node:
            self._event({"event": "place", "trial_id": trial_id, "node": node, "host": host})

    def checkpoint(self, trial_id: str, path: str) -> None:
        """Record the location of the newest checkpoint of a trial."""
        epoch = self.trials[trial_id].epoch
        self._event({"event": "checkpoint", "trial_id": trial_id, "path": path, "epoch": epoch})

    def wrote_model(self, trial_id: str, sha256: str) -> None:
        """Record the hash of the file to which the weights of a trial were written."""
        self._event({"event": "model", "trial_id": trial_id, "sha256": sha256})

    def end(self, trial_id: str, status: str, reason: str = "") -> Trial:
        """Record the end of a trial; ``status`` is one of `search.records.trials.STATUSES`."""
        epoch = self.trials[trial_id].epoch
        event = {"event": "end", "trial_id": trial_id, "status": status, "reason": reason}
        self._event({**event, "epoch": epoch})
        return self.trials[trial_id]

    def of_stage(self, stage: str) -> list[Trial]:
        """Return the trials of one stage in the order they were started."""
        return [trial for trial in self.trials.values() if trial.spec.stage == stage]

    def ended_of_stage(self, stage: str) -> list[Trial]:
        """Return the ended trials of one stage in the order in which they ended."""
        ended = (self.trials[trial_id] for trial_id in self._ended)
        return [trial for trial in ended if trial.spec.stage == stage]

    def close(self) -> None:
        """Close the files; a later write opens them again."""
        for file in self._open_files.values():
            file.close()
        self._open_files.clear()

    def tick(self) -> None:
        """Have no record wait for the disk much longer than `SYNC_EVERY_S`, whatever comes next."""
        if time.monotonic() - self._synced_at >= SYNC_EVERY_S:
            self._sync_records()

    def _event(self, event: dict[str, Any]) -> None:
        session_s = round(time.monotonic() - self._began_at, 3)
        event = {**event, "time": time.time(), "session_s": session_s}
        self._sync_records()  # A checkpoint of epoch 6 must not outlive the record of epoch 5.
        self._write(self._events_path, event)
        _sync(self._open_files[self._events_path], self._events_path)
        self._apply(event)

    def _sync_records(self) -> None:
        if not self._are_synced:
            _sync(self._open_files[self._records_path], self._records_path)
            self._are_synced, self._synced_at = True, time.monotonic()

    def _apply(self, event: dict[str, Any]) -> None:
        if event["event"] == "session":
            self._earlier_wall_s = self.wall_s
            self._num_cores, self._cores_per_trial = event["num_cores"], event["cores_per_trial"]
            self._session_started = event["time"]
            self._session_s = event.get("session_s", 0.0)
            return
        # Journals of older versions have the wall clock alone, which may have gone back.
        lasted = event.get("session_s", event["time"] - self._session_started)
        self._session_s = max(self._session_s, lasted)
        trial_id = event["trial_id"]
        if event["event"] == "start":
            self.trials[trial_id] = Trial(spec=TrialSpec.from_dict(event["spec"]))
        elif event["event"] == "restart":
            self._ended.pop(trial_id, None)
            self.trials[trial_id] = replace(self.trials[trial_id], status="running", reason="")
        elif event["event"] == "place":
            self.trials[trial_id] = replace(self.trials[trial_id], node=event["node"])
        elif event["event"] == "model":
            self.model = (trial_id, event["sha256"])
        elif event["event"] == "checkpoint":
            self.trials[trial_id] = replace(self.trials[trial_id], checkpoint=event["path"])
        else:
            self._ended[trial_id] = None
            self.trials[trial_id] = replace(
                self.trials[trial_id], status=event["status"], reason=event["reason"]
            )

    def _append_record(self, record: Record) -> None:
        trial = self.trials[record.trial_id]
        self.trials[record.trial_id] = replace(trial, records=(*trial.records, record))

    def _write(self, path: Path, line: dict[str, Any]) -> None:
        text = json.dumps(line, allow_nan=False) + "\n"
        if path not in self._open_files:  # A journal that is only read needs no writable directory.
            self._write_repaired()
            _cut_torn_line(path)
            self._open_files[path] = path.open("ab", buffering=0)
            sync(path.parent)
        _append(self._open_files[path], path, text.encode())

    def _write_repaired(self) -> None:
        """Put what holds in place of damaged files, which are kept.

        Events first: with those of trials that are trained again gone, a crash in between leaves
        records that no event contradicts.
        """
        repaired, self._repaired = self._repaired, None
        if repaired is None:
            return
        held = {
            self._events_path: [line for line, _ in repaired.events],
            self._records_path: [line for line, _ in repaired.records],
        }
        for path, lines in held.items():
            if path.exists():
                kept, partial = (
                    path.with_name(path.name + end) for end in (".damaged", ".partial")
                )
                if not kept.exists():  # Else a crash came between this and the next line.
                    shutil.copyfile(path, partial)
                    commit(partial, kept)
                partial.write_bytes(b"".join(lines))
                commit(partial, path)


def _append(file: FileIO, path: Path, line: bytes) -> None:
    """Append a whole line to a file, or restore the file and raise."""
    size = os.fstat(file.fileno()).st_size
    try:
        written = 0
        while written < len(line):  # A disk that gets full may take a part only.
            written += os.write(file.fileno(), line[written:])
    except OSError as error:
        os.ftruncate(file.fileno(), size)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _sync(file: FileIO, path: Path) -> None:
    """Wait until a file is on disk, so that a power failure cannot undo what a decision used."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _cut_torn_line(path: Path) -> None:
    """Remove the incomplete last line that a crash may have left."""
    if path.exists():
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)
