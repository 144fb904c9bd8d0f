"""Collect what the confirmation runs measured: by role, for the fit state, and on test images."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.records.files import read_json
from search.records.metrics import BALANCED_TOP1, MACRO_F1, NLL, TOP1, Metric, decided_by
from search.records.trials import Trial
from search.stages.experiment import confirm_roles, longer_recipe
from search.verdict.confirmation import FREE_ROLES, FROZEN_ROLES, SeedResult, confirm
from search.verdict.confusion import Confusion, confusion_of
from search.verdict.fit.evidence import LONGER, ROLES, FitEvidence
from search.verdict.readings import READINGS, readings
from search.verdict.schema import Confirmed
from spaces.errors import InputError
from spaces.recipe import Recipe

ByRole = Mapping[str, Sequence[Trial]]


def runs_by_role(
    trials: Sequence[Trial], plan: Plan, best: Recipe, advised: Recipe
) -> dict[str, list[Trial]]:
    """Group the confirmation runs that ran to full length or diverged by role.

    A role has the runs of its recipe, whatever they were called when they were run; equal recipes
    share them.

    Args:
        trials: Of the confirm stage.
        plan: The plan.
        best: Recipe that was held against the reference.
        advised: Recipe that the dials describe.
    """
    ended = [(_seedless(t.spec.recipe), t) for t in trials]
    ended = [(r, t) for r, t in ended if t.is_full_length or t.status == "diverged"]
    recipes = {**confirm_roles(plan, best, advised), LONGER: longer_recipe(plan)}
    return {
        role: [trial for recipe, trial in ended if recipe == _seedless(asked)]
        for role, asked in recipes.items()
    }


def fit_evidence(by_role: ByRole) -> dict[str, FitEvidence]:
    """Return what the fit state is judged from, by role."""
    found = {role: evidence(by_role.get(role, [])) for role in ROLES}
    further = {role: evidence(by_role.get(role, [])) for role in ("advised", LONGER)}
    return {**found, **{role: of for role, of in further.items() if of.metrics}}


def _seedless(recipe: Recipe) -> Recipe:
    return replace(recipe, seed=0)


def evidence(trials: Sequence[Trial]) -> FitEvidence:
    """Collect the final metrics of the runs of one recipe."""
    return FitEvidence(
        metrics={t.spec.recipe.seed: t.records[-1].metrics for t in trials if t.is_full_length},
        num_diverged=sum(t.status == "diverged" for t in trials),
    )


def means(trials: Sequence[Trial]) -> dict[str, float]:
    """Average the final metrics over the runs of one recipe, those that all of them have."""
    finished = [t.records[-1].metrics for t in trials if t.is_full_length]
    # A soup is measured on the first seeds only.
    names = [m for m in (finished[0] if finished else {}) if all(m in f for f in finished)]
    return {m: float(np.mean([f[m] for f in finished])) for m in names}


def on_validation(trials: Sequence[Trial], metric: Metric) -> dict[int, float]:
    """Return the metric on validation images by seed, signed so that larger is better."""
    return {
        t.spec.recipe.seed: metric.sign * t.records[-1].metrics[metric.on("val")]
        for t in trials
        if t.is_full_length
    }


def confirmed(by_role: ByRole, plan: Plan, config: RunConfig) -> Confirmed | None:
    """Compare the confirmed recipes on the test images; None if no run reached full length."""
    results = {
        role: {
            trial.spec.recipe.seed: read_result(config.path, trial, plan.data.num_test)
            for trial in trials
            if trial.is_full_length
        }
        for role, trials in by_role.items()
        if role != LONGER
    }
    if not any(results.values()):
        return None
    results["reference_raw"] = _results(by_role["reference"], "raw", plan, config)
    everywhere = [trial for trials in by_role.values() for trial in trials]
    for role in FROZEN_ROLES:
        results[role] = _results(everywhere, role, plan, config)
    first = decided_by(config.metric)
    free = _best_of_free(by_role, first)
    groups = np.array(plan.data.test_groups) if plan.data.test_groups else None
    advised = by_role.get("advised", [])
    return replace(
        confirm(results, num_images=plan.data.num_test, first=first, free=free, groups=groups),
        readings=readings(
            results.get("advised", {}),
            {name: _results(advised, name, plan, config) for name in READINGS},
            num_images=plan.data.num_test,
            first=first,
            groups=groups,
        ),
    )


def _best_of_free(by_role: Mapping[str, Sequence[Trial]], metric: Metric) -> str:
    """Return the role that does best on validation images among those that need no search."""
    names = {role: (role, metric.on("val")) for role in FREE_ROLES}
    names["reference_raw"] = ("reference", metric.on("val_raw"))
    found = {
        free: metric.sign * values[name]
        for free, (role, name) in names.items()
        if name in (values := means(by_role.get(role, [])))
    }
    return max(found, key=lambda role: found[role]) if found else "reference"


def _results(
    trials: Sequence[Trial], measured: str, plan: Plan, config: RunConfig
) -> dict[int, SeedResult]:
    """Return by seed what full-length runs measured as ``test_<measured>/...`` beside their own."""
    return {
        trial.spec.recipe.seed: read_result(
            config.path, trial, plan.data.num_test, measured=measured
        )
        for trial in trials
        if trial.is_full_length and _measured_as(measured, trial)
    }


def _measured_as(measured: str, trial: Trial) -> dict[str, float]:
    """Select and rename metrics: those of ``raw`` are reported as ``test_raw/top1`` and so on."""
    part, metrics = f"test_{measured}/", trial.records[-1].metrics
    return {f"test/{m.removeprefix(part)}": v for m, v in metrics.items() if m.startswith(part)}


def read_result(run_dir: Path, trial: Trial, num_images: int, *, measured: str = "") -> SeedResult:
    """Read what a run of the confirm stage measured on the test images, and on each of them.

    Values of each image are missing where a run of an older version did not keep them.

    Args:
        run_dir: The run's directory.
        trial: Of its confirm stage.
        num_images: Test images.
        measured: What is read in place of the weights that ship: ``raw`` for the raw weights, a
            role of `FROZEN_ROLES`, or one of `READINGS`.
    """
    metrics = _measured_as(measured, trial) if measured else trial.records[-1].metrics
    packed = _packed(run_dir, trial)
    # Without an average, the raw weights are those that ship.
    is_shipped = measured == "raw" and trial.spec.recipe.strengths.ema_decay == 0.0
    prefix = f"{measured}_" if measured and not is_shipped else ""

    def values(key: str, dtype: str) -> NDArray[np.float64]:
        found = np.frombuffer(base64.b64decode(packed[f"{prefix}{key}"]), dtype=dtype)
        return found.astype(np.float64)

    images: dict[str, NDArray[np.float64]] = {}
    if f"{prefix}nll" in packed:
        bits = np.frombuffer(base64.b64decode(packed[f"{prefix}correct"]), dtype=np.uint8)
        right = np.unpackbits(bits, count=num_images)
        images |= {TOP1.on("test"): right.astype(np.float64), NLL.on("test"): values("nll", "<f2")}
    for metric in (BALANCED_TOP1, MACRO_F1):
        if f"{prefix}{metric.name}" in packed:
            images[metric.on("test")] = values(metric.name, "<f4")
    return SeedResult(
        metrics=metrics,
        images=images,
        classes=_indices(packed["label"]) if "label" in packed else None,
    )


def advised_confusion(by_role: ByRole, plan: Plan, config: RunConfig) -> Confusion | None:
    """Count which class the advised recipe's runs take for which on the test images.

    None if it was not run, or by an older version, which did not keep the predicted classes.

    Raises:
        InputError: If a run does not hold a class for each test image.
    """
    packed = [_packed(config.path, t) for t in by_role.get("advised", ()) if t.is_full_length]
    if not all("predicted" in run and "label" in run for run in packed):
        return None
    runs = [(_indices(run["label"]), _indices(run["predicted"])) for run in packed]
    num_classes = plan.task.num_classes
    for indices in (part for run in runs for part in run):
        if len(indices) != plan.data.num_test or indices.max(initial=0) >= num_classes:
            raise InputError(
                f"{config.path / 'predictions'} must hold a class below {num_classes} for each of "
                f"{plan.data.num_test} test images, but does not."
            )
    return confusion_of(runs, num_classes=num_classes)


def _packed(run_dir: Path, trial: Trial) -> dict[str, str]:
    found: dict[str, str] = read_json(run_dir / "predictions" / f"{trial.spec.trial_id}.json")
    return found


def _indices(text: str) -> NDArray[np.int64]:
    return np.frombuffer(base64.b64decode(text), dtype="<u4").astype(np.int64)
