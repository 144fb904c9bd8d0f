"""Values between two ends of a turned strength, asked for of a finished run."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from search.engine.conductor import Conductor
from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.top_up import topped_up
from search.records.journal import Journal
from search.records.trials import Trial
from search.stages.analysis import analyse
from search.stages.refinement import values_between
from search.stages.sequence import require_turned, stage_makers
from search.verdict.schema import Verdict
from spaces.errors import InputError
from tests.stages_tests.test_topped_up_run import noisy
from tests.support.finished_run import a_config, a_plan
from tests.support.replay import replay

PLAN: Plan = replace(a_plan(), rungs=())


def harmless_when_weak(trial: Trial, epoch: int) -> Mapping[str, float]:
    """Smoothing costs nothing up to 0.04, eleven points at 0.067 and 24 at 0.1."""
    smoothing = trial.spec.recipe.strengths.label_smoothing
    cost = 4.0 * max(0.0, smoothing - 0.04) - 0.8 * smoothing
    return {
        name: value + (cost if "nll" in name and not name.endswith("_se") else -cost)
        for name, value in noisy(trial, epoch).items()
    }


def work(config: RunConfig) -> Journal:
    config.path.mkdir(parents=True, exist_ok=True)
    journal = Journal(config.path)
    makers = stage_makers(config, PLAN, journal, deadline=None)
    replay(Conductor(journal, makers), harmless_when_weak)
    journal.close()
    return journal


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Journal]:
    config = a_config(
        tmp_path_factory.mktemp("refined"), num_samples=6, max_blocks=2, confirm_seeds=4
    )
    return config, work(config)


@pytest.fixture(scope="module")
def refined(finished: tuple[RunConfig, Journal]) -> tuple[RunConfig, Journal]:
    config, first = finished
    asked = topped_up(config, first, refine=["label_smoothing"])
    require_turned(asked, PLAN, first)
    return asked, work(asked)


def test_each_value_is_run_on_the_same_fresh_seeds_and_all_else_is_advised(
    finished: tuple[RunConfig, Journal], refined: tuple[RunConfig, Journal]
) -> None:
    _, journal = refined
    trials = journal.of_stage("refine")
    assert len(trials) == 4 * 4
    by_seed: dict[int | None, set[float]] = {}
    for trial in trials:
        spec = trial.spec
        by_seed.setdefault(spec.split_seed, set()).add(spec.recipe.strengths.label_smoothing)
    assert len(by_seed) == 4
    assert all(values == {0.0, 0.0333, 0.0667, 0.1} for values in by_seed.values())
    earlier = {t.spec.split_seed for t in finished[1].trials.values()}
    assert not earlier & by_seed.keys()
    rest = {replace(t.spec.recipe, seed=0).with_strengths(label_smoothing=0.0) for t in trials}
    assert len(rest) == 1
    assert {t.spec.evaluate_on for t in trials} == {"val"}


def test_the_range_reaches_as_far_as_the_planted_curve_is_flat(
    refined: tuple[RunConfig, Journal],
) -> None:
    config, journal = refined
    (found,) = analysed(config, journal).refined
    assert found.strength == "label_smoothing"
    assert found.as_good == (0.0, 0.0333)
    assert found.tried[-1].value == 0.1
    assert found.tried[-1].minus_advised.mean * (-1 if "nll" in found.metric else 1) < -0.05


def analysed(config: RunConfig, journal: Journal) -> Verdict:
    """The verdict without the confirmation, whose predictions a replay does not have."""
    config.path.joinpath("predictions").mkdir(exist_ok=True)
    for trial_id in journal.trials:
        config.path.joinpath("predictions", f"{trial_id}.json").write_text("{}")
    return analyse(journal, PLAN, config).verdict


def test_refining_turns_nothing(
    finished: tuple[RunConfig, Journal], refined: tuple[RunConfig, Journal]
) -> None:
    before, after = analysed(*finished), analysed(*refined)
    assert [(d.strength, d.turn, d.recommended) for d in before.dials] == [
        (d.strength, d.turn, d.recommended) for d in after.dials
    ]
    assert before.refined == ()


def test_a_strength_that_was_not_turned_is_refused_with_those_that_were(
    finished: tuple[RunConfig, Journal],
) -> None:
    config, first = finished
    # Noise decides which of those that have no effect is left.
    of_training = ("weight_decay", "drop_path_rate", "warmup_fraction")
    dials = [d for d in analysed(config, first).dials if d.strength in of_training]
    left = next(dial for dial in dials if dial.turn == "leave")
    says = rf"it leaves {left.strength} at {left.reference}; it changes .*label"
    with pytest.raises(InputError, match=says):
        require_turned(topped_up(config, first, refine=[left.strength]), PLAN, first)


@pytest.mark.parametrize("name", ["ema_decay", "ema_batch_norm", "lr", "colour"])
def test_only_a_strength_that_acts_on_training_can_be_refined(
    finished: tuple[RunConfig, Journal], name: str
) -> None:
    config, first = finished
    with pytest.raises(InputError, match=f"`refine` must .* but got '{name}'"):
        topped_up(config, first, refine=[name])


@pytest.mark.parametrize(
    ("name", "advised", "reference"),
    [
        ("label_smoothing", 0.0, 0.1),
        ("label_smoothing", 0.2, 0.0),
        ("weight_decay", 7.0, 0.05),
        ("weight_decay", 0.0, 0.05),
        ("weight_decay", 1.0, 0.0),
        ("drop_path_rate", 0.005, 0.1),
        ("warmup_fraction", 0.3, 0.05),
    ],
)
def test_values_go_from_the_advised_one_to_the_reference_s_in_order(
    name: str, advised: float, reference: float
) -> None:
    values = values_between(PLAN, name, advised, reference)
    assert len(values) == 4
    assert values[0] == advised
    assert values[-1] == reference
    assert list(values) == sorted(values, reverse=advised > reference)


def test_on_a_logarithmic_axis_neighbours_have_equal_ratios() -> None:
    a, b, c, d = values_between(PLAN, "weight_decay", 6.4, 0.1)
    assert b / a == pytest.approx(c / b, rel=0.01)
    assert c / b == pytest.approx(d / c, rel=0.01)
