"""Verdicts of every shape, drawn at random, for what must hold of whatever a run may say."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from search.report.figures.marks import WORDS
from search.stages.analysis import Analysis
from search.verdict.schema import FIT_STATES, TURNS, Confirmed, Dial, Estimate, Fit
from spaces.strengths.registry import known
from tests.support.finished_run import EDGE, READINGS, an_analysis

LAGS = (
    "ema_lag: only the average of the reference is behind: it gets 9.3 % of the images.",
    "ema_lag: the average of the reference is behind: it gets 9.3 %; these are behind too.",
    "ema_lag: only the average of the best recipe is behind.",
)
FREE_OR_ADVISED = ("reference", "reference_raw", "advised", "off", "scaled")
ROLES = (*FREE_OR_ADVISED, "probe", "knn")


def any_analysis(seed: int) -> Analysis:
    """An analysis with five to ten dials of any turn, and any confirmation or none."""
    rng = np.random.default_rng(seed)
    names = list(known())[: int(rng.integers(5, len(known()) + 1))]
    dials = tuple(_dial(name, rng) for name in names)
    state = str(rng.choice(FIT_STATES))
    lags = [reason for reason in LAGS if rng.random() < 0.3]
    exported = str(rng.choice(["advised", "advised", "reference", "off"]))
    analysis = an_analysis(
        dials,
        fit=Fit(reference=state, best="balanced", reasons=tuple(lags)),
        confirmed=_confirmed(rng) if rng.random() < 0.9 else None,
        exported=exported,
        exported_because=""
        if exported == "advised"
        else "it is better on fresh images beyond noise than the advised recipe is",
    )
    return replace(
        analysis,
        tried={dial.strength: float(rng.choice([0.0, 0.123456, 3.78])) for dial in dials},
        edges=(EDGE,) * int(rng.integers(0, 3)),
        measured=dict.fromkeys(WORDS, analysis.measured["reference"]),
    )


def _dial(name: str, rng: np.random.Generator) -> Dial:
    turn = str(rng.choice(TURNS))
    reference, tried = (float(x) for x in rng.choice([0.9999, 0.1, 0.0, 0.0803359123], 2, False))
    is_moved = turn in ("down", "up", "inconclusive")
    effect = (
        {}
        if turn == "leave" and rng.random() < 0.5
        else {
            metric: _estimate(rng, scale)
            for metric, scale in (("val/top1", 0.05), ("val/nll", 0.3), ("val/nll_refined", 0.3))
        }
    )
    decided_by = {"inconclusive": None, "leave": None}.get(
        turn, str(rng.choice(["val/top1", "val/nll", "val/nll_refined", "diverged"]))
    )
    is_open = turn == "inconclusive"
    return Dial(
        strength=name,
        turn=turn,
        reference=reference,
        recommended=tried if is_moved else reference,
        effective_unit="unit",
        reference_effective=reference,
        recommended_effective=tried if is_moved else reference,
        effect=effect,
        decided_by=decided_by,
        num_runs=16,
        runs_to_decide=24 if is_open else None,
        remark="8 of 8 runs diverged at the reference's value, 0 of 8 at the best's",
        matters_less_than=float(rng.uniform(0, 0.2)) if is_open and rng.random() < 0.8 else None,
        more_runs=(16, int(rng.integers(16, 90_000))) if is_open and rng.random() < 0.8 else None,
    )


def _estimate(rng: np.random.Generator, scale: float) -> Estimate:
    mean = float(rng.normal(0.0, scale * (20.0 if rng.random() < 0.1 else 1.0)))
    half = float(rng.uniform(0.0, 2.0 * scale)) if rng.random() < 0.9 else math.inf
    return Estimate(mean=mean, ci95=(mean - half, mean + half))


def _confirmed(rng: np.random.Generator) -> Confirmed:
    # A model from scratch has no frozen features.
    roles = ROLES if rng.random() < 0.5 else FREE_OR_ADVISED
    means: dict[str, Any] = {
        role: {} if rng.random() < 0.1 else {"test/top1": rng.uniform(), "test/nll": 1.0}
        for role in roles
    }
    same = Estimate(mean=0.0, ci95=(0.0, 0.0))
    minus = {
        role: {"test/top1": same if rng.random() < 0.1 else _estimate(rng, 0.05)}
        for role in roles
        if role != "advised"
    }
    return Confirmed(
        num_images=1197,
        seeds=5,
        best={},
        best_minus_reference={},
        advised_minus=minus if means["advised"] else {},
        readings=READINGS if means["advised"] and rng.random() < 0.5 else {},
        free=str(rng.choice([role for role in FREE_OR_ADVISED if role != "advised"])),
        **means,
    )
