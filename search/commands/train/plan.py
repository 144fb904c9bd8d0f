"""Planning of a full training run: data, precision and rescaled strengths.

The strengths of a recipe were found on fewer images than it is now trained on, as validation images
are trained on too. Strengths that depend on the length of a run (weight decay, averaging window,
warmup) are therefore rescaled to the same effective value. Strengths that `spaces.rescale` would
keep at their distance from a default (label smoothing, drop path) stay as they are: they mean the
same at any length, and a strength that the verdict turned off must not be turned on again because
there are more images.
"""

import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from search.commands.train.job import Asked, FromSearch, TrainJob, task_of
from search.plan.dataset_place import absolute_dataset, is_gone
from search.plan.origin import EXPORTED_RECIPES, Origin, origin_of
from search.recipes.model_remarks import model_remarks, settled
from search.recipes.own_weights import refuse_own_weights
from search.recipes.timm_import import Described
from search.recipes.yaml_file import read_described, read_recipe
from search.records.files import exists
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.rescale import rescale
from trainable import accelerator
from trainable.data.collecting import default_recipe
from trainable.data.datasets import Dataset, load_dataset
from trainable.data.splits import Split
from trainable.models.build import (
    describe_model,
    require_dropout,
    require_freezable,
    require_output_bias,
)
from trainable.timing import amp_dtype_of


def make_job(asked: Asked, *, name: str) -> tuple[TrainJob, Dataset]:
    """Load the data and determine all settings of a training run.

    Args:
        asked: Settings by the user.
        name: Name of the training run.

    Returns:
        The job, and the dataset with validation images joined to the training part.

    Raises:
        InputError: If a setting is wrong.
    """
    origin = origin_of(asked.config)
    where = _where(asked, origin)
    described = _as_written(asked, where)
    written = described.recipe
    dataset = where.load(image_size=written.image_size)
    pooled = with_validation_trained_on(dataset)
    moved, notes = _moved(written, asked, origin, pooled)
    num_threads = torch.get_num_threads()
    amp_dtype = amp_dtype_of(moved, pooled, device=device(), num_threads=num_threads)
    recipe = settled(replace(moved, amp_dtype=amp_dtype))
    info = describe_model(recipe.model, image_size=recipe.image_size)
    require_dropout(recipe, info)
    require_output_bias(recipe, info)
    require_freezable(recipe)
    job = TrainJob(
        train_id=f"{name}-{secrets.token_hex(4)}",
        recipe=recipe,
        as_written=written,
        notes=(*described.notes, *notes, *model_remarks(recipe), *dataset.notes),
        dataset=where.dataset,
        data_dir=where.data_dir,
        subset=where.subset,
        data_seed=where.seed,
        max_image_pixels=where.max_image_pixels,
        columns=where.columns,
        group_by=where.group_by,
        digest=dataset.digest,
        num_train=len(pooled.split.train),
        num_val=len(dataset.split.val),
        num_test=len(dataset.split.test),
        class_names=dataset.class_names,
        from_search=_from_search(asked.config, origin),
    )
    return job, pooled


def load_data(job: TrainJob) -> Dataset:
    """Load the dataset of a job that was begun earlier.

    Raises:
        InputError: If it is missing or has changed.
    """
    where = _Where(
        dataset=job.dataset,
        data_dir=job.data_dir,
        subset=job.subset,
        seed=job.data_seed,
        max_image_pixels=job.max_image_pixels,
        columns=job.columns,
        group_by=job.group_by,
    )
    dataset = where.load(image_size=job.recipe.image_size)
    if dataset.digest != job.digest:
        raise InputError(
            f"{job.dataset} has changed since this training began; choose another RUN_NAME."
        )
    return with_validation_trained_on(dataset)


def check_same(asked: Asked, job: TrainJob) -> None:
    """Raise if the user's settings differ from those that the job was begun with.

    Raises:
        InputError: If recipe or data differ.
    """
    where = _where(asked, origin_of(asked.config))
    now = _as_written(asked, where).recipe.to_dict()
    then = job.as_written.to_dict()
    changed = [key for key in now if now[key] != then[key]]
    changed += ["dataset"] * (where.dataset != job.dataset)
    changed += ["columns"] * (where.columns != job.columns)
    changed += ["group_by"] * (where.group_by != job.group_by)
    changed += ["num_train"] * (where.subset != job.subset)
    if changed:
        raise InputError(
            f"A run of this name was begun with another `{changed[0]}`; leave CONFIG out to go on "
            "with it, or choose another RUN_NAME."
        )


