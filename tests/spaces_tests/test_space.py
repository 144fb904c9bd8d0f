"""What is searched for a task: ranges that hold what was published, and ways to change them."""

import json
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.anchors import size_scaled
from spaces.axes import FixedAxis, LinearAxis, LogAxis, ZeroAxis
from spaces.errors import InputError
from spaces.ranges import MIN_STEPS, extra_axis
from spaces.recipe import RandAugment, Recipe
from spaces.references import published
from spaces.space import Space, parse_fix, parse_set
from spaces.strengths.registry import EXTRAS, STRENGTHS
from spaces.strengths.values import Strengths
from spaces.task import Task
from spaces.units import limits, to_effective

SMALL_TRANSFER = Task(
    num_train=300,
    num_classes=10,
    batch_size=32,
    epochs=15,
    lr=1e-3,
    pretrained=True,
    num_blocks=16,
)
SPACE = Space.for_task(SMALL_TRANSFER)
STEPS = [MIN_STEPS, 11, 16, 17, 20, 50, 135, 333, 334, 1000, 10_000, 93_600, 375_300, 10**7]
EDGES_AND_INSIDE = (0.0, 0.05, 0.1, 0.1000001, 0.25, 0.5, 0.9, 1.0)


def run_of(steps: int, **changes: Any) -> Task:
    return replace(SMALL_TRANSFER, num_train=32, epochs=steps, **changes)


def everywhere(space: Space, position: float) -> dict[str, float]:
    return dict.fromkeys(space.free_names, position)


# Ranges


def test_small_transfer_has_the_ranges_worked_out_by_hand() -> None:
    assert SPACE.axes == {
        # W of 20 would need a weight decay of 148: 10 * 1e-3 * 135 is the most there is.
        "weight_decay": ZeroAxis(LogAxis(0.02, 1.35)),
        "label_smoothing": ZeroAxis(LinearAxis(0.0, 0.2)),
        "drop_path_rate": ZeroAxis(LinearAxis(0.0, 0.3)),
        "ema_decay": LogAxis(1 / 135, 0.3),
        "warmup_fraction": ZeroAxis(LogAxis(5.0, 40.5)),
    }


def test_imagenet_from_scratch_has_the_ranges_worked_out_by_hand() -> None:
    axes = Space.for_task(published("deit_small").task).axes

    assert axes["weight_decay"] == ZeroAxis(LogAxis(0.5, 60.0))
    assert axes["drop_path_rate"] == ZeroAxis(LinearAxis(0.0, 0.5))
    assert axes["ema_decay"] == LogAxis(0.003, 0.3)
    assert axes["warmup_fraction"] == ZeroAxis(LogAxis(1876.5, 37530.0))


@pytest.mark.parametrize(
    "name", ["convnext_tiny", "deit_small", "swin_tiny", "rsb_a1", "rsb_a2", "rsb_a3", "imagenet"]
)
def test_the_space_of_a_published_run_holds_its_published_strengths(name: str) -> None:
    original = published(name)
    space = Space.for_task(original.task)

    for strength, raw in original.recipe.strengths.as_dict().items():
        is_off_average = strength == "ema_decay" and raw == 0  # A window of one step: below 0.3 %.
        assert is_off_average or space.contains(strength, raw), (strength, raw)


@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize("steps", STEPS)
def test_every_length_of_run_has_wide_ranges_that_hold_the_scaled_default(
    steps: int, pretrained: bool
) -> None:
    task = run_of(steps, pretrained=pretrained)
    space = Space.for_task(task)

    assert space.free_names == tuple(STRENGTHS)
    for name, axis in space.axes.items():
        inner = axis.inner if isinstance(axis, ZeroAxis) else axis
        assert inner.high >= 2.5 * inner.low, (name, axis)
        assert space.contains(name, size_scaled(Recipe(), task).strengths.as_dict()[name]), name


@pytest.mark.parametrize("steps", STEPS)
def test_every_range_can_be_carried_out(steps: int) -> None:
    space = Space.for_task(run_of(steps))

    for position in EDGES_AND_INSIDE:
        raw = space.decode(everywhere(space, position))
        Strengths(**raw)  # Refuses what a recipe may not hold.
        assert raw["weight_decay"] <= 10
        assert raw["warmup_fraction"] <= 0.3 + 1e-12
        assert raw["ema_decay"] ** steps <= 0.04


@pytest.mark.parametrize("steps", [MIN_STEPS, 135, 333])
def test_short_runs_reach_everything_off_exactly(steps: int) -> None:
    space = Space.for_task(run_of(steps))

    raw = space.decode(everywhere(space, 0.0))

    assert set(raw.values()) == {0.0}


