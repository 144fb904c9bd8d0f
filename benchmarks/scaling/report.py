"""Draw and tabulate where each strength has its best value, from ``benchmarks/scaling/record.csv``.

    python -m benchmarks.scaling.report

Writes ``docs/scaling.png``, ``docs/scaling_transfer.png``, and the tables between the two marks in
``docs/scaling.md``; what is said around them is written by hand.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.scaling.optimum import Curve, Noise
from benchmarks.scaling.picture import Measured, draw
from benchmarks.scaling.record import ARMS, DATA, REFRESHED, base_name, recipe_and_task
from search.records.provenance import ROOT
from spaces.axes import Axis, FixedAxis, ZeroAxis
from spaces.ranges import strength_axes
from spaces.strengths.registry import STRENGTHS
from spaces.task import Task
from spaces.units import limits, plain, to_effective, to_raw

DOCS = ROOT / "docs"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
PICTURES = {"scratch": "scaling.png", "transfer": "scaling_transfer.png"}
METRIC = "nll_refined"
_STRENGTHS = tuple(STRENGTHS)
NAMES = (*_STRENGTHS[:4], REFRESHED, *_STRENGTHS[4:])
_SOFT_ZERO = {"weight_decay": 0.5, "warmup_fraction": 10.0}
"""Effective values below which a scale is linear, so that 0 has a place on it."""

Floats = NDArray[np.float64]


def coordinate(name: str, effective: Floats) -> Floats:
    """Convert values to the scale on which a minimum is estimated."""
    if base_name(name) == "ema_decay":
        return np.log(effective)
    return np.log1p(effective / _SOFT_ZERO[name]) if name in _SOFT_ZERO else effective


def effective_at(name: str, at: float) -> float:
    """The inverse of `coordinate`."""
    if base_name(name) == "ema_decay":
        return float(np.exp(at))
    return float(np.expm1(at) * _SOFT_ZERO[name]) if name in _SOFT_ZERO else at


def measured_of(
    rows: pd.DataFrame, task: Task, defaults: Mapping[str, float]
) -> Iterator[tuple[str, Measured]]:
    """All strengths at one size, from the rows of one arm and size."""
    tables = {name: _table(rows, name, METRIC) for name in NAMES}
    # An unfinished benchmark has strengths without a grid, or without a second seed.
    tables = {name: table for name, table in tables.items() if min(table.shape) >= 2}
    # An average follows the very run it is compared with, which makes it far less noisy.
    averages = ("ema_decay", REFRESHED)
    runs = [table.to_numpy() for name, table in tables.items() if name not in averages]
    noise = {name: Noise.of(*runs) for name in tables if name not in averages}
    noise |= {name: Noise.of(tables[name].to_numpy()) for name in averages if name in tables}
    axes = strength_axes(task)
    for name, table in tables.items():
        effective = table.index.to_numpy()
        curve = Curve(at=coordinate(name, effective), metric=table.to_numpy(), noise=noise[name])
        optimum = curve.optimum()
        best = [effective_at(name, x) for x in (optimum.at, optimum.low, optimum.high)]
        default = to_effective(base_name(name), defaults[base_name(name)], task)
        ends = _ends(axes[base_name(name)])
        yield (
            name,
            Measured(
                num_train=task.num_train,
                total_steps=task.total_steps,
                values={"effective": effective, "raw": _raw(name, effective, task)},
                curve=curve,
                optimum=optimum,
                places={"effective": tuple(best), "raw": tuple(_raw(name, best, task))},
                default={"effective": default, "raw": defaults[base_name(name)]},
                range={"effective": ends, "raw": tuple(_raw(name, ends, task))},
            ),
        )


def _table(rows: pd.DataFrame, name: str, metric: str) -> pd.DataFrame:
    """Values by seeds; seeds that lack a value are left out."""
    chosen = rows[rows["strength"] == name]
    table = chosen.pivot(index="effective", columns="seed", values=metric)
    # A seed that has not come far yet would cost all others their values.
    filled = table.notna().mean()
    complete: pd.DataFrame = table.loc[:, filled == filled.max()].dropna()
    return complete


def _raw(name: str, effective: Sequence[float] | Floats, task: Task) -> Floats:
    name = base_name(name)
    low, high = limits(name, task)
    return np.array([to_raw(name, min(max(float(e), low), high), task) for e in effective])


def _ends(axis: Axis) -> tuple[float, float]:
    if isinstance(axis, FixedAxis):
        return axis.value, axis.value
    inner = axis.inner if isinstance(axis, ZeroAxis) else axis
    return inner.low, inner.high


def best_by_top1(rows: pd.DataFrame, name: str) -> list[float]:
    """Values whose mean top-1 cannot be told from the best one's."""
    table = _table(rows, name, "top1")
    metric = -table.to_numpy()
    curve = Curve(at=np.arange(len(metric), dtype=float), metric=metric, noise=Noise.of(metric))
    near = curve.means - curve.means.min() <= curve.half_width
    return [float(value) for value in table.index[near]]


