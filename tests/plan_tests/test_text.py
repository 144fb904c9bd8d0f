"""What a search would do, in a terminal of any width."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from search.plan.plan import Plan
from search.plan.text import class_line, plan_text
from spaces.strengths.registry import STRENGTHS
from tests.support.finished_run import a_config, a_plan


def a_line(names: tuple[str, ...], counts: tuple[tuple[int, int, int], ...] = ()) -> str:
    plan = a_plan(names)
    return class_line(replace(plan, data=replace(plan.data, images_per_class=counts)))


def test_the_classes_are_named_with_their_images_in_every_part() -> None:
    line = a_line(("cat", "dog"), ((8, 3, 2), (9, 1, 0)))
    assert line == "Classes (train + validation + test images): cat 8 + 3 + 2, dog 9 + 1 + 0."


def test_of_many_classes_the_first_are_named_and_the_span_of_all_is_told() -> None:
    names = tuple(f"class {i}" for i in range(100))
    line = a_line(names, tuple((i + 5, 3, i % 2) for i in range(100)))
    assert "class 7 12 + 3 + 1 and 92 more; all have 5 to 104 + 3 + 0 to 1." in line
    assert "class 8" not in line


def test_a_plan_of_an_older_version_has_the_names_alone() -> None:
    assert a_line(("cat", "dog")) == "Classes: cat, dog."
    assert a_line(tuple("abcdefghij")).endswith("g, h and 2 more.")


def test_a_long_name_is_cut() -> None:
    assert a_line(("x" * 200, "y")) == f"Classes: {'x' * 40}..., y."


def test_the_plan_shows_the_classes(tmp_path: Path) -> None:
    assert "Classes: zero, one." in printed(tmp_path, 100)


def printed(run_dir: Path, width: int, *, plan: Plan | None = None) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(plan_text(console, plan or a_plan(), a_config(run_dir), estimate_s=120.0))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_plan_names_what_costs_no_run_if_there_is_any(tmp_path: Path) -> None:
    plain = a_plan()
    normed = replace(plain, task=replace(plain.task, has_batch_norm=True))
    said = "each run of the factorial tells both values of ema_batch_norm"
    for plan, is_told in ((plain, False), (normed, True)):
        shown = " ".join(" ".join(printed(tmp_path, 100, plan=plan)).split())
        assert (said in shown) is is_told


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_strength_is_cut_and_each_has_a_line(tmp_path: Path, width: int) -> None:
    lines = printed(tmp_path, width)
    assert max(map(len, lines)) <= width
    for name in STRENGTHS:
        assert sum(line.startswith(f"│ {name} ") for line in lines) == 1


def test_a_wide_terminal_shows_effective_values_and_their_units_too(tmp_path: Path) -> None:
    narrow, wide = ("\n".join(printed(tmp_path, width)) for width in (80, 200))
    assert "raw (effective)" in wide
    assert "lr*wd*T" in wide
    assert "(" not in narrow.partition("What is searched")[2].partition("!")[0]
