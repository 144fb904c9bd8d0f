"""What the figures show: every mark that must be there, where it must be, and nothing more."""

import math
import struct
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from search.records.metrics import NLL_REFINED, TOP1
from search.report.figures.axes import Scale, padded, round_ticks, spread, tick_texts
from search.report.figures.best_so_far import best_so_far
from search.report.figures.catalogue import figures, write_figures
from search.report.figures.confirmed import confirmation
from search.report.figures.dials import tornado
from search.report.figures.drawing import Drawing, Mark, Stroke, Text, svg
from search.report.figures.ema_ladder import has_ladder, ladder
from search.report.figures.fit_map import fit_map
from search.report.figures.forest import Cell, Panel, Row, axis_limit, forest
from search.report.figures.learning_curves import learning_curves
from search.report.figures.marks import MOST_DOTS, dots, interval_text, number_of, role_of, roles
from search.report.figures.png import png
from search.report.figures.response_model import MIN_TRIALS, responses, usable_trials
from search.report.figures.responses import response_curves, search_evidence
from search.verdict.schema import Estimate
from spaces.strengths.registry import STRENGTHS
from tests.support.finished_run import (
    ADVISED,
    BEST,
    DIALS,
    OFF,
    REFERENCE,
    a_dial,
    a_plan,
    a_trial,
    all_trials,
    an_analysis,
    an_effect,
    attribute_trials,
    confirm_trials,
    scores,
    search_trials,
)

WIDTHS = (356.0, 760.0)
each_width = pytest.mark.parametrize("width", WIDTHS)


def marks(drawing: Drawing, kind: str) -> list[Mark]:
    return [item for item in drawing.items if isinstance(item, Mark) and item.kind == kind]


def words(drawing: Drawing) -> list[str]:
    return [item.text for item in drawing.items if isinstance(item, Text)]


def kinds_in(text: str) -> Counter[str]:
    root = ET.fromstring(text)
    return Counter(str(e.get("data-kind")) for e in root.iter() if e.get("class") == "mark")


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.7, 11.2), (95.31, 95.36), (0.0, 1e5)])
@pytest.mark.parametrize("most", [2, 5, 9])
def test_ticks_are_round_evenly_spaced_and_inside(low: float, high: float, most: int) -> None:
    ticks = round_ticks(low, high, most)
    assert 0 < len(ticks) <= most
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    for a, b, c in zip(ticks, ticks[1:], ticks[2:], strict=False):
        assert b - a == pytest.approx(c - b)
    for a, b in pairwise(ticks):
        assert f"{b - a:.3e}".partition("e")[0] in ("1.000", "2.000", "5.000")


@pytest.mark.parametrize("most", [3, 5, 8])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-40.0, 40.0), (0.0, 0.03)])
def test_labels_tell_all_ticks_apart(low: float, high: float, most: int) -> None:
    texts = tick_texts(round_ticks(low, high, most), signed=True)
    assert len(set(texts.values())) == len(texts)
    for value, text in texts.items():
        assert float(text.replace("−", "-")) == pytest.approx(value)
        assert text.startswith({1: "+", -1: "−", 0: "0"}[(value > 0) - (value < 0)])


@pytest.mark.parametrize("stretch", [0.0, 1.0])
def test_a_scale_puts_its_ends_at_its_ends_and_keeps_the_order(stretch: float) -> None:
    scale = Scale(low=-0.2, high=90.0, start=400.0, end=20.0, stretch=stretch)
    assert scale(-0.2) == pytest.approx(400.0)
    assert scale(90.0) == pytest.approx(20.0)
    places = [scale(value) for value in (-0.2, -0.1, 0.0, 0.5, 3.0, 50.0, 90.0)]
    assert places == sorted(places, reverse=True)
    assert scale.clamped(1e9) == pytest.approx(20.0)


