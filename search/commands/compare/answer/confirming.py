"""Results of the confirmation: the advised configuration and the others on fresh seeds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from search.commands.compare.answer.finding import Finding
from search.commands.compare.asked.layout import CONFIRMED, Layout, role_of
from search.commands.compare.asked.measuring import Measure
from search.commands.compare.run_log import RunLog
from search.records.metrics import Metric
from search.verdict.confirmation import paired_interval
from search.verdict.schema import Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """Results of the confirmation on fresh seeds.

    Attributes:
        means: Mean of the metric by configuration; those that were not run are left out.
        seeds: Seeds with a result of each.
        advised_minus: By the other configuration, what the advised one changes.
        same_as: What the advised configuration is equal to: ``reference``, ``best``, or nothing.
        better: Whichever of reference and best is better than the advised one beyond noise, or
            nothing. Then that is what is written out.
    """

    means: Mapping[str, float]
    seeds: Mapping[str, int]
    advised_minus: Mapping[str, Estimate]
    same_as: str
    better: str


def confirmation_of(
    measure: Measure, layout: Layout, log: RunLog, finding: Finding
) -> Confirmation | None:
    """Compare the advised configuration with reference and best; None where nothing was run."""
    levels, metric = finding.advised, finding.metric
    values: dict[str, list[float]] = {}
    for role in CONFIRMED:
        run_as = role_of(layout, levels, role)
        values[role] = [
            log.outcomes[cell.run_id].metrics[measure.text]
            for cell in log.of_stage("confirm")
            if cell.role == run_as
            and cell.run_id in log.outcomes
            and log.outcomes[cell.run_id].is_done
        ]
    known = {role: of for role, of in values.items() if of}
    if not known:
        return None
    advised = role_of(layout, levels, "advised")
    gains = {
        other: gain
        for other in ("reference", "best")
        if other != advised and (gain := difference(log, advised, other, measure)) is not None
    }
    return Confirmation(
        means={role: float(np.mean(of)) for role, of in known.items()},
        seeds={role: len(of) for role, of in known.items()},
        advised_minus=gains,
        same_as="" if advised == "advised" else advised,
        better=_better(gains, metric),
    )


def difference(log: RunLog, a: str, b: str, measure: Measure) -> Estimate | None:
    """Estimate what configuration ``a`` of the confirmation gains over ``b``, paired by seed.

    A 95 % t interval over seeds; infinite with one seed, None without any.
    """
    values: dict[str, dict[int, float]] = {a: {}, b: {}}
    for cell in log.of_stage("confirm"):
        outcome = log.outcomes.get(cell.run_id)
        if cell.role in values and outcome is not None and outcome.is_done:
            values[cell.role][cell.seed] = outcome.metrics[measure.text]
    seeds = sorted(set(values[a]) & set(values[b]))
    if not seeds:
        return None
    gains = np.array([[values[a][seed] - values[b][seed]] for seed in seeds])
    return Estimate(mean=float(gains.mean()), ci95=paired_interval(gains))


def _better(gains: Mapping[str, Estimate], metric: Metric) -> str:
    """Whichever other configuration the advised one falls behind the most, beyond noise."""
    behind = {other: gain.times(metric.sign) for other, gain in gains.items()}
    worse = {other: gain.mean for other, gain in behind.items() if gain.ci95[1] < 0.0}
    return min(worse, key=lambda other: worse[other]) if worse else ""
