"""What one full training run will do, as kept in ``train.json``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from search.records.files import read_json
from search.records.strict_json import build
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.task import Task
from trainable.models.build import describe_model

SCHEMA = "train/1"
JOB_FILE = "train.json"


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
        is_exported: Whether the recipe is the one that the search exported, and not another file
            that lies in its directory.
        sentence: Its verdict in one sentence, or empty.
        confirmed: ``test/...`` of the exported recipe, means over ``seeds`` fresh seeds.
        seeds: How many.
        num_train: Images that each of those runs was trained on.
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
        return task_of(self.recipe, num_train=self.num_train, num_classes=len(self.class_names))

    @property
    def data_name(self) -> str:
        """The dataset as people call it."""
        return Path(self.dataset).name

    def to_dict(self) -> dict[str, Any]:
        """Plain values as written to ``train.json``."""
        recipes = {"recipe": self.recipe.to_dict(), "as_written": self.as_written.to_dict()}
        return {"schema": SCHEMA, **asdict(self), **recipes}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = JOB_FILE) -> Self:
        """The one conversion back from `to_dict`.

        Raises:
            InputError: If a value is missing, of the wrong type or outside its interval.
        """
        return build(cls, data, where=where)


def read_job(run_dir: Path) -> TrainJob:
    """Read the job of a training run.

    Raises:
        InputError: If there is none of this version.
    """
    data = read_json(run_dir / JOB_FILE)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InputError(f"{run_dir / JOB_FILE} is not a {SCHEMA} file of this version.")
    return TrainJob.from_dict(data, where=str(run_dir / JOB_FILE))


def task_of(recipe: Recipe, *, num_train: int, num_classes: int) -> Task:
    """The task that a recipe poses on so many images."""
    info = describe_model(recipe.model, image_size=recipe.image_size)
    return Task.of(
        recipe,
        num_train=num_train,
        num_classes=num_classes,
        num_blocks=info.num_blocks,
        deepest_share=info.deepest_share,
    )
