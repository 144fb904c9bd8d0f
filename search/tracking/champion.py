"""Logging of the exported recipe's model in MLflow, registered under the alias ``champion``.

The weights are those of a confirmation run, not of a run made for the purpose: the first fresh seed
of the exported recipe, fixed before any result is known. Taking the best of the seeds would make
the champion's test accuracy an optimistic one.

The model is kept as safetensors and one readable file of code that loads them ("models from code").
MLflow's own flavour for PyTorch has two formats: ``pickle`` executes code from the store's file,
``pt2`` holds a traced graph without the normalization of images and the names of classes, which can
be neither read nor trained further.
"""

import json
import logging
import re
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from search.engine.storage import local_checkpoint
from search.records.provenance import ROOT
from search.records.strict_json import one_line
from search.records.trials import Trial
from spaces.recipe import Recipe
from trainable import checkpoint
from trainable.ema import EmaBank
from trainable.models.build import RESNET18_CIFAR, create_model
from trainable.models.saved_model import MODEL_FILE, read_metadata, save_model, shipped_weights

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALIAS = "champion"
_CODE = Path(__file__).with_name("champion_code.py")
_LIBRARIES = ("mlflow", "numpy", "safetensors", "timm", "torch")
_LARGEST_EXAMPLE = 64 * 1024  # Bytes of images; MLflow writes each as a decimal number.


@dataclass(frozen=True, kw_only=True, slots=True)
class Champion:
    """A model to log, register, and give the alias.

    Attributes:
        model_file: Path of ``model.safetensors``, from `save_champion`.
        images: Some images as they lie in the dataset, shape image, height, width, 3, for the
            example; none for no example.
        name: Name of the registered model; characters that MLflow refuses are replaced.
        description: Description of this version, in Markdown.
        tags: Tags of this version.
    """

    model_file: Path
    images: NDArray[np.uint8]
    name: str
    description: str
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Registered:
    """A version of a registered model; ``uri`` is what `mlflow.pyfunc.load_model` takes."""

    name: str
    version: str
    uri: str


def champion_trial(trials: Iterable[Trial], recipe: Recipe) -> Trial | None:
    """Return the confirmation run whose weights become the champion, or None if none were kept.

    Args:
        trials: Trials of the confirm stage.
        recipe: The exported recipe; its seed does not matter.
    """
    kept = [
        trial
        for trial in trials
        if replace(trial.spec.recipe, seed=recipe.seed) == recipe
        and trial.is_full_length
        and trial.checkpoint is not None
    ]
    return min(kept, key=lambda trial: trial.spec.block or 0, default=None)


def save_champion(run_dir: Path, trial: Trial, *, class_names: tuple[str, ...]) -> Path:
    """Write the shipped weights of a confirmation run to ``model.safetensors``.

    Args:
        run_dir: Directory of the run.
        trial: From `champion_trial`; its checkpoint was taken after its last epoch's evaluation.
        class_names: Name of each class.

    Raises:
        OSError: If the checkpoint is missing or does not fit the recipe.
    """
    recipe = trial.spec.recipe
    assert trial.checkpoint is not None
    # The state overwrites all weights, so ImageNet weights need not be downloaded.
    fresh = replace(recipe, pretrained=False, freeze="none")
    model = create_model(fresh, num_classes=len(class_names))
    ema = EmaBank(model, {})
    try:
        state = _read(trial.checkpoint)
        model.load_state_dict(state["model"])
        ema.load_state_dict(state["ema"])
        # A run that was checkpointed by an older version has no adjustment.
        log_prior = state["log_prior"] if recipe.logit_adjustment else torch.zeros(len(class_names))
    except (KeyError, RuntimeError, ValueError) as error:
        raise OSError(f"{trial.checkpoint} cannot be used: {one_line(str(error))}") from error
    metrics = {
        name: value
        for name, value in trial.records[-1].metrics.items()
        if name.startswith(("test/", "clean_train/"))
    }
    path = run_dir / MODEL_FILE
    weights = shipped_weights(
        model, ema, logit_adjustment=recipe.logit_adjustment, log_prior=log_prior
    )
    save_model(path, weights, recipe=recipe, class_names=class_names, metrics=metrics)
    return path


