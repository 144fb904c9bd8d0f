"""Each fit state is found where it was planted, and only there."""

import itertools
import math

import numpy as np
import pytest

from search.verdict.answer.problem import problem_sentence
from search.verdict.fit.evidence import FitEvidence
from search.verdict.fit.state import fit_state, is_undertrained
from search.verdict.schema import FIT_STATES, Dial, Estimate, Fit

NOISE = 0.006


def evidence(
    clean: float,
    val: float,
    *,
    clean_loss: float = 0.05,
    raw: float | None = None,
    seeds: int = 3,
    key: int = 0,
    diverged: int = 0,
) -> FitEvidence:
    """Runs around the given means, noisy in validation; ``raw`` adds an average that differs."""
    rng = np.random.default_rng(key)
    metrics = {}
    for seed in range(seeds):
        of_seed = {
            "clean_train/top1": min(1.0, clean + rng.normal(0.0, NOISE) * (clean < 1.0)),
            "clean_train/nll": clean_loss * (1.0 + rng.normal(0.0, 0.05)),
            "val/top1": val + rng.normal(0.0, NOISE),
        }
        if raw is not None:
            of_seed["val_raw/top1"] = raw + rng.normal(0.0, NOISE)
            of_seed["val_ema/top1"] = of_seed["val/top1"]
        metrics[seed] = of_seed
    return FitEvidence(metrics=metrics, num_diverged=diverged)


def roles(
    reference: tuple[float, float],
    best: tuple[float, float],
    off: tuple[float, float],
    scaled: tuple[float, float] | None = None,
    longer: tuple[float, float] | None = None,
) -> dict[str, FitEvidence]:
    given = {"reference": reference, "best": best, "off": off, "scaled": scaled, "longer": longer}
    return {
        role: evidence(*at, key=i, seeds=1 if role == "longer" else 3)
        for i, (role, at) in enumerate(given.items())
        if at is not None
    }


ALIKE = ((0.60, 0.57), (0.60, 0.57), (0.60, 0.57), None)


@pytest.mark.parametrize(
    ("recipes", "reference", "best"),
    [
        # Strong regularization: fits less and validates less than with everything off.
        (roles((0.85, 0.82), (1.0, 0.95), (1.0, 0.94)), "underfit", "balanced"),
        # So strong that a recipe in between beats both it and everything off.
        (roles((0.75, 0.65), (0.97, 0.78), (1.0, 0.66)), "underfit", "overfit"),
        # Fits less than off, yet validates no worse: that is what regularization is for.
        (roles((0.97, 0.93), (0.97, 0.93), (1.0, 0.93)), "balanced", "balanced"),
        # Without regularization, and the best, which fits no better, validates better.
        (roles((1.0, 0.90), (0.98, 0.95), (1.0, 0.90)), "overfit", "balanced"),
        # Nothing tried helps, but a gap of 25 points is one.
        (roles((1.0, 0.75), (1.0, 0.75), (1.0, 0.75)), "overfit", "overfit"),
        # All alike and good.
        (roles((1.0, 0.96), (1.0, 0.96), (1.0, 0.955), (1.0, 0.96)), "balanced", "balanced"),
        # Too short: wrong in training already, and off is better with twice the epochs.
        (
            roles((0.35, 0.33), (0.62, 0.58), (0.60, 0.57), None, (0.75, 0.70)),
            "undertrained",
            "undertrained",
        ),
        # As wrong, and no better with twice the epochs.
        (roles(*ALIKE, (0.60, 0.57)), "fit-limited", "fit-limited"),
        # Twice the epochs learn wrong labels by heart, which validates no better.
        (roles(*ALIKE, (0.90, 0.57)), "fit-limited", "fit-limited"),
        # Twice the epochs validate better without fitting better: one lucky run.
        (roles(*ALIKE, (0.60, 0.70)), "fit-limited", "fit-limited"),
        # Nothing longer was run.
        (roles(*ALIKE), "fit-limited", "fit-limited"),
        # The reference is held back by its strengths, and the best by what it can fit at all.
        (
            roles((0.35, 0.33), (0.62, 0.58), (0.60, 0.57), None, (0.60, 0.57)),
            "underfit",
            "fit-limited",
        ),
        # A longer run that is better counts only where the fit is what is missing.
        (
            roles((1.0, 0.90), (1.0, 0.90), (0.99, 0.90), None, (1.0, 0.99)),
            "balanced",
            "balanced",
        ),
        # Off fails for want of warmup, but the best converges: not too short.
        (roles((0.60, 0.58), (1.0, 0.95), (0.50, 0.45)), "underfit", "balanced"),
    ],
)
def test_planted_states_are_found(
    recipes: dict[str, FitEvidence], reference: str, best: str
) -> None:
    found = fit_state(recipes)
    assert (found.reference, found.best) == (reference, best)
    assert set(found.gap) == set(recipes) - {"longer"}
    assert is_undertrained(recipes) == (reference == "undertrained")
    for reason in found.reasons:
        assert reason[0].isupper() or reason.startswith("ema_lag")
        assert reason.endswith(".")


