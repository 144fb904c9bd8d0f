"""Choice of the epochs of evaluation, so that it takes a small share of a trial's time."""

import math

FORWARD_SHARE = 1 / 4
"""Cost of evaluating an image as a share of a training step on it.

Measured 0.21 to 0.25 for tf_efficientnet_lite0 at 32 px (batch 32 against 128, one CPU thread).
"""
MOST_SHARE = 0.15
"""Largest share of a run's time for the evaluations before its last epoch."""


def evaluation_epochs(
    epochs: int, *, num_train: int, num_evaluated: int, share: float = MOST_SHARE
) -> tuple[int, ...]:
    """Choose evenly spaced epochs, including the last one.

    Args:
        epochs: Full length of a run.
        num_train: Images trained on per epoch.
        num_evaluated: Images pushed through the model per evaluation, all weights together.
        share: Largest share of a run that evaluation may take before the last epoch, in
            ``(0, 1)``.
    """
    cost = num_evaluated * FORWARD_SHARE
    allowed = num_train * share / (1.0 - share)
    every = min(epochs, max(1, math.ceil(cost / allowed)))
    return tuple(range(epochs % every or every, epochs + 1, every))
