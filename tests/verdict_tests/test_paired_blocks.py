"""Paired differences: right where they can be counted by hand, and sure as often as they say."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from search.verdict.blocked_model import t_quantile
from search.verdict.paired_blocks import (
    PRIOR_DOF,
    Values,
    mean_estimate,
    paired_effects,
    simultaneous,
)
from search.verdict.sequential import FAMILY_ALPHA

NAMES = ("full", *(f"without {i}" for i in range(8)))
PAIRS = [("full", name) for name in NAMES[1:]]


def simulated(
    generator: np.random.Generator, blocks: int, noise: dict[str, float], effect: float = 0.0
) -> Values:
    """Blocks that differ by ten times the noise; ``full`` is better by ``effect``."""
    of_block = generator.normal(0.0, 10.0, blocks)
    return {
        name: {
            block: of_block[block]
            + effect * (name == "full")
            + generator.normal(0.0, noise.get(name, 1.0))
            for block in range(blocks)
        }
        for name in NAMES
    }


def test_a_difference_is_the_mean_over_blocks_whatever_the_blocks_are() -> None:
    values = {"full": {0: 5.0, 1: 105.0, 2: 1005.0}, "without": {0: 3.0, 1: 104.0, 2: 1005.0}}
    effect = paired_effects(values, [("full", "without")])["full", "without"]
    assert effect.mean == pytest.approx(1.0)


def test_two_variants_alone_are_a_paired_t_test() -> None:
    first, second = [5.0, 7.0, 6.5, 9.0], [4.0, 6.5, 6.0, 7.0]
    values = {"full": dict(enumerate(first)), "without": dict(enumerate(second))}
    effect = paired_effects(values, [("full", "without")])["full", "without"]
    known = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert simultaneous(effect, num_differences=1).ci95 == pytest.approx((known.low, known.high))


def test_the_error_weighs_own_variation_and_that_of_the_others() -> None:
    """The slow twin: residuals by hand, the own ones as the spread of the block differences."""
    generator = np.random.default_rng(3)
    blocks = 4
    values = simulated(generator, blocks, {})
    table = np.array([[values[name][b] for b in range(blocks)] for name in NAMES])
    residual = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    differences = table[0] - table[3]
    own = ((differences - differences.mean()) ** 2).sum() / 2
    rest = (residual**2).sum() - own
    rest_dof = (blocks - 1) * (len(NAMES) - 1) - (blocks - 1)
    variance = (PRIOR_DOF * rest / rest_dof + own) / (PRIOR_DOF + blocks - 1)
    effect = paired_effects(values, PAIRS)["full", NAMES[3]]
    assert effect.std_error == pytest.approx(math.sqrt(2 * variance / blocks))
    assert effect.dof == PRIOR_DOF + blocks - 1
    low, high = simultaneous(effect, num_differences=8).ci95
    half = t_quantile(FAMILY_ALPHA / 8, effect.dof) * effect.std_error
    assert (low, high) == pytest.approx((effect.mean - half, effect.mean + half))


@pytest.mark.parametrize("blocks", [2, 4])
@pytest.mark.parametrize(
    ("noise", "least"),
    [({}, 0.95), ({NAMES[3]: 3.0}, 0.93), ({NAMES[3]: 0.1}, 0.95), ({"full": 3.0}, 0.89)],
    ids=["equal", "one noisier", "one quieter", "full noisier"],
)
def test_all_intervals_hold_at_once_as_often_as_they_say(
    blocks: int, noise: dict[str, float], least: float
) -> None:
    generator = np.random.default_rng(blocks)
    number, held = 60, 0
    for _ in range(number):
        effects = paired_effects(simulated(generator, blocks, noise, effect=2.0), PAIRS)
        ends = [simultaneous(effects[pair], num_differences=8).ci95 for pair in PAIRS]
        held += all(low <= 2.0 <= high for low, high in ends)
    # Two and a half standard errors of the simulation.
    assert held / number >= least - 2.5 * math.sqrt(0.05 * 0.95 / number)


def test_single_intervals_would_miss_too_often_together() -> None:
    generator = np.random.default_rng(0)
    missed = 0
    for _ in range(50):
        effects = paired_effects(simulated(generator, 3, {}), PAIRS)
        missed += any(not e.ci95[0] <= 0.0 <= e.ci95[1] for e in effects.values())
    assert missed >= 5


def test_a_real_effect_is_found() -> None:
    effects = paired_effects(simulated(np.random.default_rng(1), 5, {}, effect=8.0), PAIRS)
    assert all(simultaneous(e, num_differences=8).ci95[0] > 0 for e in effects.values())


def test_runs_that_are_missing_leave_what_can_be_told() -> None:
    values = {name: dict(of) for name, of in simulated(np.random.default_rng(2), 3, {}).items()}
    del values[NAMES[1]][0]
    values[NAMES[2]][1] = math.nan
    del values[NAMES[3]]
    effects = paired_effects(values, PAIRS)
    assert math.isfinite(effects[PAIRS[0]].std_error)
    assert effects[PAIRS[1]].num_runs == 5
    assert math.isnan(effects[PAIRS[2]].mean)
    assert simultaneous(effects[PAIRS[2]], num_differences=8).ci95 == (-math.inf, math.inf)


def test_one_block_has_a_mean_and_no_interval() -> None:
    effects = paired_effects({"a": {0: 2.0}, "b": {0: 1.0}}, [("a", "b")])
    assert effects["a", "b"].mean == pytest.approx(1.0)
    assert effects["a", "b"].ci95 == (-math.inf, math.inf)


def test_nothing_measured_is_nothing_known() -> None:
    pairs = list(itertools.combinations("ab", 2))
    assert math.isnan(paired_effects({}, pairs)["a", "b"].mean)
    assert math.isnan(mean_estimate([]).mean)


def test_the_interval_of_a_mean_is_the_one_of_a_t_test() -> None:
    values = [1.0, 2.0, 4.0]
    known = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert mean_estimate(values).ci95 == pytest.approx((known.low, known.high))
    assert mean_estimate([1.0]).ci95 == (-math.inf, math.inf)
