"""The score ranks as the chosen metric does, and ties of top-1 by refined log-loss."""

import pytest

from search.records.metrics import score


@pytest.mark.parametrize("metric", ["val/nll", "val/nll_refined"])
def test_a_smaller_log_loss_scores_higher(metric: str) -> None:
    good = score({metric: 0.2}, metric=metric, num_val=300)
    bad = score({metric: 0.3}, metric=metric, num_val=300)
    assert good is not None
    assert bad is not None
    assert good > bad


@pytest.mark.parametrize("refined", [0.0, 0.5, 3.0, 1e3])
def test_one_image_more_outweighs_any_log_loss(refined: float) -> None:
    worse = score({"val/top1": 0.9, "val/nll_refined": 0.0}, metric="val/top1", num_val=300)
    better = score(
        {"val/top1": 0.9 + 1 / 300, "val/nll_refined": refined}, metric="val/top1", num_val=300
    )
    assert worse is not None
    assert better is not None
    assert better > worse


def test_a_tie_goes_to_the_smaller_refined_log_loss() -> None:
    first = score({"val/top1": 0.9, "val/nll_refined": 0.3}, metric="val/top1", num_val=300)
    second = score({"val/top1": 0.9, "val/nll_refined": 0.2}, metric="val/top1", num_val=300)
    assert first is not None
    assert second is not None
    assert second > first


def test_an_epoch_without_evaluation_has_no_score() -> None:
    assert score({"train/loss": 1.0}, metric="val/top1", num_val=300) is None
