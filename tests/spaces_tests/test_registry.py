"""What holds for every strength and every extra, and that nothing else knows one by its name."""

import ast
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from search.records.provenance import ROOT
from spaces.axes import FixedAxis, ZeroAxis
from spaces.errors import InputError
from spaces.ranges import extra_axis, strength_axes
from spaces.recipe import RandAugment, Recipe
from spaces.strengths.registry import EXTRAS, STRENGTHS, known, strength
from spaces.strengths.strength import Strength
from spaces.strengths.values import STRENGTH_KEYS
from spaces.task import Task
from spaces.units import to_effective

TASK = Task(
    num_train=300,
    num_classes=10,
    batch_size=32,
    epochs=15,
    lr=1e-3,
    pretrained=True,
    num_blocks=16,
)
TASKS = [
    TASK,
    replace(TASK, pretrained=False, num_train=10_000, epochs=100),
    replace(TASK, pretrained=False, num_train=1_281_167, batch_size=1024, epochs=300),
    replace(TASK, num_train=32, epochs=10),
]
RECIPE = Recipe(
    mixup_alpha=0.3,
    cutmix_alpha=0.7,
    layer_decay=0.8,
    class_weighting=0.98,
    lr=2e-3,
    min_lr=2e-5,
    randaugment=RandAugment(num_ops=3, magnitude=12),
).with_strengths(
    weight_decay=0.05,
    label_smoothing=0.1,
    drop_path_rate=0.2,
    ema_decay=0.99,
    warmup_fraction=0.1,
)
each = pytest.mark.parametrize("one", known().values(), ids=lambda one: one.name)
with_off = pytest.mark.parametrize(
    "one", [s for s in known().values() if s.off is not None], ids=lambda one: one.name
)

APPLIED_OR_ANOTHER_TOOLS = {
    # The recipe whose ingredients are taken out one by one, and a table of optimizers' settings.
    "search/commands/ablation/variants.py",
    "search/commands/ablation/contest.py",
    # Keys of timm that are spelled as ours.
    "search/recipes/timm_export.py",
    "search/recipes/timm_import.py",
    "search/recipes/timm_keys.py",
}
"""Modules outside `spaces.strengths` and `trainable` that may say a strength's name."""


def test_everything_is_told_apart_by_name_label_and_short_name() -> None:
    for what in ("name", "label", "short"):
        assert len({getattr(one, what) for one in known().values()}) == len(known())
    assert all(name == one.name for name, one in known().items())
    assert all(1 < len(one.short) <= 3 for one in known().values())


def test_what_a_recipe_file_holds_under_strengths_is_searched() -> None:
    assert set(STRENGTH_KEYS) <= known().keys()


def test_a_name_that_is_none_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"Unknown axis 'dropout'; known are weight_decay, .* lr"):
        strength("dropout")


@each
def test_a_recipe_gives_back_what_was_put_into_it_and_keeps_all_else(one: Strength) -> None:
    for value in (one.read(RECIPE) / 2, one.read(RECIPE)):
        changed = one.put(RECIPE, value)
        assert one.read(changed) == value
        others = [other for other in known().values() if other is not one]
        assert [o.read(changed) for o in others] == [o.read(RECIPE) for o in others]
    assert one.put(RECIPE, one.read(RECIPE)) == RECIPE


@each
def test_another_recipe_hands_it_over_and_nothing_else(one: Strength) -> None:
    source = Recipe(lr=5e-4, min_lr=1e-5, randaugment=RandAugment(num_ops=1, magnitude=20))
    copied = one.copied(RECIPE, source)
    assert one.read(copied) == one.read(source)
    assert one.copied(copied, RECIPE) == RECIPE


def test_the_number_of_operations_comes_with_the_magnitude() -> None:
    (magnitude,) = (one for one in known().values() if one.label.startswith("RandAugment"))
    without = magnitude.switched_off(RECIPE)
    assert without.randaugment is None
    assert magnitude.copied(without, RECIPE).randaugment == RECIPE.randaugment
    assert magnitude.put(without, 7.0).randaugment == RandAugment(magnitude=7)


@with_off
def test_off_is_what_a_recipe_has_by_default(one: Strength) -> None:
    assert one.read(one.switched_off(RECIPE)) == one.off == one.read(Recipe())


