"""Results of one set of weights on the images of one part of the split."""

from dataclasses import dataclass

from torch import Tensor

from trainable.evaluation import full_metrics, quick_metrics
from trainable.measuring.image_results import ImageResults, image_results


@dataclass(frozen=True, kw_only=True, slots=True)
class OfWeights:
    """Results of one set of weights on one part of the split.

    Attributes:
        metrics: By name, such as ``top1``.
        images: Results for each image.
        logits: ``[N, K]``, which all of that is computed from.
    """

    metrics: dict[str, float]
    images: ImageResults
    logits: Tensor


def judged(logits: Tensor, labels: Tensor, *, in_full: bool, with_errors: bool) -> OfWeights:
    """Compute what logits ``[N, K]`` of images with these class indices are worth.

    Args:
        logits: Outputs, adjusted as they are to be judged.
        labels: ``[N]``.
        in_full: Whether `full_metrics` are computed and not `quick_metrics`.
        with_errors: Whether with standard errors over images.

    Raises:
        NonFiniteError: If a logit is NaN or infinite.
    """
    metrics_of = full_metrics if in_full else quick_metrics
    metrics = metrics_of(logits, labels, with_errors=with_errors)
    return OfWeights(metrics=metrics, images=image_results(logits, labels), logits=logits)
