"""What a metric's entry says is what search, statistics and sentences make of it."""

import math
from typing import Any

import pytest

from search.records.metrics import (
    METRICS,
    NATS,
    POINTS,
    TOP1,
    Metric,
    Unit,
    decided_by,
    error_over_images,
    metric_of,
    score,
    searched_by,
)
from spaces.errors import InputError

OWN: dict[str, Any] = {"name": "own", "words": "own", "unit": NATS, "margin": 0.1}


@pytest.mark.parametrize("metric", ["val/nll", "val/nll_refined"])
def test_a_smaller_log_loss_scores_higher(metric: str) -> None:
    good = score({metric: 0.2}, metric=metric, num_val=300)
    bad = score({metric: 0.3}, metric=metric, num_val=300)
    assert good is not None
    assert bad is not None
    assert good > bad


@pytest.mark.parametrize("refined", [0.0, 0.5, 3.0, 1e3])
def test_one_image_more_outweighs_any_log_loss(refined: float) -> None:
    worse = score({"val/top1": 0.9, "val/nll_refined": 0.0}, metric="val/top1", num_val=300)
    better = score(
        {"val/top1": 0.9 + 1 / 300, "val/nll_refined": refined}, metric="val/top1", num_val=300
    )
    assert worse is not None
    assert better is not None
    assert better > worse


def test_a_tie_goes_to_the_smaller_refined_log_loss() -> None:
    first = score({"val/top1": 0.9, "val/nll_refined": 0.3}, metric="val/top1", num_val=300)
    second = score({"val/top1": 0.9, "val/nll_refined": 0.2}, metric="val/top1", num_val=300)
    assert first is not None
    assert second is not None
    assert second > first


@pytest.mark.parametrize("sizes", [(292, 8), (120, 60, 30, 15, 8), (8,) * 10, (200, *[1] * 100)])
def test_one_image_more_of_the_largest_class_outweighs_any_log_loss(sizes: tuple[int, ...]) -> None:
    metric = "val/balanced_top1"
    image = 1 / (len(sizes) * max(sizes))
    worse = score({metric: 0.9, "val/nll_refined": 0.0}, metric=metric, num_val=sum(sizes))
    better = score({metric: 0.9 + image, "val/nll_refined": 1e3}, metric=metric, num_val=sum(sizes))
    tied = score({metric: 0.9, "val/nll_refined": 0.1}, metric=metric, num_val=sum(sizes))
    assert worse is not None
    assert better is not None
    assert tied is not None
    assert better > worse > tied


def test_an_epoch_without_evaluation_has_no_score() -> None:
    assert score({"train/loss": 1.0}, metric="val/top1", num_val=300) is None


@pytest.mark.parametrize("larger_is_better", [True, False])
def test_the_direction_of_a_score_is_that_of_its_metric(
    larger_is_better: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METRICS, "own", Metric(**OWN, larger_is_better=larger_is_better))
    low, high = (score({"val/own": v}, metric="val/own", num_val=300) for v in (-0.2, 0.7))
    assert low is not None
    assert high is not None
    assert (high > low) == larger_is_better


@pytest.mark.parametrize("name", ["", "Top1", "top 1", "val/own", "1st", "a" * 41])
def test_the_name_of_a_metric_is_a_word(name: str) -> None:
    with pytest.raises(InputError, match="`name` must be a word in small letters"):
        Metric(**OWN | {"name": name}, larger_is_better=True)


@pytest.mark.parametrize("margin", [0.0, -0.1, math.inf, math.nan])
def test_the_margin_of_a_metric_is_a_change(margin: float) -> None:
    with pytest.raises(InputError, match=r"`0 < margin < inf` must hold"):
        Metric(**OWN | {"margin": margin}, larger_is_better=True)


def test_names_that_entries_refer_to_are_entries_themselves() -> None:
    for metric in METRICS.values():
        referred = [metric.ties_by, metric.stands_for, metric.refined, *metric.then]
        assert {name for name in referred if name is not None} <= set(METRICS)
        if metric.ties_by is not None:  # What breaks ties is taken off.
            assert not METRICS[metric.ties_by].larger_is_better