@each
@pytest.mark.parametrize("value", [-1.0, -1e-12, 0.0, 1e-12, 0.5, 1.0, 1.0001, 30.0, 31.0])
def test_its_interval_is_what_a_recipe_may_hold(one: Strength, value: float) -> None:
    def refusal(call: Callable[[], object]) -> str:
        try:
            call()
        except InputError as error:
            return str(error)
        return ""

    by_interval = refusal(lambda: one.interval.require(one.name, value))
    by_recipe = refusal(lambda: one.put(Recipe(lr=1e-3), value))
    assert bool(by_interval) == bool(by_recipe)
    if by_interval:
        assert one.name in by_interval
        assert repr(value) in by_interval


@each
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, None, "0.1"])
def test_what_is_no_finite_number_is_outside_every_interval(one: Strength, value: object) -> None:
    with pytest.raises(InputError, match=f"{one.name}"):
        one.interval.require(one.name, value)


@each
@pytest.mark.parametrize("task", TASKS)
def test_its_range_and_its_default_can_be_carried_out(one: Strength, task: Task) -> None:
    axes = strength_axes(task)
    axis = axes[one.name] if one.name in STRENGTHS else extra_axis(one.name, task)
    low, high = one.limits(task)
    assert low <= axis.low < axis.high <= high
    default = to_effective(one.name, one.default(task), task)
    assert low * (1 - 1e-8) <= default <= high * (1 + 1e-8)
    # Off lies in the range of everything that can be switched off; only a long run has an average
    # that is off far below its shortest window.
    if one.off is not None and isinstance(axis, ZeroAxis):
        assert axis.contains(to_effective(one.name, one.off, task))


@each
@pytest.mark.parametrize("task", TASKS[:3])  # In ten steps no decay can pull noticeably.
def test_the_ends_of_its_range_differ_noticeably_and_a_value_from_itself_never(
    one: Strength, task: Task
) -> None:
    axis = strength_axes(task)[one.name] if one.name in STRENGTHS else extra_axis(one.name, task)
    assert one.differs(axis.low, axis.high, task)
    assert one.differs(axis.high, axis.low, task)
    for value in (axis.low, axis.high):
        assert not one.differs(value, value, task)


def test_what_has_nothing_to_act_on_is_fixed_at_off_and_said_in_words() -> None:
    task = replace(TASK, num_blocks=0)
    idle = [one for one in known().values() if not one.acts_in(task)]
    assert [one.name for one in idle] == ["drop_path_rate"]
    for one in idle:
        assert strength_axes(task)[one.name] == FixedAxis(0.0)
        assert one.idle_words


def test_only_one_strength_is_measured_at_several_values_within_a_run() -> None:
    # A run carries several averages of its weights, and nothing else several times.
    assert [one.name for one in known().values() if not one.acts_back_on_training] == ["ema_decay"]


def test_the_learning_rate_alone_gets_no_dial_and_moves_what_others_mean() -> None:
    assert [one.name for one in known().values() if not one.has_dial] == ["lr"]
    assert [one.name for one in known().values() if one.task_with is not None] == ["lr"]
    assert EXTRAS["lr"].task_with is not None
    assert EXTRAS["lr"].task_with(TASK, 0.5) == replace(TASK, lr=0.5)


def named_in(source: str) -> set[str]:
    """Names of strengths that a source holds as text of their own."""
    found = {n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)}
    return {name for name in STRENGTHS if name in found}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('if name == "ema_decay":\n    pass', {"ema_decay"}),
        ('short = {"weight_decay": "wd"}', {"weight_decay"}),
        ('"""Like ``--fix ema_decay=0``."""\nx.ema_decay', set()),
    ],
)
def test_a_name_in_the_code_is_found_and_one_in_a_sentence_is_not(
    source: str, found: set[str]
) -> None:
    assert named_in(source) == found


def test_no_module_but_its_own_and_those_that_apply_it_knows_a_strength_by_name() -> None:
    files = [*(ROOT / "search").glob("**/*.py"), *(ROOT / "spaces").glob("*.py")]
    naming = {str(path.relative_to(ROOT)) for path in files if named_in(path.read_text("utf-8"))}
    assert naming == APPLIED_OR_ANOTHER_TOOLS
