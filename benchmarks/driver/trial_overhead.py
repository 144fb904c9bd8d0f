"""Cost of a trial beside its training: this project, stock Ray Tune, Syne Tune's local back end.

    python -m benchmarks.driver.trial_overhead ours stock reusing
    python -m benchmarks.driver.trial_overhead syne --python /path/of/an/environment/with/syne-tune

All run the same toy objective, which takes microseconds, for as many epochs, two trials at a
time on two cores, and every worker imports what a real trial trains with (torch, timm). So
wall-clock divided by trials is what a trial costs beyond its training.

* ``ours``: the search stage as `search.commands.pipeline` runs it, journal, tables and MLflow
  included, with the trainable replaced by the toy.
* ``stock``: Ray Tune as its guides put it together: a class trainable, ``OptunaSearch``,
  ``ASHAScheduler``, ``MLflowLoggerCallback`` on sqlite.
* ``reusing``: the same with ``reuse_actors=True`` and a trainable that implements `reset_config`.
* ``syne``: ``LocalBackend`` with ASHA; it has no tracking.

Starting Ray is timed apart: all trials share it. Imports are late, because the part for Syne Tune
runs in an environment that has neither Ray nor this project's requirements.
"""

import argparse
import contextlib
import importlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from search.records.provenance import ROOT

EPOCHS, GRACE_PERIOD, REDUCTION_FACTOR = 15, 5, 3
NUM_CORES = 2
IMPORTS = "TOY_TRIAL_IMPORTS"
"""Environment variable that all workers inherit: modules that each loads, joined by commas."""
METRIC = "val/nll_refined"
STRENGTHS = ("weight_decay", "label_smoothing", "drop_path_rate", "ema_decay", "warmup_fraction")


def toy_metrics(strengths: Mapping[str, float], epoch: int) -> dict[str, float]:
    """As many metrics as a real epoch reports, better for weak regularizers and later epochs."""
    badness = sum(abs(strengths[name]) for name in STRENGTHS[:3])
    top1 = (1.0 - math.exp(-0.3 * epoch)) / (1.0 + badness)
    values = {"top1": top1, "nll": 1.0 - top1, "nll_refined": 1.0 - top1}
    parts = ("val", "val_raw", "val_ema", "clean_train", "clean_train_ema")
    metrics = {f"{part}/{key}": value for part in parts for key, value in values.items()}
    return metrics | {"train/loss": 1.0 - top1, "cost/train_s": 0.0, "cost/eval_s": 0.0}


def import_training() -> None:
    """Load what a process needs before it can train."""
    for name in filter(None, os.environ[IMPORTS].split(",")):
        importlib.import_module(name)


def measure_ours(num_trials: int, scratch: Path) -> dict[str, float]:
    """Run the product's own search stage; returns seconds and epochs."""
    from unittest import mock

    from ray import tune

    from search.commands import pipeline
    from search.commands.console import make_console
    from search.commands.job import Session
    from search.commands.search import SEARCH
    from search.engine import run as tune_run
    from search.plan.config import RunConfig
    from search.plan.planning import make_plan
    from search.records.files import write_json
    from search.records.journal import Journal
    from search.tracking.run_info import make_tracker, open_search
    from trainable.run_spec import RunSpec

    class Toy(tune.Trainable):
        """The protocol of `trainable.ray_trainable.RecipeTrainable`."""

        def setup(self, config: dict[str, Any], **given: Any) -> None:
            import_training()
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._recipe = RunSpec.from_dict(new_config["spec"]).recipe
            self._epoch = 0
            return True

        def step(self) -> dict[str, Any]:
            self._epoch += 1
            metrics = toy_metrics(self._recipe.strengths.as_dict(), self._epoch)
            return {"epoch": self._epoch, "metrics": metrics}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            Path(checkpoint_dir, "epoch").write_text(str(self._epoch))

        def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]
            self._epoch = int(Path(checkpoint_dir, "epoch").read_text())

    config = RunConfig(
        dataset="small-transfer",
        stages=("search",),
        run_dir=str(scratch),
        run_name="ours",
        data_dir=str(scratch / "data"),
        created="",
        epochs=EPOCHS,
        amp_dtype="none",
        metric=METRIC,
        num_samples=num_trials,
        grace_period=GRACE_PERIOD,
        reduction_factor=REDUCTION_FACTOR,
        keep=1 / REDUCTION_FACTOR,
        rerun_top=0,
    )
    plan, dataset = make_plan(config)
    config.path.mkdir(parents=True)
    write_json(config.path / "plan.json", plan.to_dict())
    start_ray, ray_s = tune_run.start_ray, 0.0

    def timed_start(resources: tune_run.Resources) -> float:
        nonlocal ray_s
        started = time.perf_counter()
        start_ray(resources)
        ray_s = time.perf_counter() - started
        return float(NUM_CORES)

    tracker = make_tracker(config, plan, store_dir=scratch / "store")
    journal = Journal(config.path)
    open_search(tracker, config, plan)
    session = Session(
        config=config,
        plan=plan,
        dataset=dataset,
        journal=journal,
        tracker=tracker,
        console=make_console(),
        started_at=time.monotonic(),
    )
    with (
        mock.patch.object(tune_run, "RecipeTrainable", Toy),
        mock.patch.object(tune_run, "start_ray", timed_start),
    ):
        started = time.perf_counter()
        pipeline._train(SEARCH, session)
        # What tracking has put off belongs to the trials too.
        tracker.close_search("FINISHED", verdict=None, artifacts=None)
        total_s = time.perf_counter() - started
    epochs = sum(trial.epoch for trial in journal.trials.values())
    journal.close()
    assert not tracker.problems, tracker.problems
    return {
        "trials": len(journal.trials),
        "epochs": epochs,
        "start_s": ray_s,
        "run_s": total_s - ray_s,
    }


