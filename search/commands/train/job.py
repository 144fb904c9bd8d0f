"""Settings of one full training run, as kept in ``train.json``."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from search.records.files import read_json, write_json
from search.records.home import Home
from search.records.strict_json import build
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.task import Task
from trainable.data.place import short_name
from trainable.models.build import describe_model

SCHEMA = "train/1"
JOB_FILE = "train.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Settings by the user; None takes the value of the recipe, its run or the dataset.

    Attributes:
        config: Recipe file.
        dataset: Name of a dataset, or path of an image folder or table.
        data_dir: Directory that named datasets are in or are downloaded to.
        columns: Columns of a table of images.
        group_by: Regular expression for the groups of files.
        num_train: Number of training images of the subset, chosen as in a search together with
            validation images; both are trained on.
        epochs: Passes over the images.
        batch_size: Images per optimizer step.
        lr: Peak learning rate.
        seed: Seed of the training run.
        amp_dtype: Precision of mixed-precision training.
        max_image_pixels: Pixels of the largest picture that is decoded.
    """

    config: Path
    dataset: str | None = None
    data_dir: str | None = None
    columns: str | None = None
    group_by: str | None = None
    num_train: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    seed: int | None = None
    amp_dtype: str | None = None
    max_image_pixels: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FromSearch:
    """Result of the search that a recipe comes from, copied as its directory may move or vanish.

    Attributes:
        name: Name of the search's run.
        search_id: Its identifier in the tracking store.
        is_exported: Whether the recipe is the one that the search exported, and not another file
            in its directory.
        sentence: The sentence of its verdict, or empty.
        confirmed: Metrics ``test/...`` of the exported recipe, means over ``seeds`` fresh seeds.
        seeds: Number of fresh seeds.
        num_train: Number of images that each of those runs was trained on.
    """

    name: str
    search_id: str
    is_exported: bool
    sentence: str
    confirmed: Mapping[str, float]
    seeds: int
    num_train: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainJob:
    """The complete settings of one full training run, from which it can be reproduced.

    Attributes:
        train_id: Identifier that is unique in a tracking store.
        recipe: The recipe with a resolved precision, as timing could choose another next time.
        as_written: The recipe as given by its file and the flags, before rescaling.
        notes: Sentences on the strengths that were rescaled and why, and on the data.
        dataset: Name or absolute path of the dataset.
        data_dir: Absolute path of the directory of named datasets.
        subset: Number of training images of the subset, or None for all.
        data_seed: Seed of the subset.
        digest: Digest of the dataset.
        num_train: Number of images trained on, of training and validation part.
        num_val: Number of those that belong to the validation part.
        num_test: Number of test images.
        class_names: Name of each class.
        from_search: The search that the recipe comes from, or None.
        max_image_pixels: Pixels of the largest picture that is decoded, or None for the default.
        home: The directory that ``data_dir`` was given for; None where the run lies elsewhere.
        columns: Columns of a table of images, or None to find them by name.
        group_by: Regular expression for the groups of files, or None.
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
    home: Home | None = None
    max_image_pixels: int | None = None
    columns: str | None = None
    group_by: str | None = None

    @property
    def task(self) -> Task:
        """The task of the run."""
        return task_of(self.recipe, num_train=self.num_train, num_classes=len(self.class_names))

    @property
    def data_name(self) -> str:
        """Name of the dataset, without the path."""
        return short_name(self.dataset)

    def to_dict(self) -> dict[str, Any]:
        """Convert to the mapping that is written to ``train.json``."""
        recipes = {"recipe": self.recipe.to_dict(), "as_written": self.as_written.to_dict()}
        return {"schema": SCHEMA, **asdict(self), **recipes}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = JOB_FILE) -> Self:
        """Convert back from the mapping of `to_dict`.

        Raises:
            InputError: If a value is missing, of the wrong type or outside its interval.
        """
        return build(cls, data, where=where)


def read_job(run_dir: Path) -> TrainJob:
    """Read the job of a training run.

    One that was not made in this very directory may be somebody else's: the data directory that it
    names, which is written to, does not count any more.

    Raises:
        InputError: If the directory has no ``train.json`` of this version.
    """
    data = read_json(run_dir / JOB_FILE)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InputError(f"{run_dir / JOB_FILE} is not a {SCHEMA} file of this version.")
    job = TrainJob.from_dict(data, where=str(run_dir / JOB_FILE))
    if job.home is not None and job.home.is_at(run_dir):
        return job
    return replace(job, data_dir=os.path.realpath("data"), home=None)


def write_job(job: TrainJob, run_dir: Path, *, begins: bool = False) -> None:
    """Write a job into the directory of its run, which must exist; it is at home there then."""
    has_begun = begins or (job.home is not None and job.home.has_begun)
    settled = replace(job, home=Home.at(run_dir, has_begun=has_begun))
    write_json(run_dir / JOB_FILE, settled.to_dict())


def task_of(
    recipe: Recipe, *, num_train: int, num_classes: int, class_sizes: Sequence[int] = ()
) -> Task:
    """Return the task of training a recipe on ``num_train`` images.

    ``class_sizes`` are those of each class, empty where they are not known.
    """
    info = describe_model(recipe.model, image_size=recipe.image_size)
    return Task.of(
        recipe,
        num_train=num_train,
        num_classes=num_classes,
        num_blocks=info.num_blocks,
        deepest_share=info.deepest_share,
        has_batch_norm=info.has_batch_norm,
        has_output_bias=info.has_output_bias,
        class_sizes=class_sizes,
    )
