"""The user's settings of a run, with defaults filled in, as kept in ``config.json``."""

from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self
from uuid import uuid4

from search.plan.option import Option, asked_of
from search.records.home import Home
from search.records.metrics import METRICS, NLL_REFINED, searched_by
from search.records.passwords import refuse_passwords, require_address, without_passwords
from search.records.strict_json import build, require_text
from search.records.trials import SEARCH_STAGES, STAGES
from spaces.errors import InputError
from spaces.recipe import OPTIMIZERS
from spaces.strengths.registry import EXTRAS, STRENGTHS, WITHIN_RUN, known

SCHEMA = "config/1"
BY_DATASET = "by dataset"
_JUDGED = [name for name, extra in EXTRAS.items() if extra.has_dial]
_NUISANCES = [name for name, extra in EXTRAS.items() if not extra.has_dial]
NO_RUNS = (*(name for name, s in STRENGTHS.items() if not s.acts_back_on_training), *WITHIN_RUN)
"""Strengths whose values are all measured within every run."""
OF_DIAGNOSIS = ("attribute", "confirm")
"""Stages of a run without a search."""
OF_INGREDIENTS = ("ablate",)
OF_OPTIMIZERS = ("tune", "contest")
"""Stages of a run that compares optimizers; `OF_INGREDIENTS` are those of an ablation."""
PLACES = ("storage", "tracking_uri", "ray_address")
"""Fields with places and servers outside the run directory, besides ``data_dir``."""


def _new_id() -> str:
    return uuid4().hex[:12]


