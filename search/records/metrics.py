"""One number per epoch that searcher and scheduler maximise, from the metric the user chose."""

from collections.abc import Mapping

METRICS = ("val/top1", "val/nll", "val/nll_refined")


def score(metrics: Mapping[str, float], *, metric: str, num_val: int) -> float | None:
    """How good an evaluated epoch is; larger is better.

    Log-losses are negated. Ties of top-1, common on a few hundred images, are broken by the refined
    log-loss with a term that stays below half of what one image is worth.

    Args:
        metrics: What the trial reported.
        metric: One of `METRICS`.
        num_val: Validation images behind the metric.

    Returns:
        The score, or None if this epoch was not evaluated.
    """
    if metric not in metrics:
        return None
    if metric != "val/top1":
        return -metrics[metric]
    refined = metrics["val/nll_refined"]
    return metrics[metric] - 0.5 / num_val * refined / (1.0 + refined)
