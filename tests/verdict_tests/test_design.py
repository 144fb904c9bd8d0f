"""Which strengths become factors, and that the cells separate them."""

import itertools
import math

import numpy as np
import pytest

from search.verdict.design import AVERAGES, MAX_FACTORS, blocks_per_look, cells, factors
from spaces.strengths.registry import STRENGTHS
from spaces.strengths.values import Strengths
from spaces.task import Task

SHORT = Task(
    num_train=300,
    num_classes=10,
    batch_size=32,
    epochs=15,
    lr=1e-3,
    pretrained=True,
    num_blocks=10,
)
PUBLISHED = Strengths(
    weight_decay=0.05,
    label_smoothing=0.1,
    drop_path_rate=0.1,
    ema_decay=0.9999,
    warmup_fraction=0.05,
)


def matrix(num_factors: int, blocks: range) -> np.ndarray:
    names = tuple(f"f{i}" for i in range(num_factors))
    rows = [[cell[n] for n in names] for block in blocks for cell in cells(names, block=block)]
    return np.array(rows)


def test_only_strengths_that_differ_noticeably_in_effective_units_become_factors() -> None:
    # On 135 steps a weight decay of 0.05 pulls by W = 0.007; 0.5 still is W = 0.07, which is off.
    best = Strengths(
        weight_decay=0.5,
        label_smoothing=0.0,
        drop_path_rate=0.11,
        ema_decay=0.9,
        warmup_fraction=0.06,
    )
    found = factors(PUBLISHED.as_dict(), best.as_dict(), SHORT)
    assert found.trajectory == ("label_smoothing",)
    assert found.within == (AVERAGES,)
    assert found.unchanged == ("weight_decay", "drop_path_rate", "warmup_fraction")
    assert found.names == ("label_smoothing", "ema_decay")


@pytest.mark.parametrize("strengths", [PUBLISHED, Strengths()])
def test_equal_recipes_have_no_factors(strengths: Strengths) -> None:
    found = factors(strengths.as_dict(), strengths.as_dict(), SHORT)
    assert (found.trajectory, found.within, found.unchanged) == ((), (), tuple(STRENGTHS))


def raw_weight_decay(pull: float) -> float:
    return pull / (SHORT.lr * SHORT.total_steps)


@pytest.mark.parametrize(
    ("name", "a", "b", "is_noticeable"),
    [
        ("weight_decay", raw_weight_decay(0.0), raw_weight_decay(0.2), False),
        ("weight_decay", raw_weight_decay(0.0), raw_weight_decay(0.3), True),
        ("weight_decay", raw_weight_decay(19.0), raw_weight_decay(22.0), False),
        ("weight_decay", raw_weight_decay(19.0), raw_weight_decay(25.0), True),
        ("label_smoothing", 0.1, 0.115, False),
        ("label_smoothing", 0.1, 0.12, True),
        ("drop_path_rate", 0.0, 0.019, False),
        ("drop_path_rate", 0.0, 0.02, True),
        ("ema_decay", 0.9, 0.91, False),
        ("ema_decay", 0.9, 0.93, True),
        ("ema_decay", 0.0, 0.1, False),  # Windows of 1 and 1.1 steps.
        ("ema_decay", 0.0, 0.9, True),
        ("warmup_fraction", 5 / 135, 7 / 135, False),
        ("warmup_fraction", 5 / 135, 10 / 135, True),
        ("warmup_fraction", 80 / 135, 90 / 135, True),  # A twentieth of the run.
        ("mixup_alpha", 0.0, 0.02, False),
        ("mixup_alpha", 0.0, 0.03, True),
        ("cutmix_alpha", 0.8, 1.0, False),
        ("cutmix_alpha", 0.4, 1.0, True),
        ("randaugment_magnitude", 9, 11, False),
        ("randaugment_magnitude", 9, 12, True),
        ("randaugment_magnitude", 0, 1, True),  # On against off.
        ("layer_decay", 1.0, 0.99, False),
        ("layer_decay", 0.75, 0.7, True),
    ],
)
def test_noticeable_is_judged_in_effective_units_both_ways(
    name: str, a: float, b: float, is_noticeable: bool
) -> None:
    for x, y in ((a, b), (b, a)):
        found = factors({name: x}, {name: y}, SHORT)
        assert found.names == ((name,) if is_noticeable else ())


def test_the_same_raw_weight_decay_is_noticeable_only_in_a_long_run() -> None:
    long_run = Task(
        num_train=1_281_167,
        num_classes=1000,
        batch_size=1024,
        epochs=300,
        lr=1e-3,
        pretrained=False,
        num_blocks=12,
    )
    a, b = {"weight_decay": 0.05}, {"weight_decay": 0.02}
    assert factors(a, b, long_run).trajectory == ("weight_decay",)
    assert factors(a, b, SHORT).trajectory == ()


@pytest.mark.parametrize(
    ("num_factors", "runs"),
    [(1, 2), (2, 4), (3, 8), (4, 8), (5, 16), (8, 16), (9, 32), (16, 32)],
)
def test_the_first_block_holds_all_reference_and_all_best(num_factors: int, runs: int) -> None:
    first = [tuple(row) for row in matrix(num_factors, range(1))]
    assert len(first) == len(set(first)) == runs
    assert (-1,) * num_factors in first
    assert (1,) * num_factors in first


def cleared_blocks(num_factors: int, clear: int, num_blocks: int = 2) -> np.ndarray:
    names = tuple(f"f{i}" for i in range(num_factors))
    rows = [
        list(cell.values())
        for block in range(num_blocks)
        for cell in cells(names, block=block, clear=names[clear])
    ]
    return np.array(rows)


