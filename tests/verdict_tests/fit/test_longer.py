"""Simulated confirmations: a converged run is called so, an unfinished one is found."""

import pytest

from benchmarks.planted.longer import CONDITIONS, Condition, shares


@pytest.mark.parametrize(
    "condition",
    [c for c in CONDITIONS if c.name != "unfinished" and c.clean == 85.0 and c.run == 1.8],
    ids=lambda c: f"{c.name} {c.clean_gain:+g} {c.val_gain:+g}",
)
def test_a_converged_model_is_fit_limited_and_its_dials_are_judged(condition: Condition) -> None:
    found = shares(condition, experiments=60)
    assert found.states.get("fit-limited", 0.0) >= 0.93
    assert found.withheld <= 0.07
    assert found.ruled_out >= 0.8


def test_an_unfinished_run_is_found() -> None:
    unfinished = next(c for c in CONDITIONS if c.name == "unfinished" and c.val_gain == 8.0)
    found = shares(unfinished, experiments=60)
    assert found.withheld >= 0.85
    assert found.states["undertrained"] == found.withheld
    assert found.ruled_out <= 0.05


def test_time_is_hardly_ever_ruled_out_where_twice_the_epochs_gain_ten_points() -> None:
    """Also where they fit no better: a 95 % interval ends below the truth that rarely."""
    hidden = Condition(name="hidden", clean=60.0, val=55.0, val_gain=10.0)
    assert shares(hidden, experiments=200).ruled_out <= 0.05
