"""What a search would do, in a terminal of any width."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from search.plan.text import plan_text
from spaces.strengths.registry import STRENGTHS
from tests.support.finished_run import a_config, a_plan


def printed(run_dir: Path, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(plan_text(console, a_plan(), a_config(run_dir), estimate_s=120.0))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


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
