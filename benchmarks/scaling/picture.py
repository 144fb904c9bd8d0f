"""The pictures of docs/scaling.md: curves and their minima, in raw and in effective units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.scaling.optimum import Curve, Optimum
from benchmarks.scaling.record import base_name
from spaces.strengths.registry import STRENGTHS
from spaces.units import plain, unit_of

SIZE_COLORS = ("#c6a300", "#d95f02", "#7b3294", "#08306b")
RANGE_COLOR, RULE_COLOR = "#dfeaf2", "#2a7f9e"
UNITS = ("effective", "raw")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measured:
    """One strength at one size.

    Attributes:
        num_train: Training images.
        total_steps: Optimizer steps.
        values: By unit, ``effective`` or ``raw``, the values of the grid, ascending.
        curve: The refined log-loss at each.
        optimum: Its minimum.
        places: By unit, the best value and the two ends of its interval.
        default: By unit, the size-scaled default.
        range: By unit, the ends of the searched range, without off.
    """

    num_train: int
    total_steps: int
    values: Mapping[str, NDArray[np.float64]]
    curve: Curve
    optimum: Optimum
    places: Mapping[str, tuple[float, ...]]
    default: Mapping[str, float]
    range: Mapping[str, tuple[float, ...]]


def draw(measured: Mapping[str, Sequence[Measured]], title: str, path: Path) -> None:
    """Four rows, a column per strength: excess log-loss and its minimum, effective and raw.

    Args:
        measured: By strength, one element per size.
        title: Of the picture.
        path: Of the PNG to write.
    """
    figure = Figure(figsize=(4 * len(measured), 14.5), dpi=75, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=15)
    rows = figure.subplots(4, len(measured))
    for column, name in enumerate(measured):
        for row, unit in enumerate(UNITS):
            label = unit_of(base_name(name)) if unit == "effective" else base_name(name)
            _draw_curves(rows[row, column], name, unit, measured[name])
            rows[row, column].set_xlabel(f"{label}  ({unit})")
            _draw_minima(rows[row + 2, column], name, unit, measured[name])
            rows[row + 2, column].set_ylabel(f"{label}  ({unit})")
            rows[row + 2, column].set_xlabel("training images (optimizer steps)")
        rows[0, column].set_title(name.replace(", ", ",\n"), fontweight="bold")
    for row in (0, 1):
        rows[row, 0].set_ylabel("refined validation log-loss\nabove the best of the grid, nats")
    rows[0, 0].legend(frameon=False, fontsize=9)
    figure.savefig(path, metadata={"Software": None})


def _draw_curves(axes: Axes, name: str, unit: str, sizes: Sequence[Measured]) -> None:
    highest = 0.0
    for measured, color in zip(sizes, SIZE_COLORS, strict=False):
        excess = measured.curve.means - measured.curve.means.min()
        x, near = measured.values[unit], measured.optimum.near
        axes.plot(x, excess, color=color, lw=1.6, label=f"{measured.num_train} images")
        axes.scatter(x[near], excess[near], color=color, s=34, zorder=3)
        axes.scatter(x[~near], excess[~near], facecolor="white", edgecolor=color, s=34, zorder=3)
        highest = max(highest, float(np.sort(excess)[len(excess) * 2 // 3]))
    # Values that ruin a run would flatten everything else.
    axes.set_ylim(-0.04 * highest, 1.3 * highest)
    _set_scale(axes, "x", name, unit, sizes)
    axes.grid(alpha=0.25)


def _draw_minima(axes: Axes, name: str, unit: str, sizes: Sequence[Measured]) -> None:
    for x, (measured, color) in enumerate(zip(sizes, SIZE_COLORS, strict=False)):
        low, high = measured.range[unit]
        axes.fill_between(
            [x - 0.4, x + 0.4], low, high, color=RANGE_COLOR, label="" if x else "searched range"
        )
        near = measured.values[unit][measured.optimum.near]
        axes.scatter([x + 0.22] * len(near), near, marker="_", s=90, color=color)
        best, bottom, top = measured.places[unit]
        axes.plot([x, x], [bottom, top], color=color, lw=2.5, solid_capstyle="butt")
        axes.scatter([x], [best], color=color, s=55, zorder=3)
    axes.plot(
        range(len(sizes)),
        [measured.default[unit] for measured in sizes],
        *("--",),
        color=RULE_COLOR,
        label="size-scaled default",
    )
    axes.scatter([], [], marker="_", color="black", label="within noise of the best")
    axes.set_xticks(
        range(len(sizes)), [f"{plain(m.num_train)}\n({m.total_steps})" for m in sizes], fontsize=9
    )
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    _set_scale(axes, "y", name, unit, sizes)
    axes.grid(alpha=0.25)
    if name == next(iter(STRENGTHS)):
        axes.legend(frameon=False, fontsize=8)


def _set_scale(axes: Axes, which: str, name: str, unit: str, sizes: Sequence[Measured]) -> None:
    set_scale = axes.set_xscale if which == "x" else axes.set_yscale
    set_limits = axes.set_xlim if which == "x" else axes.set_ylim
    if name in ("label_smoothing", "drop_path_rate"):
        return
    values = np.concatenate([m.values[unit] for m in sizes])
    if base_name(name) == "ema_decay" and unit == "raw":
        # Where 0.9 and 0.99 are as far apart as 0.99 and 0.999: -ln(1 - decay).
        forward, back = (lambda d: -np.log1p(-np.minimum(d, 1 - 1e-9))), (lambda u: -np.expm1(-u))
        set_scale("function", functions=(forward, back))
        ticks = [0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999]
        (axes.set_xticks if which == "x" else axes.set_yticks)(ticks, [str(t) for t in ticks])
        set_limits(-0.3, 1 - 0.6 * (1 - values.max()))
        return
    if base_name(name) == "ema_decay":
        set_scale("log")
        return
    smallest = float(values[values > 0].min())
    set_scale("symlog", linthresh=smallest, linscale=0.6)
    set_limits(-0.3 * smallest, 1.6 * float(values.max()))