@pytest.mark.parametrize("stretch", [0.0, 1.0])
@pytest.mark.parametrize("most", [2, 5, 8])
def test_the_ticks_of_a_scale_lie_on_it_and_are_not_too_many(stretch: float, most: int) -> None:
    scale = Scale(low=0.5, high=90.0, start=0.0, end=300.0, stretch=stretch)
    ticks = scale.ticks(most)
    assert 0 < len(ticks) <= most
    assert all(0.0 <= scale(tick) <= 300.0 for tick in ticks)


def test_a_stretched_scale_gives_small_errors_room() -> None:
    ends = {"low": 0.0, "high": 90.0, "start": 0.0, "end": 100.0}
    assert Scale(**ends)(6.0) < 10.0
    assert Scale(**ends, stretch=1.0)(6.0) == pytest.approx(100 * math.log(7) / math.log(91))


@pytest.mark.parametrize("wanted", [[50.0], [10.0, 11.0, 12.0], [99.0, 98.0, 97.0, 5.0], [3.0] * 5])
def test_labels_are_spread_apart_in_their_order_and_inside(wanted: list[float]) -> None:
    placed = spread(wanted, gap=13.0, low=0.0, high=100.0)
    assert all(b - a >= 13.0 - 1e-9 for a, b in pairwise(sorted(placed)))
    assert min(placed) >= 0.0
    assert max(placed) <= 100.0
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    assert [placed[i] for i in order] == sorted(placed)


def test_a_label_that_has_room_stays_where_it_was_wanted() -> None:
    assert spread([10.0, 60.0], gap=13.0, low=0.0, high=100.0) == [10.0, 60.0]


@pytest.mark.parametrize("values", [[], [5.0], [1.0, 2.0], [1.0, math.nan, 9.0, math.inf]])
def test_an_axis_holds_all_finite_values_with_air(values: list[float]) -> None:
    low, high = padded(values, least=2.0)
    finite = [value for value in values if math.isfinite(value)]
    assert all(low < value < high for value in finite)
    assert high - low >= 2.0 - 1e-9


@pytest.mark.parametrize(
    ("metric", "estimate", "text"),
    [
        ("val/top1", Estimate(mean=0.0123, ci95=(0.003, 0.021)), "+1.2 [+0.3, +2.1]"),
        ("val/nll", Estimate(mean=-0.25, ci95=(-0.3, -0.2)), "−0.250 [−0.300, −0.200]"),
        ("val/top1", Estimate(mean=-0.0001, ci95=(-0.01, 0.01)), "+0.0 [−1.0, +1.0]"),
        ("val/top1", Estimate(mean=0.01, ci95=(-math.inf, math.inf)), "+1.0 (unknown)"),
        ("val/top1", Estimate(mean=math.nan, ci95=(math.nan, math.nan)), ""),
        ("val/top1", None, ""),
    ],
)
def test_an_effect_is_written_in_points_or_nats(
    metric: str, estimate: Estimate | None, text: str
) -> None:
    assert interval_text(metric, estimate) == text


@pytest.mark.parametrize(
    ("extents", "limit"),
    [
        ([4.0, 3.0, 1.0], 4.0),  # All fit.
        ([80.0, 4.0, 1.0], 4.0),  # One runs off.
        ([80.0, 70.0, 1.0], 80.0),  # Two that are far out are the picture.
        ([0.1], 1.0),  # Noise does not fill the axis.
        ([80.0], 1.0),
        ([], 1.0),
        ([math.inf, 3.0], 3.0),
    ],
)
def test_one_effect_far_beyond_all_others_runs_off_the_axis(
    extents: list[float], limit: float
) -> None:
    assert axis_limit(extents, 1.0) == pytest.approx(1.12 * limit)


