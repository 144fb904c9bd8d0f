"""Strengths hold five finite numbers inside their intervals and nothing else."""

import math

import pytest

from spaces.errors import InputError
from spaces.strengths.registry import STRENGTHS
from spaces.strengths.values import STRENGTH_KEYS, Strengths

NAMES = ("weight_decay", "label_smoothing", "drop_path_rate", "ema_decay", "warmup_fraction")


def test_there_are_five_in_a_fixed_order() -> None:
    assert tuple(STRENGTHS) == STRENGTH_KEYS == NAMES
    assert tuple(Strengths().as_dict()) == NAMES


def test_by_default_everything_is_off() -> None:
    assert set(Strengths().as_dict().values()) == {0.0}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, 0.0, 0.1, math.nextafter(1, 0)])
def test_values_from_zero_up_to_one_are_kept(name: str, value: float) -> None:
    assert Strengths(**{name: value}).as_dict()[name] == value


@pytest.mark.parametrize("value", [1.0, 10.0, 123456.0])
def test_only_weight_decay_may_reach_one(value: float) -> None:
    assert Strengths(weight_decay=value).weight_decay == value
    for name in NAMES[1:]:
        with pytest.raises(InputError, match=f"0 <= {name} < 1` must hold, but got {value!r}"):
            Strengths(**{name: value})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-1e-12, -1.0, math.nan, math.inf, -math.inf])
def test_what_lies_outside_the_interval_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"0 <= {name} < .*must hold"):
        Strengths(**{name: value})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["0.1", None, True, False, [0.1]])
def test_what_is_no_number_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"`{name}` must be a number"):
        Strengths(**{name: value})  # type: ignore[arg-type]


def test_they_come_back_from_their_own_dict() -> None:
    strengths = Strengths(weight_decay=0.05, ema_decay=0.99, warmup_fraction=0.1)

    assert Strengths.from_dict(strengths.as_dict()) == strengths
    assert Strengths.from_dict({"ema_decay": 0.99}) == Strengths(ema_decay=0.99)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="Unknown strength 'dropout'; the strengths are weight"):
        Strengths.from_dict({"weight_decay": 0.1, "dropout": 0.1})


def test_they_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="cannot assign"):
        Strengths().weight_decay = 1.0  # type: ignore[misc]
