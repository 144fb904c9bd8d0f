"""Strengths keep what they amount to on the way from one size to another."""

import math
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.anchors import size_scaled
from spaces.errors import InputError
from spaces.ranges import strength_axes
from spaces.recipe import Recipe
from spaces.rescale import rescale
from spaces.strengths.ema_decay import LONGEST_WINDOW
from spaces.strengths.registry import STRENGTHS
from spaces.strengths.values import Strengths
from spaces.task import Task
from spaces.units import limits, to_effective

FEW = Task(
    num_train=5_000,
    num_classes=10,
    batch_size=50,
    epochs=20,
    lr=1e-3,
    pretrained=False,
    num_blocks=16,
)
MANY = Task(
    num_train=1_281_167,
    num_classes=1000,
    batch_size=1024,
    epochs=300,
    lr=1e-3,
    pretrained=False,
    num_blocks=16,
)
FOUND = Strengths(
    weight_decay=4.0,
    label_smoothing=0.05,
    drop_path_rate=0.03,
    ema_decay=0.99,
    warmup_fraction=0.1,
)


@dataclass(frozen=True)
class Moved:
    strengths: Strengths
    notes: tuple[str, ...]


def moved_strengths(strengths: Strengths, from_task: Task, to_task: Task) -> Moved:
    moved = rescale(Recipe(strengths=strengths), from_task, to_task)
    assert moved.recipe == Recipe(strengths=moved.recipe.strengths)
    return Moved(moved.recipe.strengths, tuple(moved.notes.values()))


def scaled_strengths(task: Task) -> Strengths:
    return size_scaled(Recipe(), task).strengths


def test_a_search_on_5000_images_sets_up_a_run_on_a_million() -> None:
    moved = moved_strengths(FOUND, FEW, MANY).strengths

    assert FEW.total_steps == 2000
    # W = 1e-3 * 4 * 2000 = 8; a window of 100 of 2000 steps is 5 %; 200 warmup steps are below the
    # range of the long run, which starts at a half percent; both tasks have smoothing 0.1 as their
    # default; the default of drop path rises from 0.02 to 0.1.
    assert moved.weight_decay == pytest.approx(8 / (1e-3 * 375_300))
    assert moved.ema_decay == pytest.approx(1 - 1 / (0.05 * 375_300))
    assert moved.warmup_fraction == pytest.approx(0.005)
    assert moved.label_smoothing == pytest.approx(0.05)
    assert moved.drop_path_rate == pytest.approx(0.03 + 0.1 - 0.02)


def test_the_way_back_gives_the_same_strengths_where_nothing_was_cut() -> None:
    there = moved_strengths(FOUND, FEW, MANY).strengths
    back = moved_strengths(there, MANY, FEW).strengths

    for name in STRENGTHS:
        if name != "warmup_fraction":
            assert getattr(back, name) == pytest.approx(getattr(FOUND, name)), name


@pytest.mark.parametrize("task", [FEW, MANY])
def test_equal_tasks_move_nothing(task: Task) -> None:
    moved = moved_strengths(FOUND, task, task)

    assert moved.strengths == FOUND
    assert moved.notes == ()


@given(
    raw=st.fixed_dictionaries(
        {
            "weight_decay": st.floats(0, 100),
            "label_smoothing": st.floats(0, 0.999),
            "drop_path_rate": st.floats(0, 0.999),
            "ema_decay": st.floats(0, 0.9999999),
            "warmup_fraction": st.floats(0, 0.999),
        }
    ),
    from_epochs=st.integers(1, 10**6),
    to_epochs=st.integers(10, 10**6),
)
def test_whatever_is_moved_can_be_carried_out(
    raw: dict[str, float], from_epochs: int, to_epochs: int
) -> None:
    from_task = replace(FEW, num_train=50, epochs=from_epochs)
    to_task = replace(FEW, num_train=50, epochs=to_epochs)

    moved = moved_strengths(Strengths(**raw), from_task, to_task).strengths

    if from_epochs != to_epochs:
        for name in ("weight_decay", "ema_decay", "warmup_fraction"):
            value = getattr(moved, name)
            low, high = limits(name, to_task)
            assert low * (1 - 1e-6) <= to_effective(name, value, to_task) <= high * (1 + 1e-6)
            if raw[name] == 0:
                assert value == 0


@given(pull=st.floats(0.1, 8), share=st.floats(0.003, LONGEST_WINDOW), epochs=st.integers(1, 1000))
def test_pull_and_window_are_kept_where_the_run_can_carry_them(
    pull: float, share: float, epochs: int
) -> None:
    to_task = replace(FEW, epochs=20 * epochs)
    strengths = Strengths(
        weight_decay=pull / (FEW.lr * FEW.total_steps),
        ema_decay=1 - 1 / (share * FEW.total_steps),
    )

    moved = moved_strengths(strengths, FEW, to_task).strengths

    assert to_effective("weight_decay", moved.weight_decay, to_task) == pytest.approx(pull)
    assert to_effective("ema_decay", moved.ema_decay, to_task) == pytest.approx(share)


