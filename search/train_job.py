"""What one full training run will do, decided before it starts and kept in ``train.json``.

The strengths of a recipe were found on fewer images than it is now trained on: validation images
are trained on too. What depends on the length of a run (total pull of weight decay, averaging
window, warmup steps) is therefore moved to mean the same in the longer run. Label smoothing and
drop path stay as they are: they mean the same at any length, and a verdict that turned one off must
not be undone because the images happen to be more now.
"""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from search.files import read_json
from search.recipe_file import read_recipe
from search.recipe_origin import Origin, origin_of
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.rescale import rescale
from spaces.task import Task
from trainable.datasets import Dataset, default_recipe, load_dataset
from trainable.models import describe_model
from trainable.splits import Split
from trainable.timing import amp_dtype_of

SCHEMA = "train/1"
JOB_FILE = "train.json"
_STAYS = ("label_smoothing", "drop_path_rate")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What decides which weights come out; None leaves it to the recipe, its run or the dataset.

    Attributes:
        config: Recipe file.
        dataset: Name of a dataset or path of an image folder.
        data_dir: Where datasets lie or are downloaded to.
        num_train: Subset as a search takes it: so many training images, and validation images to
            match; both are trained on.
        epochs: Passes over the images.
        batch_size: Images per optimizer step.
        lr: Peak learning rate.
        seed: Seed of the training run.
        amp_dtype: Precision.
    """

    config: Path
    dataset: str | None = None
    data_dir: str | None = None
    num_train: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    seed: int | None = None
    amp_dtype: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FromSearch:
    """What the search behind a recipe said; kept, because its directory may move or vanish.

    Attributes:
        name: Name of the search's run.
        search_id: What its tracking store knows it by.
        sentence: Its verdict in one sentence, or empty.
        confirmed: ``test/...`` of the exported recipe, means over ``seeds`` fresh seeds.
        seeds: How many.
        num_train: Images that each of those runs was trained on.
    """

    name: str
    search_id: str
    sentence: str
    confirmed: Mapping[str, float]
    seeds: int
    num_train: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainJob:
    """One full training run, determined to the last bit.

    Attributes:
        train_id: What no other run in a tracking store has.
        recipe: What is trained; its precision is resolved, for a probe could change its mind.
        as_written: The recipe as its file and the flags have it, strengths not yet moved.
        notes: What was moved and why, and what the user should know of the data, a sentence each.
        dataset: Name or absolute path.
        data_dir: Absolute path.
        subset: Training images that the dataset was cut to first, or None.
        data_seed: Seed of that cut.
        digest: Digest of the dataset.
        num_train: Images trained on: training and validation part.
        num_val: How many of them a search would have validated on.
        num_test: Images of the test part.
        class_names: Name of each class.
        from_search: The search that the recipe comes from, or None.
    """

    train_id: str
    recipe: Recipe
    as_written: Recipe
    notes: tuple[str, ...]
    dataset: str
    data_dir: str
    subset: int | None
    data_seed: int
    digest: str
    num_train: int
    num_val: int
    num_test: int
    class_names: tuple[str, ...]
    from_search: FromSearch | None

    @property
    def task(self) -> Task:
        """The task of the run."""
        return _task(self.recipe, num_train=self.num_train, num_classes=len(self.class_names))

    @property
    def data_name(self) -> str:
        """The dataset as people call it."""
        return Path(self.dataset).name

    def to_dict(self) -> dict[str, Any]:
        """Plain values as written to ``train.json``."""
        recipes = {"recipe": self.recipe.to_dict(), "as_written": self.as_written.to_dict()}
        return {"schema": SCHEMA, **asdict(self), **recipes}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The one conversion back from `to_dict`."""
        values = {f.name: data[f.name] for f in fields(cls)}
        for name in ("recipe", "as_written"):
            values[name] = Recipe.from_dict(data[name])
        for name in ("notes", "class_names"):
            values[name] = tuple(data[name])
        if data["from_search"] is not None:
            values["from_search"] = FromSearch(**data["from_search"])
        return cls(**values)


def make_job(asked: Asked, *, name: str) -> tuple[TrainJob, Dataset]:
    """Load the data and decide everything that can be decided before training.

    Args:
        asked: What was asked for.
        name: Name of the training run.

    Returns:
        The job, and the dataset with validation images joined to the training part.

    Raises:
        InputError: If anything given is wrong.
    """
    origin = origin_of(asked.config)
    where = _where(asked, origin)
    written = _as_written(asked, where.dataset)
    dataset = where.load(image_size=written.image_size)
    pooled = with_validation_trained_on(dataset)
    moved, notes = _moved(written, asked, origin, pooled)
    recipe = replace(moved, amp_dtype=amp_dtype_of(moved, pooled, device=device()))
    job = TrainJob(
        train_id=f"{name}-{secrets.token_hex(4)}",
        recipe=recipe,
        as_written=written,
        notes=(*notes, *dataset.notes),
        dataset=where.dataset,
        data_dir=where.data_dir,
        subset=where.subset,
        data_seed=where.seed,
        digest=dataset.digest,
        num_train=len(pooled.split.train),
        num_val=len(dataset.split.val),
        num_test=len(dataset.split.test),
        class_names=dataset.class_names,
        from_search=_from_search(origin),
    )
    return job, pooled


