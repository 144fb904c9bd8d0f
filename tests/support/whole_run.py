"""Checks that must hold for every ended run, whatever happened to it on the way."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

from search.tracking.open_store import set_environment

set_environment()

from mlflow.tracking import MlflowClient  # noqa: E402  It reads the environment while imported.


def whole_lines(path: Path) -> list[str]:
    """Lines of a file that is being written, or none if it is not there."""
    text = path.read_text() if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def num_records_of(run: Path, stage: str) -> int:
    """Epochs that trials of a stage have reported so far."""
    return sum(f'"stage": "{stage}"' in line for line in whole_lines(run / "records.jsonl"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def require_whole(run: Path) -> Counter[str]:
    """Every trial ended, its epochs are there once each and in order, and the tables agree."""
    events = lines(run / "trials.jsonl")
    started = [e["trial_id"] for e in events if e["event"] == "start"]
    ended = {e["trial_id"]: e["status"] for e in events if e["event"] == "end"}
    assert len(started) == len(set(started))
    assert set(started) == set(ended)
    epochs: dict[str, list[int]] = {trial_id: [] for trial_id in started}
    for record in lines(run / "records.jsonl"):
        epochs[record["trial_id"]].append(record["epoch"])
    for trial_id, seen in epochs.items():
        assert seen == list(range(1, len(seen) + 1)), trial_id
    with (run / "trials.csv").open() as file:
        rows = {row["trial_id"]: row for row in csv.DictReader(file)}
    assert {t: row["status"] for t, row in rows.items()} == ended
    assert {t: int(row["epochs"]) for t, row in rows.items()} == {
        t: len(e) for t, e in epochs.items()
    }
    return Counter(trial_id.split("-")[0] for trial_id in started)


def require_mirrored(run: Path, tracking_uri: str) -> None:
    """MLflow holds one parent and each trial once, with the journal's status and every epoch."""
    client = MlflowClient(tracking_uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "recipe-strengths"]
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    (parent,) = [r for r in runs if r.data.tags.get("role") == "search"]
    children = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert parent.info.status == "FINISHED"
    expected = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
    ended = {e["trial_id"]: e["status"] for e in lines(run / "trials.jsonl") if e["event"] == "end"}
    by_trial = {child.data.tags["trial_id"]: child for child in children}
    assert len(by_trial) == len(children)
    assert {t: c.info.status for t, c in by_trial.items()} == {
        t: expected[status] for t, status in ended.items()
    }
    records = lines(run / "records.jsonl")
    for trial_id, child in by_trial.items():
        history = client.get_metric_history(child.info.run_id, "train/loss")
        epochs = [r["epoch"] for r in records if r["trial_id"] == trial_id]
        assert sorted(point.step for point in history) == epochs
