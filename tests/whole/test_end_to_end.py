"""One small search on real images, from the command line to every file it leaves.

The second search is interrupted, killed without warning and gone on with: nothing is lost and
nothing is done twice.
"""

import json
import os
import random
import signal
import time
import warnings
from itertools import combinations
from pathlib import Path

import pytest

from search.plan.origin import read_origin
from search.plan.planning import load_images
from search.recipes.yaml_file import read_recipe
from search.tracking.champion import ALIAS
from search.tracking.open_store import set_environment
from search.verdict.schema import FIT_STATES, TURNS, effect_metrics
from spaces.strengths.registry import STRENGTHS
from tests.support.programs.forked import Forked
from tests.support.small_search import QUICK, SMALL, finish, forked
from tests.support.whole_run import (
    lines,
    num_records_of,
    require_mirrored,
    require_whole,
)

set_environment()

import mlflow  # noqa: E402  It reads the environment while it is imported.
from mlflow.tracking import MlflowClient  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


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
    assert "\nTrain   " in output
    *_, train_it, files = output.splitlines()
    assert train_it == f"Train   make train CONFIG={run / 'best.yaml'}"
    assert files == f"Files   {run}/: report.html, model.safetensors"


def test_the_verdict_has_its_promised_shape(finished: tuple[Path, str, str]) -> None:
    run, _, _ = finished
    verdict = json.loads((run / "verdict.json").read_text())
    assert verdict["schema"] == "verdict/1"
    assert verdict["num_train"] == 64
    assert verdict["total_steps"] == 10
    assert {verdict["fit"]["reference"], verdict["fit"]["best"]} <= set(FIT_STATES)
    # The model has BatchNorm, whose statistics every run of the experiment measures both ways;
    # its classes are equally large, so that there is nothing to adjust logits for.
    assert [dial["strength"] for dial in verdict["dials"]] == [*STRENGTHS, "ema_batch_norm"]
    assert set(verdict["confirmed"]["readings"]) == {"flip", "temperature", "soup"}
    for dial in verdict["dials"]:
        assert dial["turn"] in TURNS
        assert set(dial["effect"]) <= set(effect_metrics())
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


STAGES = {"search": 24, "attribute": 9, "confirm": 30}
"""Records that each stage surely makes, among which the moments of death are drawn."""


def get_to(process: Forked, run: Path, stage: str, num_records: int) -> None:
    """Wait until a search has so many records of a stage."""
    deadline = time.monotonic() + 300
    while num_records_of(run, stage) < num_records:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the search does not get on"
        time.sleep(0.02)


def killed_at(process: Forked, run: Path, stage: str, num_times: int, rng: random.Random) -> Forked:
    """Kill a search in a stage, at a moment that is drawn, and go on with it.

    Moments are counted in records of the stage, so that each is hit on any machine.
    """
    moment = num_records_of(run, stage) + rng.randrange(1, STAGES[stage] // num_times)
    get_to(process, run, stage, moment)
    time.sleep(0.2 * rng.random())  # Also between two records: while something is written.
    os.killpg(process.pid, signal.SIGKILL)  # The driver and, a moment later, all its workers.
    process.communicate()
    return forked(["resume", "--run", run.name, "--run-dir", str(run.parent)])


def require_finished(process: Forked, run: Path, uri: str) -> None:
    assert "\nTrain   " in finish(process)
    assert require_whole(run)["search"] == 6 + 2
    require_mirrored(run, uri)


def test_ctrl_c_closes_a_search_and_after_it_and_two_kills_it_goes_on_without_loss(
    tmp_path: Path,
) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    run = tmp_path / "stopped"
    arguments = ["run", *QUICK, "--run-dir", str(tmp_path), "--run-name", run.name]
    process = forked([*arguments, "--tracking-uri", uri])
    get_to(process, run, "search", 3)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert output.splitlines()[-1].endswith(f"make resume RUN={run}")
    assert "Traceback" not in output
    client = MlflowClient(uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "recipe-strengths"]
    statuses = [r.info.status for r in client.search_runs([experiment.experiment_id])]
    assert "RUNNING" not in statuses
    process = forked(["resume", "--run", run.name, "--run-dir", str(tmp_path)])
    rng = random.Random(0)
    for stage in ("search", "confirm"):
        process = killed_at(process, run, stage, 2, rng)
    require_finished(process, run, uri)


@pytest.mark.stress
@pytest.mark.parametrize(
    ("seed", "stages"),
    # Twenty deaths, each stage six or eight times, in pieces of a few minutes.
    list(enumerate([*combinations(STAGES, 2)] * 3 + [("search", "search")])),
)
def test_a_search_killed_without_warning_goes_on_without_loss(
    tmp_path: Path, seed: int, stages: tuple[str, ...]
) -> None:
    rng = random.Random(seed)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    run = tmp_path / "killed"
    arguments = ["run", *QUICK, "--run-dir", str(tmp_path), "--run-name", run.name]
    process = forked([*arguments, "--tracking-uri", uri])
    for stage in stages:
        process = killed_at(process, run, stage, stages.count(stage), rng)
    require_finished(process, run, uri)


@pytest.mark.stress
def test_the_same_seed_with_one_worker_gives_the_same_trials_and_numbers(tmp_path: Path) -> None:
    """One worker: each trial takes all cores."""
    seen = []
    for name in ("first", "second"):
        arguments = ["run", *SMALL, "--run-dir", str(tmp_path), "--run-name", name]
        arguments += ["--cpus-per-trial", str(os.cpu_count()), "--amp-dtype", "none"]
        finish(forked([*arguments, "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db"]))
        run = tmp_path / name
        records = [
            # When it was and how long it took is another matter.
            {k: v for k, v in r.items() if k != "time" and not k.startswith("cost/")}
            for r in lines(run / "records.jsonl")
        ]
        events = [
            {k: v for k, v in e.items() if k != "time"}
            for e in lines(run / "trials.jsonl")
            if e["event"] in ("start", "end")
        ]
        verdict = json.loads((run / "verdict.json").read_text())
        seen.append((records, events, verdict["dials"], verdict["confirmed"]))
    assert seen[0] == seen[1]
