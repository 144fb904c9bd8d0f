"""The designs keep what they promise, checked from their columns alone."""

from itertools import combinations

import numpy as np
import pytest

from search.commands.compare.asked.factors import BEST, REFERENCE
from search.commands.compare.asked.layout import Layout
from search.verdict.screening import confounded_pairs, screening_cells, unclear_of_pairs


def names(number: int) -> tuple[str, ...]:
    return tuple(f"f{i}" for i in range(number))


def columns(cells: tuple[dict[str, int], ...]) -> np.ndarray:
    return np.array([list(cell.values()) for cell in cells])


@pytest.mark.parametrize("number", range(1, 20))
def test_over_two_rounds_every_main_effect_is_clear_of_every_other_and_of_every_pair(
    number: int,
) -> None:
    levels = columns(Layout(names=names(number)).rounds(2))
    assert not levels.sum(axis=0).any()
    products = levels.T @ levels
    assert (products == np.diag(np.diag(products))).all()
    for i, j in combinations(range(number), 2):
        assert not (levels.T @ (levels[:, i] * levels[:, j])).any()
    assert unclear_of_pairs(Layout(names=names(number)).rounds(2), names(number)) == ()


@pytest.mark.parametrize("number", range(1, 20))
def test_the_first_two_rounds_hold_both_configurations_as_they_are(number: int) -> None:
    cells = Layout(names=names(number)).rounds(2)
    for level in (REFERENCE, BEST):
        assert dict.fromkeys(names(number), level) in cells


def test_the_sizes_are_those_that_are_promised() -> None:
    runs = {n: len(Layout(names=names(n)).rounds(2)) for n in (3, 4, 5, 7, 8, 11, 12, 19)}
    assert runs == {3: 16, 4: 16, 5: 32, 7: 32, 8: 24, 11: 24, 12: 32, 19: 40}


def test_four_factors_over_two_blocks_are_the_full_factorial() -> None:
    cells = Layout(names=names(4)).rounds(2)
    assert len({tuple(cell.values()) for cell in cells}) == 16


def test_what_is_said_of_confounding_is_what_the_columns_show() -> None:
    three = Layout(names=names(3)).rounds(1)
    assert confounded_pairs(three, names(3)) == ()
    seven = Layout(names=names(7))
    groups = confounded_pairs(seven.rounds(1), names(7))
    levels = columns(seven.rounds(1))
    for group in groups:
        products = [levels[:, int(a[1:])] * levels[:, int(b[1:])] for a, b in group]
        assert all(abs(products[0] @ product) == len(levels) for product in products)
    assert sum(map(len, groups)) > 2
    assert any("cannot tell apart" in line for line in seven.limits(1))


def test_one_half_of_a_screening_design_says_that_its_effects_are_mixed() -> None:
    layout = Layout(names=names(9))
    assert "is mixed with joint effects" in layout.limits(1)[0]
    assert all("is mixed with joint effects" not in line for line in layout.limits(2))


@pytest.mark.parametrize("number", [7, 20])
def test_a_screening_design_refuses_what_it_has_no_room_for(number: int) -> None:
    with pytest.raises(ValueError, match="8 to 19 different factors"):
        screening_cells(names(number), block=0)


@pytest.mark.parametrize("number", [8, 11, 12, 15, 19])
def test_a_screening_design_says_that_joint_effects_of_three_are_mixed_with_others(
    number: int,
) -> None:
    layout = Layout(names=names(number))
    levels = columns(layout.rounds(2))
    mixed = max(
        abs(levels[:, other] @ (levels[:, i] * levels[:, j] * levels[:, k])) / len(levels)
        for i, j, k in combinations(range(number), 3)
        for other in set(range(number)) - {i, j, k}
    )
    assert 0.3 < mixed <= 1.0
    assert any("where one effect is huge" in line for line in layout.limits(2))
    assert not any("where one effect is huge" in line for line in Layout(names=names(4)).limits(2))


@pytest.mark.parametrize("number", [5, 6, 7])
def test_a_fraction_dealt_to_two_seeds_is_the_same_runs_with_clear_effects_in_each(
    number: int,
) -> None:
    dealt, whole = Layout(names=names(number)), Layout(names=names(number), two_seeds=False)
    for at in range(4):
        halves = [columns(dealt.block(2 * at + half)) for half in (0, 1)]
        assert sorted(map(tuple, np.vstack(halves))) == sorted(map(tuple, columns(whole.block(at))))
        for levels in halves:
            assert (levels.T @ levels == 8 * np.eye(number)).all()
            assert not levels.sum(axis=0).any()


@pytest.mark.parametrize("cleared", [None, "f0", "f3", "f6"])
def test_pairs_are_clear_of_main_effects_and_of_seeds_over_a_dealt_fraction(
    cleared: str | None,
) -> None:
    layout = Layout(names=names(7), cleared=cleared)
    blocks = [columns(layout.block(block)) for block in range(4)]
    levels = np.vstack(blocks)
    for i, j in combinations(range(7), 2):
        product = levels[:, i] * levels[:, j]
        assert not (levels.T @ product).any()
