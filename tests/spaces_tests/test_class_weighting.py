"""Class weights mean the same for classes of any size, and cost nothing where classes are equal."""

import math
from dataclasses import replace

import pytest

from spaces.anchors import anchors
from spaces.axes import FixedAxis
from spaces.edges import edge_warnings
from spaces.errors import InputError
from spaces.recipe import Recipe
from spaces.rescale import rescale
from spaces.space import Space
from spaces.strengths.class_weighting import CLASS_WEIGHTING, SEARCHED_ABOVE
from spaces.strengths.registry import STRENGTHS, strengths_in
from spaces.task import Task
from spaces.units import describe, to_effective, to_raw

NAME = CLASS_WEIGHTING.name
BALANCED = Task(
    num_train=300,
    num_classes=10,
    batch_size=32,
    epochs=15,
    lr=1e-3,
    pretrained=True,
    num_blocks=16,
    smallest_class=29,
    largest_class=32,
)
LONG_TAIL = replace(BALANCED, smallest_class=8, largest_class=120)
SIZES = [(1, 2), (2, 90), (8, 120), (40, 1_623), (300, 1_000), (5, 50_000), (1_000, 4_000_000)]
BETAS = [0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 - 1e-7]


def sized(small: int, large: int) -> Task:
    return replace(BALANCED, smallest_class=small, largest_class=large)


def effective_number(beta: float, images: int) -> float:
    """Cui et al. 2019, proposition 1, added up: each further image counts beta times as much."""
    return math.fsum(beta**i for i in range(images))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize(("small", "large"), [(1, 2), (2, 90), (8, 120), (40, 1_623), (300, 1_000)])
def test_the_smallest_class_weighs_the_power_of_the_ratio_that_the_unit_says(
    beta: float, small: int, large: int
) -> None:
    weight = effective_number(beta, large) / effective_number(beta, small)
    share = to_effective(NAME, beta, sized(small, large))
    assert (large / small) ** share == pytest.approx(weight, rel=1e-9)


@pytest.mark.parametrize(("small", "large"), [*SIZES, (30, 30), (0, 0)])
def test_none_is_zero_inverse_frequency_is_one_and_all_between_comes_back(
    small: int, large: int
) -> None:
    task = sized(small, large)
    for end in (0.0, 1.0):
        assert to_effective(NAME, end, task) == to_raw(NAME, end, task) == end
    shares = [0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999]
    raws = [to_raw(NAME, share, task) for share in shares]
    assert raws == sorted(set(raws))
    assert all(0 < raw < 1 for raw in raws)
    # A beta near 1 is held to 1e-16, and the images of a class multiply that.
    tolerance = 1e-11 + 1e-14 * max(large, 30)
    for share, raw in zip(shares, raws, strict=True):
        assert to_effective(NAME, raw, task) == pytest.approx(share, rel=tolerance)


@pytest.mark.parametrize("beta", BETAS)
def test_classes_of_nearly_one_size_have_the_limit_as_their_unit(beta: float) -> None:
    nearly = to_effective(NAME, beta, sized(10_000, 10_001))
    assert to_effective(NAME, beta, sized(10_000, 10_000)) == pytest.approx(nearly, rel=1e-2)
    # Sizes that are not known are taken to be the average one.
    unknown = replace(sized(0, 0), num_train=100_000)
    assert to_effective(NAME, beta, unknown) == to_effective(NAME, beta, sized(10_000, 10_000))


@pytest.mark.parametrize(("small", "large"), [(0, 0), (30, 30), (30, 90), (29, 32)])
def test_it_costs_those_with_balanced_classes_nothing(small: int, large: int) -> None:
    task, unknown = sized(small, large), sized(0, 0)
    space = Space.for_task(task)
    assert space.free_names == tuple(STRENGTHS) == tuple(strengths_in(task))
    assert dict(space.axes) == dict(Space.for_task(unknown).axes)
    reference = Recipe(class_weighting=0.9)
    made = anchors(reference, task)
    assert made == anchors(reference, unknown)
    assert {recipe.class_weighting for recipe in made.values()} == {0.9}


def test_above_a_factor_of_three_it_is_searched_and_switched_off_with_the_others() -> None:
    task = sized(30, 91)
    assert task.class_ratio > SEARCHED_ABOVE
    space = Space.for_task(task)
    assert space.free_names == space.dial_names == (*STRENGTHS, NAME)
    made = anchors(Recipe(class_weighting=0.9), task)
    found = {role: recipe.class_weighting for role, recipe in made.items()}
    assert found == {"reference": 0.9, "scaled": 0.0, "off": 0.0}
    fixed = anchors(Recipe(), task, fixed={NAME: 0.5})
    assert (fixed["scaled"].class_weighting, fixed["off"].class_weighting) == (0.5, 0.5)