@pytest.mark.parametrize("name", ["weight_decay", "label_smoothing", "drop_path_rate"])
def test_off_takes_a_tenth_of_the_dial(name: str) -> None:
    values = [SPACE.decode(everywhere(SPACE, i / 1000))[name] for i in range(1001)]

    assert sum(value == 0 for value in values) == 101


def test_strengths_that_scale_with_the_run_move_and_the_others_stay() -> None:
    middle = {
        steps: Space.for_task(run_of(steps)).decode(dict.fromkeys(STRENGTHS, 0.6))
        for steps in (10_000, 100_000)
    }

    assert middle[10_000]["weight_decay"] == pytest.approx(10 * middle[100_000]["weight_decay"])
    assert 1 - middle[10_000]["ema_decay"] == pytest.approx(10 * (1 - middle[100_000]["ema_decay"]))
    for name in ("label_smoothing", "drop_path_rate"):
        assert middle[10_000][name] == middle[100_000][name]


@pytest.mark.parametrize("steps", [1, 2, MIN_STEPS - 1])
def test_a_run_too_short_to_search_is_refused_with_both_ways_out(steps: int) -> None:
    with pytest.raises(InputError, match=r"make \d; raise `epochs` or lower `batch_size`"):
        Space.for_task(run_of(steps))


def test_a_model_without_drop_path_has_it_fixed_to_zero() -> None:
    space = Space.for_task(replace(SMALL_TRANSFER, num_blocks=0))

    assert "drop_path_rate" not in space.free_names
    assert space.decode(everywhere(space, 1.0))["drop_path_rate"] == 0.0
    with pytest.raises(InputError, match="fixed at 0 and cannot be given a range"):
        space.with_range("drop_path_rate", 0.0, 0.1)
    with pytest.raises(InputError, match="already fixed at 0"):
        space.fixed("drop_path_rate", 0.1)
    assert space.fixed("drop_path_rate", 0.0) == space


# Decoding and encoding


@given(st.fixed_dictionaries({name: st.floats(0, 1) for name in (*STRENGTHS, *EXTRAS)}))
def test_raw_values_come_back_from_their_own_positions(positions: dict[str, float]) -> None:
    space = SPACE
    for name in EXTRAS:
        space = space.with_extra(name)
    raw = space.decode(positions)

    back = space.decode(space.encode(raw))

    assert back == pytest.approx(raw, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("position", EDGES_AND_INSIDE)
def test_positions_come_back_from_their_own_raw_values(steps: int, position: float) -> None:
    space = Space.for_task(run_of(steps))

    back = space.encode(space.decode(everywhere(space, position)))

    for name, found in back.items():
        is_off = isinstance(space.axes[name], ZeroAxis) and position <= 0.1
        assert found == pytest.approx(0.0 if is_off else position, abs=1e-7), name


def test_decoding_agrees_with_the_formulas_of_the_design() -> None:
    raw = SPACE.decode(everywhere(SPACE, 0.55))

    share = (0.55 - 0.1) / 0.9
    pull = 0.02 * (1.35 / 0.02) ** share
    window = (1 / 135) * (0.3 * 135) ** 0.55
    assert raw == pytest.approx(
        {
            "weight_decay": pull / (1e-3 * 135),
            "label_smoothing": 0.2 * share,
            "drop_path_rate": 0.3 * share,
            "ema_decay": 1 - 1 / (window * 135),
            "warmup_fraction": 5 * (40.5 / 5) ** share / 135,
        },
        rel=1e-9,
    )


@pytest.mark.parametrize("name", STRENGTHS)
def test_a_missing_position_is_refused_by_name(name: str) -> None:
    positions = everywhere(SPACE, 0.5)
    del positions[name]

    with pytest.raises(InputError, match=f"position for '{name}' is missing"):
        SPACE.decode(positions)


def test_an_unknown_position_or_value_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="Unknown position 'dropout'"):
        SPACE.decode({**everywhere(SPACE, 0.5), "dropout": 0.5})
    with pytest.raises(InputError, match="Unknown raw value 'dropout'"):
        SPACE.encode({**size_scaled(Recipe(), SMALL_TRANSFER).strengths.as_dict(), "dropout": 0.5})


