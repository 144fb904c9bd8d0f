"""The last screen of a run: short enough to be read, in order, and the same in every place."""

import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from search.commands.console import PLAIN_WIDTH, make_console
from search.report.terminal import MOST_LINES, WIDTH, print_verdict
from search.stages.analysis import Analysis
from search.verdict.answer.advised_value import advised_value
from search.verdict.schema import Estimate, LearningCurve, Refined, TriedValue
from search.verdict.wording import raw
from spaces.strengths.registry import STRENGTHS
from tests.support.any_verdict import any_analysis
from tests.support.finished_run import (
    DIALS,
    READINGS,
    a_config,
    a_dial,
    a_plan,
    an_analysis,
    an_effect,
)

LABELS = (
    "Test",
    "Gain",
    "Besides",
    "Sure",
    "Likely",
    "Open",
    "Keep",
    "Note",
    "Next",
    "Train",
    "Files",
)
"""In this order, below the sentence."""
VERDICTS = range(60)
PLAN = a_plan()


@pytest.fixture(autouse=True)
def _short_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def printed(
    run_dir: Path, *, width: int = WIDTH, terminal: bool = True, analysis: Analysis | None = None
) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None)
    print_verdict(console, a_config(run_dir), PLAN, analysis or an_analysis())
    return file.getvalue()


def labels(text: str) -> list[str]:
    """The labels that stand at the beginnings of lines, in their order."""
    found = [line[:8].strip() for line in text.splitlines() if re.match(r"[A-Z][a-z]+ +\S", line)]
    return [label for label in found if label in LABELS]


def test_the_whole_answer_is_this(tmp_path: Path) -> None:
    python = "make train CONFIG=" if "make train" in printed(tmp_path) else sys.executable
    shown = printed(tmp_path).replace(f"{python} -m search train --config ", "TRAIN ")
    assert (
        shown
        == """
What is wrong with the reference: it is over-regularized, for with less it fits
the training images and validates better.
Test    reference  without average  advised  everything off  size-scaled default
top-1      11.0 %           88.0 %   93.0 %          92.0 %               93.0 %
Gain    +5.0 points [+2.0, +8.0] over the reference's raw weights
        +0.0 points [-2.0, +2.0] over the size-scaled default, the best without
        a search: no clear difference
Sure    label_smoothing 0.1 -> 0: +3.0 points [+2.0, +4.0]
        ema_decay 0.9999 -> 0.9: +83.0 points [+81.0, +85.0]; for this length
Open    warmup_fraction 0.05: matters less than 3.0 points
Keep    weight_decay 0.05: not varied; drop_path_rate 0.1: not varied
Next    the same search with SET=weight_decay=1:10, for the range's end did best
Train   TRAIN r1/best.yaml
Files   r1/: report.html, model.safetensors
"""
    )


@pytest.mark.parametrize("seed", VERDICTS)
def test_it_fits_the_smallest_screen_and_keeps_its_order_whatever_the_verdict(
    tmp_path: Path, seed: int
) -> None:
    text = printed(tmp_path, analysis=any_analysis(seed))
    first, *lines = text.splitlines()
    assert first == ""
    assert len(lines) <= MOST_LINES == 15, text
    # Commands are as long as the interpreter's path.
    is_command = re.compile(r"Train| {8}(make|\S+ -m search) resume ")
    assert all(len(line) <= WIDTH == 80 for line in lines if not is_command.match(line)), text
    openings = (
        "What is wrong with the reference: ",
        "Nothing is clearly wrong ",
        "The reference neither underfits nor overfits, but there are better settings for",
        "Fine-tuning does not pay: ",
        "Fine-tuning for so few epochs does not pay: ",
    )
    assert lines[0].startswith(openings)
    order = [LABELS.index(label) for label in labels(text)]
    assert order == sorted(order)
    assert {"Test", "Next", "Train", "Files"} <= set(labels(text))


