"""What MLflow's pages say of a verdict."""

import math
from dataclasses import replace
from typing import Any

import pytest

from search.records.trials import Trial, TrialSpec
from search.tracking import notes
from search.tracking.notes import Links
from search.verdict.schema import TURNS, Confirmed, Cost, Dial, Estimate, Fit, Verdict
from spaces.recipe import Recipe
from spaces.strengths.registry import STRENGTHS
from tests.support.finished_run import READINGS

LINKS = Links(
    charts="#/charts",
    artifacts={"report.html": "#/report"},
    runs={"t002": "#/t002"},
    champion="#/model",
)


def a_dial(strength: str, turn: str, **changes: Any) -> Dial:
    values: dict[str, Any] = {
        "reference": 0.1,
        "recommended": 0.0,
        "effective_unit": "mass",
        "reference_effective": 0.1,
        "recommended_effective": 0.0,
        "effect": {"val/top1": Estimate(mean=0.0123, ci95=(0.003, 0.021))},
        "decided_by": "val/top1",
        "num_runs": 32,
        "runs_to_decide": None,
    }
    return Dial(strength=strength, turn=turn, **values | changes)


def a_verdict(*dials: Dial, confirmed: Confirmed | None = None) -> Verdict:
    return Verdict(
        run="r",
        dataset="digits",
        model="m",
        num_train=300,
        total_steps=135,
        fit=Fit(reference="underfit", best="balanced", reasons=("Train accuracy is 60 %.",)),
        dials=dials,
        confirmed=confirmed,
        cost=Cost(wall_s=90.0, core_s=180.0, train_share=math.nan),
        sentence="Turn down label smoothing.",
    )


CONFIRMED = Confirmed(
    num_images=1197,
    seeds=3,
    reference={"test/top1": 0.9},
    best={"test/top1": 0.92},
    off={},
    best_minus_reference={
        "test/top1": Estimate(mean=0.02, ci95=(0.01, 0.03)),
        "test/nll": Estimate(mean=-0.1, ci95=(-math.inf, math.inf)),
    },
    advised={"test/top1": 0.92},
    advised_minus={
        "reference": {"test/top1": Estimate(mean=0.02, ci95=(0.01, 0.03))},
        "off": {"test/top1": Estimate(mean=0.004, ci95=(-0.01, 0.02))},
    },
    free="off",
)


def test_the_description_says_the_turns_then_the_sentence_then_how_then_where() -> None:
    dials = [a_dial(name, turn) for name, turn in zip(STRENGTHS, (*TURNS, "down"), strict=True)]
    note = notes.verdict_note(
        a_verdict(*dials, confirmed=CONFIRMED), counts="24 trials.", links=LINKS
    )
    groups = [line.split("&nbsp;")[0] for line in note.split("\n\n")[0].splitlines()]
    assert groups == ["| sure", "| --- | --- |", "| likely", "| keep"]
    assert "weight_decay 0.1 -> 0: +1.2 points [+0.3, +2.1]; label_smoothing" in note
    places = [
        note.index(part)
        for part in (
            *("| sure", "| keep", "[report](#/report)", "(#/charts)", "[champion model](#/model)"),
            "**Turn down label smoothing.**\n",
            "Test top-1 of the advised recipe **92.0 %** (3 seeds, 1,197 images): ",
            *("| weight_decay&nbsp;", "**How", "24 trials.", "(#/t002)", "[report.html](#/report)"),
        )
    ]
    assert places == sorted(places)
    for name in STRENGTHS:
        assert note.count(f"| {name}&nbsp;") == 1
    assert "intervals are for this pool of images" in note


def test_a_remark_on_several_strengths_is_made_once() -> None:
    dials = [a_dial(name, "leave", remark="Train longer.") for name in tuple(STRENGTHS)[:2]]
    note = notes.verdict_note(a_verdict(*dials), counts="", links=LINKS)
    assert "* weight_decay, label_smoothing: Train longer.\n" in note
    assert note.count("Train longer.") == 1


def test_each_turn_reads_differently() -> None:
    rows = notes.dial_table(a_verdict(*(a_dial("ema_decay", turn) for turn in TURNS)))
    assert len({row["turn"] for row in rows}) == len(TURNS)


def test_an_effect_is_in_points_with_its_interval() -> None:
    (row,) = notes.dial_table(a_verdict(a_dial("ema_decay", "down")))
    assert (row["val top-1, points"], row["95 %"]) == ("+1.2", "[+0.3, +2.1]")


@pytest.mark.parametrize("end", [math.inf, math.nan])
def test_an_unknown_interval_is_said_in_words_and_not_logged(end: float) -> None:
    unknown = {"val/top1": Estimate(mean=0.01, ci95=(-end, end))}
    verdict = a_verdict(a_dial("ema_decay", "inconclusive", effect=unknown))
    (row,) = notes.dial_table(verdict)
    assert (row["val top-1, points"], row["95 %"]) == ("+1.0", "(unknown)")
    metrics = notes.verdict_metrics(verdict)
    assert metrics == {"effect/ema_decay": 0.01, "cost/wall_s": 90.0, "cost/core_s": 180.0}


def test_an_inconclusive_dial_says_what_it_needs() -> None:
    dial = a_dial("ema_decay", "inconclusive", decided_by=None, more_runs=(16, 40))
    (row,) = notes.dial_table(a_verdict(dial))
    assert row["decided by"] == "needs 16 to 40 more runs"
    assert row["to"] == "(0)"  # It was tried, and is not what to turn to.


