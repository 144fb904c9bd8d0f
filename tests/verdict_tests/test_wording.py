"""Numbers are written the way a person reads them, and sentences say what the data say."""

import math
from dataclasses import replace
from typing import Any

import pytest

from search.records.metrics import POINTS
from search.verdict.answer.sureness import statements
from search.verdict.schema import Confirmed, Dial, Estimate, Fit
from search.verdict.wording import (
    change,
    change_with_interval,
    confirmed_sentence,
    count,
    experiment_sentence,
    exported_sentence,
    listed,
    percent,
    pool_sentence,
    raw,
    runs_range,
    verdict_sentence,
    with_interval,
)


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ((24, 24), "about 24 more runs"),
        ((24, 912), "24 to 900 more runs"),
        ((56, 10_000), "56 to far more than 1,000 more runs"),
        ((24, 1001), "24 to 1,000 more runs"),
        ((960, 1040), "about 1,000 more runs"),
        ((1600, 10_000), "more than 1,000 more runs"),
    ],
)
def test_more_runs_than_anybody_makes_are_not_counted(runs: tuple[int, int], text: str) -> None:
    assert runs_range(runs) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("val/top1", 0.0123, "+1.2 points"),
        ("val/top1", -0.85, "-85.0 points"),
        ("val/top1", -0.0001, "+0.0 points"),
        ("val/nll", -0.0314, "-0.031 nats"),
        ("val/nll_refined", 0.5, "+0.500 nats"),
        ("test/nll", -0.0001, "+0.000 nats"),
    ],
)
def test_changes_carry_sign_and_unit(metric: str, value: float, text: str) -> None:
    assert change(metric, value) == text


@pytest.mark.parametrize(
    ("mean", "ci95", "text"),
    [
        (0.012, (0.003, 0.021), "+1.2 [+0.3, +2.1]"),
        # What is rounded to zero is written without a sign; an end keeps that zero is inside.
        (-0.0001, (-0.0002, 0.0001), "+0.0 [-0.0, +0.0]"),
        (0.012, (-math.inf, math.inf), "+1.2 (unknown)"),
        (math.nan, (-math.inf, math.inf), ""),
    ],
)
def test_a_table_has_differences_with_intervals_and_without_units(
    mean: float, ci95: tuple[float, float], text: str
) -> None:
    assert with_interval(POINTS, Estimate(mean=mean, ci95=ci95)) == text
    assert with_interval(POINTS, None) == ""


def test_intervals_follow_the_change_and_say_if_they_are_unknown() -> None:
    known = Estimate(mean=0.012, ci95=(0.003, 0.021))
    assert change_with_interval("val/top1", known) == "+1.2 points [+0.3, +2.1]"
    assert change_with_interval("val/nll", known) == "+0.012 nats [+0.003, +0.021]"
    broken = Estimate(mean=0.786, ci95=(0.605, 0.968), base=0.122)
    assert change_with_interval("val/top1", broken) == "+78.6 points [+60.5, up to 100 %]"
    assert with_interval(POINTS, broken) == "+78.6 [+60.5, up to 100 %]"
    unknown = Estimate(mean=0.012, ci95=(-math.inf, math.inf), base=0.122)
    assert change_with_interval("val/top1", unknown) == "+1.2 points (interval unknown)"


