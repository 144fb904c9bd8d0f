"""Positions and values agree both ways on every scale, off included."""

import math
import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spaces.axes import Axis, FixedAxis, LinearAxis, LogAxis, ZeroAxis
from spaces.errors import InputError

AXES = [
    LinearAxis(0.0, 0.2),
    LinearAxis(-3.0, 5.0),
    LogAxis(0.02, 20.0),
    LogAxis(1e-9, 1e9),
    ZeroAxis(LinearAxis(0.0, 0.3)),
    ZeroAxis(LinearAxis(1.0, 30.0)),
    ZeroAxis(LogAxis(0.02, 20.0)),
    ZeroAxis(LogAxis(0.02, 20.0), zero_share=0.5),
]
# Both ends, the last position that is off and the first that is not, and values that are awkward
# in binary.
POSITIONS = [0.0, 1e-12, 0.05, 0.1, math.nextafter(0.1, 1), 0.3, 0.5, 1 / 3, 0.999, 1.0]
NOT_POSITIONS = [-1e-12, 1 + 1e-12, -1.0, 2.0, math.nan, math.inf, -math.inf]

each_axis = pytest.mark.parametrize("axis", AXES, ids=repr)


@each_axis
class TestEveryAxis:
    def test_the_ends_of_the_dial_are_exactly_the_ends_of_the_range(self, axis: Axis) -> None:
        assert axis.decode(0.0) == axis.low
        assert axis.decode(1.0) == axis.high

    @pytest.mark.parametrize("position", POSITIONS)
    def test_a_value_comes_back_from_its_own_position(self, axis: Axis, position: float) -> None:
        value = axis.decode(position)

        assert axis.decode(axis.encode(value)) == pytest.approx(value, rel=1e-12, abs=1e-15)

    @pytest.mark.parametrize("position", POSITIONS)
    def test_a_position_comes_back_unless_it_means_off(self, axis: Axis, position: float) -> None:
        value = axis.decode(position)
        is_off = isinstance(axis, ZeroAxis) and value == 0

        expected = 0.0 if is_off else position
        assert axis.encode(value) == pytest.approx(expected, abs=1e-12)

    def test_a_higher_position_never_means_a_lower_value(self, axis: Axis) -> None:
        values = [axis.decode(i / 1000) for i in range(1001)]

        assert values == sorted(values)

    def test_every_decoded_value_is_contained(self, axis: Axis) -> None:
        assert all(axis.contains(axis.decode(p)) for p in POSITIONS)

    @pytest.mark.parametrize("position", NOT_POSITIONS)
    def test_what_is_no_position_is_refused(self, axis: Axis, position: float) -> None:
        with pytest.raises(InputError, match="0 <= position <= 1"):
            axis.decode(position)

    def test_what_lies_outside_is_not_contained_and_has_no_position(self, axis: Axis) -> None:
        for value in (axis.low - 1e-3, axis.high * 1.001, math.nan, math.inf, -math.inf):
            assert not axis.contains(value)
            with pytest.raises(InputError, match="<= value <="):
                axis.encode(value)

    def test_clamping_moves_what_lies_outside_and_nothing_else(self, axis: Axis) -> None:
        assert axis.clamp(axis.low - 1.0) == axis.low
        assert axis.clamp(axis.high + 1.0) == axis.high
        for position in POSITIONS:
            value = axis.decode(position)
            assert axis.clamp(value) == value

    def test_narrowing_keeps_the_scale_and_takes_the_new_ends(self, axis: Axis) -> None:
        low, high = axis.decode(0.4), axis.decode(0.8)
        if low == 0:  # Only where half of the axis is off.
            low = axis.decode(0.6)

        narrow = axis.spanning(low, high)

        inner = axis.inner if isinstance(axis, ZeroAxis) else axis
        assert (narrow.low, narrow.high) == (low, high)
        assert type(narrow) is type(inner)

    def test_narrowing_to_nothing_is_refused(self, axis: Axis) -> None:
        with pytest.raises(InputError, match="low < high"):
            axis.spanning(axis.high, axis.high)

    def test_it_survives_the_way_to_another_process(self, axis: Axis) -> None:
        assert pickle.loads(pickle.dumps(axis)) == axis


@given(low=st.floats(1e-6, 1e6), factor=st.floats(1.01, 1e6), position=st.floats(0, 1))
def test_a_log_axis_agrees_with_its_definition(low: float, factor: float, position: float) -> None:
    axis = LogAxis(low, low * factor)

    slow = math.exp((1 - position) * math.log(axis.low) + position * math.log(axis.high))

    assert axis.decode(position) == pytest.approx(slow, rel=1e-12)


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), position=st.floats(0, 1))
def test_a_linear_axis_agrees_with_its_definition(
    low: float, width: float, position: float
) -> None:
    assume(low + width > low)
    axis = LinearAxis(low, low + width)

    slow = low + position * (axis.high - low)

    assert axis.decode(position) == pytest.approx(slow, rel=1e-12, abs=1e-9)