def test_positions_reach_none_every_image_alike_and_every_class_alike() -> None:
    space = Space.for_task(LONG_TAIL)
    for position, expected in ((0.0, 0.0), (0.1, 0.0), (1.0, 1.0)):
        raw = space.decode(dict.fromkeys(space.free_names, position))
        assert raw[NAME] == expected
    middle = space.decode(dict.fromkeys(space.free_names, 0.55))[NAME]
    # Half of the imbalance: 15 times as many images, the root of that in weight.
    ratio = effective_number(middle, 120) / effective_number(middle, 8)
    assert ratio == pytest.approx(math.sqrt(15))


def test_who_asks_for_it_may_search_it_among_unequal_classes_but_not_equal_ones() -> None:
    assert NAME in Space.for_task(sized(30, 60)).with_range(NAME, 0.0, 1.0).free_names
    with pytest.raises(InputError, match="`class_weighting` is fixed at 0"):
        Space.for_task(sized(30, 30)).with_range(NAME, 0.0, 1.0)
    assert Space.for_task(sized(30, 30)).with_extra(NAME).axes[NAME] == FixedAxis(0.0)


@pytest.mark.parametrize(
    ("small", "large", "share", "noticeable"),
    [
        (10, 100, 0.096, False),
        (10, 100, 0.097, True),  # 10 ** 0.097 = 1.25.
        (10, 1_000, 0.048, False),
        (10, 1_000, 0.049, True),
        (0, 0, 0.20, False),  # Taken to differ by a factor of three.
        (0, 0, 0.21, True),
    ],
)
def test_a_quarter_more_weight_for_the_smallest_class_is_noticeable(
    small: int, large: int, share: float, noticeable: bool
) -> None:
    task = sized(small, large)
    assert CLASS_WEIGHTING.differs(0.3, 0.3 + share, task) is noticeable
    assert CLASS_WEIGHTING.differs(0.3 + share, 0.3, task) is noticeable


def test_a_beta_that_does_nothing_here_gets_a_remark_and_one_that_does_none() -> None:
    assert describe(NAME, 0.9, sized(40, 1_623)) == (
        "class_weighting 0.9 weighs an image of the smallest class 1.02 times as much as one of "
        "the largest: as good as off"
    )
    for raw, task in ((0.9, LONG_TAIL), (0.0, LONG_TAIL), (1.0, LONG_TAIL), (0.9, sized(0, 0))):
        assert describe(NAME, raw, task) == ""


def test_ten_times_the_images_of_every_class_take_ten_times_the_effective_number() -> None:
    found = Recipe(class_weighting=0.98)
    moved = rescale(found, LONG_TAIL, LONG_TAIL.resized(3_000))
    # 50 and 500 images.
    assert moved.recipe.class_weighting == pytest.approx(0.998, abs=3e-5)
    assert "class_weighting 0.98 becomes 0.99798" in moved.notes[NAME]
    for kept in (0.0, 1.0):
        same = rescale(replace(found, class_weighting=kept), LONG_TAIL, LONG_TAIL.resized(3_000))
        assert same.recipe.class_weighting == kept


def test_a_crowd_at_inverse_frequency_is_told_that_nothing_lies_beyond() -> None:
    space = Space.for_task(LONG_TAIL)
    best = [dict.fromkeys(space.free_names, 0.5) | {NAME: 1.0}] * 3
    (warning,) = edge_warnings(space, best)
    assert (warning.name, warning.end, warning.raw) == (NAME, "high", None)
    assert warning.message.endswith("share of the imbalance undone 1, which is as far as it goes.")
    low = [dict.fromkeys(space.free_names, 0.5) | {NAME: 0.0}] * 3
    assert edge_warnings(space, low) == ()


@pytest.mark.parametrize(("num_train", "small", "large"), [(600, 16, 240), (30, 1, 12), (3, 1, 1)])
def test_a_resized_task_keeps_the_proportions_of_its_classes(
    num_train: int, small: int, large: int
) -> None:
    resized = LONG_TAIL.resized(num_train)
    assert (resized.num_train, resized.smallest_class, resized.largest_class) == (
        num_train,
        small,
        large,
    )
    assert sized(0, 0).resized(num_train).largest_class == 0
    assert LONG_TAIL.resized(LONG_TAIL.num_train) == LONG_TAIL


def test_classes_without_training_images_have_no_size() -> None:
    task = Task.of(Recipe(), num_train=9, num_classes=3, num_blocks=0, class_sizes=(0, 2, 7))
    assert (task.smallest_class, task.largest_class, task.class_ratio) == (2, 7, 3.5)
    assert Task.of(Recipe(), num_train=9, num_classes=3, num_blocks=0).class_ratio == 1.0
    with pytest.raises(InputError, match="0 <= smallest_class <= largest_class` must hold"):
        sized(3, 2)