def test_a_value_outside_its_range_is_refused_in_raw_units_or_clamped() -> None:
    imagenet = published("imagenet").recipe.strengths.as_dict()

    with pytest.raises(InputError, match=r"<= weight_decay <= 10` must hold, but got 0\.05"):
        SPACE.encode(imagenet)
    clamped = SPACE.encode(imagenet, clamped=True)

    raw = SPACE.decode(clamped)
    assert clamped["ema_decay"] == 1.0
    assert raw["weight_decay"] == pytest.approx(0.02 / (1e-3 * 135))
    assert raw["label_smoothing"] == pytest.approx(0.1)
    assert raw["drop_path_rate"] == pytest.approx(0.1)
    assert raw["warmup_fraction"] == pytest.approx(0.05)


def test_contains_agrees_with_encoding() -> None:
    for name, raw in published("imagenet").recipe.strengths.as_dict().items():
        inside = size_scaled(Recipe(), SMALL_TRANSFER).strengths.as_dict() | {name: raw}
        if SPACE.contains(name, raw):
            SPACE.encode(inside)
        else:
            with pytest.raises(InputError, match=f"<= {name} <="):
                SPACE.encode(inside)


# Ranges and fixed values from the command line


def test_a_range_in_raw_units_is_what_is_searched() -> None:
    space = SPACE.with_range("weight_decay", 0.2, 4.0)

    low, high = (space.decode(everywhere(space, end))["weight_decay"] for end in (0.0, 1.0))

    assert [low, high] == pytest.approx([0.2, 4.0])
    assert not space.contains("weight_decay", 0.0)


def test_a_range_may_be_wider_than_the_default() -> None:
    space = SPACE.with_range("label_smoothing", 0.0, 0.3)

    assert space.axes["label_smoothing"] == ZeroAxis(LinearAxis(0.0, 0.3))
    assert SPACE.axes["label_smoothing"] == ZeroAxis(LinearAxis(0.0, 0.2))


def test_a_warmup_range_from_zero_can_be_off() -> None:
    space = SPACE.with_range("warmup_fraction", 0.0, 0.1)

    assert space.decode(everywhere(space, 0.0))["warmup_fraction"] == 0.0
    assert space.decode(everywhere(space, 0.2))["warmup_fraction"] == pytest.approx(
        5 / 135, rel=0.2
    )
    assert space.decode(everywhere(space, 1.0))["warmup_fraction"] == pytest.approx(0.1)


@pytest.mark.parametrize("name", STRENGTHS)
def test_any_strength_can_be_searched_from_off_to_a_value(name: str) -> None:
    space = SPACE.with_range(name, 0.0, 0.25)

    assert space.decode(everywhere(space, 0.0))[name] == 0.0
    assert space.decode(everywhere(space, 1.0))[name] == pytest.approx(0.25)
    assert 0 < space.decode(everywhere(space, 0.5))[name] < 0.25


@pytest.mark.parametrize(
    ("name", "low", "high", "message"),
    [
        ("label_smoothing", 0.3, 0.1, r"low < high.* label_smoothing, but got 0\.3:0\.1"),
        ("label_smoothing", 0.1, 0.1, "low < high"),
        ("label_smoothing", -0.1, 0.1, r"0 <= label_smoothing < 1"),
        ("label_smoothing", 0.0, 1.0, r"0 <= label_smoothing < 1"),
        ("ema_decay", 0.0, 0.9999, r"ema_decay <= 0\.977778` must hold in a run of 135 steps"),
        ("warmup_fraction", 0.0, 0.8, r"warmup_fraction <= 0\.5` must hold in a run of 135 steps"),
        ("weight_decay", 0.0, 11.0, r"weight_decay <= 10` must hold .* raise `epochs`"),
        ("weight_decay", 0.0, float("nan"), "low < high"),
        ("dropout", 0.0, 0.1, "Unknown axis 'dropout'"),
    ],
)
def test_a_range_that_cannot_be_is_refused(
    name: str, low: float, high: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        SPACE.with_range(name, low, high)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weight_decay", 0.05),
        ("drop_path_rate", 0.0),
        ("ema_decay", 0.9999),  # Out of reach for the run, and still what the user asked for.
        ("warmup_fraction", 0.05),
        ("lr", 3e-4),
    ],
)
def test_a_fixed_value_arrives_exactly_as_typed(name: str, value: float) -> None:
    space = SPACE.fixed(name, value)

    assert name not in space.free_names
    assert space.decode(everywhere(space, 0.7))[name] == value
    assert space.encode(space.decode(everywhere(space, 0.7))).keys() == set(space.free_names)


