"""What is said by a metric is said by its mirror image, of which less is better."""

import math
from dataclasses import replace

import numpy as np
import pytest

from search.records.metrics import METRICS, POINTS, TOP1, Metric
from search.verdict.confirmation import SeedResult, confirm
from search.verdict.design import AVERAGES, cells
from search.verdict.dials import decide
from search.verdict.effects import Run, estimate_effects, trajectory_level
from search.verdict.fit.evidence import FitEvidence
from search.verdict.fit.longer import is_mostly_unfit
from search.verdict.fit.state import fit_state, is_undertrained
from search.verdict.interactions import estimate_interactions, strong_interactions
from search.verdict.judgement import Look
from search.verdict.sequential import look_share, shares
from tests.support.finished_run import BEST, REFERENCE, a_plan

NAMES = ("label_smoothing", "drop_path_rate", "warmup_fraction")
GAIN = replace(TOP1, name="gain", words="gain", kind="gain", counts_images=False)
LOSS = replace(GAIN, name="loss", words="loss", kind="loss", larger_is_better=False)
"""Each the other's mirror image."""


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    for metric in (GAIN, LOSS):
        monkeypatch.setitem(METRICS, metric.name, metric)


def experiment(*, noise: float = 0.004) -> list[Run]:
    """Smoothing costs three points, drop path brings two, and they interact; the best's average
    is far behind.
    """
    rng = np.random.default_rng(0)
    runs = []
    for block in range(4):
        for i, cell in enumerate(cells(NAMES, block=block)):
            metrics = {}
            for average in ("reference", "best", "none"):
                a, b, _ = (cell[name] for name in NAMES)
                value = 0.8 + 0.015 * a - 0.01 * b + 0.01 * a * b + rng.normal(0.0, noise)
                value -= 0.3 * (average == "best")
                metrics[average] = {"val/gain": value, "val/loss": 1.0 - value}
            runs.append(Run(run_id=f"r{block}-{i}", block=block, levels=cell, metrics=metrics))
    return runs


def test_the_experiment_is_measured_on_the_average_that_is_not_behind() -> None:
    levels = {trajectory_level(experiment(), ema=True, metric=metric) for metric in (GAIN, LOSS)}
    assert len(levels) == 1
    assert levels != {"best"}


@pytest.mark.parametrize("first", [GAIN, LOSS], ids=["gain", "loss"])
def test_dials_turn_towards_what_is_better(first: Metric) -> None:
    effects = estimate_effects(experiment(), NAMES, within=[AVERAGES], first=first)
    dials = decide(
        [Look(share=look_share(4, (4,)), effects=effects, divergences={})],
        reference=REFERENCE.strengths.as_dict(),
        best=BEST.with_strengths(drop_path_rate=0.0).strengths.as_dict(),
        task=a_plan().task,
        runs_per_round=8,
        first=first,
    )
    found = {dial.strength: dial for dial in dials}
    assert found["label_smoothing"].turn == "down"
    assert found["label_smoothing"].decided_by == first.on("val")
    assert found["label_smoothing"].effect[first.on("val")].mean * first.sign > 0.02
    assert found["drop_path_rate"].turn == "leave"
    assert found["drop_path_rate"].decided_by == first.on("val")
    # The best's average is 30 points behind.
    assert found["ema_decay"].turn == "leave"
    assert found["warmup_fraction"].turn in ("inconclusive", "leave")


def test_an_interaction_is_told_with_the_same_judgement() -> None:
    told = {}
    for first in (GAIN, LOSS):
        runs = experiment(noise=0.001)
        effects = estimate_effects(runs, NAMES, first=first)
        (told[first.name],) = strong_interactions(
            estimate_interactions(runs, NAMES, ema=False, metric=first),
            effects,
            reference=REFERENCE.strengths.as_dict(),
            best=BEST.strengths.as_dict(),
            metric=first,
        )
    assert "changes gain by" in told["gain"]
    turned = told["gain"].translate(str.maketrans("+-", "-+")).replace("gain", "loss")
    assert told["loss"] == turned


def test_all_that_may_decide_shares_the_error_whatever_decides_first() -> None:
    for first in (TOP1, GAIN, replace(GAIN, then=()), replace(GAIN, then=("nll",))):
        assert sum(shares(first).values()) == pytest.approx(1.0)
        assert max(shares(first), key=lambda name: shares(first)[name]) == first.on("val")


def test_a_confirmation_takes_the_error_over_images_that_runs_report() -> None:
    """Half-width over seeds and images in squares: t(4) of the seeds, and sqrt(2) errors."""
    rng = np.random.default_rng(0)
    gains = rng.normal(0.05, 0.01, 5)

    def results(error: float | None) -> dict[str, dict[int, SeedResult]]:
        rest = {"test/top1": 0.9, "test/nll": 0.3}
        rest |= {} if error is None else {"test/gain_se": error}
        return {
            role: {
                seed: SeedResult(metrics={**rest, "test/gain": 0.8 + (role == "advised") * gain})
                for seed, gain in enumerate(gains)
            }
            for role in ("reference", "advised")
        }

    halves = {}
    for error in (None, 0.03):
        found = confirm(results(error), num_images=10_000, first=GAIN)
        low, high = found.advised_minus["reference"]["test/gain"].ci95
        halves[error] = (high - low) / 2
    assert halves[None] == pytest.approx(2.776 * gains.std(ddof=1) / math.sqrt(5), rel=1e-3)
    both = math.hypot(halves[None], 1.960 * math.sqrt(2) * 0.03)
    assert halves[0.03] == pytest.approx(both, rel=1e-3)


def evidence(clean: float, val: float) -> FitEvidence:
    """Runs that are alike by top-1, and differ by the other share."""
    metrics = {
        seed: {
            "clean_train/gain": clean + 0.001 * seed,
            "val/gain": val + 0.001 * seed,
            "clean_train/top1": 0.99,
            "val/top1": 0.9,
            "clean_train/nll": 0.05,
        }
        for seed in range(3)
    }
    return FitEvidence(metrics=metrics)


def test_the_fit_is_told_by_the_share_that_decides() -> None:
    strong, good = evidence(0.70, 0.65), evidence(0.99, 0.80)
    found = {"reference": strong, "best": good, "off": good}
    fit = fit_state(found, metric=GAIN)
    assert (fit.reference, fit.best) == ("underfit", "overfit")
    assert (
        "reaches 70.1 % gain on the training images (no augmentation) and 65.1 %" in fit.reasons[0]
    )
    assert fit_state(found, metric=TOP1).reference == "balanced"
    # What is no share of anything leaves the fit to top-1.
    assert fit_state(found, metric=LOSS) == fit_state(found, metric=TOP1)


def test_a_budget_is_too_short_by_the_share_that_decides() -> None:
    slow = evidence(0.40, 0.38)
    found = {"reference": slow, "best": slow, "off": slow, "longer": evidence(0.60, 0.50)}
    assert is_undertrained(found, metric=GAIN)
    assert not is_undertrained(found, metric=TOP1)
    assert is_mostly_unfit(found, metric=GAIN)
    assert not is_mostly_unfit(found, metric=TOP1)
    fit = fit_state(found, metric=GAIN)
    assert fit.reference == "undertrained"
    assert fit.longer is not None
    assert fit.longer.gain["val/gain"].mean == pytest.approx(0.12)
    assert GAIN.is_share
    assert not replace(GAIN, unit=replace(POINTS, word="parts")).is_share