def test_reasons_carry_the_numbers_they_rest_on() -> None:
    found = fit_state(roles((0.85, 0.82), (1.0, 0.95), (1.0, 0.94)))
    assert any("gets 84." in r or "gets 85." in r for r in found.reasons)
    assert any("margin" in r and "points" in r for r in found.reasons)
    assert found.reasons[-1].startswith("Margins rest on 9 full-length runs")


def test_a_balanced_recipe_with_a_gap_says_what_would_be_large() -> None:
    said = fit_state(roles((1.0, 0.95), (1.0, 0.95), (1.0, 0.95))).reasons[0]
    assert "a gap of 4.9 points [+4." in said
    assert "is not called large: that takes 10 points." in said


@pytest.mark.parametrize(
    ("gap", "state", "words"),
    [
        (0.08, "balanced", "is not called large: that takes 10 points"),
        (0.10, "balanced", "may be large or not: that takes 10 points, which these runs cannot"),
        (0.105, "balanced", "may be large or not"),
        (0.14, "overfit", "is called large"),
    ],
)
def test_a_gap_is_called_large_by_its_interval(gap: float, state: str, words: str) -> None:
    found = fit_state(roles((1.0, 1.0 - gap), (1.0, 1.0 - gap), (1.0, 1.0 - gap)))
    assert found.reference == state
    assert words in found.reasons[0]
    low, high = found.gap["reference"].ci95
    assert low < found.gap["reference"].mean < high
    assert found.gap["reference"].mean == pytest.approx(gap, abs=2 * NOISE)
    # The words follow from the interval that stands beside them.
    assert ("may be large" in words) == (low <= 0.10 <= high)


def test_the_longer_run_is_told_with_its_numbers_and_judges_no_recipe() -> None:
    found = fit_state(roles(*ALIKE, (0.75, 0.70)))
    assert found.longer is not None
    assert (found.longer.recipe, found.longer.times, found.longer.helps) == ("off", 2, True)
    assert found.longer.gain["val/top1"].mean == pytest.approx(0.13, abs=4 * NOISE)
    assert "train longer or raise the learning rate first" in found.reasons[0]
    said = next(reason for reason in found.reasons if reason.startswith("Longer training"))
    assert said.startswith("Longer training would help: everything off with twice the epochs")
    assert "of top-1 on training images without augmentation" in said
    assert "longer" not in found.gap
    assert found.reasons[-1].startswith("Margins rest on 9 full-length runs")


@pytest.mark.parametrize(
    ("longer", "may_help", "says", "reason"),
    [
        ((0.60, 0.57), False, "does not help", "not time, but the model's capacity or wrong"),
        ((0.90, 0.57), False, "does not help", "not time, but the model's capacity or wrong"),
        ((0.60, 0.70), True, "may help", "whether for want of time is not known"),
        ((0.60, 0.66), True, "may help", "whether for want of time is not known"),
    ],
)
def test_want_of_time_is_ruled_out_only_where_validation_shows_it(
    longer: tuple[float, float], may_help: bool, says: str, reason: str
) -> None:
    found = fit_state(roles(*ALIKE, longer))
    assert found.reference == "fit-limited"
    assert found.longer is not None
    assert (found.longer.helps, found.longer.may_help) == (False, may_help)
    assert any(r.startswith(f"Longer training {says}") for r in found.reasons)
    assert reason in found.reasons[0]
    assert ("for want of time is not known" in problem_sentence(found, [])) == may_help


def test_one_run_of_each_recipe_rules_nothing_out() -> None:
    at = {"reference": (0.6, 0.57), "best": (0.6, 0.57), "off": (0.6, 0.57), "longer": (0.6, 0.57)}
    found = fit_state({role: evidence(*of, key=0, seeds=1) for role, of in at.items()})
    assert found.longer is not None
    assert found.longer.may_help


def test_a_balanced_reason_never_denies_a_recipe_that_validates_better() -> None:
    recipes = roles((0.95, 0.95), (0.95, 0.99), (1.0, 0.95))
    found = fit_state(recipes)
    assert found.reference == "balanced"
    assert "the best recipe validates better by +" in found.reasons[0]
    assert "no recipe tried does better" not in found.reasons[0]


