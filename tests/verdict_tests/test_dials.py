"""Dials turn when and only when the evidence says so, and say what they rest on."""

import math
from dataclasses import replace

import pytest

from search.records.metrics import NLL, TOP1
from search.verdict.answer.sureness import statements
from search.verdict.dials import decide
from search.verdict.divergence import Divergence
from search.verdict.effects import Effect
from search.verdict.judgement import Look
from search.verdict.schema import Dial
from search.verdict.sequential import look_share
from spaces.strengths.registry import STRENGTHS
from spaces.strengths.values import Strengths
from spaces.task import Task
from spaces.units import to_effective, unit_of

TASK = Task(
    num_train=300,
    num_classes=10,
    batch_size=32,
    epochs=15,
    lr=1e-3,
    pretrained=True,
    num_blocks=10,
)
REFERENCE = Strengths(
    weight_decay=0.05,
    label_smoothing=0.1,
    drop_path_rate=0.1,
    ema_decay=0.9999,
    warmup_fraction=0.05,
)
BEST = Strengths(
    weight_decay=4.0,
    label_smoothing=0.0,
    drop_path_rate=0.0,
    ema_decay=0.8,
    warmup_fraction=0.2,
)


def effect(mean: float, error: float = 0.006, *, dof: int = 9, num_runs: int = 16) -> Effect:
    bare = Effect(mean=mean, std_error=error, dof=dof, num_runs=num_runs)
    return Effect(mean=mean, ci95=bare.interval(0.05), std_error=error, dof=dof, num_runs=num_runs)


NOTHING = {"val/top1": effect(0.0), "val/nll": effect(0.0), "val/nll_refined": effect(0.0)}


def decided(effects: dict[str, dict[str, Effect]], **options: object) -> dict[str, Dial]:
    arguments: dict[str, object] = {"runs_per_round": 8} | options
    look = Look(
        share=look_share(2, (4,)),
        effects=effects,
        divergences=arguments.pop("divergences", {}),  # type: ignore[arg-type]
    )
    old, new = REFERENCE.as_dict(), BEST.as_dict()
    dials = decide([look], reference=old, best=new, task=TASK, **arguments)  # type: ignore[arg-type]
    assert tuple(dial.strength for dial in dials) == tuple(STRENGTHS)
    for dial in dials:
        assert dial.effective_unit == unit_of(dial.strength)
        for raw, effective in (
            (dial.reference, dial.reference_effective),
            (dial.recommended, dial.recommended_effective),
        ):
            assert effective == to_effective(dial.strength, raw, TASK)
    return {dial.strength: dial for dial in dials}


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("weight_decay", "up"),
        ("label_smoothing", "down"),
        ("drop_path_rate", "down"),
        ("ema_decay", "down"),
        ("warmup_fraction", "up"),
    ],
)
def test_a_change_that_helps_turns_towards_the_best_in_effective_units(
    name: str, turn: str
) -> None:
    dials = decided({n: NOTHING | {"val/top1": effect(0.04 * (n == name))} for n in STRENGTHS})
    assert {n: d.turn for n, d in dials.items()} == {
        n: turn if n == name else "inconclusive" for n in STRENGTHS
    }
    assert dials[name].recommended == BEST.as_dict()[name]
    assert dials[name].decided_by == "val/top1"
    assert dials[name].runs_to_decide is None


def test_the_bar_for_a_turn_allows_for_dials_looks_and_questions() -> None:
    # 95 % intervals leave out zero from 2.26 standard errors on, a first of three looks at five
    # dials from 4.12 on: t(9) at 1 - 0.05 * 0.8 * 0.9 * 0.5**2.5 / 5.
    for ratio, turn in ((2.5, "inconclusive"), (4.0, "inconclusive"), (4.2, "down")):
        effects = dict.fromkeys(STRENGTHS, NOTHING)
        effects["label_smoothing"] = NOTHING | {"val/top1": effect(0.006 * ratio)}
        assert decided(effects)["label_smoothing"].turn == turn


def test_fewer_dials_under_test_lower_the_bar() -> None:
    helped = NOTHING | {"val/top1": effect(0.006 * 3.9)}
    assert decided({"label_smoothing": helped})["label_smoothing"].turn == "down"