@each_width
def test_the_tornado_has_a_row_per_dial_and_a_mark_per_effect_and_metric(width: float) -> None:
    drawing = tornado(DIALS, BEST.strengths.as_dict(), width)
    names = Counter(text for text in words(drawing) if text in STRENGTHS)
    panels = 1 if width > 560 else 2
    assert names == dict.fromkeys(STRENGTHS, panels)
    assert len(marks(drawing, "turn")) == panels * len(DIALS)
    assert len(marks(drawing, "effect")) == 2 * 3
    assert words(drawing).count("not varied") == 2 * 2


@each_width
@pytest.mark.parametrize(("helps", "side"), [(True, 1), (False, -1)])
def test_right_is_better_in_both_panels(width: float, helps: bool, side: int) -> None:
    sign = 1 if helps else -1
    dials = [
        a_dial("weight_decay", "inconclusive", an_effect(0.0, 0.01)),
        a_dial("label_smoothing", "inconclusive", an_effect(0.02 * sign, 0.01, loss=-0.1 * sign)),
    ]
    drawing = tornado(dials, BEST.strengths.as_dict(), width)
    for zero, other in zip(
        *[
            [mark for mark in marks(drawing, "effect") if mark.title.startswith(dial.strength)]
            for dial in dials
        ],
        strict=True,
    ):
        assert (other.at[0] - zero.at[0]) * side > 20


def test_a_bar_spans_its_interval() -> None:
    dials = [
        a_dial("weight_decay", "down", an_effect(0.00, 0.01)),
        a_dial("label_smoothing", "down", an_effect(0.01, 0.03)),
    ]
    drawing = tornado(dials, BEST.strengths.as_dict(), 760.0)
    zero, shifted = (mark.at[0] for mark in marks(drawing, "effect")[:2])
    per_point = shifted - zero
    bars = [item for item in drawing.items if isinstance(item, Stroke) and item.ink == "down"]
    narrow, wide = bars[:2]
    assert narrow.points[1][0] - narrow.points[0][0] == pytest.approx(2 * per_point)
    assert wide.points[0][0] - zero == pytest.approx(-2 * per_point)
    assert wide.points[1][0] - zero == pytest.approx(4 * per_point)


def test_an_effect_beyond_the_axis_is_an_arrow_on_its_edge_that_says_its_number() -> None:
    drawing = tornado(DIALS, BEST.strengths.as_dict(), 760.0)
    (arrow,) = [m for m in marks(drawing, "effect") if m.title.endswith("+83.0 [+81.0, +85.0]")]
    assert arrow.shape == "arrow_right"
    assert "+83.0 [+81.0, +85.0]" in words(drawing)
    inside = [mark for mark in marks(drawing, "effect") if mark.shape == "circle"]
    assert len(inside) == 2 * 2
    # The others have the axis to themselves: their largest lies in its outer half.
    zero = 212 + (760 - 212 - 26 - 10) / 4
    assert max(abs(mark.at[0] - zero) for mark in inside[:2]) > 0.5 * (arrow.at[0] - zero)


def test_a_bar_ends_where_nothing_more_is_possible() -> None:
    effect = {"val/top1": Estimate(mean=0.06, ci95=(0.02, 0.10), base=0.92)}
    cut = {"val/top1": Estimate(mean=0.06, ci95=(0.02, 0.08), base=0.92)}

    def bar(of: dict[str, Estimate]) -> Stroke:
        drawing = tornado([a_dial("label_smoothing", "down", of)], {"label_smoothing": 0.0}, 760.0)
        (found,) = [i for i in drawing.items if isinstance(i, Stroke) and i.width == 4.0]
        return found

    assert bar(effect) == bar(cut)


def test_an_unknown_interval_is_a_dashed_line_across_the_axis() -> None:
    unknown = {"val/top1": Estimate(mean=0.01, ci95=(-math.inf, math.inf))}
    drawing = tornado([a_dial("ema_decay", "inconclusive", unknown)], {"ema_decay": 0.0}, 760.0)
    bars = [item for item in drawing.items if isinstance(item, Stroke) and item.is_dashed]
    assert len(bars) == 1
    assert "+1.0 (unknown)" in words(drawing)