def test_smoothing_that_keeps_the_loss_up_is_an_underfit_even_if_all_images_are_right() -> None:
    recipes = {
        "reference": evidence(1.0, 0.92, clean_loss=0.5),
        "best": evidence(1.0, 0.96, clean_loss=0.02, key=1),
        "off": evidence(1.0, 0.96, clean_loss=0.02, key=2),
    }
    found = fit_state(recipes)
    assert found.reference == "underfit"
    assert any("of log-loss" in reason for reason in found.reasons)


def test_an_average_at_chance_ships_an_underfit_with_ema_lag_as_the_reason() -> None:
    recipes = {
        "reference": evidence(0.10, 0.10, raw=0.955),
        "best": evidence(1.0, 0.96, raw=0.96, key=1),
        "off": evidence(1.0, 0.955, key=2),
    }
    found = fit_state(recipes)
    assert (found.reference, found.best) == ("underfit", "balanced")
    lag = [reason for reason in found.reasons if reason.startswith("ema_lag")]
    assert len(lag) == 1
    assert lag[0].startswith("ema_lag: only the average of the reference is behind: it gets 10.")
    assert "95." in lag[0]
    assert any("so its average keeps it from fitting" in reason for reason in found.reasons)


def test_an_average_behind_weights_that_are_behind_too_is_not_the_only_reason() -> None:
    recipes = {
        "reference": evidence(0.50, 0.50, raw=0.85),
        "best": evidence(1.0, 0.96, raw=0.96, key=1),
        "off": evidence(1.0, 0.955, key=2),
    }
    lag = [reason for reason in fit_state(recipes).reasons if reason.startswith("ema_lag")]
    assert len(lag) == 1
    assert lag[0].startswith("ema_lag: the average of the reference is behind")
    assert "behind another recipe too" in lag[0]
    assert any(
        "so its average and then regularization keep it" in r for r in fit_state(recipes).reasons
    )


@pytest.mark.parametrize(("diverged", "state"), [(3, "diverged"), (4, "diverged"), (1, "balanced")])
def test_a_recipe_of_which_half_the_runs_diverge_has_diverged(diverged: int, state: str) -> None:
    recipes = roles((1.0, 0.96), (1.0, 0.96), (1.0, 0.96))
    recipes["reference"] = evidence(1.0, 0.96, diverged=diverged)
    found = fit_state(recipes)
    assert found.reference == state
    assert f"{diverged} of {diverged + 3} runs of the reference diverged." in found.reasons


def test_a_reference_without_a_surviving_run_has_diverged() -> None:
    recipes = roles((1.0, 0.96), (1.0, 0.96), (1.0, 0.96))
    recipes["reference"] = FitEvidence(metrics={}, num_diverged=2)
    assert fit_state(recipes).reference == "diverged"


def dial(turn: str, strength: str, clean_gain: float) -> Dial:
    half = 0.005
    return Dial(
        strength=strength,
        turn=turn,
        reference=0.1,
        recommended=0.0,
        effective_unit="",
        reference_effective=0.1,
        recommended_effective=0.0,
        effect={
            "clean_train/top1": Estimate(
                mean=clean_gain, ci95=(clean_gain - half, clean_gain + half)
            )
        },
        decided_by="val/top1",
        num_runs=16,
        runs_to_decide=None,
    )


@pytest.mark.parametrize(
    ("turned", "state"),
    [
        (dial("down", "label_smoothing", 0.02), "underfit"),
        (dial("down", "label_smoothing", 0.0), "balanced"),
        (dial("up", "weight_decay", -0.02), "overfit"),
        (dial("up", "warmup_fraction", 0.02), "balanced"),
    ],
)
def test_a_decided_dial_speaks_where_few_runs_of_the_recipes_are_silent(
    turned: Dial, state: str
) -> None:
    recipes = roles((1.0, 0.955), (1.0, 0.96), (1.0, 0.955))
    found = fit_state(recipes, dials=(turned,))
    assert found.reference == state
    assert found.best == "balanced"


@pytest.mark.parametrize(
    ("spreads", "most"),
    [
        ((0.012, 0.012, 0.012), 0.10),
        # The pooled noise is a mean: too small for the noisy recipe, too large for the others.
        ((0.05, 0.012, 0.012), 0.15),
        ((0.012, 0.05, 0.012), 0.15),
        ((0.012, 0.012, 0.05), 0.15),
    ],
)
def test_within_noise_nothing_is_judged(spreads: tuple[float, float, float], most: float) -> None:
    """A difference of one standard deviation on three noisy seeds is no underfit."""
    wrong = 0
    for key in range(200):
        rng = np.random.default_rng(key)
        recipes = {
            role: FitEvidence(
                metrics={
                    seed: {
                        "clean_train/top1": 0.97 + rng.normal(0, spread),
                        "clean_train/nll": 0.1 + rng.normal(0, spread),
                        "val/top1": 0.93 + rng.normal(0, spread),
                    }
                    for seed in range(3)
                }
            )
            for role, spread in zip(("reference", "best", "off"), spreads, strict=True)
        }
        wrong += fit_state(recipes).reference != "balanced"
    assert wrong <= most * 200


