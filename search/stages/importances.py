"""How much of the variation between trials each searched axis explains, by Optuna's fANOVA."""

import sys
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

_NUM_TREES, _MAX_DEPTH = 32, 6
"""Trees deep enough for some hundred trials in half a second; whole ones take 9 s for 500."""


def importances(
    positions: Sequence[Mapping[str, float]], values: Sequence[float], *, seed: int = 0
) -> dict[str, float]:
    """Shares of the variation by axis, by fANOVA (Hutter et al. 2014); they add up to 1.

    Args:
        positions: Where each trial lies on every axis, from 0 to 1.
        values: What each trial scored.
        seed: Of the trees.

    Returns:
        By name, largest first; empty if all trials have the same value, which nothing explains.
    """
    if len(set(values)) < 2:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    axis = FloatDistribution(0.0, 1.0)
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(place), distributions=dict.fromkeys(place, axis), value=value
            )
            for place, value in zip(positions, values, strict=True)
        ]
    )
    evaluator = FanovaImportanceEvaluator(n_trees=_NUM_TREES, max_depth=_MAX_DEPTH, seed=seed)
    found = get_param_importances(study, evaluator=evaluator)
    _forget_trees()
    return {name: float(share) for name, share in found.items()}


def _forget_trees() -> None:
    """Empty the caches that Optuna keeps of its trees.

    Each method of a tree remembers its calls on the class, without limit, so that every tree there
    ever was would stay: half a megabyte each time a report is drawn. Optuna has no name for that
    which others may use, so all caches below `optuna.importance` are looked up and emptied.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("optuna.importance."):
            for owner in vars(module).values():
                if isinstance(owner, type) and owner.__module__ == name:
                    for method in vars(owner).values():
                        if clear := getattr(method, "cache_clear", None):
                            clear()