def test_off_has_its_share_of_the_dial_and_the_rest_starts_right_above_it() -> None:
    axis = ZeroAxis(LogAxis(0.02, 20.0), zero_share=0.25)

    values = [axis.decode((i + 0.5) / 1000) for i in range(1000)]

    assert sum(value == 0 for value in values) == 250
    assert min(value for value in values if value > 0) == pytest.approx(0.02, rel=0.01)
    assert axis.decode(0.25) == 0
    assert axis.decode(math.nextafter(0.25, 1)) == pytest.approx(0.02)


def test_the_smallest_value_above_zero_does_not_become_off() -> None:
    axis = ZeroAxis(LogAxis(0.02, 20.0))

    assert axis.decode(axis.encode(0.02)) == pytest.approx(0.02, rel=1e-12)


def test_a_value_between_off_and_the_smallest_one_is_clamped_to_the_smallest_one() -> None:
    axis = ZeroAxis(LogAxis(0.02, 20.0))

    assert not axis.contains(0.007)
    assert axis.clamp(0.007) == 0.02
    assert axis.clamp(-1.0) == 0.0


def test_a_narrowed_axis_with_zero_keeps_zero_only_if_asked() -> None:
    axis = ZeroAxis(LogAxis(0.02, 20.0), zero_share=0.2)

    assert axis.spanning(0.0, 2.0) == ZeroAxis(LogAxis(0.02, 2.0), zero_share=0.2)
    assert axis.spanning(0.5, 2.0) == LogAxis(0.5, 2.0)


def test_spanning_may_reach_beyond_the_old_ends() -> None:
    assert LinearAxis(0.0, 0.2).spanning(0.1, 0.5) == LinearAxis(0.1, 0.5)
    assert LogAxis(1.0, 10.0).spanning(0.5, 100.0) == LogAxis(0.5, 100.0)
    assert ZeroAxis(LinearAxis(0.0, 0.2)).spanning(0.0, 0.3) == ZeroAxis(LinearAxis(0.0, 0.3))


def test_a_log_axis_from_zero_has_off_as_a_value_of_its_own() -> None:
    assert LogAxis(5.0, 40.0).spanning(0.0, 13.5) == ZeroAxis(LogAxis(5.0, 13.5))


def test_a_log_axis_that_ends_below_its_old_start_keeps_its_ratio_of_ends() -> None:
    assert LogAxis(5.0, 40.0).spanning(0.0, 4.0) == ZeroAxis(LogAxis(0.5, 4.0))


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.nan), (0.0, math.inf)]
)
def test_ends_out_of_order_are_refused(low: float, high: float) -> None:
    with pytest.raises(InputError, match="low < high"):
        LinearAxis(low, high)
    with pytest.raises(InputError, match="0 < low < high"):
        LogAxis(low, high)


@pytest.mark.parametrize("low", [0.0, -1.0, -math.inf])
def test_a_log_axis_starts_above_zero(low: float) -> None:
    with pytest.raises(InputError, match="0 < low < high"):
        LogAxis(low, 1.0)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_zero_has_a_share_between_none_and_all_of_the_dial(share: float) -> None:
    with pytest.raises(InputError, match="0 < zero_share < 1"):
        ZeroAxis(LinearAxis(0.0, 1.0), zero_share=share)


def test_an_axis_below_zero_cannot_also_have_off() -> None:
    with pytest.raises(InputError, match="low >= 0"):
        ZeroAxis(LinearAxis(-1.0, 1.0))


def test_a_fixed_axis_means_its_value_at_every_position() -> None:
    axis = FixedAxis(0.3)

    assert {axis.decode(p) for p in POSITIONS} == {0.3}
    assert axis.encode(0.3) == 0.0
    assert (axis.low, axis.high, axis.clamp(7.0)) == (0.3, 0.3, 0.3)
    assert axis.contains(0.3)
    assert not axis.contains(0.31)
    assert axis.spanning(0.3, 0.3) == axis
    with pytest.raises(InputError, match=r"low <= 0\.3 <= high"):
        axis.spanning(0.4, 0.5)
    with pytest.raises(InputError, match="must be finite"):
        FixedAxis(math.nan)


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        (LinearAxis(0.0, 1.0), "linear"),
        (LogAxis(1.0, 2.0), "log"),
        (ZeroAxis(LogAxis(1.0, 2.0)), "0 or log"),
        (FixedAxis(0.0), "fixed"),
    ],
)
def test_the_text_of_an_axis_is_its_scale(axis: Axis, words: str) -> None:
    assert str(axis) == words
