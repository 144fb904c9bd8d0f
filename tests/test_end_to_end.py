"""One small search on real images, from the command line to every file it leaves.

The second search is killed without warning at seeded moments and gone on with: nothing is lost and
nothing is done twice.
"""

import csv
import json
import os
import random
import signal
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from search.champion import ALIAS
from search.plan import load_images
from search.recipe_file import read_recipe
from search.recipe_origin import read_origin
from search.tracking_opening import set_environment
from search.verdict import EFFECT_METRICS, FIT_STATES, TURNS
from spaces.strengths import STRENGTH_NAMES
from tests.small_search import SMALL, command, finish

set_environment()

import mlflow  # noqa: E402  It reads the environment while it is imported.
from mlflow.tracking import MlflowClient  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def require_whole(run: Path) -> Counter[str]:
    """Every trial ended, its epochs are there once each and in order, and the tables agree."""
    events = lines(run / "trials.jsonl")
    started = [e["trial_id"] for e in events if e["event"] == "start"]
    ended = {e["trial_id"]: e["status"] for e in events if e["event"] == "end"}
    assert len(started) == len(set(started))
    assert set(started) == set(ended)
    epochs: dict[str, list[int]] = {}
    for record in lines(run / "records.jsonl"):
        epochs.setdefault(record["trial_id"], []).append(record["epoch"])
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
    expected = {"finished": "FINISHED", "stopped": "KILLED"}
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


def test_a_search_leaves_everything_it_promises(finished: tuple[Path, str, str]) -> None:
    run, uri, output = finished
    stages = require_whole(run)
    assert stages["search"] == 6 + 2
    assert stages["attribute"] >= 2
    assert stages["confirm"] >= 2 * 2
    require_mirrored(run, uri)
    promised = (
        "config.json plan.json trials.csv records.jsonl experiment.csv verdict.json report.html "
        "best.yaml best.timm.yaml best.torchvision.txt model.safetensors log.txt"
    )
    for name in promised.split():
        assert (run / name).stat().st_size > 0 or name == "log.txt", name
    assert "What to change in the recipe" in output
    assert f"make train CONFIG={run / 'best.yaml'}" in output


def test_the_verdict_has_its_promised_shape(finished: tuple[Path, str, str]) -> None:
    run, _, _ = finished
    verdict = json.loads((run / "verdict.json").read_text())
    assert verdict["schema"] == "verdict/1"
    assert verdict["num_train"] == 64
    assert verdict["total_steps"] == 10
    assert {verdict["fit"]["reference"], verdict["fit"]["best"]} <= set(FIT_STATES)
    assert [dial["strength"] for dial in verdict["dials"]] == list(STRENGTH_NAMES)
    for dial in verdict["dials"]:
        assert dial["turn"] in TURNS
        assert set(dial["effect"]) <= set(EFFECT_METRICS)
        for effect in dial["effect"].values():
            assert effect["ci95"][0] <= effect["mean"] <= effect["ci95"][1]
    assert verdict["confirmed"]["num_images"] == 1197
    assert verdict["confirmed"]["seeds"] == 2
    assert 0 < verdict["cost"]["train_share"] <= 1
    read_recipe(run / "best.yaml", defaults=None)


def test_only_confirmation_ever_looks_at_the_test_split(finished: tuple[Path, str, str]) -> None:
    run, _, _ = finished
    for record in lines(run / "records.jsonl"):
        tested = [key for key in record if key.startswith("test")]
        assert not tested or record["stage"] == "confirm"


def test_the_champion_loads_by_alias_and_predicts_with_the_confirmed_accuracy(
    finished: tuple[Path, str, str],
) -> None:
    run, uri, _ = finished
    origin = read_origin(run)
    assert origin.verdict is not None
    (model,) = MlflowClient(uri).search_registered_models()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        with warnings.catch_warnings():
            # MLflow complains of type hints of its own while it is imported.
            warnings.simplefilter("ignore", UserWarning)
            champion = mlflow.pyfunc.load_model(f"models:/{model.name}@{ALIAS}")
    finally:
        mlflow.set_tracking_uri(before)
    dataset = load_images(origin.config, image_size=origin.plan.reference.image_size)
    test = dataset.split.test
    predicted = champion.predict(dataset.images[test]).argmax(axis=1)
    specs = [e["spec"] for e in lines(run / "trials.jsonl") if e["event"] == "start"]
    kept = [s for s in specs if s["stage"] == "confirm" and s["block"] == 0]
    exported = pytest.approx(read_recipe(run / "best.yaml", defaults=None).strengths.as_dict())
    (spec,) = [s for s in kept if s["recipe"]["strengths"] == exported]
    records = [r for r in lines(run / "records.jsonl") if "test/top1" in r]
    (confirmed,) = [
        r["test/top1"] for r in records if r["trial_id"] == f"confirm-{spec['number']:04d}"
    ]
    assert (predicted == dataset.labels[test]).mean() == pytest.approx(confirmed, abs=1e-9)
    (holder,) = MlflowClient(uri).search_model_versions(f"name='{model.name}'")
    assert holder.tags["recipe"] == origin.verdict["exported"]


@pytest.mark.parametrize(
    "num_kills", [2, pytest.param(20, marks=[pytest.mark.stress, pytest.mark.timeout(7200)])]
)
def test_a_search_killed_without_warning_goes_on_without_loss(
    tmp_path: Path, num_kills: int
) -> None:
    """Moments are counted in records, so that they fall into every stage on any machine."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    run = tmp_path / "killed"
    arguments = ["run", *SMALL, "--run-dir", str(tmp_path), "--run-name", "killed"]
    process = command([*arguments, "--tracking-uri", uri])
    for moment in sorted(random.Random(0).sample(range(1, 110), num_kills)):
        deadline = time.monotonic() + 300
        while len(lines_so_far(run / "records.jsonl")) < moment and process.poll() is None:
            assert time.monotonic() < deadline, "the search does not get on"
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)  # The driver and, a moment later, all its workers.
        process.communicate()
        process = command(["resume", "--run", "killed", "--run-dir", str(tmp_path)])
    output = finish(process)
    assert "What to change in the recipe" in output
    assert require_whole(run)["search"] == 6 + 2
    require_mirrored(run, uri)


def test_ctrl_c_closes_the_run_and_says_how_to_go_on(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    run = tmp_path / "stopped"
    arguments = ["run", *SMALL, "--run-dir", str(tmp_path), "--run-name", "stopped"]
    process = command([*arguments, "--tracking-uri", uri])
    deadline = time.monotonic() + 300
    while len(lines_so_far(run / "records.jsonl")) < 3:
        assert time.monotonic() < deadline, "the search does not get on"
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert output.splitlines()[-1].endswith(f"make resume RUN={run}")
    assert "Traceback" not in output
    client = MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "recipe-strengths"]
    statuses = [r.info.status for r in client.search_runs([experiment.experiment_id])]
    assert "RUNNING" not in statuses


def lines_so_far(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