@pytest.mark.parametrize(
    ("unit", "value", "written"),
    [
        (POINTS, 0.96149, "96.1 %"),
        (NATS, 0.1234, "0.123"),
        (Unit(word="degrees", decimals=2, mark="°", least_span=1.0), 3.14159, "3.14°"),
        (Unit(word="ms", scale=1000.0, decimals=0, mark=" ms", least_span=1.0), 0.0123, "12 ms"),
    ],
)
def test_a_value_is_written_in_its_unit(unit: Unit, value: float, written: str) -> None:
    assert unit.value(value) == written


def test_a_difference_is_written_in_its_unit_and_never_as_minus_nothing() -> None:
    assert POINTS.change(-0.0123) == "-1.2 points"
    assert POINTS.change(-0.0001) == "+0.0 points"
    assert NATS.change(0.03149) == "+0.031 nats"
    assert POINTS.amount(0.005) == "0.5 points"


def test_an_interval_that_holds_zero_shows_it_in_its_signs() -> None:
    assert POINTS.interval(-0.0001, 0.021) == "[-0.0, +2.1]"


@pytest.mark.parametrize(
    ("unit", "low", "high", "base", "text"),
    [
        (POINTS, 0.605, 0.968, None, "[+60.5, +96.8]"),
        (POINTS, 0.605, 0.968, 0.122, "[+60.5, up to 100 %]"),
        (POINTS, 0.605, 0.878, 0.122, "[+60.5, +87.8]"),
        # Rounded to one decimal the sum is 100 %.
        (POINTS, 0.605, 0.8783, 0.122, "[+60.5, +87.8]"),
        (POINTS, -0.2, 0.1, 0.122, "[down to 0 %, +10.0]"),
        (POINTS, -0.2, 0.9, 0.122, "[down to 0 %, up to 100 %]"),
        (NATS, -2.5, -1.7, 2.3, "[down to 0, -1.700]"),
        (NATS, -2.2, 99.0, 2.3, "[-2.200, +99.000]"),
    ],
)
def test_an_end_beyond_what_is_possible_from_the_measured_value_is_told_in_words(
    unit: Unit, low: float, high: float, base: float | None, text: str
) -> None:
    assert unit.interval(low, high, base=base) == text


@pytest.mark.parametrize("unit", [POINTS, NATS, Unit(word="m", scale=1000.0, least_span=1.0)])
def test_what_is_kept_of_a_value_is_a_tenth_of_what_is_shown(unit: Unit) -> None:
    value = 0.123456789
    kept = round(value, unit.kept_decimals)
    shown = 10.0**-unit.decimals / unit.scale
    assert abs(kept - value) <= 0.05001 * shown
    assert abs(round(value, unit.kept_decimals - 1) - value) > 0.05001 * shown


@pytest.mark.parametrize("asked", ["top1", "val/top1"])
def test_a_metric_is_asked_for_with_or_without_its_part(asked: str) -> None:
    assert searched_by(asked) == "val/top1"


@pytest.mark.parametrize("asked", ["", "f1", "val/", "test/top1", "val/val/top1", "TOP1"])
def test_another_metric_is_refused_and_the_known_ones_are_named(asked: str) -> None:
    with pytest.raises(InputError, match=r"must be one of top1, nll, nll_refined, .*, but got"):
        searched_by(asked)


@pytest.mark.parametrize("reported", ["top1", "val/top1", "clean_train/top1", "val.best/top1"])
def test_an_entry_is_found_by_every_name_it_is_reported_by(reported: str) -> None:
    assert metric_of(reported) is TOP1


def test_a_search_by_log_loss_is_judged_by_top1_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, "own", Metric(**OWN, larger_is_better=True))
    assert {decided_by(f"val/{name}").name for name in ("top1", "nll", "nll_refined")} == {"top1"}
    assert decided_by("val/own").name == "own"


def test_a_metric_that_counts_no_images_must_report_its_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(METRICS, "own", Metric(**OWN, larger_is_better=True))
    found = {"val/own": 0.5, "val/own_se": 0.125}
    assert error_over_images(found, metric="val/own", num_images=100) == 0.125
    del found["val/own_se"]
    with pytest.raises(RuntimeError, match=r"must report its standard error .* as val/own_se"):
        error_over_images(found, metric="val/own", num_images=100)