@pytest.mark.parametrize("seed", VERDICTS)
def test_every_value_that_best_yaml_changes_is_named_with_both_values(
    tmp_path: Path, seed: int
) -> None:
    analysis = any_analysis(seed)
    text = re.sub(r"\s+", " ", printed(tmp_path, analysis=analysis))
    has_more = "and more, see report.html" in text
    assert not (has_more and len(analysis.verdict.dials) == len(STRENGTHS)), text
    for dial in analysis.verdict.dials:
        value, _ = advised_value(dial)
        if value != dial.reference and not has_more:
            assert f"{dial.strength} {raw(dial.reference)} -> {raw(value)}" in text


@pytest.mark.parametrize("seed", range(20))
def test_a_file_has_the_same_words_as_a_terminal_of_any_width(tmp_path: Path, seed: int) -> None:
    analysis = any_analysis(seed)
    in_file = printed(tmp_path, width=PLAIN_WIDTH, terminal=False, analysis=analysis)
    for width in (80, 300):
        assert printed(tmp_path, width=width, terminal=True, analysis=analysis) == in_file
    assert "\x1b" not in in_file


def test_what_was_refined_has_a_line_and_the_screen_stays_small(tmp_path: Path) -> None:
    """What somebody asked for is said, also of a strength that was not turned in the end."""
    difference = Estimate(mean=-0.021, ci95=(-0.04, -0.002), base=0.9)
    one = TriedValue(value=0.1, effective=0.1, minus_advised=difference)
    found = Refined(
        strength="label_smoothing",
        metric="val/top1",
        advised=0.0,
        seeds=5,
        tried=(one,),
        as_good=(0.0, 0.0),
        sentence="label_smoothing: 0 is needed; worse: 0.1 (-2.1 points [-4.0, -0.2])",
    )
    base = an_analysis()
    analysis = replace(base, verdict=replace(base.verdict, refined=(found,)))
    file = io.StringIO()
    console = Console(file=file, width=WIDTH, force_terminal=False)
    config = a_config(tmp_path, refine=("label_smoothing", "weight_decay"))
    print_verdict(console, config, PLAN, analysis)
    lines = file.getvalue().splitlines()[1:]
    assert len(lines) <= MOST_LINES
    assert "Range   label_smoothing: 0 is needed; worse: 0.1 (-2.1 points [-4.0, -0.2])." in lines
    assert "Range   weight_decay was not turned, so no value between was run." in lines


def test_what_more_images_would_change_has_a_line_where_it_was_asked_for(tmp_path: Path) -> None:
    gain = Estimate(mean=0.021, ci95=(0.002, 0.04), base=0.9)
    found = LearningCurve(
        num_half=150,
        num_all=300,
        num_twice=600,
        dials=(),
        gain={"test/top1": gain},
        seeds=5,
        sentences=(),
    )
    base = an_analysis()
    asked = a_config(tmp_path, learning_curve=True)
    texts = []
    for curve, config in ((found, asked), (None, asked), (None, a_config(tmp_path))):
        analysis = replace(base, verdict=replace(base.verdict, learning_curve=curve))
        file = io.StringIO()
        console = Console(file=file, width=WIDTH, force_terminal=False)
        print_verdict(console, config, PLAN, analysis)
        texts.append(file.getvalue())
        assert len(texts[-1].splitlines()[1:]) <= MOST_LINES
    assert "Images  150 -> 300 images: top-1 +2.1 points [+0.2, +4.0]; extrapolated to" in texts[0]
    assert "Images  no run on half of the training images has ended" in texts[1]
    assert "Images  " not in texts[2]
    fit = replace(base.verdict.fit, reference="undertrained")
    short = replace(base, verdict=replace(base.verdict, learning_curve=found, fit=fit))
    file = io.StringIO()
    print_verdict(Console(file=file, width=WIDTH, force_terminal=False), asked, PLAN, short)
    assert "Images  train longer first; as these short runs go: 150 -> 300" in file.getvalue()


