"""Importances find what was planted, add up to one, and leave nothing in memory."""

import gc
import random

import optuna
import pytest

from search.stages.importances import importances

NAMES = ("weight_decay", "label_smoothing", "ema_decay")


def places(number: int) -> list[dict[str, float]]:
    rng = random.Random(number)
    return [{name: rng.random() for name in NAMES} for _ in range(number)]


@pytest.mark.parametrize("planted", NAMES)
def test_the_axis_that_explains_the_scores_comes_first(planted: str) -> None:
    at = places(40)
    noise = random.Random(0)
    shares = importances(at, [0.9 - 0.1 * place[planted] + noise.gauss(0, 0.005) for place in at])
    assert next(iter(shares)) == planted
    assert shares[planted] > 0.8
    assert set(shares) == set(NAMES)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_equal_scores_are_explained_by_nothing() -> None:
    assert importances(places(8), [0.9] * 8) == {}
    assert importances([], []) == {}


def test_the_same_trials_and_seed_give_the_same_shares() -> None:
    at = places(12)
    values = [place["ema_decay"] for place in at]
    assert importances(at, values, seed=3) == importances(at, values, seed=3)


def test_no_tree_stays_in_memory_when_the_importances_are_told() -> None:
    """Needed with Optuna 5.0, whose trees remember all calls on their class."""

    def num_kept() -> int:
        gc.collect()
        kept = [type(found).__module__ for found in gc.get_objects()]
        return sum(str(module).startswith("optuna.importance.") for module in kept)

    at = places(20)
    values = [place["ema_decay"] for place in at]
    assert importances(at, values)
    assert num_kept() == 0, f"Optuna {optuna.__version__} keeps trees where none are looked for."