def test_a_dial_that_turned_lowers_the_bar_for_the_next() -> None:
    middling = NOTHING | {"val/top1": effect(0.006 * 4.0)}
    effects = dict.fromkeys(STRENGTHS, NOTHING) | {"label_smoothing": middling}
    assert decided(effects)["label_smoothing"].turn == "inconclusive"
    sure = NOTHING | {"val/top1": effect(0.5)}
    effects |= {"ema_decay": sure}
    assert decided(effects)["label_smoothing"].turn == "down"


def test_a_turn_once_made_stays_whatever_later_looks_show() -> None:
    first = Look(
        share=look_share(2, (4,)),
        effects={"label_smoothing": NOTHING | {"val/top1": effect(0.006 * 4)}},
    )
    later = Look(share=look_share(3, (4,)), effects={"label_smoothing": NOTHING})
    for looks, turn in (([first, later], "down"), ([later], "inconclusive")):
        dials = decide(
            looks,
            reference=REFERENCE.as_dict(),
            best=BEST.as_dict(),
            task=TASK,
            runs_per_round=8,
        )
        dial = next(dial for dial in dials if dial.strength == "label_smoothing")
        assert dial.turn == turn
        assert dial.effect["val/top1"].mean == 0.0


def test_a_turned_dial_tells_its_effect_with_and_without_the_luck_of_having_been_selected() -> None:
    dial = decided({"label_smoothing": NOTHING | {"val/top1": effect(0.006 * 4)}})[
        "label_smoothing"
    ]
    plain, selected = dial.effect["val/top1"], dial.selected
    assert selected is not None
    assert 0.0 < selected.mean < plain.mean
    assert selected.ci95[0] < plain.ci95[0]
    # Far above the bar there is no luck left to allow for.
    sure = decided({"label_smoothing": NOTHING | {"val/top1": effect(0.2)}})["label_smoothing"]
    assert sure.selected is not None
    assert sure.selected.mean == pytest.approx(0.2, abs=1e-4)
    assert decided({"label_smoothing": NOTHING})["label_smoothing"].selected is None


def test_a_change_that_hurts_leaves_the_reference_and_names_what_was_tried() -> None:
    dial = decided({"weight_decay": NOTHING | {"val/top1": effect(-0.04)}})["weight_decay"]
    assert (dial.turn, dial.recommended, dial.decided_by) == ("leave", 0.05, "val/top1")
    assert dial.effect["val/top1"].mean == -0.04
    assert dial.remark.startswith("4 was tried instead: validation top-1 -4.0 points [")


def test_an_interval_within_half_a_point_leaves_the_dial() -> None:
    dial = decided({"label_smoothing": NOTHING | {"val/top1": effect(0.001, 0.001)}})[
        "label_smoothing"
    ]
    assert (dial.turn, dial.recommended, dial.decided_by) == ("leave", 0.1, "val/top1")
    assert "inside 0.5 points either way" in dial.remark
    narrower = decided(
        {"label_smoothing": NOTHING | {"val/top1": effect(0.001, 0.001)}},
        first=replace(TOP1, margin=0.003),
    )["label_smoothing"]
    assert narrower.turn == "inconclusive"


def test_a_change_beyond_noise_but_within_the_margin_is_no_turn() -> None:
    tiny = NOTHING | {"val/top1": effect(0.003, 0.0002)}
    assert decided({"label_smoothing": tiny})["label_smoothing"].turn == "leave"


def test_an_open_dial_says_how_many_more_runs_would_decide_it() -> None:
    dial = decided({"label_smoothing": NOTHING | {"val/top1": effect(0.012)}})["label_smoothing"]
    assert dial.turn == "inconclusive"
    assert dial.decided_by is None
    assert dial.recommended == 0.0
    assert dial.runs_to_decide is not None
    assert dial.runs_to_decide % 8 == 0
    assert dial.runs_to_decide >= 8
    assert dial.more_runs is not None
    low, high = dial.more_runs
    assert low < dial.runs_to_decide < high
    assert dial.matters_less_than == max(map(abs, dial.effect["val/top1"].ci95))


@pytest.mark.parametrize(
    ("refined", "plain", "turn", "decided_by", "is_calibration"),
    [
        (-0.10, -0.30, "down", "val/nll_refined", False),
        (0.00, -0.30, "down", "val/nll", True),
        (0.10, -0.30, "leave", "val/nll_refined", False),
        (0.00, 0.30, "leave", "val/nll", True),
        (0.00, 0.00, "inconclusive", None, False),
    ],
)
def test_where_accuracy_does_not_decide_log_loss_does(
    refined: float, plain: float, turn: str, decided_by: str | None, is_calibration: bool
) -> None:
    effects = {
        "val/top1": effect(0.002),
        "val/nll_refined": effect(refined),
        "val/nll": effect(plain),
    }
    dial = decided({"label_smoothing": effects})["label_smoothing"]
    assert (dial.turn, dial.decided_by) == (turn, decided_by)
    assert ("calibration matter" in dial.remark) == is_calibration


