"""Conversion of a trial into MLflow's name, params, tags, colour and metrics of a run."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from search.records.metrics import TOP1, Metric
from search.records.trials import Record, Trial
from search.stages.standings import Standing
from search.tracking.metric_keys import best_name, bests, epoch_metrics, final_name, rounded
from search.tracking.store import Point
from search.verdict.wording import short_name, short_raw
from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS
from trainable.readback import LIVE

ByStrength = Callable[[Recipe], Mapping[str, float]]


def _of_strengths(recipe: Recipe) -> Mapping[str, float]:
    return {name: strength.read(recipe) for name, strength in STRENGTHS.items()}


def _nothing(recipe: Recipe) -> Mapping[str, float]:
    return {}


def _no_places(trials: Sequence[Trial]) -> Sequence[Standing]:
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """Functions from a recipe to the logged values of its strengths and searched extra axes.

    Attributes:
        names: Names of strengths and extra axes.
        raw: Returns raw values by name.
        effective: Returns effective values by name.
        positions: Returns positions on their axes, in [0, 1], by name.
        metric: The metric that decides first.
        searched_by: The metric by which the search proposes, stops and picks.
        standings: Returns the places of the recipes that ran to the end, from all trials.
    """

    names: tuple[str, ...] = field(default_factory=lambda: tuple(STRENGTHS))
    raw: ByStrength = _of_strengths
    effective: ByStrength = _nothing
    positions: ByStrength = _nothing
    metric: Metric = TOP1
    searched_by: Metric = TOP1
    standings: Callable[[Sequence[Trial]], Sequence[Standing]] = _no_places


RUN_STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "stopped": "KILLED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "killed": "KILLED",
}

PLACE_TAGS = ("place", "selection")
PARENT_COLOUR = "#1F2937"
_COLOURS = {
    "running": "#3B82F6",
    "finished": "#21918C",
    "stopped": "#C4C9D1",
    "diverged": "#EA580C",
    "failed": "#DC2626",
    "killed": "#6B7280",
}
_RECIPE_PARAMS = (
    "optimizer",
    "lr",
    "epochs",
    "schedule",
    "no_decay_split",
    "amp_dtype",
    "mixup_alpha",
    "cutmix_alpha",
    "randaugment",
)
_PREFIX = {
    "search": "t",
    "attribute": "a",
    "confirm": "c",
    "refine": "v",
    "learning_curve": "h",
    "ablate": "w",
    "tune": "l",
    "contest": "o",
}
_COMPARED = ("ablate", "tune", "contest")
"""Stages whose recipes differ in more than strengths, and in the time that a step takes."""
_TRAIN_S = "cost/train_s"


def run_name(trial: Trial) -> str:
    """Make a short name of letter of the stage, number and content: ``t004 ✂6 wd 0.61 ...``."""
    spec = trial.spec
    mark = {"stopped": f"✂{trial.epoch} ", "diverged": "✗ ", "failed": "✗ ", "killed": "■ "}
    return f"{_PREFIX[spec.stage]}{spec.number:03d} {mark.get(trial.status, '')}{_what(trial)}"


def _what(trial: Trial) -> str:
    spec = trial.spec
    if spec.role.startswith("anchor:"):
        return spec.role.removeprefix("anchor:")
    if spec.rerun_of is not None:
        number = spec.rerun_of.rpartition("-")[2]
        return f"rerun of t{int(number):03d}, seed {spec.recipe.seed}"
    if spec.stage == "confirm" or (spec.num_train is not None and spec.role == "advised"):
        return f"{spec.role} seed {spec.recipe.seed}"
    if spec.stage == "tune":
        return f"{spec.role} lr {spec.recipe.lr:.3g}"
    if spec.stage in _COMPARED:
        return f"block {spec.block} {spec.role}"
    if spec.levels:
        signs = " ".join(
            f"{short_name(name)}{'+' if level > 0 else '-'}" for name, level in spec.levels.items()
        )
        return f"block {spec.block} {signs}"
    return " ".join(f"{short_name(n)} {short_raw(n, value)}" for n, value in spec.searched.items())


def tags(trial: Trial) -> dict[str, str]:
    """Return the tags that identify a trial's run and tell its state."""
    spec = trial.spec
    return {
        "trial_id": spec.trial_id,
        "stage": spec.stage,
        "role": spec.role,
        **state_tags(trial),
    }


def state_tags(trial: Trial) -> dict[str, str]:
    """Return the tags that change while a trial runs and when it ends."""
    state = {"outcome": trial.status, "mlflow.runColor": _COLOURS[trial.status]}
    if trial.status != "running":
        state["epochs"] = str(trial.epoch)
        state["reason"] = trial.reason or "full length"
        state["mlflow.runName"] = run_name(trial)
    if trial.status == "stopped":
        state["rung"] = str(trial.epoch)
    return state


