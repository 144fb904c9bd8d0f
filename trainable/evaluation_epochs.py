"""Choice of the epochs of evaluation, so that it takes at most a fifth of a trial's time."""

import math

FORWARD_SHARE = 1 / 6
"""Cost of evaluating an image as a share of a training step on it.

Measured 1/7 for tf_efficientnet_lite0 at 32 px (batch 32 against 128, one CPU thread).
"""


def evaluation_epochs(
    epochs: int, *, num_train: int, num_evaluated: int, share: float = 0.2
) -> tuple[int, ...]:
    """Choose evenly spaced epochs, including the last one.

    Args:
        epochs: Full length of a run.
        num_train: Images trained on per epoch.
        num_evaluated: Images pushed through the model per evaluation, all weights together.
        share: Largest share of a run that evaluation may take, in ``(0, 1)``.
    """
    cost = num_evaluated * FORWARD_SHARE
    allowed = num_train * share / (1.0 - share)
    every = min(epochs, max(1, math.ceil(cost / allowed)))
    return tuple(range(epochs % every or every, epochs + 1, every))