def read_job(run_dir: Path) -> TrainJob:
    """Read the job of a training run.

    Raises:
        InputError: If there is none of this version.
    """
    data = read_json(run_dir / JOB_FILE)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InputError(f"{run_dir / JOB_FILE} is not a {SCHEMA} file of this version.")
    return TrainJob.from_dict(data)


def load_data(job: TrainJob) -> Dataset:
    """The dataset of a job that was begun earlier.

    Raises:
        InputError: If it is gone, or is not the same any more.
    """
    where = _Where(job.dataset, job.data_dir, job.subset, job.data_seed)
    dataset = where.load(image_size=job.recipe.image_size)
    if dataset.digest != job.digest:
        raise InputError(
            f"{job.dataset} has changed since this training began; choose another RUN_NAME."
        )
    return with_validation_trained_on(dataset)


def check_same(asked: Asked, job: TrainJob) -> None:
    """Refuse to go on with a job under flags that ask for another.

    Raises:
        InputError: If recipe or data are not those that the job was begun with.
    """
    where = _where(asked, origin_of(asked.config))
    now = _as_written(asked, where.dataset).to_dict()
    then = job.as_written.to_dict()
    changed = [key for key in now if now[key] != then[key]]
    changed += ["dataset"] * (where.dataset != job.dataset)
    changed += ["num_train"] * (where.subset != job.subset)
    if changed:
        raise InputError(
            f"A run of this name was begun with another `{changed[0]}`; leave CONFIG out to go on "
            "with it, or choose another RUN_NAME."
        )


def with_validation_trained_on(dataset: Dataset) -> Dataset:
    """The dataset with its validation images among the training images."""
    split = dataset.split
    pool = np.sort(np.concatenate([split.train, split.val]))
    # `val` stays as it is, only because the trainer measures the fit on as many training images as
    # validation has; nothing is measured on `val` itself any more.
    return replace(dataset, split=Split(train=pool, val=split.val, test=split.test))


def device() -> str:
    """Where a full run trains."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True, slots=True)
class _Where:
    """Which images of which dataset."""

    dataset: str
    data_dir: str
    subset: int | None
    seed: int

    def load(self, *, image_size: int) -> Dataset:
        return load_dataset(
            self.dataset,
            image_size=image_size,
            data_dir=Path(self.data_dir),
            num_train=self.subset,
            seed=self.seed,
        )


def _where(asked: Asked, origin: Origin | None) -> _Where:
    data_dir = str(Path(asked.data_dir or "data").resolve())
    if asked.dataset is not None:
        path = Path(asked.dataset)
        found = str(path.resolve()) if path.exists() else asked.dataset
        return _Where(found, data_dir, asked.num_train, asked.seed or 0)
    if origin is None:
        raise InputError(
            f"`--dataset` must be given: {asked.config} lies in no run that says what to train on."
        )
    config = origin.config
    subset = config.num_train if asked.num_train is None else asked.num_train
    kept = data_dir if asked.data_dir or not Path(config.data_dir).is_dir() else config.data_dir
    return _Where(config.dataset, kept, subset, config.seed)


def _as_written(asked: Asked, dataset: str) -> Recipe:
    """The recipe of the file, with the flags that say nothing about its strengths."""
    recipe = read_recipe(asked.config, defaults=default_recipe(dataset))
    names = ("seed", "amp_dtype", "epochs", "batch_size", "lr")
    given = {name: getattr(asked, name) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    if asked.lr is not None:
        # The schedule ends at the same share of its peak.
        given["min_lr"] = recipe.min_lr * asked.lr / recipe.lr
    return replace(recipe, **given)


def _moved(
    written: Recipe, asked: Asked, origin: Origin | None, pooled: Dataset
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with strengths that mean in this run what they meant where they were found.

    A file that lies in no run does not say how many images it is for: it is taken to be for these.
    """
    num_train, num_classes = len(pooled.split.train), len(pooled.class_names)
    to_task = _task(written, num_train=num_train, num_classes=num_classes)
    found_on = origin.num_train if origin else num_train
    in_file = read_recipe(asked.config, defaults=written)
    from_task = _task(in_file, num_train=found_on, num_classes=num_classes)
    if from_task == to_task:
        return written, ()
    rescaled = rescale(written.strengths, from_task, to_task)
    stays = {name: getattr(written.strengths, name) for name in _STAYS}
    recipe = replace(written, strengths=replace(rescaled.strengths, **stays))
    moved = tuple(note for note in rescaled.notes if not note.startswith(_STAYS))
    why = (
        f"The strengths are meant for {found_on} images and {from_task.total_steps} steps; this "
        f"run has {num_train} images and {to_task.total_steps} steps."
    )
    return recipe, (why, *moved) if moved else ()


def _task(recipe: Recipe, *, num_train: int, num_classes: int) -> Task:
    info = describe_model(recipe.model, image_size=recipe.image_size)
    return Task.of(recipe, num_train=num_train, num_classes=num_classes, num_blocks=info.num_blocks)


def _from_search(origin: Origin | None) -> FromSearch | None:
    if origin is None:
        return None
    verdict = origin.verdict or {}
    confirmed = verdict.get("confirmed") or {}
    return FromSearch(
        name=origin.config.run_name,
        search_id=origin.search_id,
        sentence=verdict.get("sentence", ""),
        confirmed=confirmed.get(verdict.get("exported", "best"), {}),
        seeds=confirmed.get("seeds", 0),
        num_train=origin.plan.data.num_train,
    )
