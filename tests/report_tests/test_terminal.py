"""The verdict in a terminal of any width, in a file, and where the alphabet lacks arrows."""

import io
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from search.commands.console import PLAIN_WIDTH, make_console
from search.report.terminal import print_verdict
from search.stages.analysis import Analysis
from search.verdict.schema import Estimate
from spaces.strengths.registry import STRENGTHS
from tests.support.finished_run import DIALS, a_config, a_dial, a_plan, an_analysis

WORDS = ("= leave", "↓ down", "= leave", "↓ down", "? open")
INTERVALS = ("", "+3.0 [+2.0, +4.0]", "", "+83.0 [+81.0, +85.0]", "-1.0 [-3.0, +1.0]")


def printed(run_dir: Path, *, width: int, terminal: bool, analysis: Analysis | None = None) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    print_verdict(console, a_config(run_dir), a_plan(), analysis or an_analysis())
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, PLAIN_WIDTH, 300])
@pytest.mark.parametrize("terminal", [True, False])
def test_each_dial_is_one_whole_line_however_narrow_the_terminal(
    tmp_path: Path, width: int, terminal: bool
) -> None:
    lines = printed(tmp_path, width=width, terminal=terminal).splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("What to change"))
    for name, word, interval in zip(STRENGTHS, WORDS, INTERVALS, strict=True):
        (row,) = [line for line in lines[begin : begin + 12] if line[2:].startswith(f"{name} ")]
        assert word in row
        assert interval in row
        assert len(row) <= width


def test_a_wide_terminal_shows_what_a_narrow_one_leaves_out(tmp_path: Path) -> None:
    narrow, wide = (printed(tmp_path, width=w, terminal=True) for w in (80, PLAIN_WIDTH))
    for detail in ("in effective units", "log-loss, nats", "-0.200 [-0.210, -0.190]"):
        assert detail not in narrow
        assert detail in wide


def test_an_open_dial_says_how_many_runs_would_decide_it(tmp_path: Path) -> None:
    text = printed(tmp_path, width=PLAIN_WIDTH, terminal=True)
    assert (
        "  `warmup_fraction` is not decided, but matters less than 3.0 points either way; "
        "16 to 900 more runs would decide it."
    ) in " ".join(text.split("\n"))


def test_a_turn_says_what_it_rests_on_besides_accuracy(tmp_path: Path) -> None:
    remark = "accuracy does not decide (validation top-1 +0.2 points [-0.5, +0.9]), log-loss does"
    changed = replace(DIALS[1], decided_by="val/nll", remark=remark)
    text = printed(
        tmp_path, width=300, terminal=True, analysis=an_analysis((DIALS[0], changed, *DIALS[2:]))
    )
    said = "Turn `label_smoothing` down from 0.1 to 0: -0.200 nats [-0.210, -0.190] of validation"
    assert f"  {said} log-loss; {remark}." in text


def test_effects_are_said_to_be_those_on_this_pool_of_images(tmp_path: Path) -> None:
    said = "intervals are for this pool of images"
    assert said in " ".join(printed(tmp_path, width=PLAIN_WIDTH, terminal=True).split())
    without = tuple(replace(dial, effect={}) for dial in DIALS)
    analysis = an_analysis(without)
    assert said not in printed(tmp_path, width=300, terminal=True, analysis=analysis)


def test_an_interval_that_is_not_known_is_no_markup(tmp_path: Path) -> None:
    unknown = {"val/top1": Estimate(mean=0.01, ci95=(-math.inf, math.inf))}
    dials = (*DIALS[:4], a_dial("warmup_fraction", "inconclusive", unknown))
    text = printed(tmp_path, width=PLAIN_WIDTH, terminal=True, analysis=an_analysis(dials))
    assert "+1.0 (unknown)" in text


def test_paths_are_not_broken_so_that_they_can_be_copied(tmp_path: Path) -> None:
    deep = tmp_path / ("long " * 30 + "[red]")
    text = printed(deep, width=80, terminal=True)
    assert f"make train CONFIG='{deep / 'r1' / 'best.yaml'}'\n" in text


def test_a_file_gets_a_markdown_table_without_colours(tmp_path: Path) -> None:
    text = printed(tmp_path, width=PLAIN_WIDTH, terminal=False)
    (head,) = [line for line in text.splitlines() if "in effective units" in line]
    assert [cell.strip() for cell in head.strip("|").split("|")][:3] == ["strength", "turn", "from"]
    assert "\x1b" not in text
    assert not set(text) & set("┃│━─")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_alphabet_without_arrows_does_not_end_a_search(
    tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    print_verdict(make_console(), a_config(tmp_path), a_plan(), an_analysis())
    sys.stdout.flush()
    text = raw.getvalue().decode(encoding)
    assert "| label_smoothing | " in text
    assert ("↓ down" if encoding == "utf-8" else "? down") in text