def a_cell(mean: float, half: float) -> Cell:
    estimate = Estimate(mean=mean, ci95=(mean - half, mean + half))
    return Cell(estimate=estimate, text="", ink="best", is_hollow=False)


@each_width
@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_row_far_beyond_all_others_leaves_them_the_axis(width: float, is_reversed: bool) -> None:
    """The ends of its own interval lie close to its mean and must not count as others."""
    panel = Panel(title="points", left="costs", right="adds", is_reversed=is_reversed)
    means = {"far": 80.0, "high": 3.0, "low": -2.0}
    rows = [Row(label=k, words="", cells=(a_cell(mean, 1.0),)) for k, mean in means.items()]
    drawing = forest(rows, [panel], width)
    far, high, low = marks(drawing, "effect")
    assert far.shape == ("arrow_left" if is_reversed else "arrow_right")
    assert high.shape == low.shape == "circle"
    assert abs(high.at[0] - low.at[0]) > 0.25 * (width - 222)


@each_width
def test_a_panel_may_hold_every_interval_whole(width: float) -> None:
    panel = Panel(title="accuracy", left="worse", right="better", is_whole=True)
    means = {"far": 80.0, "high": 3.0}
    rows = [Row(label=k, words="", cells=(a_cell(mean, 1.0),)) for k, mean in means.items()]
    drawing = forest(rows, [panel], width)
    assert {mark.shape for mark in marks(drawing, "effect")} == {"circle"}
    assert marks(drawing, "beyond") == []


def test_equal_recipes_are_one_role_under_both_names() -> None:
    plan = a_plan()
    assert roles(plan, OFF)["best"] == "best = everything off"
    assert "off" not in roles(plan, OFF)
    assert list(roles(plan, BEST)) == ["reference", "best", "scaled", "off"]
    assert list(roles(plan, None)) == ["reference", "scaled", "off"]


def test_a_trial_has_the_role_of_its_recipe_whatever_its_seed_but_cells_have_none() -> None:
    plan = a_plan()
    again = a_trial("search", 9, "rerun", replace(BEST, seed=77), scores(0.9, 0.9))
    assert role_of(again, plan, BEST) == "best"
    assert role_of(again, plan, None) is None
    assert role_of(attribute_trials()[0], plan, BEST) is None


@each_width
def test_the_fit_map_shows_each_full_length_run_and_a_mean_per_role(width: float) -> None:
    trials = all_trials()
    drawing = fit_map(a_plan(), trials, BEST, width)
    full = [trial for trial in trials if trial.is_full_length]
    assert len(full) < len(trials)
    assert len(marks(drawing, "run")) == len(full)
    assert Counter(mark.ink for mark in marks(drawing, "mean")) == {
        "reference": 1,
        "best": 1,
        "scaled": 1,
        "off": 1,
    }
    assert all(
        0 <= m.at[0] <= width and 0 <= m.at[1] <= drawing.height for m in marks(drawing, "run")
    )


def test_worse_fit_lies_right_and_a_larger_validation_error_higher() -> None:
    trials = [
        a_trial("search", 0, "anchor:reference", REFERENCE, scores(0.80, 0.85)),
        a_trial("search", 1, "anchor:off", OFF, scores(0.90, 0.99)),
    ]
    drawing = fit_map(a_plan(), trials, None, 760.0)
    at = {mark.ink: mark.at for mark in marks(drawing, "run")}
    assert at["reference"][0] > at["off"][0]
    assert at["reference"][1] < at["off"][1]  # Pixels grow downwards.


def test_the_large_mark_is_the_mean_of_fresh_seeds_once_there_are_any() -> None:
    early = a_trial("search", 0, "anchor:off", OFF, scores(0.99, 0.99))
    fresh = [
        a_trial("confirm", i, "off", replace(OFF, seed=i), scores(val, 0.99))
        for i, val in enumerate((0.90, 0.92))
    ]
    (mean,) = marks(fit_map(a_plan(), [early, *fresh], None, 760.0), "mean")
    assert "9.0 % validation" in mean.title
    (alone,) = marks(fit_map(a_plan(), [early], None, 760.0), "mean")
    assert "1.0 % validation" in alone.title


