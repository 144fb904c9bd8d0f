"""Conversion between the run's trials and Ray Tune's configurations.

Only this module makes a trial's configuration in the driver, and `trainable.ray_trainable` reads it
in the worker. The driver reads back the trial's name and checkpoint only: all else is in the
journal.
"""

from dataclasses import replace
from typing import Any

from search.records.trials import Trial
from trainable.run_spec import Soup


def config_of(
    trial: Trial,
    *,
    checkpoint: str | None,
    weights_to: str | None = None,
    soup: Soup | None = None,
) -> dict[str, Any]:
    """Make the configuration with which Tune begins a trial.

    Args:
        trial: The trial.
        checkpoint: Path or URI of the checkpoint to resume from, or None to begin anew.
        weights_to: Path or URI to write its final weights to, or None.
        soup: Weights of other trials to average with its own, or None.
    """
    spec = replace(trial.spec.run_spec, checkpoint=checkpoint, weights_to=weights_to, soup=soup)
    return {"trial_id": trial.spec.trial_id, "spec": spec.to_dict()}


def trial_id_of(tune_trial: Any) -> str:
    """Return the id of the run's trial that belongs to one of Tune's trials."""
    trial_id: str = tune_trial.config["trial_id"]
    return trial_id


def location_gone_on_from(tune_trial: Any) -> str | None:
    """Return path or URI of the checkpoint that Tune's trial was resumed from, or None."""
    location: str | None = tune_trial.config["spec"]["checkpoint"]
    return location
