"""How many workers a run starts on a cluster of its own: each imports torch for seconds."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from search import tune_run
from search.conductor import Conductor
from search.journal import Journal
from search.stages import ListedStage
from search.trials import TrialSpec
from spaces.recipe import Recipe
from tests.toy_training import toy_dataset

NUM_PLACES, NUM_BATCHES = 2, 3


def make_toy(started: Path) -> type[tune.Trainable]:
    """A trainable that Ray sends by value, so that its workers import nothing."""

    class Toy(tune.Trainable):
        def setup(self, config: dict[str, Any], **given: Any) -> None:
            with started.open("a") as file:
                file.write(f"{os.getpid()}\n")
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._number = new_config["spec"]["number"]
            return True

        def step(self) -> dict[str, Any]:
            deadline = time.monotonic() + 120
            while len(started.read_text().split()) < NUM_PLACES:  # Else one worker may do it all.
                assert time.monotonic() < deadline
                time.sleep(0.01)
            # Each batch ends with one worker that has nothing to do.
            time.sleep(0.5 * (self._number % NUM_PLACES))
            return {"epoch": 1, "metrics": {"val/top1": 0.5}, "by_image": {}}

    return Toy


@pytest.mark.slow
def test_workers_that_wait_for_the_end_of_a_batch_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batch(number: int) -> list[TrialSpec]:
        numbers = [NUM_PLACES * number + place for place in range(NUM_PLACES)]
        return [
            TrialSpec(stage="attribute", number=n, role="arm", recipe=Recipe(epochs=1))
            for n in numbers
            if number < NUM_BATCHES
        ]

    started = tmp_path / "started.txt"
    monkeypatch.setattr(tune_run, "RecipeTrainable", make_toy(started))
    resources = tune_run.Resources(
        cpus_per_trial=1, gpus_per_trial=0, ray_address=None, storage=str(tmp_path / "ray")
    )
    journal = Journal(tmp_path)
    conductor = Conductor(journal, [lambda: ListedStage("attribute", journal, batch)])
    num_cores = tune_run.start_ray(resources)
    resources = replace(resources, cpus_per_trial=num_cores / NUM_PLACES)
    try:
        tune_run.run(conductor, dataset=toy_dataset(), resources=resources, run_dir=tmp_path)
    finally:
        tune_run.stop_ray()
        journal.close()
    assert [t.status for t in journal.trials.values()] == ["finished"] * NUM_PLACES * NUM_BATCHES
    assert len(started.read_text().split()) == NUM_PLACES