def measure_stock(
    num_trials: int, scratch: Path, *, reuse_actors: bool = False
) -> dict[str, float]:
    """Run Ray Tune with the parts its guides name; returns seconds and epochs.

    Args:
        num_trials: Trials of the search.
        scratch: Folder for all files.
        reuse_actors: Whether a worker takes one trial after another, as Tune offers it to a class
            that implements `reset_config`; its guides leave it off.
    """
    import logging

    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    class Toy(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            import_training()
            self._epoch = 0

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._epoch = 0
            return True

        def step(self) -> dict[str, Any]:
            self._epoch += 1
            return toy_metrics(self.config, self._epoch)

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            Path(checkpoint_dir, "epoch").write_text(str(self._epoch))

        def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]
            self._epoch = int(Path(checkpoint_dir, "epoch").read_text())

    started = time.perf_counter()
    ray.init(num_cpus=NUM_CORES, include_dashboard=False, logging_level=logging.ERROR)
    start_s = time.perf_counter() - started
    tuner = tune.Tuner(
        Toy,
        param_space={
            "weight_decay": tune.loguniform(1e-4, 1.0),
            "label_smoothing": tune.uniform(0.0, 0.2),
            "drop_path_rate": tune.uniform(0.0, 0.3),
            "ema_decay": tune.uniform(0.9, 0.9999),
            "warmup_fraction": tune.uniform(0.0, 0.3),
        },
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="min",
            num_samples=num_trials,
            reuse_actors=reuse_actors,
            search_alg=OptunaSearch(),
            scheduler=ASHAScheduler(
                max_t=EPOCHS, grace_period=GRACE_PERIOD, reduction_factor=REDUCTION_FACTOR
            ),
        ),
        run_config=tune.RunConfig(
            name="stock",
            storage_path=str(scratch),
            verbose=0,
            callbacks=[
                MLflowLoggerCallback(
                    tracking_uri=f"sqlite:///{scratch}/mlflow.db", experiment_name="stock"
                )
            ],
        ),
    )
    started = time.perf_counter()
    results = tuner.fit()
    run_s = time.perf_counter() - started
    epochs = sum(
        (results[place].metrics or {}).get("training_iteration", 0) for place in range(len(results))
    )
    ray.shutdown()
    return {"trials": len(results), "epochs": epochs, "start_s": start_s, "run_s": run_s}


