"""Results of the confirmation: the advised configuration and the others on fresh seeds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from search.commands.compare.answer.finding import Finding
from search.commands.compare.asked.layout import Layout, ends, role_of
from search.commands.compare.asked.measuring import Measure
from search.commands.compare.run_log import RunLog
from search.records.metrics import Metric
from search.verdict.confirmation import paired_interval
from search.verdict.schema import Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """Results of the confirmation on fresh seeds.

    Attributes:
        means: Mean of the metric by configuration; those without a result are left out.
        seeds: Seeds with a result of each.
        advised_minus: By the other configuration, what the advised one changes.
        gap: What the best gains over the reference; None where one of them has no result.
        same_as: What the advised configuration is equal to: ``reference``, ``best``, or nothing.
        better: Whichever of reference and best is better than the advised one beyond noise, or
            nothing. Then that is what is written out.
    """

    means: Mapping[str, float]
    seeds: Mapping[str, int]
    advised_minus: Mapping[str, Estimate]
    gap: Estimate | None
    same_as: str
    better: str


def confirmation_of(
    measure: Measure, layout: Layout, log: RunLog, finding: Finding
) -> Confirmation | None:
    """Compare the advised configuration with reference and best; None where nothing was run."""
    metric = finding.metric
    reference, best = ends(layout)
    levels = {"reference": reference, "best": best, "advised": finding.advised}
    values = {role: _by_seed(log, of, measure) for role, of in levels.items()}
    known = {role: list(of.values()) for role, of in values.items() if of}
    if not any(log.is_over(cell.run_id) for cell in log.of_stage("confirm")):
        return None
    advised = role_of(layout, finding.advised, "advised")
    gains = {
        other: gain
        for other in ("reference", "best")
        if other != advised and (gain := _difference(values["advised"], values[other])) is not None
    }
    return Confirmation(
        means={role: float(np.mean(of)) for role, of in known.items()},
        seeds={role: len(of) for role, of in known.items()},
        advised_minus=gains,
        gap=_difference(values["best"], values["reference"]),
        same_as="" if advised == "advised" else advised,
        better=_better(gains, metric),
    )


def _by_seed(log: RunLog, levels: Mapping[str, int], measure: Measure) -> dict[int, float]:
    """Results of one configuration on the fresh seeds.

    Found by its levels: a top-up may advise another configuration than was run as the advised one.
    """
    return {
        cell.seed: log.outcomes[cell.run_id].metrics[measure.text]
        for cell in log.of_stage("confirm")
        if cell.levels == levels
        and cell.run_id in log.outcomes
        and log.outcomes[cell.run_id].is_done
    }


def _difference(a: Mapping[int, float], b: Mapping[int, float]) -> Estimate | None:
    """Estimate what one configuration gains over another, paired by seed.

    A 95 % t interval over seeds; infinite with one seed, None without any.
    """
    seeds = sorted(set(a) & set(b))
    if not seeds:
        return None
    gains = np.array([[a[seed] - b[seed]] for seed in seeds])
    return Estimate(mean=float(gains.mean()), ci95=paired_interval(gains))


def _better(gains: Mapping[str, Estimate], metric: Metric) -> str:
    """Whichever other configuration the advised one falls behind the most, beyond noise."""
    behind = {other: gain.times(metric.sign) for other, gain in gains.items()}
    worse = {other: gain.mean for other, gain in behind.items() if gain.ci95[1] < 0.0}
    return min(worse, key=lambda other: worse[other]) if worse else ""