@each_width
def test_the_confirmation_shows_every_seed_of_every_role_and_each_difference(width: float) -> None:
    confirmed = an_analysis().verdict.confirmed
    assert confirmed is not None
    drawing = confirmation(a_plan(), confirm_trials(), BEST, ADVISED, confirmed, width)
    per_role = Counter(mark.ink for mark in marks(drawing, "run"))
    assert per_role == dict.fromkeys(("reference", "best", "scaled", "off", "advised"), 3)
    assert len(marks(drawing, "effect")) == len(confirmed.advised_minus) == 4
    shown = words(drawing)
    assert "over reference as it ships: +82.0 [+79.0, +85.0]" in shown
    assert "over everything off: +1.0 [−1.0, +3.0]" in shown
    assert {"11.0 %", "94.0 %", "93.0 %", "92.0 %"} <= set(words(drawing))  # Means over seeds.


@each_width
def test_the_ladder_shows_every_run_at_every_average_from_the_shortest_window(width: float) -> None:
    drawing = ladder(a_plan(), attribute_trials(), width)
    assert len(marks(drawing, "run")) == 2 * 3 * 8
    means = marks(drawing, "mean")
    assert [mark.ink for mark in means] == ["off", "best", "reference"] * 2
    assert [mark.title for mark in means[:3]] == ["mean 92.0", "mean 93.0", "mean 10.0"]
    xs = [mark.at[0] for mark in means[:3]]
    assert xs == sorted(xs)
    assert "decay 0.9999" in words(drawing)


def test_a_best_that_averages_longer_than_the_reference_stands_right_of_it() -> None:
    longer = {"reference": 0.5, "best": 0.99, "none": 0.0}
    drawing = ladder(a_plan(), attribute_trials(longer), 760.0)
    assert [mark.ink for mark in marks(drawing, "mean")[:3]] == ["off", "reference", "best"]


def test_averages_with_the_same_decay_are_one_step_of_the_ladder() -> None:
    same = {"reference": 0.9999, "best": 0.0, "none": 0.0}
    drawing = ladder(a_plan(), attribute_trials(same), 760.0)
    assert len(marks(drawing, "mean")) == 2 * 2
    assert words(drawing).count("no average = best") == 2
    assert not has_ladder(attribute_trials(dict.fromkeys(same, 0.5)))
    assert not has_ladder(search_trials())


@each_width
def test_learning_curves_show_each_evaluation_and_raw_weights_beside_an_average(
    width: float,
) -> None:
    trials = [*search_trials(), a_trial("search", 30, "proposed", BEST, scores(0.96, 0.99))]
    drawing = learning_curves(a_plan(), trials, BEST, width)
    assert Counter(mark.ink for mark in marks(drawing, "evaluation")) == dict.fromkeys(
        ("reference", "best", "scaled", "off"), 2 * 3
    )
    dashed = Counter(
        item.ink for item in drawing.items if isinstance(item, Stroke) and item.is_dashed
    )
    assert dashed == {"reference": 2, "best": 2, "scaled": 2}  # Everything-off keeps no average.
    assert {"11.0", "96.0", "95.0", "94.0"} <= set(words(drawing))