def measure_syne(num_trials: int, scratch: Path) -> dict[str, float]:
    """Run Syne Tune's local back end, whose trials are scripts; returns seconds."""
    from syne_tune import StoppingCriterion, Tuner  # type: ignore[import-not-found]
    from syne_tune.backend import LocalBackend  # type: ignore[import-not-found]
    from syne_tune.config_space import loguniform, uniform  # type: ignore[import-not-found]
    from syne_tune.optimizer.baselines import ASHA  # type: ignore[import-not-found]

    scheduler = ASHA(
        config_space={
            "weight_decay": loguniform(1e-4, 1.0),
            "label_smoothing": uniform(0.0, 0.2),
            "drop_path_rate": uniform(0.0, 0.3),
            "ema_decay": uniform(0.9, 0.9999),
            "warmup_fraction": uniform(0.0, 0.3),
        },
        metric="loss",
        time_attr="epoch",
        max_t=EPOCHS,
        grace_period=GRACE_PERIOD,
        reduction_factor=REDUCTION_FACTOR,
    )
    tuner = Tuner(
        trial_backend=LocalBackend(entry_point=str(Path(__file__).resolve())),
        scheduler=scheduler,
        stop_criterion=StoppingCriterion(max_num_trials_finished=num_trials),
        n_workers=NUM_CORES,
        # Its default, 5 s between two looks at the trials, would dominate.
        sleep_time=0.1,
        save_tuner=False,
        trial_backend_path=str(scratch / "syne"),
    )
    started = time.perf_counter()
    tuner.run()
    run_s = time.perf_counter() - started
    finished = tuner.tuning_status.num_trials_finished
    return {"trials": finished, "epochs": math.nan, "start_s": 0.0, "run_s": run_s}


def run_one_syne_trial(arguments: list[str]) -> None:
    """Run one trial as `LocalBackend` starts it: this file with strengths as arguments."""
    from syne_tune import Reporter

    parser = argparse.ArgumentParser()
    for name in STRENGTHS:
        parser.add_argument(f"--{name}", type=float)
    strengths = vars(parser.parse_known_args(arguments)[0])
    import_training()
    report = Reporter()
    for epoch in range(1, EPOCHS + 1):
        report(epoch=epoch, loss=toy_metrics(strengths, epoch)[METRIC])


@contextlib.contextmanager
def two_cores() -> Iterator[None]:
    """Keep this process and all it starts on two cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, sorted(before)[:NUM_CORES])
        yield
        os.sched_setaffinity(0, before)
    else:
        yield


SIDES = {
    "ours": measure_ours,
    "stock": measure_stock,
    "reusing": partial(measure_stock, reuse_actors=True),
    "syne": measure_syne,
}


def measured_apart(side: str, *, num_trials: int, python: str, imports: str) -> dict[str, float]:
    """Measure one side in a process of its own, so that none inherits what another imported."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [python, str(Path(__file__).resolve()), "--measure", side, scratch]
        command += ["--num-trials", str(num_trials)]
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "RAY_AIR_NEW_OUTPUT": "0"}
        environment = {**os.environ, **quiet, "PYTHONPATH": str(ROOT), IMPORTS: imports}
        log = Path(scratch) / "log.txt"
        with log.open("w") as stderr:
            ended = subprocess.run(
                command, env=environment, cwd=scratch, stdout=subprocess.PIPE, stderr=stderr
            )
        if ended.returncode:
            raise RuntimeError(f"`{side}` failed:\n{log.read_text()[-3000:]}")
        answer: dict[str, float] = json.loads(ended.stdout.decode().strip().splitlines()[-1])
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.driver.trial_overhead")
    parser.add_argument("sides", nargs="*", help=f"of {', '.join(SIDES)}; ours and stock if none")
    parser.add_argument("--num-trials", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=1, help="the sides take turns")
    parser.add_argument("--python", default=sys.executable, help="has Syne Tune, for `syne`")
    parser.add_argument(
        "--imports",
        default="torch,torchvision,timm",
        help="modules that each worker loads, empty for none",
    )
    parser.add_argument("--measure", nargs=2, metavar=("SIDE", "SCRATCH"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        side, scratch = asked.measure
        with two_cores():
            print(json.dumps(SIDES[side](asked.num_trials, Path(scratch))))
        return
    unknown = [side for side in asked.sides if side not in SIDES]
    if unknown:
        parser.error(f"`sides` must be of {', '.join(SIDES)}, but got {unknown[0]!r}")
    print(
        f"{platform.machine()}, {NUM_CORES} of {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; Python {platform.python_version()}"
    )
    print(f"`python -m benchmarks.driver.trial_overhead {' '.join(sys.argv[1:])}`\n")
    print("| side | trials | epochs | starting, s | running, s | a trial, s |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for _ in range(asked.rounds):
        for side in asked.sides or ("ours", "stock"):
            python = asked.python if side == "syne" else sys.executable
            found = measured_apart(
                side, num_trials=asked.num_trials, python=python, imports=asked.imports
            )
            print(
                f"| {side} | {found['trials']} | {found['epochs']} | {found['start_s']:.1f} "
                f"| {found['run_s']:.1f} | {found['run_s'] / found['trials']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    if "--st_checkpoint_dir" in sys.argv:  # As Syne Tune's back end starts a trial.
        run_one_syne_trial(sys.argv[1:])
    else:
        main()