def test_another_learning_rate_keeps_the_pull() -> None:
    moved = moved_strengths(FOUND, FEW, replace(FEW, lr=5e-3)).strengths

    assert moved.as_dict() == pytest.approx(FOUND.as_dict() | {"weight_decay": 4.0 / 5})


def test_the_published_recipe_on_a_few_hundred_images_gets_what_its_run_can_hold() -> None:
    published = Strengths(
        weight_decay=0.05,
        label_smoothing=0.1,
        drop_path_rate=0.1,
        ema_decay=0.9999,
        warmup_fraction=0.05,
    )
    few_hundred = replace(FEW, num_train=300, batch_size=32, epochs=15, pretrained=True)

    moved = moved_strengths(published, MANY, few_hundred)

    assert moved.strengths.weight_decay == 10.0  # A pull of 18.8 is beyond 135 steps.
    assert moved.strengths.label_smoothing == 0.0
    assert moved.strengths.drop_path_rate == pytest.approx(0.1 * (135 / 50_000) ** 0.5)
    assert moved.strengths.ema_decay == pytest.approx(1 - 1 / (135 * 10_000 / 375_300))
    assert moved.strengths.warmup_fraction == pytest.approx(0.3)
    assert len(moved.notes) == 5


def test_the_default_of_one_size_becomes_the_default_of_the_other_where_it_is_a_distance() -> None:
    for from_task, to_task in ((FEW, MANY), (MANY, FEW), (replace(FEW, num_train=300), MANY)):
        moved = moved_strengths(scaled_strengths(from_task), from_task, to_task).strengths
        default = scaled_strengths(to_task)

        assert moved.label_smoothing == pytest.approx(default.label_smoothing)
        assert moved.drop_path_rate == pytest.approx(default.drop_path_rate)


def test_what_lay_above_the_range_is_not_pulled_down_to_it() -> None:
    strong = Strengths(drop_path_rate=0.8, label_smoothing=0.4)

    moved = moved_strengths(strong, FEW, MANY).strengths

    assert (moved.drop_path_rate, moved.label_smoothing) == (0.8, 0.4)


def test_a_distance_is_cut_at_off_and_at_the_range() -> None:
    high = strength_axes(MANY)["drop_path_rate"].high

    up = moved_strengths(Strengths(drop_path_rate=0.45), FEW, MANY).strengths.drop_path_rate
    down = moved_strengths(Strengths(drop_path_rate=0.05), MANY, FEW).strengths.drop_path_rate

    assert (up, down) == (high, 0.0)


def test_a_model_without_blocks_gets_no_drop_path() -> None:
    assert moved_strengths(FOUND, FEW, replace(MANY, num_blocks=0)).strengths.drop_path_rate == 0.0


def test_a_run_too_short_to_mean_anything_is_refused() -> None:
    with pytest.raises(InputError, match="raise `epochs` or lower `batch_size`"):
        moved_strengths(FOUND, FEW, replace(FEW, num_train=50, epochs=5))


def test_each_moved_strength_has_one_sentence_with_both_units_before_and_after() -> None:
    notes = moved_strengths(FOUND, FEW, MANY).notes

    assert [note.split()[0] for note in notes] == [
        "weight_decay",
        "drop_path_rate",
        "ema_decay",
        "warmup_fraction",
    ]
    assert notes[0] == (
        "weight_decay 4 becomes 0.0213163: it stays at 8 (decay over the whole run, lr*wd*T)."
    )
    assert notes[1] == (
        "drop_path_rate 0.03 becomes 0.11: it keeps its distance from the defaults for 2000 and "
        "375300 steps, within 0 and the range."
    )
    assert notes[3] == (
        "warmup_fraction 0.1 becomes 0.005: it moves from 200 to 1876 (warmup steps), the nearest "
        "that suits 375300 steps."
    )
    assert all(note.endswith(".") and "\n" not in note for note in notes)


def test_steps_of_warmup_stay_where_they_suit_both_runs() -> None:
    twice = replace(FEW, epochs=40)

    moved = moved_strengths(Strengths(warmup_fraction=0.1), FEW, twice)

    assert moved.strengths.warmup_fraction == pytest.approx(0.05)
    assert math.isclose(moved.strengths.warmup_fraction * twice.total_steps, 200)
    assert "stays at 200 (warmup steps)" in moved.notes[-1]
