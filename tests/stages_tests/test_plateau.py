"""When a search has stopped getting anywhere, and what counts as noise."""

import math
import random
import statistics
from dataclasses import replace

import pytest
import torch

from search.records.metrics import error_over_images
from search.records.trials import Trial
from search.stages.plateau import is_on_plateau
from tests.support import finished_run
from trainable.evaluation import quick_metrics

NUM_VAL = 200


def ended(number: int, top1: float, *, role: str = "proposed", status: str = "finished") -> Trial:
    return finished_run.a_trial(
        "search",
        number,
        role,
        finished_run.BEST,
        {"val/top1": top1, "val/nll_refined": 1.0 - top1, "val/nll_refined_se": 0.03},
        status=status,
        epochs=10 if status == "finished" else 5,
    )


def is_stuck(trials: list[Trial], patience: int, metric: str = "val/top1") -> bool:
    return is_on_plateau(trials, patience=patience, metric=metric, num_val=NUM_VAL)


ANCHOR = ended(0, 0.8, role="anchor:off")
IN_VAIN = [ended(number, 0.8) for number in range(1, 6)]


@pytest.mark.parametrize(("patience", "expected"), [(1, True), (5, True), (6, False)])
def test_it_takes_as_many_proposals_in_vain_as_there_is_patience(
    patience: int, expected: bool
) -> None:
    assert is_stuck([ANCHOR, *IN_VAIN], patience) == expected


@pytest.mark.parametrize(("gain", "expected"), [(0.02, True), (0.04, False)])
@pytest.mark.parametrize("metric", ["val/top1", "val/nll_refined"])
def test_only_a_gain_beyond_noise_counts(gain: float, expected: bool, metric: str) -> None:
    """One standard error of 80 % on 200 images is 2.8 points; of the log-loss 0.03 is planted."""
    assert is_stuck([ANCHOR, *IN_VAIN, ended(6, 0.8 + gain)], 5, metric) == expected


def test_small_gains_that_add_up_beyond_noise_count() -> None:
    creeping = [ended(number, 0.8 + 0.01 * number) for number in range(1, 6)]
    assert not is_stuck([ANCHOR, *creeping], 5)
    assert is_stuck([ANCHOR, *creeping], 2)


def test_an_early_value_is_no_gain_and_a_dead_worker_no_evidence() -> None:
    early = ended(6, 0.99, status="stopped")
    assert is_stuck([ANCHOR, *IN_VAIN, early], 5)
    failed = [ended(number, 0.8, status="failed") for number in range(1, 6)]
    assert not is_stuck([ANCHOR, *failed], 5)


def test_reruns_do_not_count() -> None:
    again = [replace(t, spec=replace(t.spec, role="rerun")) for t in IN_VAIN]
    assert not is_stuck([ANCHOR, *again], 5)


def test_without_a_full_length_trial_before_them_nothing_is_known() -> None:
    assert not is_stuck(IN_VAIN, 5)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_noise_of_top1_is_what_other_images_would_change(share: float) -> None:
    rng = random.Random(0)
    measured = [sum(rng.random() < share for _ in range(NUM_VAL)) / NUM_VAL for _ in range(4000)]
    found = error_over_images({"val/top1": share}, metric="val/top1", num_images=NUM_VAL)
    assert found == pytest.approx(statistics.stdev(measured), rel=0.1)


def test_noise_of_top1_is_never_zero() -> None:
    assert error_over_images({"val/top1": 1.0}, metric="val/top1", num_images=NUM_VAL) > 0.0


def test_noise_of_a_log_loss_is_measured_on_the_images() -> None:
    """Against log-losses of many fresh sets of images."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(NUM_VAL) % 5
    sets = []
    for _ in range(400):
        logits = 2.0 * torch.randn(NUM_VAL, 5, generator=generator)
        logits[torch.arange(NUM_VAL), labels] += 2.0
        sets.append(logits)
    errors = quick_metrics(sets[0], labels, with_errors=True)
    for name in ("nll", "nll_refined"):
        spread = statistics.stdev(quick_metrics(logits, labels)[name] for logits in sets)
        assert errors[f"{name}_se"] == pytest.approx(spread, rel=0.25), name
        assert math.isfinite(spread)