def test_small_words() -> None:
    assert percent(0.961) == "96.1 %"
    assert [raw(v) for v in (0.9999, 0.0, 1e-4, 4.0)] == ["0.9999", "0", "0.0001", "4"]
    assert raw(0.99996) == "0.99996"
    assert [raw(v) for v in (0.48197612345, 0.0803359123)] == ["0.482", "0.0803"]
    assert [raw(v) for v in (0.999871234567, 0.97312345)] == ["0.999871", "0.9731"]
    assert [listed(list(s)) for s in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]
    assert [count(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]


def dial(strength: str, turn: str, **values: object) -> Dial:
    arguments: dict[str, object] = {
        "reference": 0.1,
        "recommended": 0.0,
        "decided_by": "val/top1",
        "runs_to_decide": None,
        "remark": "",
    } | values
    return Dial(
        strength=strength,
        turn=turn,
        effective_unit="",
        reference_effective=0.1,
        recommended_effective=0.0,
        effect={"val/top1": Estimate(mean=0.012, ci95=(0.003, 0.021))},
        num_runs=16,
        **arguments,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("given", "group", "text"),
    [
        (
            dial("label_smoothing", "down"),
            "sure",
            "label_smoothing 0.1 -> 0: +1.2 points [+0.3, +2.1]",
        ),
        (
            dial("label_smoothing", "leave", recommended=0.1),
            "keep",
            "label_smoothing 0.1: no other value does better",
        ),
        (
            dial("label_smoothing", "inconclusive", recommended=0.1, matters_less_than=0.0131),
            "open",
            "label_smoothing 0.1: matters less than 1.3 points",
        ),
        (
            dial("label_smoothing", "inconclusive", recommended=0.1),
            "open",
            "label_smoothing 0.1: cannot be told from these runs",
        ),
        (
            dial("warmup_fraction", "down", decided_by="diverged", remark="8 of 8 runs diverged"),
            "sure",
            "warmup_fraction 0.1 -> 0: 8 of 8 runs diverged",
        ),
    ],
)
def test_each_turn_is_said_with_its_value_and_its_ground(
    given: Dial, group: str, text: str
) -> None:
    (said,) = statements([given])
    assert (said.group, said.text) == (group, text)


def test_what_intervals_hold_for_is_said_where_there_are_any() -> None:
    known = dial("label_smoothing", "down")
    unknown = {"val/top1": Estimate(mean=0.012, ci95=(-math.inf, math.inf))}
    blind = replace(known, effect=unknown)
    assert "for this pool of images" in pool_sentence([blind, known])
    assert pool_sentence([blind]) == pool_sentence([]) == ""


def confirmed(**changes: Any) -> Confirmed:
    values: dict[str, Any] = {
        "num_images": 1197,
        "seeds": 5,
        "reference": {"test/top1": 0.126},
        "best": {},
        "off": {"test/top1": 0.925},
        "best_minus_reference": {},
        "advised": {"test/top1": 0.935},
        "advised_minus": {
            "reference": {"test/top1": Estimate(mean=0.809, ci95=(0.654, 0.964))},
            "reference_raw": {"test/top1": Estimate(mean=0.058, ci95=(0.037, 0.079))},
            "off": {"test/top1": Estimate(mean=0.007, ci95=(-0.026, 0.039))},
        },
        "free": "off",
    }
    return Confirmed(**values | changes)


def test_the_hardest_comparison_comes_first_and_says_where_nothing_is_gained() -> None:
    assert confirmed_sentence(confirmed()) == (
        "On 1197 test images with 5 fresh seeds the advised recipe gets 93.5 %: "
        "+0.7 points [-2.6, +3.9] (no clear difference) over everything off, the best of what "
        "needs no search; "
        "+80.9 points [+65.4, +96.4] over the reference as it ships; "
        "+5.8 points [+3.7, +7.9] over the reference without its average."
    )


def test_a_reference_without_an_average_is_not_compared_with_itself() -> None:
    gain = {"test/top1": Estimate(mean=0.02, ci95=(0.01, 0.03))}
    said = confirmed_sentence(
        confirmed(advised_minus={"reference": gain, "reference_raw": gain}, free="reference")
    )
    assert "without its average" not in said
    assert said.count("+2.0 points") == 1


def test_an_advised_recipe_that_is_the_reference_is_not_compared_with_it() -> None:
    none = {"test/top1": Estimate(mean=0.0, ci95=(0.0, 0.0))}
    off = {"test/top1": Estimate(mean=0.01, ci95=(-0.01, 0.03))}
    said = confirmed_sentence(confirmed(advised_minus={"reference": none, "off": off}))
    assert said == (
        "On 1197 test images with 5 fresh seeds the advised recipe, which is the reference as it "
        "ships, gets 93.5 %: +1.0 points [-1.0, +3.0] (no clear difference) over everything off, "
        "the best of what needs no search."
    )


@pytest.mark.parametrize("given", [None, confirmed(advised={}, advised_minus={})])
def test_without_a_result_of_the_advised_recipe_nothing_is_confirmed(
    given: Confirmed | None,
) -> None:
    assert confirmed_sentence(given) == "Nothing is confirmed on test images yet."


def test_what_is_exported_is_said_with_the_reason_where_it_is_not_what_the_dials_say() -> None:
    assert exported_sentence("advised", "") == "The advised recipe is exported."
    assert exported_sentence("off", "it is better") == "Everything off is exported; it is better."


def test_the_verdict_names_state_turns_and_confirmation_in_one_go() -> None:
    text = verdict_sentence(
        dials=[
            dial("label_smoothing", "down"),
            dial("ema_decay", "down", reference=0.9999, recommended=0.8),
            dial("weight_decay", "up", reference=0.05, recommended=4.0),
            dial("drop_path_rate", "leave"),
            dial("warmup_fraction", "inconclusive"),
        ],
        fit=Fit(
            reference="underfit",
            best="balanced",
            reasons=("ema_lag: only the average of the reference is behind: ...",),
        ),
        confirmed=None,
        exported="reference",
    )
    assert text == (
        "What is wrong with the reference: its weight average never caught up with its weights; "
        "these are behind no recipe that was tried. "
        "Turn down label_smoothing from 0.1 to 0 and ema_decay from 0.9999 to 0.8; "
        "turn up weight_decay from 0.05 to 4; leave drop_path_rate; "
        "not decided: warmup_fraction. "
        "Nothing is confirmed on test images yet. The reference as it ships is exported."
    )


def test_a_verdict_without_turns_says_so() -> None:
    text = verdict_sentence(
        dials=[dial("ema_decay", "leave")],
        fit=Fit(reference="balanced", best="balanced", reasons=()),
        confirmed=None,
        exported="reference",
    )
    assert text.startswith(
        "Nothing is clearly wrong with the reference: it neither underfits nor overfits. "
        "Nothing is to be turned; leave ema_decay."
    )


@pytest.mark.parametrize(
    ("looks", "top_ups", "words"),
    [
        (1, 0, "were looked at once; this may make"),
        (2, 0, "were looked at twice; all looks together may make"),
        (5, 1, "were looked at 5 times, with 1 top-up; all looks together may make"),
        (9, 3, "were looked at 9 times, with 3 top-ups; all"),
    ],
)
def test_the_looks_are_told_with_the_error_of_all_of_them(
    looks: int, top_ups: int, words: str
) -> None:
    said = experiment_sentence(looks=looks, num_runs=16, top_ups=top_ups)
    assert said.startswith("The 16 runs of the experiment ")
    assert words in said
    assert said.endswith("a false turn in at most 5 % of experiments.")
    other = experiment_sentence(looks=looks, num_runs=16, top_ups=top_ups, is_pick=False)
    assert other.startswith(said)
    assert other.endswith("which is confirmed as the best.")


def test_an_experiment_without_a_look_has_nothing_to_tell() -> None:
    assert experiment_sentence(looks=0, num_runs=0, top_ups=0) == ""
