"""How many workers a run starts, and that each comes to work: a start is seconds of imports."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune

from search.engine import run as tune_run
from search.engine.conductor import Conductor, Wait
from search.records.journal import Journal
from search.records.trials import Trial, TrialSpec
from search.stages.listed_stage import ListedStage
from spaces.recipe import Recipe
from tests.support.cluster_control import Nodes
from tests.support.toy_training import toy_dataset

NUM_PLACES, NUM_BATCHES = 2, 3
MOST_TRIALS = 150


def make_toy(
    started: Path, *, start_s: float, num_awaited: int, trial_s: tuple[float, ...]
) -> type[tune.Trainable]:
    """A trainable that Ray sends by value, so that its workers import nothing.

    Args:
        started: File with the process of each worker.
        start_s: Seconds that a worker needs before its first trial.
        num_awaited: Workers that must be there before a trial ends.
        trial_s: Seconds of a trial, by its number.
    """

    class Toy(tune.Trainable):
        def setup(self, config: dict[str, Any], **given: Any) -> None:
            time.sleep(start_s)
            with started.open("a") as file:
                file.write(f"{os.getpid()}\n")
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._number = int(new_config["trial_id"].rpartition("-")[2])
            if (misfortune := Path(f"{started}.{self._number}")).exists():
                does = misfortune.read_text()
                misfortune.unlink()
                if does == "die":
                    os._exit(1)
                raise RuntimeError("planted")
            return True

        def step(self) -> dict[str, Any]:
            deadline = time.monotonic() + 120
            while len(started.read_text().split()) < num_awaited:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(trial_s[self._number % len(trial_s)])
            node = ray.get_runtime_context().get_node_id()
            return {"epoch": 1, "metrics": {"val/top1": 0.5}, "by_image": {}, "node": node}

    return Toy


def a_spec(number: int) -> TrialSpec:
    return TrialSpec(stage="attribute", number=number, role="cell", recipe=Recipe(epochs=1))


def run(conductor: Conductor, tmp_path: Path, *, address: str | None, num_cores: int = 0) -> None:
    resources = tune_run.Resources(
        cpus_per_trial=1, gpus_per_trial=0, ray_address=address, storage=str(tmp_path / "ray")
    )
    there = tune_run.start_ray(resources)
    if num_cores:
        resources = replace(resources, cpus_per_trial=there / num_cores)
    try:
        tune_run.run(conductor, dataset=toy_dataset(), resources=resources, run_dir=tmp_path)
    finally:
        tune_run.stop_ray()


@pytest.mark.slow
def test_workers_that_wait_for_the_end_of_a_batch_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batch(number: int) -> list[TrialSpec]:
        first = NUM_PLACES * number
        return [a_spec(first + i) for i in range(NUM_PLACES) if number < NUM_BATCHES]

    started = tmp_path / "started.txt"
    # Each batch ends with one worker that has nothing to do. No trial ends before the driver has
    # heard that the other worker is there: Tune would give its trial to the free one, and end it.
    toy = make_toy(started, start_s=0.0, num_awaited=NUM_PLACES, trial_s=(1.5, 2.5))
    monkeypatch.setattr(tune_run, "RecipeTrainable", toy)
    journal = Journal(tmp_path)
    conductor = Conductor(journal, [lambda: ListedStage("attribute", journal, batch)])
    run(conductor, tmp_path, address=None, num_cores=NUM_PLACES)
    journal.close()
    assert [t.status for t in journal.trials.values()] == ["finished"] * NUM_PLACES * NUM_BATCHES
    assert len(started.read_text().split()) == NUM_PLACES


@pytest.mark.slow
def test_a_trial_that_a_worker_cannot_begin_is_begun_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tune gives up on it at once, without a word to the search, which would wait for ever."""
    started = tmp_path / "started.txt"
    toy = make_toy(started, start_s=0.0, num_awaited=1, trial_s=(0.05,))
    monkeypatch.setattr(tune_run, "RecipeTrainable", toy)
    misfortunes = {2: "die", 5: "raise"}
    for number, misfortune in misfortunes.items():
        Path(f"{started}.{number}").write_text(misfortune)
    specs = [a_spec(number) for number in range(8)]
    journal = Journal(tmp_path)
    stage = ListedStage("attribute", journal, lambda number: [] if number else specs)
    run(Conductor(journal, [lambda: stage]), tmp_path, address=None, num_cores=1)
    journal.close()
    assert {n: t.status for n, t in journal.trials.items()} == {
        spec.trial_id: "finished" for spec in specs
    }
    assert not [number for number in misfortunes if Path(f"{started}.{number}").exists()]
    assert len(started.read_text().split()) == 1 + len(misfortunes)


class UntilUsed:
    """A stage that lasts until a node that joined has had a trial, or many trials are over."""

    name = "attribute"

    def __init__(self, journal: Journal, nodes: Nodes) -> None:
        self._journal = journal
        self._nodes = nodes
        self.joined = ""

    def next(self) -> TrialSpec | Wait:
        number = len(self._journal.trials)
        return Wait.NO_MORE if self.is_used or number >= MOST_TRIALS else a_spec(number)

    @property
    def is_used(self) -> bool:
        return self.joined in {trial.node for trial in self._journal.trials.values()} - {""}

    def goes_on(self, trial: Trial) -> bool:
        return True

    def is_late(self, trial: Trial) -> bool:
        return False

    def num_expected(self) -> Mapping[str, int]:
        return {}

    def ended(self, trial: Trial) -> None:
        if not self.joined and trial.spec.number >= 2:
            self.joined = self._nodes.add()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_node_that_joins_comes_to_work_though_trials_are_shorter_than_its_worker_s_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Nodes(1)
    toy = make_toy(tmp_path / "started.txt", start_s=3.0, num_awaited=1, trial_s=(0.3,))
    monkeypatch.setattr(tune_run, "RecipeTrainable", toy)
    journal = Journal(tmp_path)
    stage = UntilUsed(journal, nodes)
    try:
        run(Conductor(journal, [lambda: stage]), tmp_path, address=nodes.address)
    finally:
        journal.close()
        nodes.close()
    assert stage.is_used
