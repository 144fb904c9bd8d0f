"""The learning rate of every step: hand-computed, and as torch and timm have it."""

import math
from itertools import pairwise

import pytest
import torch
from timm.scheduler.cosine_lr import CosineLRScheduler
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, SequentialLR

from spaces.errors import InputError
from spaces.recipe import SCHEDULES
from trainable.optim.schedule import WSD_DECAY_FRACTION, lr_factor, warmup_steps_of

PEAK = 0.3
LENGTHS = [(1, 0), (2, 0), (2, 1), (10, 3), (135, 7), (135, 0), (135, 134), (1000, 1)]


def factors(schedule: str, total_steps: int, warmup_steps: int, min_factor: float) -> list[float]:
    return [
        lr_factor(
            step,
            schedule=schedule,
            total_steps=total_steps,
            warmup_steps=warmup_steps,
            min_factor=min_factor,
        )
        for step in range(total_steps)
    ]


def an_optimizer(lr: float = PEAK) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates_of_torch(
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    total_steps: int,
) -> list[float]:
    rates = []
    for step in range(total_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < total_steps - 1:
            scheduler.step()
    return rates


def test_a_short_cosine_has_the_factors_computed_by_hand() -> None:
    half = math.sqrt(0.5)
    expected = [1 / 4, 2 / 4, 3 / 4, 1, (1 + half) / 2, 1 / 2, (1 - half) / 2]
    assert factors("cosine", 7, 3, 0.0) == pytest.approx(expected)


def test_a_cosine_goes_towards_the_minimum_and_not_to_zero() -> None:
    assert factors("cosine", 4, 2, 0.2) == pytest.approx([1 / 3, 2 / 3, 1.0, 0.6])


def test_a_short_constant_has_the_factors_computed_by_hand() -> None:
    assert factors("constant", 5, 3, 0.5) == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_a_short_warmup_stable_decay_has_the_factors_computed_by_hand() -> None:
    # 20 steps: 1 of warmup, peak up to the cooldown of 4, which starts from the peak at step 16.
    cooldown = [1.0, 1 - math.sqrt(1 / 4), 1 - math.sqrt(2 / 4), 1 - math.sqrt(3 / 4)]
    assert WSD_DECAY_FRACTION == 0.2
    assert factors("wsd", 20, 1, 0.0) == pytest.approx([1 / 2, *[1.0] * 15, *cooldown])
    with_floor = [0.1 + 0.9 * factor for factor in cooldown]
    assert factors("wsd", 20, 1, 0.1)[-4:] == pytest.approx(with_floor)


@pytest.mark.parametrize(("total_steps", "warmup_steps"), LENGTHS)
@pytest.mark.parametrize("min_factor", [0.0, 0.1, 1.0])
def test_cosine_equals_the_scheduler_of_timm_at_every_step(
    total_steps: int, warmup_steps: int, min_factor: float
) -> None:
    optimizer = an_optimizer()
    scheduler = CosineLRScheduler(
        optimizer,
        t_initial=total_steps - warmup_steps,
        lr_min=PEAK * min_factor,
        warmup_t=warmup_steps,
        warmup_lr_init=PEAK / (warmup_steps + 1),
        warmup_prefix=True,
        t_in_epochs=False,
    )
    rates = []
    for num_updates in range(1, total_steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])  # What timm's update would be taken with.
        scheduler.step_update(num_updates)
    expected = [PEAK * f for f in factors("cosine", total_steps, warmup_steps, min_factor)]
    assert rates == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("total_steps", "warmup_steps"), [n for n in LENGTHS if n[1] > 0])
@pytest.mark.parametrize("min_factor", [0.0, 0.1])
# SequentialLR itself calls its schedulers in the deprecated way, with an epoch.
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")
def test_cosine_equals_the_sequential_schedule_of_torch_at_every_step(
    total_steps: int, warmup_steps: int, min_factor: float
) -> None:
    optimizer = an_optimizer()
    warmup = LinearLR(optimizer, start_factor=1 / (warmup_steps + 1), total_iters=warmup_steps)
    decay = CosineAnnealingLR(optimizer, total_steps - warmup_steps, eta_min=PEAK * min_factor)
    rates = rates_of_torch(
        optimizer, SequentialLR(optimizer, [warmup, decay], [warmup_steps]), total_steps
    )
    expected = [PEAK * f for f in factors("cosine", total_steps, warmup_steps, min_factor)]
    # torch multiplies its way from step to step, so rounding adds up.
    assert rates == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("total_steps", "warmup_steps"), [(10, 3), (135, 7), (1000, 1)])
