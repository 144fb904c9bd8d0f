"""Share of the variation between trials that each searched axis explains, by Optuna's fANOVA."""

import sys
from collections.abc import Mapping, Sequence

import optuna
from optuna.distributions import FloatDistribution

_NUM_TREES, _MAX_DEPTH = 32, 6
"""Size of the forest: half a second for some hundred trials; unlimited trees take 9 s for 500."""


def importances(
    positions: Sequence[Mapping[str, float]], values: Sequence[float], *, seed: int = 0
) -> dict[str, float]:
    """Estimate the share of the variation that each axis explains, by fANOVA; they add up to 1.

    Args:
        positions: Position of each trial on every axis, in [0, 1].
        values: Score of each trial, in the same order.
        seed: Seed of the trees.

    Returns:
        By axis, largest first; empty if all trials have the same score. Source: Hutter et al. 2014.
    """
    if len(set(values)) < 2:
        return {}
    # scikit-learn, which this loads, is slow to load.
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

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
    """Empty the caches in which Optuna keeps every tree of its forests.

    The methods of a tree are cached on its class without limit, so every tree would stay in memory:
    half a megabyte each time a report is drawn. Optuna has no public way to empty them, so all
    caches below `optuna.importance` are looked up.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("optuna.importance."):
            for owner in vars(module).values():
                if isinstance(owner, type) and owner.__module__ == name:
                    for method in vars(owner).values():
                        if clear := getattr(method, "cache_clear", None):
                            clear()