def params(trial: Trial, told: Values) -> dict[str, str]:
    """Return a trial's params: raw and effective values, positions, levels, block and seeds."""
    spec = trial.spec
    values = {name: told.raw(spec.recipe)[name] for name in told.names}
    values |= {f"effective.{name}": value for name, value in told.effective(spec.recipe).items()}
    values |= {f"position.{name}": value for name, value in told.positions(spec.recipe).items()}
    text = {name: fixed_point(value) for name, value in values.items()}
    text |= {f"level.{name}": f"{level:+d}" for name, level in spec.levels.items()}
    if spec.block is not None:
        text["block"] = str(spec.block)
    if spec.split_seed is not None:
        text["split_seed"] = str(spec.split_seed)
    if spec.num_train is not None:
        text["num_train"] = str(spec.num_train)
    if spec.stage in _COMPARED:
        recipe = spec.recipe.to_dict()
        text |= {name: _as_param(recipe[name]) for name in _RECIPE_PARAMS}
    return text | {"seed": str(spec.recipe.seed)}


def live_params(reported: Mapping[str, float], names: Collection[str]) -> dict[str, str]:
    """Return as params the searched values that the run read back from its live objects.

    They are in its first report, ``reported``.
    """
    found = {name: reported[f"{LIVE}{name}"] for name in names if f"{LIVE}{name}" in reported}
    return {f"{LIVE.replace('/', '.')}{name}": fixed_point(value) for name, value in found.items()}


def _as_param(value: object) -> str:
    return fixed_point(value) if isinstance(value, float) else str(value)


def fixed_point(value: float) -> str:
    """Format a number without an exponent, as MLflow sorts params as text."""
    return f"{value:.6f}" if value == 0 or abs(value) >= 1e-4 else f"{value:.10f}"


def points(trial: Trial, *, after: int, metric: Metric = TOP1) -> Iterator[Point]:
    """Yield the points of all metrics that were reported after epoch ``after``.

    Values that are not finite are left out, as the store would turn infinity into 1.8e308. A point
    has the time of its record, so that sending it twice stores it once.

    Args:
        trial: The trial.
        after: Last epoch that the store has.
        metric: The metric that decides first.
    """
    best: dict[str, float] = {}
    keys, of_search = set(epoch_metrics(trial.spec.ema_levels, metric)), bests(metric)
    if trial.spec.stage in _COMPARED:
        keys.add(_TRAIN_S)
    for record in trial.records:
        for name, value in record.metrics.items():
            # Both comparisons are false for NaN.
            if name not in keys or not float("-inf") < value < float("inf"):
                continue
            row = {name: value}
            if name in of_search and trial.spec.stage == "search":
                sign = of_search[name].sign
                best[name] = sign * max(sign * value, sign * best.get(name, value))
                row[best_name(of_search[name])] = best[name]
            if record.epoch > after:
                for key, x in row.items():
                    yield _point(key, x, record)


def _point(name: str, value: float, record: Record) -> Point:
    return Point(name=name, value=rounded(name, value), step=record.epoch, time=record.time or None)


def final_points(trial: Trial, metrics: Collection[Metric]) -> list[Point]:
    """Return the final values of a full-length search trial that is no rerun, else an empty list.

    A rerun has another split, so its values do not stand beside those of the trials.
    """
    spec = trial.spec
    if not trial.is_full_length or spec.stage != "search" or spec.rerun_of is not None:
        return []
    values = {metric: trial.last(metric.on("val")) for metric in metrics}
    return [
        _point(final_name(metric), value, trial.records[-1])
        for metric, value in values.items()
        if value is not None
    ]


def place_tags(one: Standing, searched_by: Metric) -> dict[str, str]:
    """Return the tags with the place of a trial in the search, and what selection saw of it."""
    unit = searched_by.unit
    said = f"{searched_by.words} {unit.value(one.value)}"
    if one.again is not None:
        said += f", run again {unit.value(one.again)} (mean of {one.num_again})"
    place = f"{one.place}{' ★ picked' if one.is_picked else ''}"
    return dict(zip(PLACE_TAGS, (place, said), strict=True))


def start_time(trial: Trial) -> float | None:
    """Compute a trial's start in seconds since 1970 from its first report; None without one."""
    if not trial.records or not trial.records[0].time:
        return None
    first = trial.records[0]
    return first.time - sum(s for name, s in first.metrics.items() if name.startswith("cost/"))


def end_time(trial: Trial) -> float | None:
    """Return when a trial ended, in seconds since 1970, if it ended with its last report."""
    if trial.status in ("finished", "stopped", "diverged") and trial.records:
        # The latest: the clock may have been set back, and nothing ends before it began.
        return max(record.time for record in trial.records) or None
    return None