@pytest.mark.parametrize(
    ("accuracy", "metric", "loss", "turn"),
    [
        # 1.38 standard errors are the 80 % interval with nine degrees of freedom.
        (-0.0080, "val/nll_refined", -0.3, "down"),
        (-0.0085, "val/nll_refined", -0.3, "inconclusive"),
        (0.0085, "val/nll_refined", -0.3, "down"),
        (0.0085, "val/nll_refined", 0.3, "inconclusive"),
        (-0.0085, "val/nll_refined", 0.3, "leave"),
        # Calibration alone yields to half a point of accuracy, however uncertain.
        (-0.0049, "val/nll", -0.3, "down"),
        (-0.0051, "val/nll", -0.3, "inconclusive"),
        (0.0051, "val/nll", 0.3, "inconclusive"),
        (-0.0051, "val/nll", 0.3, "leave"),
    ],
)
def test_log_loss_does_not_decide_against_what_accuracy_seems_to_say(
    accuracy: float, metric: str, loss: float, turn: str
) -> None:
    effects = NOTHING | {"val/top1": effect(accuracy), metric: effect(loss)}
    dial = decided({"label_smoothing": effects})["label_smoothing"]
    assert dial.turn == turn
    assert dial.remark.endswith("while log-loss points the other way") == (turn == "inconclusive")


@pytest.mark.parametrize(
    ("refined", "error", "said"),
    [
        # Nine degrees of freedom: 2.262 standard errors either way.
        (0.006, 0.006, "log-loss does: a calibration matter, for log-loss after"),
        (-0.006, 0.006, "log-loss does: a calibration matter, for log-loss after"),
        (0.007, 0.006, "mostly a calibration matter (validation log-loss after temperature"),
        (-0.048, 0.04, "mostly a calibration matter"),
        (-0.06, 0.04, "how much of it is calibration is open"),
        (0.06, 0.04, "how much of it is calibration is open"),
        (math.nan, 0.04, "temperature scaling is unknown"),
    ],
)
def test_a_calibration_matter_is_one_only_as_far_as_the_refined_interval_says_so(
    refined: float, error: float, said: str
) -> None:
    effects = {
        "val/top1": effect(0.002),
        "val/nll_refined": effect(refined, error) if refined == refined else Effect(mean=refined),
        "val/nll": effect(-0.3),
    }
    dial = decided({"label_smoothing": effects})["label_smoothing"]
    assert (dial.turn, dial.decided_by) == ("down", "val/nll")
    assert said in dial.remark


def test_log_loss_may_decide_where_accuracy_does_not_care() -> None:
    effects = {"val/top1": effect(0.0, 0.001), "val/nll": effect(-0.3)}
    dial = decided({"label_smoothing": effects})["label_smoothing"]
    assert (dial.turn, dial.decided_by) == ("down", "val/nll")


def test_accuracy_comes_before_log_loss() -> None:
    effects = NOTHING | {"val/top1": effect(-0.05), "val/nll_refined": effect(-0.5)}
    assert decided({"label_smoothing": effects})["label_smoothing"].turn == "leave"


def test_a_change_of_log_loss_too_small_to_matter_decides_nothing() -> None:
    for size, turn in ((0.99, "inconclusive"), (1.01, "down")):
        effects = NOTHING | {"val/nll": effect(-size * NLL.margin, 1e-4)}
        assert decided({"label_smoothing": effects})["label_smoothing"].turn == turn


def test_strengths_that_were_not_varied_are_left_with_the_reason_and_no_effect() -> None:
    near = Strengths(**BEST.as_dict() | {"label_smoothing": 0.1, "drop_path_rate": 0.11})
    dials = {
        d.strength: d
        for d in decide(
            [Look(share=1.0, effects={"weight_decay": NOTHING})],
            reference=REFERENCE.as_dict(),
            best=near.as_dict(),
            task=TASK,
            runs_per_round=8,
        )
    }
    for name in ("label_smoothing", "drop_path_rate"):
        dial = dials[name]
        assert (dial.turn, dial.effect, dial.num_runs, dial.runs_to_decide) == (
            "leave",
            {},
            0,
            None,
        )
        assert dial.recommended == dial.reference
    assert dials["label_smoothing"].remark == "the best recipe has the same value"
    assert "0.11, which makes no noticeable difference" in dials["drop_path_rate"].remark


