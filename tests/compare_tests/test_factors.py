"""What differs becomes factors: alone, in groups, held, or refused with the reason."""

from typing import Any

import pytest

from search.commands.compare.asked.configurations import UNSET, Configuration
from search.commands.compare.asked.factors import (
    BEST,
    REFERENCE,
    at_levels,
    factors_of,
    requirements_of,
)
from search.commands.compare.asked.layout import layout_of
from spaces.errors import InputError


def config(**values: Any) -> Configuration:
    return Configuration(values=values, format="yaml")


MINE = config(lr=0.1, sched="step", warmup=0, epochs=30, smoothing=0.0)
PAPER = config(lr=0.1, sched="cosine", warmup=5, epochs=30.0, smoothing=0.1, ema=True)


def test_only_what_differs_is_a_factor_also_where_one_file_lacks_it() -> None:
    factors = factors_of(MINE, PAPER)
    assert [factor.name for factor in factors] == ["sched", "warmup", "smoothing", "ema"]
    assert factors[-1].reference == {"ema": UNSET}
    assert [factors[-1].words(level) for level in (REFERENCE, BEST)] == ["not set", "true"]


def test_both_ends_are_the_two_files() -> None:
    factors = factors_of(MINE, PAPER)
    for level, file in ((REFERENCE, MINE), (BEST, PAPER)):
        made = at_levels(MINE, factors, {factor.name: level for factor in factors})
        assert made.flat == file.flat


def test_keys_of_a_group_go_together_and_held_ones_stay() -> None:
    factors = factors_of(
        MINE, PAPER, groups=["schedule=sched,warmup,epochs"], fixed=["smoothing", "lr"]
    )
    assert [factor.name for factor in factors] == ["schedule", "ema"]
    assert factors[0].words(BEST) == "sched=cosine, warmup=5"
    made = at_levels(MINE, factors, {"schedule": BEST, "ema": REFERENCE})
    assert made.flat == {**MINE.flat, "sched": "cosine", "warmup": 5}


@pytest.mark.parametrize(
    ("mine", "paper", "more", "says"),
    [
        ({"a": 1}, {"a": 1}, {}, "have the same value of every key"),
        ({"a": 1}, {"a": "1"}, {}, r"a number.*text.*--fix a"),
        ({"a": 1}, {"a": True}, {}, "write both alike"),
        ({"a": 1}, {"a": 2}, {"fixed": ["b"]}, "no key `b`; the keys that differ are a"),
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, {"groups": ["a,b"]}, "must read name=key,key"),
        ({"a": 1, "b": 1}, {"a": 2, "b": 2}, {"groups": ["b=a"]}, "is taken"),
        ({"a": 1}, {"a": 2}, {"groups": ["g=a", "h=a"]}, "in another group"),
        ({f"k{i}": 0 for i in range(20)}, {f"k{i}": 1 for i in range(20)}, {}, "At most 19"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(
    mine: dict[str, Any], paper: dict[str, Any], more: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        factors_of(config(**mine), config(**paper), **more)


def test_runs_that_a_requirement_rules_out_are_left_out_and_effects_stay_known() -> None:
    factors = factors_of(MINE, PAPER)
    requirements = requirements_of(["warmup=5 -> sched=cosine"], factors)
    layout = layout_of(factors, requirements)
    for block in range(4):
        cells = layout.block(block)
        assert all(c["sched"] == BEST for c in cells if c["warmup"] == BEST)
        assert 0 < len(cells) < 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("warmup=5", "must read"),
        ("warmup=5 -> lr=0.1", "no key that differs"),
        ("warmup=7 -> sched=cosine", "is 0 or 5, never 7"),
        ("warmup=0 -> sched=cosine", "the reference itself"),
        ("warmup=5 -> sched=step", "the best itself"),
        ("warmup=5 -> warmup=5", "belong to the factor"),
    ],
)
def test_a_requirement_that_makes_no_sense_is_refused(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        requirements_of([text], factors_of(MINE, PAPER))


def test_requirements_that_tie_two_factors_together_name_the_way_out() -> None:
    factors = factors_of(config(a=0, b=0), config(a=1, b=1))
    requirements = requirements_of(["a=1 -> b=1", "b=1 -> a=1"], factors)
    with pytest.raises(InputError, match=r"tells `a` from the others: .*--group"):
        layout_of(factors, requirements)
