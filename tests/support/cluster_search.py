"""A search of fixed trials on a cluster: the real trainable, and a model that learns in seconds.

    python -m tests.support.cluster_search <address> <run directory> <storage> <nodes> <seconds>

Trials are slow until so many nodes have had one: they last longer than a new node needs to join in.
The seconds are those between checkpoints of a trial.

Beside the journal it leaves ``told.jsonl``, every epoch that was ever reported, also the repeated
ones, and ``images.json``, how each node holds the images.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.engine.conductor import Conductor, Wait
from search.records.journal import Journal
from search.records.trials import Record, Trial, TrialSpec
from tests.support.toy_training import TOY, toy_dataset

NUM_TRIALS = 7
EPOCHS = 14
LONG_S = 1.0
"""Seconds that an epoch takes until then."""


def specs() -> list[TrialSpec]:
    return [
        TrialSpec(
            stage="search",
            number=number,
            role="proposed",
            recipe=replace(TOY, epochs=EPOCHS, seed=number),
            eval_epochs=(EPOCHS // 2,),
        )
        for number in range(NUM_TRIALS)
    ]


class FixedTrials:
    """A stage that trains a given list in full."""

    name = "search"

    def __init__(self, journal: Journal) -> None:
        self._left = [spec for spec in specs() if spec.trial_id not in journal.trials]

    def next(self) -> TrialSpec | Wait:
        return self._left.pop(0) if self._left else Wait.NO_MORE

    def goes_on(self, trial: Trial) -> bool:
        return True

    def is_late(self, trial: Trial) -> bool:
        return False

    def num_expected(self) -> Mapping[str, int]:
        return {}

    def ended(self, trial: Trial) -> None:
        pass


class TellingConductor(Conductor):
    """Writes down what is reported before anything is made of it."""

    def __init__(self, journal: Journal, told: Path, *, num_nodes: int) -> None:
        super().__init__(journal, [lambda: FixedTrials(journal)])
        self._told = told
        self._num_nodes = num_nodes
        self._nodes = {trial.node for trial in journal.trials.values()}

    def report(self, record: Record) -> bool:
        with self._told.open("a") as file:
            line = {"session": os.getpid(), "trial_id": record.trial_id, "epoch": record.epoch}
            file.write(json.dumps(line) + "\n")
        self._nodes.add(self.trial(record.trial_id).node)
        if len(self._nodes) < self._num_nodes:
            time.sleep(LONG_S)
        return super().report(record)


def how_nodes_hold(dataset: Any) -> list[dict[str, Any]]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def look(given: Any) -> dict[str, Any]:
        import trainable

        images = given.images
        return {
            "copied": images.flags.owndata or images.flags.writeable,
            "code": trainable.__file__,
        }

    reference = ray.put(dataset)
    asked = []
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = ray.remote(look).options(num_cpus=0, scheduling_strategy=there)
        asked.append(task.remote(reference))
    return list(ray.get(asked))


def main(
    address: str, run_dir: Path, storage: str, num_nodes: int, checkpoint_every_s: float
) -> None:
    from search.engine import run as tune_run

    resources = tune_run.Resources(
        cpus_per_trial=1.0,
        gpus_per_trial=0.0,
        ray_address=address,
        storage=storage,
        checkpoint_every_s=checkpoint_every_s,
    )
    num_cores = tune_run.start_ray(resources)
    dataset = toy_dataset()
    if not (run_dir / "images.json").exists():
        (run_dir / "images.json").write_text(json.dumps(how_nodes_hold(dataset)))
    journal = Journal(run_dir)
    journal.begin_session(num_cores=num_cores, cores_per_trial=1.0)
    conductor = TellingConductor(journal, run_dir / "told.jsonl", num_nodes=num_nodes)
    tune_run.run(conductor, dataset=dataset, resources=resources, run_dir=run_dir)
    journal.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
