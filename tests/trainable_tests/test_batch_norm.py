"""Statistics belong to the weights they were measured with."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from trainable.batch_norm import (
    batch_norm_statistics,
    measured_statistics,
    refresh_batch_norm,
)


def a_model_with_batch_norm() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_refreshed_statistics_are_the_mean_over_batches_at_the_weights_of_now() -> None:
    model = a_model_with_batch_norm()
    batches = [torch.randn(16, 4) + shift for shift in (0.0, 3.0, 5.0)]
    model[2].get_buffer("running_mean").fill_(99.0)
    model[2].get_buffer("num_batches_tracked").fill_(50)
    refresh_batch_norm(model, iter(batches))
    with torch.no_grad():
        hidden = [model[0](batch) for batch in batches]  # Without dropout, as at evaluation.
    mean = torch.stack([h.mean(dim=0) for h in hidden]).mean(dim=0)
    variance = torch.stack([h.var(dim=0) for h in hidden]).mean(dim=0)
    torch.testing.assert_close(model[2].running_mean, mean)
    torch.testing.assert_close(model[2].running_var, variance)


def test_refreshing_leaves_modes_and_momentum_as_they_were() -> None:
    model = a_model_with_batch_norm().train()
    model[1].eval()  # Frozen on purpose.
    refresh_batch_norm(model, [torch.randn(8, 4)])
    assert [module.training for module in model] == [True, False, True, True]
    assert model[2].momentum == 0.1


@pytest.mark.parametrize("keep", [False, True])
def test_measured_statistics_hold_inside_and_stay_only_if_kept(keep: bool) -> None:
    model, twin = a_model_with_batch_norm(), a_model_with_batch_norm()
    twin.load_state_dict(model.state_dict())
    before = batch_norm_statistics(model)
    batches = list(torch.randn(2, 8, 4))
    refresh_batch_norm(twin, batches)
    measured = batch_norm_statistics(twin)
    with measured_statistics(model, batches, keep=keep):
        inside = batch_norm_statistics(model)
    after = batch_norm_statistics(model)
    for name, expected in measured.items():
        assert torch.equal(inside[name], expected)
        assert torch.equal(after[name], expected if keep else before[name])
        assert not torch.equal(before[name], expected)


def test_refreshing_a_model_without_batch_norm_draws_no_batch() -> None:
    def forbidden() -> Iterator[Tensor]:
        raise AssertionError("a batch was drawn")
        yield

    refresh_batch_norm(nn.Linear(2, 2), forbidden())
