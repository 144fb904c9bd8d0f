"""A crowd at an end of a range is named, with a range to try next that the run can carry out."""

from dataclasses import replace

import pytest

from spaces.edges import EdgeWarning, edge_warnings
from spaces.space import Space, parse_set
from spaces.task import Task
from spaces.units import limits

LONG = Task(
    num_train=32_000,
    num_classes=10,
    batch_size=32,
    epochs=20,
    lr=1e-3,
    pretrained=True,
    num_blocks=16,
)
SPACE = Space.for_task(LONG)
SHORT = Space.for_task(replace(LONG, num_train=300, epochs=15))


def best(space: Space, **positions: list[float]) -> list[dict[str, float]]:
    """Best trials in the middle of every axis but the named ones."""
    count = len(next(iter(positions.values())))
    return [
        dict.fromkeys(space.free_names, 0.5) | {name: all_[i] for name, all_ in positions.items()}
        for i in range(count)
    ]


def only(warnings: tuple[EdgeWarning, ...]) -> EdgeWarning:
    assert len(warnings) == 1
    return warnings[0]


def test_trials_spread_over_the_dial_give_no_warning() -> None:
    spread = [i / 9 for i in range(10)]

    assert edge_warnings(SPACE, best(SPACE, **dict.fromkeys(SPACE.free_names, spread))) == ()


def test_a_crowd_at_the_high_end_is_named_with_the_range_to_try_next() -> None:
    warning = only(edge_warnings(SPACE, best(SPACE, label_smoothing=[0.95, 1.0, 0.92, 0.4, 0.2])))

    assert (warning.name, warning.end) == ("label_smoothing", "high")
    assert (warning.num_near, warning.num_best) == (3, 5)
    assert warning.effective == pytest.approx((0.0, 0.3))
    assert warning.raw == pytest.approx((0.0, 0.3))
    assert warning.message == (
        "3 of the best 5 trials lie at the high end of label_smoothing, probability mass moved "
        "0.2: try probability mass moved 0 to 0.3, --set label_smoothing=0:0.3."
    )


def test_on_a_log_axis_the_range_grows_by_half_its_ratio() -> None:
    warning = only(edge_warnings(SPACE, best(SPACE, ema_decay=[0.0, 0.02, 0.1])))

    assert (warning.name, warning.end) == ("ema_decay", "low")
    # From 0.003 to 0.3 is a factor of 100, so a factor of 10 further: 6 of 20 000 steps.
    assert warning.effective == pytest.approx((0.0003, 0.3))
    assert warning.raw == pytest.approx((1 - 1 / 6, 1 - 1 / 6000))


@pytest.mark.parametrize("name", ["label_smoothing", "drop_path_rate", "weight_decay"])
@pytest.mark.parametrize("position", [0.0, 0.1])
def test_off_is_no_edge_to_widen(name: str, position: float) -> None:
    assert edge_warnings(SPACE, best(SPACE, **{name: [position] * 5})) == ()


def test_an_average_that_is_off_is_no_edge_to_widen_but_a_short_one_is() -> None:
    assert edge_warnings(SHORT, best(SHORT, ema_decay=[0.0] * 5)) == ()
    assert only(edge_warnings(SPACE, best(SPACE, ema_decay=[0.0] * 5))).end == "low"


def test_what_the_run_cannot_carry_out_is_not_proposed() -> None:
    pull = only(edge_warnings(SHORT, best(SHORT, weight_decay=[1.0] * 5)))

    assert pull.raw is None
    assert pull.effective is None
    assert pull.message.endswith(
        "decay over the whole run, lr*wd*T 1.35, which is as far as 135 steps go."
    )


def test_a_range_to_try_next_stops_at_what_the_run_can_carry_out() -> None:
    window = only(edge_warnings(SPACE, best(SPACE, ema_decay=[1.0] * 5)))

    assert window.effective == pytest.approx((0.003, 1 / 3))


@pytest.mark.parametrize("space", [SPACE, SHORT, SPACE.with_extra("lr").with_extra("layer_decay")])
@pytest.mark.parametrize("position", [0.0, 1.0])
def test_every_range_to_try_next_can_be_set_and_is_wider(space: Space, position: float) -> None:
    everywhere = [dict.fromkeys(space.free_names, position)] * 3

    warnings = edge_warnings(space, everywhere)

    # At the weak end of a short run everything is off, and nothing lies beyond off.
    assert bool(warnings) != (space is SHORT and position == 0.0)
    for warning in warnings:
        if warning.raw is None:
            continue
        low, high = warning.raw
        typed = f"{warning.name}={low!r}:{high!r}"
        wider = space.with_range(*parse_set(typed)).axes[warning.name]
        old = space.axes[warning.name]
        assert wider.low <= old.low * (1 + 1e-9)
        assert wider.high >= old.high * (1 - 1e-9)
        assert wider.high / old.high > 1.01 or wider.low / old.low < 0.99
        assert wider.high <= limits(warning.name, space.task)[1] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("positions", "warned"),
    [
        ([1.0], False),  # One trial is no crowd.
        ([1.0, 0.5], False),
        ([1.0, 1.0], True),
        ([1.0, 0.91, 0.5, 0.5], True),
        ([1.0, 0.89, 0.5, 0.5], False),
        ([1.0, 1.0, 0.5, 0.5, 0.5], False),
    ],
)
def test_half_of_the_best_and_at_least_two_make_a_crowd(
    positions: list[float], warned: bool
) -> None:
    warnings = edge_warnings(SPACE, best(SPACE, drop_path_rate=positions))

    assert bool(warnings) == warned


def test_no_trials_give_no_warning() -> None:
    assert edge_warnings(SPACE, []) == ()


def test_a_fixed_strength_has_no_edges() -> None:
    space = SPACE.fixed("label_smoothing", 0.2)

    assert edge_warnings(space, [dict.fromkeys(SPACE.free_names, 0.5)] * 3) == ()


def test_a_magnitude_is_proposed_up_to_thirty() -> None:
    space = SPACE.with_range("randaugment_magnitude", 0.0, 24.0)

    warning = only(edge_warnings(space, best(space, randaugment_magnitude=[1.0] * 3)))

    assert warning.raw == (0.0, 30.0)