def test_a_fixed_value_cannot_be_encoded_as_another() -> None:
    space = SPACE.fixed("label_smoothing", 0.1)
    raw = size_scaled(Recipe(), SMALL_TRANSFER).strengths.as_dict()

    with pytest.raises(InputError, match=r"`label_smoothing` is fixed at 0\.1, got 0\.0"):
        space.encode(raw)
    assert "label_smoothing" not in space.encode(raw, clamped=True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("ema_decay", 1.0, "ema_decay"), ("lr", 0.0, "lr"), ("dropout", 0.1, "Unknown axis")],
)
def test_a_fixed_value_that_no_recipe_may_hold_is_refused(
    name: str, value: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        SPACE.fixed(name, value)


def test_what_is_typed_is_read() -> None:
    assert parse_set("label_smoothing=0:0.3") == ("label_smoothing", 0.0, 0.3)
    assert parse_set(" ema_decay = 0 : 9e-1 ") == ("ema_decay", 0.0, 0.9)
    assert parse_fix("drop_path_rate=0") == ("drop_path_rate", 0.0)
    assert parse_fix("lr=3e-4") == ("lr", 3e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label_smoothing", "name=low:high"),
        ("label_smoothing=0.1", "name=low:high"),
        ("label_smoothing=a:b", "'a' in .* must be a number"),
        ("label_smoothing=0:", "'' in .* must be a number"),
        ("smoothing=0:0.1", "Unknown name 'smoothing'; known are weight_decay"),
        ("", "name=low:high"),
    ],
)
def test_a_mistyped_range_is_refused_with_an_example(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_set(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("drop_path_rate", "name=value"),
        ("drop_path_rate=off", "'off' in .* must be a number"),
        ("droppath=0", "Unknown name 'droppath'"),
    ],
)
def test_a_mistyped_fixed_value_is_refused_with_an_example(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_fix(text)


# Extras


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_is_searched_once_it_is_switched_on(name: str) -> None:
    space = SPACE.with_extra(name)

    assert space.free_names == (*STRENGTHS, name)
    assert space.with_extra(name) == space
    assert name in space.decode(everywhere(space, 0.5))


def test_an_unknown_extra_is_refused() -> None:
    for call in (SPACE.with_extra, lambda name: extra_axis(name, SMALL_TRANSFER)):
        with pytest.raises(InputError, match="Unknown extra axis 'dropout'; known are lr"):
            call("dropout")


@pytest.mark.parametrize("name", [name for name in EXTRAS if name != "lr"])
def test_the_weakest_end_of_an_extra_is_off(name: str) -> None:
    space = SPACE.with_extra(name)
    recipe = Recipe(mixup_alpha=0.2, cutmix_alpha=1.0, randaugment=RandAugment(), layer_decay=0.8)

    off = space.apply(recipe, space.decode(everywhere(space, 0.0)))

    default = Recipe()
    field = "randaugment" if name == "randaugment_magnitude" else name
    assert getattr(off, field) == getattr(default, field)


def test_a_range_switches_an_extra_on() -> None:
    space = SPACE.with_range("mixup_alpha", 0.0, 0.4)

    assert space.axes["mixup_alpha"] == ZeroAxis(LogAxis(0.05, 0.4))


def test_layer_decay_is_typed_as_it_is_written_in_a_recipe() -> None:
    space = SPACE.with_range("layer_decay", 0.7, 0.9)

    weakest, strongest = (space.decode(everywhere(space, end))["layer_decay"] for end in (0.0, 1.0))

    assert [weakest, strongest] == pytest.approx([0.9, 0.7])


def test_under_a_searched_learning_rate_the_pull_stays_and_the_decay_moves() -> None:
    space = Space.for_task(run_of(10_000)).with_extra("lr")
    positions = everywhere(space, 0.5)
    for lr_position in (0.0, 0.3, 1.0):
        raw = space.decode({**positions, "lr": lr_position})
        task = replace(space.task, lr=raw["lr"])

        pull = to_effective("weight_decay", raw["weight_decay"], task)

        assert pull == pytest.approx(space.axes["weight_decay"].decode(0.5))
        assert space.encode(raw) == pytest.approx({**positions, "lr": lr_position}, abs=1e-9)


def test_a_decay_stays_when_the_learning_rate_beside_it_is_clamped() -> None:
    space = Space.for_task(run_of(10_000)).with_extra("lr")
    raw = space.decode(everywhere(space, 0.5))

    clamped = space.decode(space.encode({**raw, "lr": 1.0}, clamped=True))

    assert clamped["lr"] == pytest.approx(3e-3)
    assert clamped["weight_decay"] == pytest.approx(raw["weight_decay"])


def test_where_a_low_learning_rate_cannot_pull_as_hard_decay_stops_at_its_limit() -> None:
    space = SPACE.with_extra("lr")

    raw = space.decode({**everywhere(space, 1.0), "lr": 0.0})

    assert raw["lr"] == pytest.approx(1e-4)
    assert raw["weight_decay"] == 10.0


def test_a_fixed_learning_rate_is_the_one_that_pulls() -> None:
    space = Space.for_task(run_of(10_000)).fixed("lr", 5e-4)

    raw = space.decode(everywhere(space, 0.5))

    pull = to_effective("weight_decay", raw["weight_decay"], replace(space.task, lr=5e-4))
    assert pull == pytest.approx(space.axes["weight_decay"].decode(0.5))
    assert space.encode(raw)["weight_decay"] == pytest.approx(0.5)
    without_lr = {name: value for name, value in raw.items() if name != "lr"}
    assert space.encode(without_lr) == space.encode(raw)


# Recipes and plans


def test_values_arrive_in_the_recipe_and_can_be_read_back() -> None:
    space = SPACE
    for name in EXTRAS:
        space = space.with_extra(name)
    raw = space.decode(everywhere(space, 0.6))

    recipe = space.apply(Recipe(randaugment=RandAugment(num_ops=3)), raw)

    assert recipe.strengths.as_dict() == {name: raw[name] for name in STRENGTHS}
    assert recipe.lr == raw["lr"]
    assert recipe.mixup_alpha == raw["mixup_alpha"]
    assert recipe.cutmix_alpha == raw["cutmix_alpha"]
    assert recipe.layer_decay == raw["layer_decay"]
    assert recipe.class_weighting == raw["class_weighting"]
    assert recipe.randaugment == RandAugment(num_ops=3, magnitude=int(raw["randaugment_magnitude"]))
    assert space.raw_of(recipe) == raw


def test_what_is_not_searched_stays_as_it_is_in_the_recipe() -> None:
    recipe = Recipe(model="resnet18", lr=3e-4, min_lr=3e-6, seed=7, mixup_alpha=0.2)

    applied = SPACE.apply(recipe, SPACE.decode(everywhere(SPACE, 0.6)))

    assert replace(applied, strengths=recipe.strengths) == recipe


def test_a_searched_learning_rate_ends_at_the_same_share_of_its_peak() -> None:
    space = SPACE.with_extra("lr")

    applied = space.apply(Recipe(lr=1e-3, min_lr=1e-5), {"lr": 1e-4})

    assert applied.min_lr == pytest.approx(1e-6)


def test_an_unknown_value_does_not_go_into_a_recipe() -> None:
    with pytest.raises(InputError, match="Unknown axis 'dropout'"):
        SPACE.apply(Recipe(), {"dropout": 0.1})


def test_the_plan_holds_each_axis_in_raw_and_effective_units() -> None:
    plan = SPACE.fixed("drop_path_rate", 0.0).with_extra("layer_decay").to_dict()

    assert json.loads(json.dumps(plan)) == plan
    assert plan["weight_decay"] == {
        "scale": "0 or log",
        "unit": "decay over the whole run, lr*wd*T",
        "effective": [0.0, 1.35],
        "raw": [0.0, 10.0],
        "above_zero": 0.02,
    }
    assert plan["ema_decay"]["raw"] == [0.0, pytest.approx(1 - 1 / 40.5)]
    assert plan["ema_decay"]["above_zero"] is None
    assert plan["drop_path_rate"]["scale"] == "fixed"
    assert plan["drop_path_rate"]["raw"] == [0.0, 0.0]
    assert plan["layer_decay"]["raw"] == [1.0, pytest.approx(0.6)]


def test_a_plan_shows_a_fixed_average_longer_than_the_run_too() -> None:
    plan = SPACE.fixed("ema_decay", 0.9999).to_dict()

    assert plan["ema_decay"]["raw"] == [0.9999, 0.9999]
    assert plan["ema_decay"]["effective"] == pytest.approx([10_000 / 135] * 2)


def test_a_space_survives_the_way_to_another_process() -> None:
    space = SPACE.with_extra("lr").fixed("label_smoothing", 0.1)

    assert pickle.loads(pickle.dumps(space)) == space
    assert space.axes["label_smoothing"] == FixedAxis(0.1)


@pytest.mark.parametrize("name", STRENGTHS)
def test_no_default_range_goes_beyond_what_a_run_can_carry_out(name: str) -> None:
    for steps in STEPS:
        task = run_of(steps)
        axis = Space.for_task(task).axes[name]

        low, high = limits(name, task)

        assert low <= axis.low
        assert axis.high <= high