@each_width
def test_the_best_so_far_never_gets_worse_and_ends_at_the_best_full_length_trial(
    width: float,
) -> None:
    trials = search_trials()
    again = a_trial("search", 40, "rerun", BEST, scores(0.99, 0.99), rerun_of="search-0003")
    drawing = best_so_far(a_plan(), [*trials, again, *confirm_trials()], width, metric=TOP1)
    assert len(marks(drawing, "run")) == 3 + 10
    assert len(marks(drawing, "stopped")) == 10
    (line,) = [i for i in drawing.items if isinstance(i, Stroke) and i.ink == "best"]
    heights = [y for _, y in line.points]
    assert heights == sorted(heights, reverse=True)
    best = max(trial.last("val/top1") or 0.0 for trial in trials if trial.is_full_length)
    assert f"best so far {100 * best:.1f}" in words(drawing)
    highest = min(mark.at[1] for mark in marks(drawing, "run"))
    assert heights[-1] == pytest.approx(highest)


def test_of_a_loss_the_best_so_far_is_the_smallest() -> None:
    drawing = best_so_far(a_plan(), search_trials(), 760.0, metric=NLL_REFINED)
    assert "best so far 0.300" in words(drawing)
    (line,) = [i for i in drawing.items if isinstance(i, Stroke) and i.ink == "best"]
    lowest = max(mark.at[1] for mark in marks(drawing, "run"))
    assert line.points[-1][1] == pytest.approx(lowest)


def test_without_a_full_length_trial_there_is_no_best_so_far() -> None:
    stopped = [trial for trial in search_trials() if not trial.is_full_length]
    assert "best_so_far" not in figures(a_plan(), stopped, None)


def test_only_full_length_trials_of_the_search_inside_its_space_make_a_response() -> None:
    names = a_plan().space.free_names
    trials = search_trials(10)
    rerun = replace(trials[3], spec=replace(trials[3].spec, role="rerun", number=99))
    used = usable_trials([*trials, rerun, *confirm_trials()], names, "val/top1")
    assert [trial.spec.number for trial in used] == list(range(3, 23, 2))


def test_the_response_finds_the_planted_slope_and_no_other() -> None:
    names = a_plan().space.free_names
    used = usable_trials(search_trials(20), names, "val/top1")
    found = responses(used, names, "val/top1")
    change = {name: curve.mean[-1] - curve.mean[0] for name, curve in found.items()}
    assert change["label_smoothing"] == pytest.approx(-0.1, abs=0.005)
    assert all(abs(c) < 0.005 for name, c in change.items() if name != "label_smoothing")
    planted = found["label_smoothing"]
    assert planted.mean[0] == pytest.approx(0.95, abs=0.005)
    assert planted.mean[-1] == pytest.approx(0.85, abs=0.005)
    for curve in found.values():
        assert all(a <= b <= c for a, b, c in zip(curve.low, curve.mean, curve.high, strict=True))
    evidence = search_evidence(a_plan(), search_trials(20))
    assert evidence is not None
    assert next(iter(evidence.shares)) == "label_smoothing"


@pytest.mark.parametrize("number", [6, 8, 12, 24])
@pytest.mark.parametrize("size", [0.0, 0.01, 0.03, 0.1])
def test_the_band_of_a_response_covers_however_few_trials(number: int, size: float) -> None:
    """The noise is 1.2 points; slopes and bends are drawn with a spread of ``size``."""
    rng = np.random.default_rng(number)
    names = a_plan().space.free_names
    inside = []
    for _ in range(60):
        places = rng.random((number, len(names)))
        slopes, bends = rng.normal(0.0, size, (2, len(names)))
        parts = slopes * (places - 0.5) + bends * (places - 0.5) ** 2
        values = 0.8 + parts.sum(axis=1) + rng.normal(0.0, 0.012, number)
        trials = [
            a_trial(
                "search",
                i,
                "proposed",
                BEST,
                scores(values[i], 0.9),
                positions=dict(zip(names, places[i].tolist(), strict=True)),
            )
            for i in range(number)
        ]
        for at, (name, curve) in enumerate(responses(trials, names, "val/top1").items()):
            x = np.array(curve.positions) - 0.5
            others = parts.sum(axis=1).mean() - parts[:, at].mean()
            truth = 0.8 + others + slopes[at] * x + bends[at] * x**2
            ends = places[:, at].min() - 0.5, places[:, at].max() - 0.5
            covered = (np.array(curve.low) <= truth) & (truth <= np.array(curve.high))
            inside.append(covered[(ends[0] <= x) & (x <= ends[1])].mean())
            assert name == names[at]
    assert 0.88 <= np.mean(inside) <= 0.995