@dataclass(frozen=True, kw_only=True, slots=True)
class TopUp:
    """One time that more was asked of a run; what was asked then is in the config.

    Attributes:
        max_blocks: Most blocks before that.
        num_samples: Trials of the search before that.
        num_trials: Trials of any stage that the run had by then.
    """

    max_blocks: int
    num_samples: int
    num_trials: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """The settings of one run; None takes the default of the dataset.

    Each field that has a flag is explained by its `Option`, which ``--help`` also shows.

    Attributes:
        dataset: See `Option`; a path is absolute, as all paths are.
        created: Time of the command, in local time.
        search_id: Identifier in the tracking store, independent of the directory's name.
        stages: Stages to run, in order.
        home: Directory for which the places (`PLACES`) were given; None if the run lies elsewhere.
        ranges: Ranges that replace those of the space, as ``name=low:high``.
        fixed: Strengths taken out of the search, as ``name=value``.
        min_blocks: Number of rounds; small blocks are joined to rounds of eight runs
            (`search.verdict.design.blocks_per_look`).
        optimizers: Names of the optimizers that a contest compares, the base first.
        top_ups: The times that more was asked of the run, oldest first.
    """

    dataset: Annotated[
        str,
        Option(
            "A dataset's name, or the path of an image folder (root/<class>/*.jpg) or of a table "
            "of images and labels (.csv, .tsv, .jsonl, .parquet), or of Hugging Face: hf:FOLDER "
            "or hf:owner/name."
        ),
    ]
    run_dir: Annotated[str, Option("Directory that holds runs.", is_filled_in=True)] = "runs"
    run_name: Annotated[str, Option("Name of this run.", default_words="dataset and time")]
    data_dir: Annotated[
        str,
        Option(
            "Where datasets lie or are downloaded to, and images that a table does not lie beside.",
            is_filled_in=True,
        ),
    ] = "data"
    created: str
    search_id: str = field(default_factory=_new_id)
    columns: Annotated[
        str | None,
        Option(
            "Columns of a table of images, as image=file,label=species,split=part,group=patient.",
            default_words="found by name",
        ),
    ] = None
    group_by: Annotated[
        str | None,
        Option(
            "Regular expression whose first group in parentheses, found in a file's path, names "
            "its group, as '(patient[0-9]+)': images of a group stay in one part.",
            default_words="a table's column of groups, if it has one",
        ),
    ] = None
    stages: tuple[str, ...] = SEARCH_STAGES
    home: Home | None = None
    model: Annotated[
        str | None, Option("Any timm model, or resnet18_cifar.", default_words=BY_DATASET)
    ] = None
    pretrained: Annotated[
        bool | None,
        Option("Start from ImageNet weights: true or false.", default_words=BY_DATASET),
    ] = None
    reference: Annotated[
        str, Option("The recipe to judge: a name or a file.", is_filled_in=True)
    ] = "imagenet"
    best: Annotated[
        str | None,
        Option("A recipe file to hold against the reference instead of the scaled default."),
    ] = None
    num_samples: Annotated[int, Option("Trials of the search, baselines included.", at_least=4)] = (
        16
    )
    epochs: Annotated[int | None, Option("Epochs of every trial.", default_words=BY_DATASET)] = None
    batch_size: Annotated[
        int | None, Option("Images per optimizer step.", default_words=BY_DATASET)
    ] = None
    lr: Annotated[float | None, Option("Peak learning rate.", default_words=BY_DATASET)] = None
    optimizer: Annotated[
        str | None, Option("Optimizer of every trial.", default_words="the reference's")
    ] = None
    metric: Annotated[
        str,
        Option(
            f"What the search optimises on validation images: {', '.join(METRICS)}.",
            default_words=NLL_REFINED.name,
        ),
    ] = NLL_REFINED.on("val")
    num_train: Annotated[
        int | None,
        Option(
            "Train on a stratified subset of this many images; where nothing is trained: how many.",
            above=0,
        ),
    ] = None
    image_size: Annotated[
        int | None, Option("Side of the input in pixels.", default_words=BY_DATASET)
    ] = None
    max_image_pixels: Annotated[
        int | None,
        Option(
            "Pixels of the largest picture that is decoded; files of larger ones count as "
            "unreadable.",
            default_words="200 million",
            above=0,
        ),
    ] = None
    seed: Annotated[int, Option("Seed of everything.", at_least=0)] = 0
    cpus_per_trial: Annotated[float, Option("CPU cores per trial.", above=0)] = 1.0
    gpus_per_trial: Annotated[
        float,
        Option("Share of a GPU per trial.", default_words="1 if there is one", at_least=0),
    ] = 0.0
    patience: Annotated[
        int | None,
        Option(
            "Stop searching after this many trials in a row without a gain beyond noise.",
            default_words="off",
            above=0,
        ),
    ] = None
    time_budget_s: Annotated[
        float | None, Option("Seconds after which the search starts nothing new.", above=0)
    ] = None
    hang_timeout_s: Annotated[
        float | None,
        Option(
            "Seconds without a report after which a worker counts as hung; its trial is started "
            "again, three times in all.",
            default_words="20 times the slowest epoch, at least 600",
            above=0,
        ),
    ] = None
    amp_dtype: Annotated[
        str | None,
        Option("Precision: auto, none, bfloat16 or float16.", default_words="auto"),
    ] = None
    ray_address: Annotated[
        str | None,
        Option("A running Ray cluster: auto or host:port.", default_words="this machine"),
    ] = None
    storage: Annotated[
        str | None,
        Option(
            "Directory or URI (s3://bucket/runs) for checkpoints, reached by all nodes.",
            default_words="the run's",
        ),
    ] = None
    tracking_uri: Annotated[
        str | None,
        Option("MLflow server or store.", default_words="sqlite under mlflow/store"),
    ] = field(default=None, repr=False)  # It may hold a password.
    ranges: Annotated[
        tuple[str, ...],
        Option(
            "Range of a strength, as label_smoothing=0:0.3, or of an extra setting, which is "
            f"then judged too: {', '.join(_JUDGED)}; {' and '.join(_NUISANCES)} is not judged.",
            flag="set",
            is_repeated=True,
        ),
    ] = ()
    fixed: Annotated[
        tuple[str, ...],
        Option(
            "Strength to take out of the search, as drop_path_rate=0.", flag="fix", is_repeated=True
        ),
    ] = ()
    min_blocks: Annotated[int, Option("Blocks of the experiment that always run.", at_least=2)] = 2
    max_blocks: Annotated[int, Option("Most blocks of the experiment.")] = 4
    confirm_seeds: Annotated[
        int,
        Option(
            "Fresh seeds of the reference and the advised recipe on the test split; the others "
            "have three at most.",
            at_least=2,
        ),
    ] = 5
    refine: Annotated[
        tuple[str, ...],
        Option(
            "A strength of which values between the reference's and the advised one are run too, "
            "after the test, if it is turned: how far it may be set back.",
            is_repeated=True,
        ),
    ] = ()
    learning_curve: Annotated[
        bool,
        Option(
            "Run a block of the experiment and the advised recipe on half of the training images "
            "too, after the test: what labelling twice as many is expected to change."
        ),
    ] = False
    rerun_top: Annotated[
        int, Option("Trials rerun on fresh seeds before one is picked.", at_least=0)
    ] = 3
    grace_period: Annotated[
        int | None,
        Option(
            "First epoch at which a trial may be stopped.",
            default_words="three tenths of the epochs",
            above=0,
        ),
    ] = None
    reduction_factor: Annotated[
        int, Option("How many times as late the next rung is.", at_least=2)
    ] = 3
    keep: Annotated[
        float,
        Option("Share of the trials that passes a rung, in (0, 1]; 0.33 is usual for ASHA."),
    ] = 0.9
    no_example: Annotated[
        bool,
        Option("Register the champion without its example of up to 16 training images."),
    ] = False
    seeds: Annotated[int, Option("Seeds of every recipe, each on a fresh split.", at_least=2)] = 3
    optimizers: Annotated[
        tuple[str, ...],
        Option("Compare these instead, as adamw,lion,muon: at equal epochs and in equal time."),
    ] = ()
    lr_trials: Annotated[
        int, Option("Learning rates tried for each of --optimizers.", at_least=3)
    ] = 5
    top_ups: tuple[TopUp, ...] = ()

    def __post_init__(self) -> None:
        require_text(asdict(self))
        for name in ("storage", "ray_address"):
            refuse_passwords(name, getattr(self, name))
        require_address("tracking_uri", self.tracking_uri)
        for name, asked in asked_of(RunConfig).items():
            asked.option.require(name, getattr(self, name))
        if not self.max_blocks >= self.min_blocks:
            raise InputError(
                f"`max_blocks >= {self.min_blocks}` must hold, but got {self.max_blocks!r}."
            )
        blocks = (*(t.max_blocks for t in self.top_ups), self.max_blocks)
        samples = (*(t.num_samples for t in self.top_ups), self.num_samples)
        for numbers in (blocks, samples):
            if any(before > after for before, after in pairwise(numbers)):
                raise InputError("`top_ups` must only raise what was asked for.")
        if not 0 < self.keep <= 1:
            raise InputError(f"`0 < keep <= 1` must hold, but got {self.keep!r}.")
        if not self.stages or set(self.stages) - set(STAGES):
            raise InputError(f"`stages` must be some of {', '.join(STAGES)}, got {self.stages!r}.")
        object.__setattr__(self, "metric", searched_by(self.metric))
        _check_refined(self.refine)
        _check_optimizers(self.optimizers)

    @property
    def path(self) -> Path:
        """Directory of this run."""
        return Path(self.run_dir) / self.run_name

    @property
    def planned_blocks(self) -> tuple[int, ...]:
        """Most blocks as first planned, then as each top-up raised it."""
        return tuple(dict.fromkeys((*(t.max_blocks for t in self.top_ups), self.max_blocks)))

    @property
    def search_topped_up_at(self) -> int:
        """Trials of any stage that there were when more samples were asked for; 0 if never."""
        samples = [*(t.num_samples for t in self.top_ups), self.num_samples]
        raised = [
            t.num_trials
            for t, after in zip(self.top_ups, samples[1:], strict=True)
            if t.num_samples < after
        ]
        return raised[-1] if raised else 0

    def to_dict(self) -> dict[str, Any]:
        """Convert to the mapping of ``config.json``, without the password of the store."""
        values = asdict(self)
        if self.tracking_uri:
            values["tracking_uri"] = without_passwords(self.tracking_uri)
        return {"schema": SCHEMA, **values}

    @classmethod
    def from_dict(cls, data: dict[str, Any], *, path: Path) -> Self:
        """Convert back from ``config.json``; ``path`` is the run's present directory.

        A run that was not made in this directory may come from somebody else, so its places to
        write to and servers (`PLACES`) are dropped, and it has no home.
        `search.commands.pipeline.run_again` takes new ones.

        Raises:
            InputError: If a key is unknown or missing, or a value has the wrong type or is outside
                its interval.
        """
        file = path / "config.json"
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise InputError(f"{file} is not a {SCHEMA} file of this version.")
        values = {key: value for key, value in data.items() if key != "schema"}
        # Older runs without an id are stored under this one.
        values.setdefault("search_id", f"{values.get('run_name')} of {values.get('created')}")
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise InputError(f"{file} is of another version: its key {unknown[0]!r} is unknown.")
        asked = build(cls, values, where=str(file))
        now = replace(asked, run_dir=str(path.parent), run_name=path.name)
        if asked.home is not None and asked.home.is_at(path):
            return now
        nowhere: dict[str, Any] = {**dict.fromkeys(PLACES), "home": None}
        return replace(now, **nowhere, data_dir=str(Path("data").resolve()))


def _check_refined(names: tuple[str, ...]) -> None:
    judged = {
        name: factor for name, factor in known().items() if factor.has_dial and name not in NO_RUNS
    }
    for name in names:
        if name in NO_RUNS:
            raise InputError(
                f"`refine` must name a strength that acts on training, but got {name!r}, which is "
                "judged within every run."
            )
        if name not in judged:
            raise InputError(f"`refine` must be among {', '.join(judged)}, but got {name!r}.")


def _check_optimizers(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in OPTIMIZERS:
            raise InputError(
                f"`optimizers` must be among {', '.join(OPTIMIZERS)}, but got {name!r}."
            )
    if len(names) == 1 or len(set(names)) < len(names):
        raise InputError(
            f"`optimizers` must be two or more different ones, but got {','.join(names)}."
        )