@pytest.mark.parametrize("min_factor", [0.0, 0.01])
def test_one_cycle_equals_the_scheduler_of_torch_at_every_step(
    total_steps: int, warmup_steps: int, min_factor: float
) -> None:
    optimizer = an_optimizer()
    scheduler = OneCycleLR(
        optimizer,
        max_lr=PEAK,
        total_steps=total_steps,
        pct_start=(warmup_steps + 1) / total_steps,
        cycle_momentum=False,
        final_div_factor=1 / (25 * min_factor) if min_factor else 1e4,
    )
    expected = [PEAK * f for f in factors("one_cycle", total_steps, warmup_steps, min_factor)]
    assert rates_of_torch(optimizer, scheduler, total_steps) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("total_steps", "warmup_steps"), LENGTHS)
def test_every_schedule_rises_to_the_peak_at_the_warmup_step_and_never_again(
    schedule: str, total_steps: int, warmup_steps: int
) -> None:
    curve = factors(schedule, total_steps, warmup_steps, 0.0)
    assert curve[warmup_steps] == 1.0
    rise, fall = curve[: warmup_steps + 1], curve[warmup_steps:]
    assert all(early < late for early, late in pairwise(rise))
    assert all(early >= late for early, late in pairwise(fall))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("total_steps", "warmup_steps"), LENGTHS)
def test_no_step_is_wasted_at_a_rate_of_zero(
    schedule: str, total_steps: int, warmup_steps: int
) -> None:
    assert min(factors(schedule, total_steps, warmup_steps, 0.0)) > 0.0


@pytest.mark.parametrize("warmup_steps", [0, 7, 100, 500])
def test_warmup_and_cosine_average_half_the_peak(warmup_steps: int) -> None:
    curve = factors("cosine", 1000, warmup_steps, 0.0)
    assert sum(curve) == pytest.approx((1000 + 1) / 2)


@pytest.mark.parametrize(
    ("fraction", "total_steps", "expected"),
    [(0.0, 135, 0), (0.05, 135, 7), (0.25, 8, 2), (0.999, 10, 9), (0.5, 1, 0), (0.05, 1, 0)],
)
def test_warmup_steps_are_the_nearest_whole_number_that_leaves_a_step_at_the_peak(
    fraction: float, total_steps: int, expected: int
) -> None:
    assert warmup_steps_of(fraction, total_steps) == expected


@pytest.mark.parametrize("step", [-1, 10, 11])
def test_a_step_outside_the_run_is_refused(step: int) -> None:
    with pytest.raises(InputError, match=r"`0 <= step < 10` must hold, but got step="):
        lr_factor(step, schedule="cosine", total_steps=10, warmup_steps=0)


@pytest.mark.parametrize(("total_steps", "warmup_steps"), [(0, 0), (10, 10), (10, -1)])
def test_a_warmup_without_a_step_at_the_peak_is_refused(
    total_steps: int, warmup_steps: int
) -> None:
    with pytest.raises(InputError, match="`0 <= warmup_steps < total_steps` must hold"):
        lr_factor(0, schedule="cosine", total_steps=total_steps, warmup_steps=warmup_steps)


@pytest.mark.parametrize("min_factor", [-0.1, 1.1, math.nan, math.inf])
def test_a_minimum_that_is_no_share_of_the_peak_is_refused(min_factor: float) -> None:
    with pytest.raises(InputError, match="`0 <= min_factor <= 1` must hold"):
        lr_factor(0, schedule="cosine", total_steps=10, warmup_steps=0, min_factor=min_factor)


def test_an_unknown_schedule_is_refused_with_the_known_ones_named() -> None:
    with pytest.raises(InputError, match=r"must be one of cosine, .*got 'step'"):
        lr_factor(0, schedule="step", total_steps=10, warmup_steps=0)