def test_trials_that_all_score_the_same_have_no_importances() -> None:
    names = a_plan().space.free_names
    same = [
        a_trial(
            "search", i, "proposed", t.spec.recipe, scores(0.9, 0.9), positions=t.spec.positions
        )
        for i, t in enumerate(usable_trials(search_trials(8), names, "val/top1"))
    ]
    evidence = search_evidence(a_plan(), same)
    assert evidence is not None
    assert evidence.shares == {}
    assert "all trials score the same" in words(response_curves(a_plan(), evidence, None, 760.0))


@each_width
def test_response_curves_show_each_trial_in_each_panel(width: float) -> None:
    evidence = search_evidence(a_plan(), search_trials(10))
    assert evidence is not None
    drawing = response_curves(a_plan(), evidence, BEST, width)
    assert len(marks(drawing, "run")) == 5 * 10
    # The reference averages over far more than the run. Its decay and its 4.5 steps of warmup are
    # less than what is searched but for off, and so inside of the axis, which begins at off.
    assert Counter(mark.shape for mark in marks(drawing, "outside")) == {"arrow_right": 1}
    assert {"importance", *STRENGTHS} <= set(words(drawing))


def test_of_thousands_of_trials_hundreds_are_drawn_and_the_legend_says_so() -> None:
    trials = [
        a_trial("search", number, "proposed", t.spec.recipe, scores(0.5 + number / 9000, 0.9))
        for number, t in enumerate(search_trials(8) * 150)
    ]
    num_searched = len(trials)
    trials += confirm_trials()
    ours = {t.spec.trial_id for t in trials if role_of(t, a_plan(), BEST)}
    searched = [t for t in trials if t.spec.stage == "search" and t.spec.trial_id not in ours]
    assert len(searched) > 2 * MOST_DOTS
    drawing = fit_map(a_plan(), trials, BEST, 760.0)
    drawn = {mark.title.split(":")[0] for mark in marks(drawing, "run")}
    assert ours <= drawn
    shown = [t for t in searched if t.spec.trial_id in drawn]
    assert MOST_DOTS / 2 < len(shown) <= MOST_DOTS
    assert f"search, {len(shown):,} of {len(searched):,} drawn" in words(drawing)
    # Evenly: early, middle and late thirds alike.
    thirds = Counter(3 * t.spec.number // num_searched for t in shown)
    assert max(thirds.values()) < 1.2 * min(thirds.values())


@pytest.mark.parametrize("number", [0, 1, MOST_DOTS, MOST_DOTS + 1, 10 * MOST_DOTS])
def test_up_to_a_number_every_dot_is_drawn(number: int) -> None:
    trials = [a_trial("search", i, "proposed", BEST, scores(0.5, 0.5)) for i in range(number)]
    drawn = dots(trials, is_kept=lambda trial: False)
    assert len(drawn) <= MOST_DOTS
    assert (drawn == trials) == (number <= MOST_DOTS)
    assert (number_of(drawn, trials) == "") == (number <= MOST_DOTS)
    kept = dots(trials, is_kept=lambda trial: trial.spec.number % 2 == 1)
    assert [t for t in kept if t.spec.number % 2 == 1] == trials[1::2]


@pytest.mark.parametrize(("number", "shown"), [(MIN_TRIALS - 1, False), (MIN_TRIALS, True)])
def test_too_few_trials_make_no_response_curve(number: int, shown: bool) -> None:
    assert (search_evidence(a_plan(), search_trials(number)) is not None) is shown


def test_a_space_with_nothing_to_search_has_no_response_curve() -> None:
    plan = a_plan()
    space = plan.space
    for name in STRENGTHS:
        space = space.fixed(name, 0.0)
    assert search_evidence(replace(plan, space=space), search_trials()) is None


def test_a_finished_run_has_all_figures_in_the_order_of_the_report() -> None:
    trials = [*all_trials(), a_trial("search", 30, "proposed", BEST, scores(0.96, 0.99))]
    found = figures(a_plan(), trials, an_analysis())
    assert list(found) == [
        "dials",
        "fit_map",
        "confirmed",
        "confusion",
        "ema_ladder",
        "responses",
        "learning_curves",
        "best_so_far",
    ]
    for figure in found.values():
        assert figure.caption.endswith(".")
        assert "\n" not in figure.caption


def test_a_run_in_progress_shows_neither_dials_nor_test_images() -> None:
    found = figures(a_plan(), all_trials(), None)
    shown = ["fit_map", "ema_ladder", "responses", "learning_curves", "best_so_far"]
    assert list(found) == shown
    assert figures(a_plan(), [], None) == {}


def test_both_layouts_of_a_figure_hold_the_same_marks() -> None:
    for figure in figures(a_plan(), all_trials(), an_analysis()).values():
        wide, narrow = (kinds_in(f"<svg{part}") for part in figure.html().split("<svg")[1:])
        # The tornado names its rows again in each panel of the narrow layout.
        assert {**wide, "turn": 0} == {**narrow, "turn": 0}, figure.name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_has_no_place_is_not_drawn(value: float) -> None:
    items = (
        Mark(at=(value, 1.0), shape="circle", ink="best", kind="run"),
        Stroke(points=((0.0, 0.0), (1.0, value)), ink="best"),
        Text(at=(1.0, value), text="nowhere"),
        Mark(at=(1.0, 1.0), shape="diamond", ink="best", kind="here"),
    )
    text = svg(Drawing(width=10, height=10, items=items), label="")
    assert kinds_in(text) == {"here": 1}
    assert "nowhere" not in text
    assert "nan" not in text
    assert "inf" not in text


def test_words_and_labels_are_escaped() -> None:
    mark = Mark(at=(1.0, 1.0), shape="circle", ink="best", kind="run", title="<script>&'\"")
    text = svg(
        Drawing(width=9, height=9, items=(mark, Text(at=(1.0, 1.0), text="a<b>&"))), label='"><x'
    )
    root = ET.fromstring(text)
    assert root.get("aria-label") == '"><x'
    assert [e.text for e in root.iter("title")] == ["<script>&'\""]
    assert [e.text for e in root.iter("text")] == ["a<b>&"]


def test_a_picture_has_the_size_of_its_drawing_and_shows_its_marks() -> None:
    empty = Drawing(width=120, height=80, items=())
    mark = Mark(at=(60.0, 40.0), shape="square", ink="best", kind="run", size=20.0)
    words_ = Text(at=(5.0, 12.0), text="costs $5 and $6")
    full = replace(empty, items=(mark, Stroke(points=((0.0, 0.0), (9.0, 9.0)), ink="up"), words_))
    picture = png(full)
    assert struct.unpack(">II", picture[16:24]) == (120, 80)
    assert picture != png(empty)


def test_files_are_a_page_without_a_network_and_a_picture_that_fits_a_description(
    tmp_path: Path,
) -> None:
    found = figures(a_plan(), all_trials(), an_analysis())
    write_figures(tmp_path / "figures", found)
    files = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert files == sorted(f"{name}.{end}" for name in found for end in ("html", "png"))
    for name in found:
        page = (tmp_path / "figures" / f"{name}.html").read_text()
        assert "http" not in page
        assert "<svg" in page
        assert found[name].caption.split(";")[0] in page
        head = (tmp_path / "figures" / f"{name}.png").read_bytes()[:24]
        assert struct.unpack(">I", head[16:20])[0] <= 700