def _read(location: str) -> dict[str, Any]:
    """Read the checkpoint that was saved under a path or a URI."""
    with local_checkpoint(location) as directory:
        state = checkpoint.read(directory, device="cpu")
    if state is None:
        raise FileNotFoundError(f"No checkpoint in {location} is whole.")
    return state


def log_champion(client: "MlflowClient", parent_run_id: str, champion: Champion) -> Registered:
    """Log a saved model on the run of its search, register it, and give it the alias.

    The parent run keeps its status and end time. A second call for the same search logs nothing
    twice, and never takes the alias from a later version.

    Args:
        client: Client of the store that holds the run.
        parent_run_id: Id of the run of the search.
        champion: The model.
    """
    name = re.sub(r"[^\w.-]+", "-", champion.name)
    found = client.search_model_versions(f"name='{name}' and run_id='{parent_run_id}'")
    if found:
        number = str(found[0].version)
    else:
        model_id, source = _log_model(client, parent_run_id, champion)
        if not client.search_registered_models(f"name='{name}'"):
            client.create_registered_model(name)
        number = str(
            client.create_model_version(
                name,
                source,
                run_id=parent_run_id,
                tags=dict(champion.tags),
                description=champion.description,
                model_id=model_id,
            ).version
        )
        shown = json.dumps([{"name": name, "version": number}])
        client.set_logged_model_tags(model_id, {"mlflow.modelVersions": shown})
    holder = client.get_registered_model(name).aliases.get(ALIAS)
    if holder is None or int(holder) < int(number):
        client.set_registered_model_alias(name, ALIAS, number)
    return Registered(name=name, version=number, uri=f"models:/{name}@{ALIAS}")


def _log_model(client: "MlflowClient", run_id: str, champion: Champion) -> tuple[str, str]:
    """Log the model on the run; return its id and the address of its files in the store."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    metadata = read_metadata(champion.model_file)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "model"
        described = Model(run_id=run_id)
        # Build first and log then, so that a failure leaves no broken model in the store.
        _build(local, described, champion.model_file, champion.images)
        params = {"model": metadata["model"], **metadata["recipe"]["strengths"]}
        logged = client.create_logged_model(
            client.get_run(run_id).info.experiment_id,
            name=ALIAS,
            source_run_id=run_id,
            tags=dict(champion.tags),
            params={key: str(value) for key, value in params.items()},
            model_type="classifier",
        )
        described.model_id = described.model_uuid = logged.model_id
        described.artifact_path = logged.artifact_location
        described.save(str(local / "MLmodel"))
        client.log_model_artifacts(logged.model_id, str(local))
        client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged.model_id, logged.artifact_location


def _build(folder: Path, described: object, model_file: Path, images: NDArray[np.uint8]) -> None:
    """Write the model in MLflow's format into a folder."""
    with warnings.catch_warnings():
        # MLflow warns about its own type hints while it is imported.
        warnings.simplefilter("ignore", UserWarning)
        import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # Its messages on short steps would appear in the middle of our own output.
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
    metadata = read_metadata(model_file)
    side, num_classes = metadata["image_size"], len(metadata["class_names"])
    num_shown = max(1, min(len(images), _LARGEST_EXAMPLE // (3 * side * side)))
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, side, side, 3))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, num_classes))]),
    )
    ours = metadata["model"] == RESNET18_CIFAR
    mlflow.pyfunc.save_model(
        str(folder),
        python_model=str(_CODE),
        artifacts={"weights": str(model_file)},
        code_paths=[str(ROOT / name) for name in ("spaces", "trainable")] if ours else None,
        signature=signature,
        # Training images, visible to everybody who reads the store: --no-example leaves them out.
        input_example=np.ascontiguousarray(images[:num_shown]) if len(images) else None,
        # Given explicitly, as MLflow would start a process that loads the model to find them.
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in _LIBRARIES],
        metadata={key: metadata[key] for key in ("recipe", "class_names", "metrics")},
        mlflow_model=described,
    )
