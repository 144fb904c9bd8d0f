"""Numbers are written the way a person reads them, and sentences say what the data say."""

import math

import pytest

from search.records.metrics import POINTS
from search.verdict.schema import Confirmed, Dial, Estimate, Fit
from search.verdict.wording import (
    change,
    change_with_interval,
    confirmed_sentence,
    count,
    dial_sentence,
    listed,
    percent,
    raw,
    verdict_sentence,
    with_interval,
)


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
        (0.012, (-math.inf, math.inf), "+1.2 [unknown]"),
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
    unknown = Estimate(mean=0.012, ci95=(-math.inf, math.inf))
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
    ("given", "text"),
    [
        (
            dial("label_smoothing", "down"),
            "Turn `label_smoothing` down from 0.1 to 0: +1.2 points [+0.3, +2.1] of validation "
            "top-1.",
        ),
        (
            dial("label_smoothing", "leave", remark="the best recipe has the same value"),
            "Leave `label_smoothing` at 0.1; the best recipe has the same value.",
        ),
        (
            dial(
                "label_smoothing",
                "inconclusive",
                runs_to_decide=24,
                more_runs=(16, 872),
                matters_less_than=0.0131,
            ),
            "`label_smoothing` is not decided, but matters less than 1.3 points either way; "
            "16 to 900 more runs would decide it.",
        ),
        (dial("label_smoothing", "inconclusive"), "`label_smoothing` is not decided."),
        (
            dial("warmup_fraction", "down", decided_by="diverged", remark="8 of 8 runs diverged"),
            "Turn `warmup_fraction` down from 0.1 to 0; 8 of 8 runs diverged.",
        ),
    ],
)
def test_each_turn_has_its_sentence(given: Dial, text: str) -> None:
    assert dial_sentence(given) == text


BALANCED = Fit(reference="balanced", best="balanced", reasons=())


def confirmed(mean: float, low: float, high: float) -> Confirmed:
    return Confirmed(
        num_images=1197,
        seeds=3,
        reference={},
        best={},
        off={},
        best_minus_reference={"test/top1": Estimate(mean=mean, ci95=(low, high))},
    )


@pytest.mark.parametrize(
    ("given", "exported", "starts", "ends"),
    [
        (
            confirmed(0.02, 0.01, 0.03),
            "best",
            "Confirmed: the best",
            "the best recipe is exported.",
        ),
        (
            confirmed(0.01, -0.01, 0.03),
            "scaled",
            "The best recipe does not beat the reference beyond noise",
            "the size-scaled default is exported.",
        ),
        (
            confirmed(-0.02, -0.03, -0.01),
            "reference",
            "The best recipe is worse than the reference",
            "the reference is exported.",
        ),
        (None, "reference", "Nothing is confirmed on test images", "the reference is exported."),
    ],
)
def test_the_confirmation_is_said_plainly(
    given: Confirmed | None, exported: str, starts: str, ends: str
) -> None:
    sentence = confirmed_sentence(given, exported, BALANCED)
    assert sentence.startswith(starts)
    assert sentence.endswith(ends)
    if given is not None:
        assert "1197 test images with 3 fresh seeds" in sentence


def test_a_reference_that_diverged_is_no_choice_and_that_is_said() -> None:
    fit = Fit(reference="diverged", best="balanced", reasons=())
    for given in (None, confirmed(0.02, -math.inf, math.inf)):
        assert confirmed_sentence(given, "best", fit) == (
            "The reference diverged on fresh seeds; the best recipe is exported, for it did not."
        )
    assert "the reference is exported" in confirmed_sentence(None, "reference", fit)


@pytest.mark.parametrize("state", ["balanced", "diverged"])
def test_a_best_that_diverged_is_said_to_have_and_not_to_be_unconfirmed_yet(state: str) -> None:
    fit = Fit(reference=state, best="diverged", reasons=())
    assert confirmed_sentence(None, "reference", fit) == (
        "The best recipe diverged on fresh seeds; the reference is exported."
    )


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
        "The reference is underfit as it ships, because only its weight average is behind. "
        "Turn down label_smoothing from 0.1 to 0 and ema_decay from 0.9999 to 0.8; "
        "turn up weight_decay from 0.05 to 4; leave drop_path_rate; "
        "not decided: warmup_fraction. "
        "Nothing is confirmed on test images yet; the reference is exported."
    )


def test_a_verdict_without_turns_says_so() -> None:
    text = verdict_sentence(
        dials=[dial("ema_decay", "leave")],
        fit=Fit(reference="balanced", best="balanced", reasons=()),
        confirmed=None,
        exported="reference",
    )
    assert text.startswith("The reference is balanced. Nothing is to be turned; leave ema_decay.")
