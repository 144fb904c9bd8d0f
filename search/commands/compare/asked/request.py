"""The request of a comparison, as kept in ``compare.json``; it needs no other file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from search.commands.compare.asked.configurations import Configuration
from search.commands.compare.asked.factors import (
    Factor,
    Requirement,
    factors_of,
    requirements_of,
)
from search.commands.compare.asked.layout import Layout, layout_of
from search.commands.compare.asked.measuring import Measure, measure_of
from search.commands.compare.asked.placeholders import placeholders, require_known, words_of
from search.records.home import Home
from search.records.passwords import require_address, with_password, without_passwords
from search.records.strict_json import build
from spaces.errors import InputError

SCHEMA = "compare/1"
CONFIRM_SEEDS_FROM = 1000
"""Seeds of the confirmation begin so far above those of the experiment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One comparison as asked for.

    Attributes:
        run_dir: Absolute path of the run's directory.
        run_name: Its name.
        created: When it was asked for, in local time.
        compare_id: What the tracking store knows it by.
        reference: Values of one's own configuration, as its file nests them.
        best: Values of the one it is held against.
        format: Format of the reference's file, in which the script is given its own.
        reference_path: Where the reference was read from, for people.
        best_path: Where the best was read from.
        command: As typed.
        metrics: As typed; the first decides.
        direction: ``larger`` or ``smaller`` for the first metric, or None: by its name.
        groups: As typed.
        fixed: As typed.
        required: As typed.
        margin: Smallest change of the first metric that is worth a thought, or None: by its size.
        min_blocks: Rounds that always run.
        max_blocks: Most rounds.
        max_runs: Most runs of the experiment, without those that confirm.
        earlier_rounds: Most rounds as planned at first and before each top-up, but for the newest.
        confirm_seeds: Fresh seeds of reference, best and advised; 0 for no confirmation.
        folds: Number of folds that ``{fold}`` runs through, or None.
        seed: The first seed.
        cpus_per_run: CPU cores of one run.
        gpus_per_run: Share of a GPU of one run.
        time_limit_s: Seconds after which a run is ended, or None.
        working_dir: Where the command is called.
        ray_address: A running cluster, or None for this machine.
        tracking_uri: MLflow server or store, or None for the embedded one.
        two_seeds: As `search.commands.compare.asked.layout.Layout` has it.
        home: Directory that the comparison was begun in, which its command may be run in again.
    """

    run_dir: str
    run_name: str
    created: str
    reference: Mapping[str, Any]
    best: Mapping[str, Any]
    format: str
    reference_path: str
    best_path: str
    command: str
    metrics: tuple[str, ...]
    working_dir: str
    compare_id: str = ""
    direction: str | None = None
    groups: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    margin: float | None = None
    min_blocks: int = 2
    max_blocks: int | None = None
    max_runs: int | None = None
    earlier_rounds: tuple[int, ...] = ()
    confirm_seeds: int = 5
    folds: int | None = None
    seed: int = 0
    cpus_per_run: float = 1.0
    gpus_per_run: float = 0.0
    time_limit_s: float | None = None
    ray_address: str | None = None
    tracking_uri: str | None = None
    two_seeds: bool = True
    home: Home | None = None

    def __post_init__(self) -> None:
        if not self.metrics:
            raise InputError("`--metric` must be given: where a run leaves its result.")
        if self.direction not in (None, "larger", "smaller"):
            raise InputError(f"`direction` must be larger or smaller, but got {self.direction!r}.")
        for name, value, least in (
            ("min_blocks", self.min_blocks, 2),
            ("max_blocks", self.max_blocks, self.min_blocks),
            ("folds", self.folds, 2),
            ("seed", self.seed, 0),
        ):
            if value is not None and not value >= least:
                raise InputError(f"`{name} >= {least}` must hold, but got {value!r}.")
        if self.confirm_seeds < 0 or self.confirm_seeds == 1:
            raise InputError(
                f"`confirm_seeds` must be 0 or at least 2, but got {self.confirm_seeds!r}."
            )
        if self.max_runs is not None and self.max_blocks is not None:
            raise InputError("`--max-runs` and `--max-blocks` say the same: give one of them.")
        for name, number in (
            ("cpus_per_run", self.cpus_per_run),
            ("margin", self.margin),
            ("time_limit_s", self.time_limit_s),
        ):
            if number is not None and not 0.0 < number < float("inf"):
                raise InputError(f"`{name} > 0` must hold, but got {number!r}.")
        if not 0.0 <= self.gpus_per_run < float("inf"):
            raise InputError(f"`gpus_per_run >= 0` must hold, but got {self.gpus_per_run!r}.")
        require_address("tracking_uri", self.tracking_uri)

    @property
    def path(self) -> Path:
        """Directory of the run."""
        return Path(self.run_dir)

    @property
    def words(self) -> tuple[str, ...]:
        """Words of the command, with placeholders."""
        return words_of(self.command)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Metrics that are read of each run; the first decides."""
        way = {"larger": True, "smaller": False}.get(self.direction or "")
        first, *others = self.metrics
        return (
            measure_of(first, larger_is_better=way),
            *(measure_of(text, decides=False) for text in others),
        )

    @property
    def configuration(self) -> Configuration:
        """The reference's configuration."""
        return Configuration(values=self.reference, format=self.format)

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Differences between the two configurations."""
        best = Configuration(values=self.best, format=self.format)
        return factors_of(self.configuration, best, groups=self.groups, fixed=self.fixed)

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """Levels that need each other."""
        return requirements_of(self.required, self.factors)

    @property
    def layout(self) -> Layout:
        """The design."""
        return layout_of(self.factors, self.requirements, two_seeds=self.two_seeds)

    @property
    def rounds(self) -> int:
        """Most rounds of the experiment."""
        layout = self.layout
        if self.max_runs is not None and self.max_blocks is None:
            # Blocks differ in size where requirements leave cells out.
            least = max(1, min(len(layout.block(block)) for block in range(4)))
            most = self.max_runs // least
            rounds = (r for r in range(most, 0, -1) if len(layout.rounds(r)) <= self.max_runs)
            return next(rounds, 0)
        return max(self.min_blocks, layout.rounds_of(self.max_blocks))

    @property
    def plans(self) -> tuple[int, ...]:
        """Most rounds as planned at first, and at each top-up."""
        return (*self.earlier_rounds, self.rounds)

    def topped_up(self, max_blocks: int) -> Self:
        """Ask for more rounds; what was run stays, and so does every decision.

        The looks at further rounds spend error that was kept back (`search.verdict.sequential`).

        Args:
            max_blocks: Most rounds from now on, all of them counted.

        Raises:
            InputError: If that is no more than was planned.
        """
        if max_blocks <= self.rounds:
            raise InputError(
                f"`--max-blocks` must be at least {self.rounds + 1}, for {self.path} was planned "
                f"with {self.rounds} rounds of {self.layout.runs_per_round} runs, but got "
                f"{max_blocks}."
            )
        return replace(self, max_blocks=max_blocks, max_runs=None, earlier_rounds=self.plans)

    @property
    def has_seed(self) -> bool:
        """Whether blocks differ in anything that the script sees."""
        return bool(placeholders(self.words) & {"seed", "fold"})

    def check(self) -> None:
        """Refuse what cannot be done, before anything is written.

        Raises:
            InputError: If anything asked for is wrong.
        """
        _ = self.words, self.layout
        measures = self.measures
        for measure in measures:
            require_known(measure.source, "--metric")
        layout = self.layout
        if self.max_runs is not None and self.rounds < self.min_blocks:
            least = len(layout.rounds(self.min_blocks))
            raise InputError(
                f"`--max-runs` must be at least {least}, {self.min_blocks} rounds for "
                f"{len(layout.names)} factors, but got {self.max_runs}; `--group` puts keys "
                "together, and `--fix` holds some."
            )
        names = [measure.text for measure in measures]
        if len(set(names)) < len(names):
            raise InputError("`--metric` names the same result twice.")

    def check_new(self) -> None:
        """Refuse what `check` does, and what earlier versions took.

        Raises:
            InputError: If anything asked for is wrong.
        """
        self.check()
        for measure in self.measures:
            if Path(measure.source).is_absolute() and "{dir}" not in measure.source:
                raise InputError(
                    f"`--metric` {measure.text!r} must hold {{dir}}, the run's directory: from one "
                    "file for all of them each run would read what another one left."
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain values as written to ``compare.json``, without the password of the store."""
        values = asdict(self)
        if self.tracking_uri:
            values["tracking_uri"] = without_passwords(self.tracking_uri)
        return {"schema": SCHEMA, **values}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, path: Path) -> Self:
        """Read what `to_dict` wrote.

        The file holds a command, which going on would run, and servers, which it would contact.
        Only in the directory where the comparison was begun are they known to be the user's own.

        Args:
            data: Plain values.
            path: Directory of the run.

        Raises:
            InputError: If the comparison was not begun here, or anything in the file is missing, of
                the wrong type or impossible.
        """
        where = str(path / "compare.json")
        # Versions that did not say so gave all runs of a fraction one seed.
        made = build(cls, {"two_seeds": False, **data}, where=where)
        if made.home is None or not made.home.is_at(path):
            raise InputError(
                f"{path} was not begun here, and going on would run the command in its "
                "compare.json; if it is yours, start it anew with `compare`."
            )
        uri = with_password(made.tracking_uri)
        made = replace(made, run_dir=str(path), tracking_uri=uri)
        made.check()
        return made


def new_id() -> str:
    """Make up a name that no other comparison has."""
    return uuid4().hex[:12]
