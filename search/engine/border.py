"""The border to Ray Tune: how a trial of the run becomes one of Tune's, and which one that was.

Only this module writes a trial's configuration on the driver, and `trainable.ray_trainable` reads
it in the worker. The driver needs no more of it than the name of the trial: all else is in the
journal.
"""

from dataclasses import replace
from typing import Any

from search.records.trials import Trial


def config_of(trial: Trial, *, checkpoint: str | None) -> dict[str, Any]:
    """The configuration with which Tune begins a trial.

    Args:
        trial: The trial.
        checkpoint: Path or URI of the state that it goes on from, or None to begin.
    """
    spec = replace(trial.spec.run_spec, checkpoint=checkpoint)
    return {"trial_id": trial.spec.trial_id, "spec": spec.to_dict()}


def trial_id_of(tune_trial: Any) -> str:
    """Name of the trial that one of Tune's trials stands for."""
    trial_id: str = tune_trial.config["trial_id"]
    return trial_id


def location_gone_on_from(tune_trial: Any) -> str | None:
    """Path or URI of the state that Tune's trial was begun with, if it was."""
    location: str | None = tune_trial.config["spec"]["checkpoint"]
    return location