def test_colours_tell_the_groups_apart_in_a_terminal(tmp_path: Path) -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system="standard")
    print_verdict(console, a_config(tmp_path), a_plan(), an_analysis())
    text = file.getvalue()
    assert text.count("\x1b[1;32mSure") == 1
    assert "\x1b[33mOpen" in text


def test_a_turn_by_log_loss_alone_is_likely_and_says_so(tmp_path: Path) -> None:
    changed = replace(DIALS[1], decided_by="val/nll")
    text = printed(tmp_path, analysis=an_analysis((DIALS[0], changed, *DIALS[2:])))
    assert "\nLikely  label_smoothing 0.1 -> 0: -0.200 nats [-0.210, -0.190] of log-loss\n" in text


def test_an_open_setting_that_best_yaml_changes_is_likely_and_not_said_to_stay(
    tmp_path: Path,
) -> None:
    moved = a_dial("warmup_fraction", "inconclusive", an_effect(0.02, 0.02), recommended=0.2)
    text = printed(tmp_path, analysis=an_analysis((*DIALS[:4], moved), confirmed=None))
    assert (
        "\nLikely  warmup_fraction 0.05 -> 0.2: +2.0 points [+0.0, +4.0], not decided\n"
    ) in text
    assert "Open" not in text


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        (("ema_lag: only the average of the reference is behind: ...",), "never caught up"),
        (("ema_lag: only the average of the best recipe is behind: ...",), "over-regularized"),
        ((), "over-regularized"),
    ],
)
def test_a_broken_average_is_not_called_regularization(
    tmp_path: Path, reasons: tuple[str, ...], words: str
) -> None:
    fit = replace(an_analysis().verdict.fit, reference="underfit", reasons=reasons)
    assert words in printed(tmp_path, analysis=an_analysis(fit=fit)).split("Test")[0]


def test_what_is_gained_is_held_against_the_raw_weights_and_what_is_free(tmp_path: Path) -> None:
    confirmed = an_analysis().verdict.confirmed
    assert confirmed is not None
    huge = {"test/top1": Estimate(mean=0.82, ci95=(0.79, 0.85))}
    assert confirmed.advised_minus["reference"] == huge
    text = printed(tmp_path)
    assert "+82.0" not in text
    assert text.index("raw weights") < text.index("the best without")
    assert text.count("no clear difference") == 1


def test_readings_stand_below_the_gains_if_there_is_room(tmp_path: Path) -> None:
    plain = an_analysis(DIALS[:3])
    assert plain.verdict.confirmed is not None
    confirmed = replace(plain.verdict.confirmed, readings=READINGS)
    read = replace(plain, verdict=replace(plain.verdict, confirmed=confirmed))
    shown = printed(tmp_path, analysis=read)
    assert "Besides mirror images at test time: top-1 +0.4 points [-0.2, +1.0] (5.2" in shown
    assert "temperature of 0.80: log-loss -0.050 nats" in " ".join(shown.split())
    without = printed(tmp_path, analysis=plain)
    assert "Besides" not in without
    # Whatever else is said is said as before.
    assert set(without.splitlines()) < set(shown.splitlines())


def test_paths_are_not_broken_so_that_they_can_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("long " * 30 + "[red]")
    monkeypatch.chdir("/")
    assert f"'{str(deep / 'r1' / 'best.yaml').lstrip('/')}'\n" in printed(deep)


def test_a_run_without_a_model_says_so(tmp_path: Path) -> None:
    file = io.StringIO()
    print_verdict(Console(file=file), a_config(tmp_path), a_plan(), an_analysis(), has_model=False)
    assert "Files   r1/: report.html, no model, see log.txt\n" in file.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_alphabet_without_arrows_does_not_end_a_search(
    tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw_out, encoding=encoding))
    print_verdict(make_console(), a_config(tmp_path), a_plan(), an_analysis())
    sys.stdout.flush()
    assert "label_smoothing 0.1 -> 0: +3.0" in raw_out.getvalue().decode(encoding)