def test_one_run_per_recipe_still_gives_a_state_and_says_what_the_margins_are() -> None:
    recipes = {
        "reference": evidence(0.85, 0.82, seeds=1),
        "best": evidence(1.0, 0.95, seeds=1, key=1),
        "off": evidence(1.0, 0.94, seeds=1, key=2),
    }
    found = fit_state(recipes)
    assert found.reference == "underfit"
    assert found.reasons[-1].startswith("Margins are 0.5 points")


@pytest.mark.parametrize("hole", [math.nan, math.inf, -math.inf])
def test_metrics_that_are_not_numbers_are_no_evidence(hole: float) -> None:
    recipes = roles((1.0, 0.96), (1.0, 0.96), (1.0, 0.96))
    recipes["off"] = FitEvidence(metrics={0: {"clean_train/top1": hole, "val/top1": hole}})
    recipes["scaled"] = FitEvidence(metrics={})
    assert fit_state(recipes).reference == "balanced"
    assert not is_undertrained(recipes)


def test_every_combination_of_levels_gives_a_known_state() -> None:
    grid = [(0.1, 0.1), (0.6, 0.5), (1.0, 0.6), (1.0, 1.0)]
    for reference, best, off in itertools.product(grid, repeat=3):
        found: Fit = fit_state(roles(reference, best, off))
        assert found.reference in FIT_STATES
        assert found.best in FIT_STATES


def test_roles_that_are_missing_or_unknown_are_refused() -> None:
    recipes = roles((1.0, 0.96), (1.0, 0.96), (1.0, 0.96))
    with pytest.raises(ValueError, match=r"missing=\['off'\] and unknown=\['of'\]"):
        fit_state(
            {"reference": recipes["reference"], "best": recipes["best"], "of": recipes["off"]}
        )


def a_turn(strength: str, *, gain: tuple[float, float, float] = (0.029, 0.016, 0.043)) -> Dial:
    mean, low, high = gain
    return Dial(
        strength=strength,
        turn="down",
        reference=0.1,
        recommended=0.0,
        effective_unit="",
        reference_effective=0.1,
        recommended_effective=0.0,
        effect={"val/top1": Estimate(mean=mean, ci95=(low, high))},
        decided_by="val/top1",
        num_runs=32,
        runs_to_decide=None,
    )


def noisy(at: float, *, raw: float | None = None) -> FitEvidence:
    """Three runs of each recipe that differ by so much that they tell little."""
    around = (-0.06, 0.0, 0.06)
    shifted = around[1:] + around[:1] if raw is not None else around
    metrics = {}
    for seed, shift in enumerate(shifted):
        metrics[seed] = {"clean_train/top1": 0.99, "clean_train/nll": 0.05, "val/top1": at + shift}
        if raw is not None:
            metrics[seed] |= {"val_raw/top1": raw + shift, "val_ema/top1": at + shift}
    return FitEvidence(metrics=metrics)


def test_raw_weights_that_a_dial_improves_on_are_not_said_to_be_beaten_by_nothing() -> None:
    """What stood there: "its raw weights get 86.4 %, which no other recipe beats beyond noise"."""
    found = {
        "reference": noisy(0.10, raw=0.864),
        "best": noisy(0.927),
        "off": noisy(0.87),
        "scaled": noisy(0.88),
    }
    alone = " ".join(fit_state(found).reasons)
    assert "which no other recipe beats beyond noise" in alone
    said = " ".join(fit_state(found, dials=[a_turn("label_smoothing")]).reasons)
    assert "no other recipe beats" not in said
    assert "turning label_smoothing down helps besides" in said
    assert "only the average of the reference" not in said
    # The average's own dial says nothing against its raw weights.
    assert " ".join(fit_state(found, dials=[a_turn("ema_decay")]).reasons) == alone


def test_a_balanced_reference_is_not_called_best_against_a_dial_that_is_turned() -> None:
    found = {role: noisy(0.93) for role in ("reference", "best", "off")}
    assert "no recipe tried does better" in fit_state(found).reasons[0]
    said = fit_state(found, dials=[a_turn("warmup_fraction")]).reasons[0]
    assert "no recipe tried does better" not in said
    assert "turning warmup_fraction down does better in the experiment" in said