def sizes_table(rows: pd.DataFrame) -> Iterator[str]:
    """Write the table of the size-scaled default's accuracy at each size, and the noise."""
    yield "| images | steps | seeds | top-1 | log-loss | refined log-loss | clean train top-1 |"
    yield "| --: | --: | --: | --: | --: | --: | --: |"
    defaults = rows[rows["run"].str.endswith("-default") & (rows["strength"] == "weight_decay")]
    for (images, steps), group in defaults.groupby(["num_train", "total_steps"]):
        cells = [
            f"{group[metric].mean():.3f} ± {group[metric].std():.3f}"
            if len(group) > 1
            else f"{group[metric].mean():.3f}"
            for metric in ("top1", "nll", METRIC, "clean_train_top1")
        ]
        yield f"| {images} | {steps} | {len(group)} | {' | '.join(cells)} |"


def optima_table(rows: pd.DataFrame, measured: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    """Write the table of the positions of the minima."""
    yield (
        "| strength | images | n | best, effective | within noise of it | by top-1 | best, raw "
        "| default, effective | it costs | noise of a run |"
    )
    yield "| :-- | --: | --: | :-- | :-- | :-- | :-- | --: | --: | --: |"
    for name, sizes in measured.items():
        for size in sizes:
            best, low, high = size.places["effective"]
            raw, *ends = size.places["raw"]
            near = size.values["effective"][size.optimum.near]
            by_top1 = best_by_top1(rows[rows["num_train"] == size.num_train], name)
            at_default = coordinate(name, np.array([size.default["effective"]]))[0]
            cells = (
                f"`{name}`",
                str(size.num_train),
                str(size.curve.metric.shape[1]),
                f"**{plain(best)}** ({plain(low)} to {plain(high)})",
                _list(near),
                _list(by_top1),
                f"{_raw_text(name, raw)} ({' to '.join(_raw_text(name, end) for end in ends)})",
                plain(size.default["effective"]),
                f"{size.curve.excess(at_default):.3f} ± {size.curve.half_width:.3f}",
                f"{size.curve.noise.sd:.3f}",
            )
            yield f"| {' | '.join(cells)} |"


def carried_table(measured: Mapping[str, Sequence[Measured]]) -> Iterator[str]:
    """Write the table of the loss by using one size's best value at others, in either unit."""
    yield (
        "| strength | carried as a raw value | as an effective value | the size-scaled default "
        "| the best raw value moves by | the effective one by |"
    )
    yield "| :-- | --: | --: | --: | --: | --: |"
    for name in ("weight_decay", "ema_decay", REFRESHED, "warmup_fraction"):
        sizes = measured.get(name, ())
        if len(sizes) < 2:
            continue
        cells = []
        for unit in ("raw", "effective"):
            costs = [
                b.curve.excess(coordinate(name, np.array([_carried(name, unit, a, b)]))[0])
                for a, b in permutations(sizes, 2)
            ]
            cells.append(f"{np.mean(costs):.3f} (at most {max(costs):.3f})")
        costs = [
            size.curve.excess(coordinate(name, np.array([size.default["effective"]]))[0])
            for size in sizes
        ]
        cells.append(f"{np.mean(costs):.3f} (at most {max(costs):.3f})")
        for unit in ("raw", "effective"):
            places = np.array([size.places[unit][0] for size in sizes])
            if base_name(name) == "ema_decay" and unit == "raw":
                places = 1 / (1 - places)  # As a window in steps: decays differ in the nines.
            smallest = places.min()
            cells.append(f"a factor of {places.max() / smallest:.3g}" if smallest > 0 else "from 0")
        yield f"| `{name}` | {' | '.join(cells)} |"


def _carried(name: str, unit: str, source: Measured, target: Measured) -> float:
    """Effective value at the target, within its grid, of the source's best in some unit."""
    value = source.places["effective"][0]
    grid = target.values["effective"]
    if unit == "raw":
        # W, window and warmup steps: each is linear in what it is converted to here.
        ratio = target.total_steps / source.total_steps
        value = value / ratio if base_name(name) == "ema_decay" else value * ratio
    return float(np.clip(value, grid.min(), grid.max()))


def _list(values: Sequence[float] | Floats) -> str:
    return ", ".join(plain(float(value)) for value in values)


def _raw_text(name: str, value: float) -> str:
    return f"{value:.4f}" if base_name(name) == "ema_decay" else f"{value:.3g}"


def main() -> None:
    """Write the pictures and the tables."""
    data = pd.read_csv(DATA)
    lines: list[str] = []
    for arm_name, rows in data.groupby("arm", sort=False):
        arm = ARMS[str(arm_name)]
        measured: dict[str, list[Measured]] = {name: [] for name in NAMES}
        for num_train, of_size in rows.groupby("num_train"):
            recipe, task = recipe_and_task(arm, int(str(num_train)))
            for name, size in measured_of(of_size, task, recipe.strengths.as_dict()):
                measured[name].append(size)
        measured = {name: sizes for name, sizes in measured.items() if sizes}
        if not measured:
            continue
        picture = PICTURES[str(arm_name)]
        title = f"Fashion-MNIST, {arm.recipe.model}: where the best strength lies"
        draw(measured, title, DOCS / picture)
        lines += [f"### {arm_name}: {arm.recipe.model}", "", f"![{title}]({picture})", ""]
        for table in (sizes_table(rows), optima_table(rows, measured), carried_table(measured)):
            lines += [*table, ""]
    page = DOCS / "scaling.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text("\n".join([f"{before}{BEGIN}", "", *lines, f"{END}{after}"]))


if __name__ == "__main__":
    main()