def with_validation_trained_on(dataset: Dataset) -> Dataset:
    """Return the dataset with its validation images added to the training images."""
    split = dataset.split
    pool = np.sort(np.concatenate([split.train, split.val]))
    # `val` stays, for the trainer measures the fit on as many training images as `val` has. The
    # validation images themselves are not evaluated.
    return replace(dataset, split=Split(train=pool, val=split.val, test=split.test))


def device() -> str:
    """Return the device of a full run, as `trainable.accelerator` names it: its GPU or the CPU."""
    return accelerator.device_for(accelerator.num_devices())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Where:
    """The dataset and the subset of it that are trained on."""

    dataset: str
    data_dir: str
    subset: int | None
    seed: int
    max_image_pixels: int | None
    columns: str | None
    group_by: str | None

    def load(self, *, image_size: int) -> Dataset:
        return load_dataset(
            self.dataset,
            image_size=image_size,
            data_dir=Path(self.data_dir),
            num_train=self.subset,
            seed=self.seed,
            max_pixels=self.max_image_pixels,
            columns=self.columns,
            group_by=self.group_by,
        )


def _where(asked: Asked, origin: Origin | None) -> _Where:
    data_dir = os.path.realpath(asked.data_dir or "data")
    if asked.dataset is not None:
        return _Where(
            dataset=absolute_dataset(asked.dataset),
            data_dir=data_dir,
            subset=asked.num_train,
            seed=asked.seed or 0,
            max_image_pixels=asked.max_image_pixels,
            columns=asked.columns,
            group_by=asked.group_by,
        )
    if origin is None and not exists(asked.config):
        raise InputError(f"{asked.config}: there is no such file.")
    if origin is None:
        raise InputError(
            f"`--dataset` must be given: {asked.config} lies in no run that says what to train on."
        )
    config = origin.config
    if is_gone(config.dataset):
        raise InputError(
            f"The images of {config.run_name} must lie in {config.dataset}, but do not; give the "
            "folder in which they lie now, or their table, as `--dataset`."
        )
    subset = config.num_train if asked.num_train is None else asked.num_train
    kept = data_dir if asked.data_dir or not Path(config.data_dir).is_dir() else config.data_dir
    most = asked.max_image_pixels or config.max_image_pixels
    return _Where(
        dataset=config.dataset,
        data_dir=kept,
        subset=subset,
        seed=config.seed,
        max_image_pixels=most,
        columns=asked.columns or config.columns,
        group_by=asked.group_by or config.group_by,
    )


def _as_written(asked: Asked, where: _Where) -> Described:
    """Read the recipe file and apply the user's settings, which concern no strength."""
    defaults = default_recipe(where.dataset, data_dir=Path(where.data_dir), columns=where.columns)
    described = read_described(asked.config, defaults=defaults)
    refuse_own_weights(asked.config, described)
    recipe = described.recipe
    names = ("seed", "amp_dtype", "epochs", "batch_size", "lr")
    given = {name: getattr(asked, name) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    if asked.lr is not None:
        # The last rate keeps its ratio to the peak.
        given["min_lr"] = recipe.min_lr * asked.lr / recipe.lr
    return replace(described, recipe=replace(recipe, **given))


def _moved(
    written: Recipe, asked: Asked, origin: Origin | None, pooled: Dataset
) -> tuple[Recipe, tuple[str, ...]]:
    """Rescale the strengths to this run's length; return the recipe and sentences on the changes.

    A file outside of a run directory is taken to be made for this number of images.
    """
    num_train, num_classes = len(pooled.split.train), len(pooled.class_names)
    sizes = [train for train, _, _ in pooled.images_per_class]
    to_task = task_of(written, num_train=num_train, num_classes=num_classes, class_sizes=sizes)
    found_on = origin.num_train if origin else num_train
    in_file = read_recipe(asked.config, defaults=written)
    from_task = task_of(
        in_file, num_train=num_train, num_classes=num_classes, class_sizes=sizes
    ).resized(found_on)
    if from_task == to_task:
        return written, ()
    rescaled = rescale(written, from_task, to_task, defaults_move=False)
    why = (
        f"The strengths are meant for {found_on} images and {from_task.total_steps} steps; this "
        f"run has {num_train} images and {to_task.total_steps} steps."
    )
    return rescaled.recipe, (why, *rescaled.notes.values()) if rescaled.notes else ()


def _from_search(config: Path, origin: Origin | None) -> FromSearch | None:
    if origin is None:
        return None
    verdict = origin.verdict or {}
    confirmed = verdict.get("confirmed") or {}
    return FromSearch(
        name=origin.config.run_name,
        search_id=origin.config.search_id,
        is_exported=config.name in EXPORTED_RECIPES,
        sentence=verdict.get("sentence", ""),
        confirmed=confirmed.get(verdict.get("exported", "best"), {}),
        seeds=confirmed.get("seeds", 0),
        num_train=origin.plan.data.num_train,
    )
