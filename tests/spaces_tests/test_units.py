"""Effective units mean what they say, and raw values come back from them exactly."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.errors import InputError
from spaces.strengths.ema_decay import LONGEST_WINDOW
from spaces.strengths.registry import STRENGTHS, known
from spaces.strengths.weight_decay import MAX_WEIGHT_DECAY
from spaces.task import Task
from spaces.units import (
    describe,
    limits,
    to_effective,
    to_raw,
)

SMALL_TRANSFER = Task(
    num_train=300,
    num_classes=10,
    batch_size=32,
    epochs=15,
    lr=1e-3,
    pretrained=True,
    num_blocks=16,
)
# Eight orders of magnitude, both ends, and lengths that are awkward in binary: 1 / 49 * 49 < 1.
STEPS = [1, 2, 3, 7, 10, 49, 135, 333, 12_345, 375_300, 100_000_000]


def run_of(steps: int, **changes: float) -> Task:
    return replace(SMALL_TRANSFER, num_train=32, epochs=steps, **changes)  # type: ignore[arg-type]


def test_the_small_transfer_run_has_135_steps() -> None:
    assert SMALL_TRANSFER.total_steps == 135
    assert run_of(7).total_steps == 7


@pytest.mark.parametrize(
    ("name", "raw", "effective"),
    [
        ("weight_decay", 0.05, 1e-3 * 0.05 * 135),
        ("weight_decay", 0.0, 0.0),
        ("ema_decay", 0.9999, 10_000 / 135),
        ("ema_decay", 0.9, 10 / 135),
        ("ema_decay", 0.0, 1 / 135),
        ("warmup_fraction", 0.05, 6.75),
        ("drop_path_rate", 0.1, 0.1),
        ("label_smoothing", 0.1, 0.1),
        ("lr", 3e-4, 3e-4),
        ("mixup_alpha", 0.8, 0.8),
        ("cutmix_alpha", 1.0, 1.0),
        ("randaugment_magnitude", 9.0, 9.0),
        ("layer_decay", 1.0, 0.0),
        ("layer_decay", 0.75, 0.25),
        ("class_weighting", 0.0, 0.0),
        ("class_weighting", 1.0, 1.0),
        # Sizes are not known: 30 images a class on average, and 30 ln 2 = 20.79.
        ("class_weighting", 0.5, 30 * math.log(2) / (2**30 - 1)),
    ],
)
def test_effective_values_are_those_worked_out_by_hand(
    name: str, raw: float, effective: float
) -> None:
    assert to_effective(name, raw, SMALL_TRANSFER) == pytest.approx(effective, rel=1e-10)


def test_published_recipes_have_the_pulls_and_windows_that_their_papers_imply() -> None:
    deit = replace(
        SMALL_TRANSFER, num_train=1_281_167, batch_size=1024, epochs=300, pretrained=False
    )
    convnext = replace(deit, batch_size=4096, lr=4e-3)

    assert to_effective("weight_decay", 0.05, deit) == pytest.approx(18.77, abs=0.01)
    assert to_effective("ema_decay", 0.99996, deit) == pytest.approx(0.067, abs=0.001)
    assert to_effective("weight_decay", 0.05, convnext) == pytest.approx(18.72, abs=0.01)
    assert to_effective("ema_decay", 0.9999, convnext) == pytest.approx(0.107, abs=0.001)


def test_the_pull_says_how_far_decay_alone_shrinks_a_weight_under_warmup_and_cosine() -> None:
    steps, warmup, lr, decay = 2000, 200, 1e-2, 0.3
    weight = 1.0
    for step in range(steps):
        if step < warmup:
            rate = lr * (step + 0.5) / warmup
        else:
            rate = lr / 2 * (1 + math.cos(math.pi * (step - warmup + 0.5) / (steps - warmup)))
        weight *= 1 - rate * decay

    pull = to_effective("weight_decay", decay, run_of(steps, lr=lr))

    assert weight == pytest.approx(math.exp(-pull / 2), rel=0.01)


def test_the_window_says_what_is_left_of_the_initial_weights() -> None:
    steps, decay = 2000, 0.995
    average = 1.0  # Initial weights 1, every later one 0.
    for _ in range(steps):
        average = decay * average

    share = to_effective("ema_decay", decay, run_of(steps))

    assert average == pytest.approx(math.exp(-1 / share), rel=0.05)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", known())
def test_both_ways_are_exact_inverses_over_eight_orders_of_steps(name: str, steps: int) -> None:
    task = run_of(steps)
    low, high = limits(name, task)
    for share in (0.0, 1e-6, 0.1, 1 / 3, 0.5, 0.9, 1.0):
        effective = low + share * (high - low)
        if name == "randaugment_magnitude":
            effective = float(round(effective))

        raw = to_raw(name, effective, task)

        # A decay near 1 is held to 1e-16, so its window to 1e-16 times its own length.
        window = effective * steps if name == "ema_decay" else 1.0
        tolerance = 1e-12 + 4e-16 * window
        back = to_effective(name, raw, task)
        assert back == pytest.approx(effective, rel=tolerance, abs=1e-15)
        assert to_raw(name, back, task) == pytest.approx(raw, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("name", known())
def test_both_ways_are_monotone(name: str, steps: int) -> None:
    task = run_of(steps)
    low, high = limits(name, task)
    raws = [to_raw(name, low + i / 50 * (high - low), task) for i in range(51)]

    assert raws == sorted(raws, reverse=name == "layer_decay")
    if name != "randaugment_magnitude" and low < high:
        assert len(set(raws)) == 51


@given(decay=st.floats(0, 1 - 1e-9), steps=st.integers(1, 10**8))
def test_any_decay_has_the_window_of_its_definition(decay: float, steps: int) -> None:
    effective = to_effective("ema_decay", decay, run_of(steps))

    assert effective == pytest.approx(1 / ((1 - decay) * steps), rel=1e-12)


@pytest.mark.parametrize("steps", STEPS)
def test_a_window_of_one_step_is_exactly_off(steps: int) -> None:
    task = run_of(steps)

    assert to_raw("ema_decay", 1 / steps, task) == 0.0
    assert to_raw("ema_decay", to_effective("ema_decay", 0.0, task), task) == 0.0


@pytest.mark.parametrize("steps", STEPS)
def test_no_pull_is_exactly_no_weight_decay(steps: int) -> None:
    assert to_raw("weight_decay", 0.0, run_of(steps)) == 0.0


def test_a_window_longer_than_allowed_is_refused_with_both_ways_out() -> None:
    with pytest.raises(InputError, match=r"ema_decay in a run of 135 .*shorter window, or raise"):
        to_raw("ema_decay", LONGEST_WINDOW * 1.01, SMALL_TRANSFER)


def test_a_window_below_one_step_is_refused() -> None:
    with pytest.raises(InputError, match="ema_decay in a run of 135"):
        to_raw("ema_decay", 0.5 / 135, SMALL_TRANSFER)


@pytest.mark.parametrize("steps", [68.0, 135.0, 200.0])
def test_a_warmup_longer_than_half_the_run_is_refused_with_both_ways_out(steps: float) -> None:
    with pytest.raises(InputError, match="shorter warmup, or raise `epochs`"):
        to_raw("warmup_fraction", steps, SMALL_TRANSFER)


def test_more_pull_than_the_largest_weight_decay_has_is_refused_with_both_ways_out() -> None:
    most = 1e-3 * MAX_WEIGHT_DECAY * 135

    assert to_raw("weight_decay", most, SMALL_TRANSFER) == MAX_WEIGHT_DECAY
    with pytest.raises(InputError, match="ask for less, or raise `epochs` or `lr`"):
        to_raw("weight_decay", most * 1.01, SMALL_TRANSFER)


def test_weight_decay_ends_where_a_step_would_turn_the_sign_of_a_weight() -> None:
    fast = run_of(100, lr=0.5)

    assert to_raw("weight_decay", limits("weight_decay", fast)[1], fast) == pytest.approx(2.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.1])
@pytest.mark.parametrize("name", known())
def test_what_is_no_value_is_refused_either_way(name: str, value: float) -> None:
    with pytest.raises(InputError, match="must hold"):
        to_raw(name, value, SMALL_TRANSFER)
    with pytest.raises(InputError, match="must hold"):
        to_effective(name, value, SMALL_TRANSFER)


@pytest.mark.parametrize("name", [n for n in STRENGTHS if n != "weight_decay"])
def test_a_raw_strength_of_one_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=name):
        to_effective(name, 1.0, SMALL_TRANSFER)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    for call in (to_effective, to_raw, describe):
        with pytest.raises(InputError, match=r"Unknown axis 'dropout'; known are weight_decay"):
            call("dropout", 0.1, SMALL_TRANSFER)


def test_magnitudes_are_whole_numbers() -> None:
    assert to_raw("randaugment_magnitude", 8.6, SMALL_TRANSFER) == 9.0


def test_the_published_average_on_135_steps_is_told_honestly() -> None:
    initial = 0.9999**135
    assert round(100 * initial) == 99

    assert describe("ema_decay", 0.9999, SMALL_TRANSFER) == (
        "ema_decay 0.9999 remembers 10000 steps; this run has 135: "
        "the average would still be 99 % initial weights"
    )


@pytest.mark.parametrize(
    ("name", "raw", "changes", "words"),
    [
        ("weight_decay", 0.05, {}, "0.34 % in 135 steps: as good as off"),
        ("weight_decay", 3.0, {"lr": 0.5}, "turns the sign of a weight"),
        ("weight_decay", 5.0, {"epochs": 15_000}, "leaves exp"),
        ("ema_decay", 0.3, {}, "averages 1.4 steps: as good as off"),
        ("ema_decay", 0.99, {}, "remembers 100 steps; this run has 135"),
        ("warmup_fraction", 0.005, {}, "less than one of 135 steps"),
        ("warmup_fraction", 0.5, {}, "keeps 50% of the run below its peak"),
        ("drop_path_rate", 0.1, {"num_blocks": 0}, "no residual block to skip"),
        ("drop_path_rate", 0.8, {}, "in 80% of the steps"),
        ("label_smoothing", 0.4, {}, "moves 40% of the probability"),
    ],
)
def test_a_value_that_makes_no_sense_gets_a_remark(
    name: str, raw: float, changes: dict[str, float], words: str
) -> None:
    task = replace(SMALL_TRANSFER, **changes)  # type: ignore[arg-type]

    remark = describe(name, raw, task)

    assert words in remark
    assert remark.startswith(f"{name} {raw:g} ")


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("weight_decay", 3.7),
        ("label_smoothing", 0.1),
        ("drop_path_rate", 0.1),
        ("ema_decay", 0.85),
        ("warmup_fraction", 0.2),
        ("mixup_alpha", 0.8),
    ],
)
def test_a_value_that_makes_sense_gets_none(name: str, raw: float) -> None:
    assert describe(name, raw, SMALL_TRANSFER) == ""


@pytest.mark.parametrize("name", STRENGTHS)
def test_off_never_gets_a_remark(name: str) -> None:
    assert describe(name, 0.0, replace(SMALL_TRANSFER, num_blocks=0)) == ""


@pytest.mark.parametrize("steps", STEPS)
def test_a_window_gets_a_remark_exactly_where_it_cannot_be_had(steps: int) -> None:
    task = run_of(steps)
    for share in (0.01, 0.3, 0.34, 1.0, 10.0):
        if share * steps <= 2:
            continue
        decay = 1 - 1 / (share * steps)

        assert ("initial weights" in describe("ema_decay", decay, task)) == (share > LONGEST_WINDOW)


@pytest.mark.parametrize(
    ("share", "raw", "said"),
    [
        (1.0, 0.56, "skips the deepest block in 56% of the steps"),
        (0.875, 0.56, ""),  # EfficientNet-Lite0: its deepest block is skipped in 49 %.
        (0.875, 0.8, "skips the deepest block in 70% of the steps"),
    ],
)
def test_the_deepest_block_is_said_to_be_skipped_as_often_as_it_is(
    share: float, raw: float, said: str
) -> None:
    remark = describe("drop_path_rate", raw, replace(SMALL_TRANSFER, deepest_share=share))
    assert remark == (f"drop_path_rate {raw:g} {said}" if said else "")