def test_an_extra_axis_gets_a_dial_after_the_five() -> None:
    better = NOTHING | {"val/top1": effect(0.04)}
    dials = decide(
        [Look(share=1.0, effects={"mixup_alpha": better, "layer_decay": better})],
        reference={**REFERENCE.as_dict(), "mixup_alpha": 0.8, "layer_decay": 1.0},
        best={**BEST.as_dict(), "mixup_alpha": 0.0, "layer_decay": 0.75},
        task=TASK,
        runs_per_round=16,
    )
    assert [dial.strength for dial in dials] == [*STRENGTHS, "mixup_alpha", "layer_decay"]
    mixup, layers = dials[-2:]
    assert (mixup.turn, mixup.recommended) == ("down", 0.0)
    # A layer decay further from 1 takes more of the learning rate away.
    assert (layers.turn, layers.recommended_effective) == ("up", 0.25)


def test_an_experiment_without_factors_leaves_every_dial() -> None:
    assert {dial.turn for dial in decided({}).values()} == {"leave"}


def test_an_effect_that_no_run_separates_is_inconclusive_and_written_without_nan() -> None:
    lost = {"val/top1": Effect(mean=math.nan, num_runs=8), "val/nll": effect(0.0, num_runs=8)}
    dial = decided({"drop_path_rate": lost})["drop_path_rate"]
    assert (dial.turn, dial.num_runs, dial.runs_to_decide) == ("inconclusive", 8, None)
    assert set(dial.effect) == {"val/nll"}
    assert "the 8 runs with a result cannot tell it from the others" in dial.remark


@pytest.mark.parametrize(
    ("mean", "turn"),
    [(0.0, "inconclusive"), (0.003, "inconclusive"), (0.9, "down"), (-0.9, "leave")],
)
def test_runs_without_any_spread_decide_only_by_a_change_that_is_there(
    mean: float, turn: str
) -> None:
    dial = decided({"ema_decay": {"val/top1": effect(mean, 0.0)}})["ema_decay"]
    assert dial.turn == turn
    assert ("noise is unknown" in dial.remark) == (turn == "inconclusive")


@pytest.mark.parametrize(
    ("diverged", "p_value", "turn", "decided_by"),
    [
        ((8, 0), 1e-4, "up", "diverged"),
        ((0, 8), 1e-4, "leave", "diverged"),
        ((3, 0), 0.08, "inconclusive", None),
    ],
)
def test_divergence_tied_to_a_level_decides_for_the_other(
    diverged: tuple[int, int], p_value: float, turn: str, decided_by: str | None
) -> None:
    divergence = Divergence(diverged=diverged, runs=(8, 8), p_value=p_value)
    dial = decided(
        {"warmup_fraction": {"val/top1": Effect(mean=math.nan, num_runs=8)}},
        divergences={"warmup_fraction": divergence},
    )["warmup_fraction"]
    assert (dial.turn, dial.decided_by) == (turn, decided_by)
    assert f"{diverged[0]} of 8 runs diverged at the reference's value" in dial.remark


def test_an_undertrained_run_turns_no_dial_and_keeps_the_effects() -> None:
    helped = NOTHING | {"val/top1": effect(0.05)}
    hurt = NOTHING | {"val/top1": effect(-0.05)}
    dials = decided({"label_smoothing": helped, "weight_decay": hurt}, undertrained=True)
    held = dials["label_smoothing"]
    assert (held.turn, held.recommended, held.runs_to_decide) == ("inconclusive", 0.1, None)
    assert held.effect["val/top1"].mean == 0.05
    assert held.remark.startswith("0 does better in these runs (validation top-1 +5.0 points [")
    assert "train longer or raise the learning rate" in held.remark
    still_open = decided({"label_smoothing": NOTHING}, undertrained=True)["label_smoothing"]
    assert still_open.remark.startswith("this run has not converged")
    for dial in (held, still_open):
        (said,) = statements([dial])
        assert (said.group, said.why) == ("open", "these runs are too short")
    assert dials["weight_decay"].turn == "leave"