CLEARED = [(number, clear) for number in (5, 6, 7, 8) for clear in range(number)]


@pytest.mark.parametrize("num_blocks", [2, 4, 6])
@pytest.mark.parametrize(("num_factors", "clear"), CLEARED)
def test_no_joint_effect_of_three_with_the_cleared_factor_passes_for_a_fourth(
    num_factors: int, clear: int, num_blocks: int
) -> None:
    levels = cleared_blocks(num_factors, clear, num_blocks)
    for i, j in itertools.combinations(set(range(num_factors)) - {clear}, 2):
        joint = levels[:, clear] * levels[:, i] * levels[:, j]
        for other in set(range(num_factors)) - {clear, i, j}:
            assert levels[:, other] @ joint == 0


@pytest.mark.parametrize(("num_factors", "clear"), CLEARED)
def test_clearing_a_factor_keeps_what_the_design_promises(num_factors: int, clear: int) -> None:
    levels = cleared_blocks(num_factors, clear)
    assert not levels.sum(axis=0).any()
    assert (levels.T @ levels == len(levels) * np.eye(num_factors)).all()
    for i, j in itertools.combinations(range(num_factors), 2):
        assert not (levels.T @ (levels[:, i] * levels[:, j])).any()
    first = matrix(num_factors, range(1))
    assert (levels[: len(first)] == first).all()


@pytest.mark.parametrize(("num_factors", "clear"), CLEARED)
def test_with_a_cleared_factor_blocks_still_bring_every_cell_before_they_repeat(
    num_factors: int, clear: int
) -> None:
    whole = 2 ** (num_factors - 4)
    rows = [tuple(row) for row in cleared_blocks(num_factors, clear, whole)]
    assert len(rows) == len(set(rows)) == 2**num_factors


@pytest.mark.parametrize("num_factors", [6, 7])
def test_without_a_choice_the_first_factor_is_the_cleared_one(num_factors: int) -> None:
    """Runs that were made before there was a choice are gone on with as they are."""
    assert (cleared_blocks(num_factors, 0, 8) == matrix(num_factors, range(8))).all()


def test_a_factor_that_is_none_or_one_of_too_many_is_not_cleared() -> None:
    with pytest.raises(ValueError, match="`clear` must be one of"):
        cells(("a", "b"), block=1, clear="c")
    names = tuple(f"f{i}" for i in range(9))
    with pytest.raises(ValueError, match="at most 8 names"):
        cells(names, block=1, clear="f0")


def test_without_trajectory_factors_a_block_is_one_run() -> None:
    assert cells((), block=0) == cells((), block=3) == ({},)


@pytest.mark.parametrize("num_factors", [1, 2, 3])
@pytest.mark.parametrize("block", [0, 1, 5])
def test_up_to_three_factors_every_block_is_the_full_factorial(
    num_factors: int, block: int
) -> None:
    found = {tuple(row) for row in matrix(num_factors, range(block, block + 1))}
    assert found == set(itertools.product((-1, 1), repeat=num_factors))


def test_four_factors_are_complementary_halves_that_only_confound_the_four_way_interaction() -> (
    None
):
    even, odd = matrix(4, range(1)), matrix(4, range(1, 2))
    assert (even.prod(axis=1) == 1).all()
    assert (odd.prod(axis=1) == -1).all()
    assert len({tuple(row) for row in np.vstack([even, odd])}) == 16
    assert (matrix(4, range(2, 3)) == even).all()


@pytest.mark.parametrize("num_factors", range(2, MAX_FACTORS + 1))
@pytest.mark.parametrize("block", range(4))
def test_main_effects_are_clear_of_each_other_and_of_all_pairs_in_every_block(
    num_factors: int, block: int
) -> None:
    x = matrix(num_factors, range(block, block + 1))
    assert (x.T @ x == len(x) * np.eye(num_factors)).all()
    pairs = [x[:, i] * x[:, j] for i, j in itertools.combinations(range(num_factors), 2)]
    assert not (x.T @ np.array(pairs).T).any()


@pytest.mark.parametrize("num_factors", [4, 5, 6, 7, 8])
def test_alternating_blocks_tell_more_pairs_apart_than_one_block_repeated(num_factors: int) -> None:
    def num_pairs(rows: np.ndarray) -> int:
        pairs = [rows[:, i] * rows[:, j] for i, j in itertools.combinations(range(num_factors), 2)]
        return int(np.linalg.matrix_rank(np.array(pairs).T))

    one, two, four = (num_pairs(matrix(num_factors, range(n))) for n in (1, 2, 4))
    assert one < two <= four
    if num_factors <= 6:
        assert four == math.comb(num_factors, 2)


@pytest.mark.parametrize("names", [tuple(f"f{i}" for i in range(17)), ("a", "a"), ("ema_decay",)])
def test_cells_refuse_names_they_cannot_lay_out(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="must be at most 16 different trajectory factors"):
        cells(names, block=0)


def test_cells_refuse_a_negative_block() -> None:
    with pytest.raises(ValueError, match="`block >= 0` must hold, but got -1"):
        cells(("a",), block=-1)


@pytest.mark.parametrize("num_factors", range(6))
def test_a_look_always_adds_eight_runs_or_more(num_factors: int) -> None:
    names = tuple(f"f{i}" for i in range(num_factors))
    looks = blocks_per_look(num_factors)
    assert looks * len(cells(names, block=0)) >= 8
    assert looks == 1 or looks * len(cells(names, block=0)) == 8