def test_a_dial_decided_by_another_metric_says_which_and_how() -> None:
    effect = {"val/nll": Estimate(mean=-0.2, ci95=(-0.3, -0.1))}
    (row,) = notes.dial_table(
        a_verdict(a_dial("ema_decay", "down", decided_by="val/nll", effect=effect))
    )
    assert row["decided by"] == "val/nll -0.200 [-0.300, -0.100]"
    assert row["val top-1, points"] == "—"


def test_the_confirmed_gain_is_logged_with_its_finite_ends() -> None:
    metrics = notes.verdict_metrics(a_verdict(confirmed=CONFIRMED))
    assert {name: value for name, value in metrics.items() if name.startswith("confirmed")} == {
        "confirmed/gain_top1": 0.02,
        "confirmed/gain_top1_low": 0.01,
        "confirmed/gain_top1_high": 0.03,
        "confirmed/gain_nll": -0.1,
        "confirmed/advised_minus_reference_top1": 0.02,
        "confirmed/advised_minus_off_top1": 0.004,
        "confirmed/reference_top1": 0.9,
        "confirmed/advised_top1": 0.92,
        "confirmed/best_top1": 0.92,
    }


def test_classifiers_on_frozen_features_are_logged_beside_the_recipes() -> None:
    probe, gain = {"test/top1": 0.78}, {"test/top1": Estimate(mean=0.14, ci95=(0.1, 0.18))}
    beside = replace(CONFIRMED, probe=probe, advised_minus={"probe": gain})
    metrics = notes.verdict_metrics(a_verdict(confirmed=beside))
    assert metrics["confirmed/probe_top1"] == 0.78
    assert metrics["confirmed/advised_minus_probe_top1"] == 0.14


def test_readings_are_logged_and_described_with_what_they_are_not() -> None:
    read = a_verdict(confirmed=replace(CONFIRMED, readings=READINGS))
    logged = notes.verdict_metrics(read)
    assert logged["reading/flip_top1"] == 0.004
    assert logged["reading/temperature_nll"] == -0.05
    note = notes.verdict_note(read, counts="", links=LINKS)
    assert "top-1 by +0.4 points [-0.2, +1.0]" in note
    assert "These are readings, not settings" in note
    plain = a_verdict(confirmed=CONFIRMED)
    assert not [name for name in notes.verdict_metrics(plain) if name.startswith("reading/")]
    assert "readings" not in notes.verdict_note(plain, counts="", links=LINKS)


def test_tags_name_the_dials_to_turn_and_say_none_where_there_is_none() -> None:
    verdict = a_verdict(a_dial("ema_decay", "down"), a_dial("label_smoothing", "down"))
    assert notes.verdict_tags(verdict) == {
        "fit.reference": "underfit",
        "fit.best": "balanced",
        "turn_down": "ema_decay, label_smoothing",
        "turn_up": "none",
    }


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        (("down", "up", "down"), "Turn down weight_decay, drop_path_rate; turn up label_smoothing"),
        (("leave", "up", "inconclusive"), "Turn up label_smoothing"),
        (("leave", "inconclusive", "leave"), "Nothing to turn"),
    ],
)
def test_the_answer_in_a_few_words(turns: tuple[str, ...], said: str) -> None:
    dials = [a_dial(name, turn) for name, turn in zip(STRENGTHS, turns, strict=False)]
    assert notes.answer(a_verdict(*dials)) == said


def test_a_verdict_without_sentence_test_or_dials_still_has_a_description() -> None:
    note = notes.verdict_note(
        replace(a_verdict(), sentence=""), counts="", links=Links(charts="#/charts")
    )
    assert note.startswith("[charts](#/charts)\n\n**Turn down: none.**")
    assert "|" not in note


def test_runs_are_counted_by_stage_and_by_how_they_ended() -> None:
    def a_trial(stage: str, number: int, status: str) -> Trial:
        spec = TrialSpec(stage=stage, number=number, role="proposed", recipe=Recipe())
        return Trial(spec=spec, status=status)

    trials = [a_trial("search", n, "stopped") for n in range(2)]
    trials += [a_trial("search", 2, "finished"), a_trial("attribute", 0, "finished")]
    assert notes.count(trials) == (
        "3 trials of the search (2 stopped, 1 finished), 1 runs of the experiment behind the turns."
    )
    assert notes.count([]) == "No trial of the search."


def test_notes_of_an_experiment_and_of_an_open_search_begin_with_what_matters() -> None:
    note = notes.experiment_note(title="leaves #1", charts="#c", table="#t", verdict="#v")
    # The list of experiments shows the first characters as raw text.
    assert note[:27] == "Which strengths to turn dow"
    assert len(note) < 5000
    assert all(f"]({address})" in note for address in ("#c", "#t", "#v"))
    said = notes.answer(a_verdict(a_dial("ema_decay", "down")))
    answered = notes.experiment_note(
        title="leaves #1", charts="#c", table="#t", verdict="#v", answer=said
    )
    assert answered.startswith("Turn down ema_decay · newest search: [leaves #1](#v)")
    opened = notes.open_note("leaves #1", "interrupted", charts="#c", counts="3 trials.")
    assert opened.startswith("**leaves #1: interrupted, no verdict yet.**")
    assert "3 trials." in opened
