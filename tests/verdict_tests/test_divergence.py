"""Divergence is counted by level and tested exactly."""

from math import comb

import pytest

from search.verdict.design import cells
from search.verdict.divergence import divergence_by_level
from search.verdict.effects import Run

NAMES = ("weight_decay", "warmup_fraction")


def runs(num_blocks: int, *, diverges: str, level: int) -> list[Run]:
    return [
        Run(
            run_id=f"{block}-{i}",
            block=block,
            levels=cell,
            metrics={},
            diverged=cell[diverges] == level,
        )
        for block in range(num_blocks)
        for i, cell in enumerate(cells(NAMES, block=block))
    ]


@pytest.mark.parametrize(("level", "counts"), [(-1, (8, 0)), (1, (0, 8))])
def test_divergence_tied_to_one_level_is_counted_there_and_only_there(
    level: int, counts: tuple[int, int]
) -> None:
    found = divergence_by_level(runs(4, diverges="warmup_fraction", level=level), NAMES)
    assert found["warmup_fraction"].diverged == counts
    assert found["warmup_fraction"].runs == (8, 8)
    # Only 2 of the ways to choose 8 runs of 16 are as extreme.
    assert found["warmup_fraction"].p_value == pytest.approx(2 / comb(16, 8))
    assert found["weight_decay"].diverged == (4, 4)
    assert found["weight_decay"].p_value == pytest.approx(1.0)


def test_where_nothing_diverged_nothing_is_said() -> None:
    assert divergence_by_level(runs(2, diverges="warmup_fraction", level=0), NAMES) == {}
    assert divergence_by_level([], NAMES) == {}
