"""Comparisons whose script is a formula: everything but processes and Ray is the product's own."""

import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from search.commands.compare.answer.finding import Finding
from search.commands.compare.answer.judging import find
from search.commands.compare.answer.margin import metric_for
from search.commands.compare.asked.factors import BEST
from search.commands.compare.asked.request import Request
from search.commands.compare.run_log import Cell, RunLog
from search.commands.compare.running import next_runs
from search.commands.compare.script import Outcome

Formula = Callable[[Mapping[str, int], Cell], float | None]
"""The result of a run by its levels (0 for yours, 1 for the best's); None is a run that fails."""


def request(directory: Path, factors: int | Mapping[str, tuple[Any, Any]], **more: Any) -> Request:
    """A comparison of so many numbered keys, or of given ones with both values."""
    if isinstance(factors, int):
        factors = {f"f{i}": (0, 1) for i in range(factors)}
    values = {
        "run_name": "toy",
        "created": "2026-01-01 00:00:00",
        "compare_id": "toy",
        "reference": {"same": 1, **{name: pair[0] for name, pair in factors.items()}},
        "best": {"same": 1, **{name: pair[1] for name, pair in factors.items()}},
        "format": "yaml",
        "reference_path": "mine.yaml",
        "best_path": "paper.yaml",
        "command": "python t.py {config} {seed}",
        "metrics": ("{dir}/r.json:accuracy",),
        "working_dir": str(directory),
    }
    return Request(run_dir=str(directory), **values | more)


def outcome(cell: Cell, value: float | None, asked: Request) -> Outcome:
    """How a run ended that gave this number, or none."""
    if value is None:
        return Outcome(run_id=cell.run_id, exit_code=1, seconds=1.0, problem="it broke")
    metrics = dict.fromkeys(asked.metrics, value)
    return Outcome(run_id=cell.run_id, exit_code=0, seconds=1.0, metrics=metrics)


def additive(
    effects: Mapping[str, float], *, noise: float, seed: int = 0
) -> Callable[[Mapping[str, int], Cell], float]:
    """An accuracy of 0.6 in the mean, with effects that add up; blocks differ, too."""

    def value(levels: Mapping[str, int], cell: Cell) -> float:
        rng = np.random.default_rng([seed, hash_of(cell.run_id)])
        of_block = np.random.default_rng([seed, cell.seed]).normal(0.0, 0.02)
        gains = sum(effects.get(name, 0.0) * level for name, level in levels.items())
        return float(0.6 + of_block + gains + rng.normal(0.0, noise))

    return value


def hash_of(name: str) -> int:
    return zlib.crc32(name.encode())


def run(asked: Request, formula: Formula, *, most: int = 10_000) -> tuple[RunLog, Finding]:
    """Run a comparison to its end, or for so many runs."""
    log, layout = RunLog(asked.path), asked.layout

    def judge() -> Finding:
        metric = metric_for(asked.measures[0], log, asked.margin)
        return find(layout, log, asked.measures, metric, plans=asked.plans)

    for _ in range(most):
        cells = next_runs(asked, layout, log, judge)
        if not cells:
            break
        cell = cells[0]
        log.begin(cell)
        levels = {name: int(level == BEST) for name, level in cell.levels.items()}
        log.end(outcome(cell, formula(levels, cell), asked))
    return log, judge()
