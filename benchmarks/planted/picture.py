"""The picture of docs/planted.md: what is true against what is turned, and the ways compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.planted.scores import Evaluated, Score, turns_of
from benchmarks.planted.verdicts import truth

PLANTED, OTHER, FALSE = "#d95f02", "#2a7f9e", "#8c2d3a"


def draw(cases: Sequence[Evaluated], scores: Mapping[str, Score], path: Path) -> None:
    """Two panels; what turning a dial gains in truth against how often it is turned, and scores.

    Args:
        cases: All cases.
        scores: By way of judging.
        path: Of the PNG to write.
    """
    figure = Figure(figsize=(11, 4.6), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    _turned(left, cases)
    _compared(right, scores)
    figure.savefig(path)


def _turned(axes: Axes, cases: Sequence[Evaluated]) -> None:
    for is_planted, color, label in ((False, OTHER, "not planted"), (True, PLANTED, "planted")):
        points = []
        for case in cases:
            for name in case.recorded.names:
                found = truth(case.recorded, name, "val/top1")
                if found is None or (name in case.recorded.planted) != is_planted:
                    continue
                share = np.mean([name in dict(turns_of(one)) for one in case.drawn])
                points.append((100 * found.mean, float(share), 100 * found.half))
        if not points:
            continue
        x, y, half = np.array(points).T
        # Dots of one height would lie on each other.
        y = y + np.random.default_rng(0).uniform(-0.025, 0.025, len(y))
        axes.errorbar(x, y, xerr=half, fmt="o", color=color, ms=5, lw=0.8, alpha=0.75, label=label)
    axes.set_xscale("symlog", linthresh=2.0, linscale=0.8)
    axes.axvspan(-0.5, 0.5, color="#e8e8e8", zorder=0)
    axes.set_xlabel("what turning it gains in the long run, points of validation top-1")
    axes.set_ylabel("share of diagnoses that turn it")
    axes.set_xticks([-20, -5, -2, -1, 0, 1, 2, 5, 20, 80], labels=None)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+g}" if value else "0")
    axes.set_title("One dot per dial of each case", fontsize=10)
    axes.legend(frameon=False, loc="center left")
    axes.grid(alpha=0.25)


def _compared(axes: Axes, scores: Mapping[str, Score]) -> None:
    places = np.arange(len(scores))[::-1]
    bars = (
        (0.19, PLANTED, "culprits found", [100 * at.found for at in scores.values()]),
        (-0.19, FALSE, "turns that are false", [100 * at.false for at in scores.values()]),
    )
    for shift, color, label, widths in bars:
        axes.barh(places + shift, widths, height=0.36, color=color, label=label)
        for place, width in zip(places, widths, strict=True):
            axes.text(width + 1, place + shift, f"{width:.0f} %", va="center", fontsize=8)
    axes.set_yticks(places, [_broken(name) for name in scores], fontsize=8)
    axes.set_xlim(0, 118)
    axes.set_xlabel("%")
    axes.set_title("On as many runs", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, -0.3), ncols=2)
    axes.spines[["top", "right"]].set_visible(False)


def _broken(name: str) -> str:
    return name.replace(", ", ",\n").replace(" importances", "\nimportances")
