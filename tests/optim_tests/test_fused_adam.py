"""The fused kernels update channels-last weights as the plain loop does, without copying them."""

import io

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from trainable.optim.fused_adam import FusedAdam, FusedAdamW

PAIRS = [(FusedAdam, torch.optim.Adam), (FusedAdamW, torch.optim.AdamW)]


def a_model(memory_format: torch.memory_format) -> nn.Sequential:
    """Kernels in one order of memory only, in both orders at once, and a matrix."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.Conv2d(8, 8, 3, groups=8, bias=False),
        nn.Conv2d(8, 6, 1, bias=False),
        nn.BatchNorm2d(6),
        nn.Flatten(),
        nn.Linear(6 * 4 * 4, 3),
    )
    return model.to(memory_format=memory_format)


def groups_of(model: nn.Module) -> list[dict[str, object]]:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]


def take_steps(model: nn.Module, optimizer: torch.optim.Optimizer, *, num_steps: int) -> None:
    for step in range(num_steps):
        images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("fused", "plain"), PAIRS)
def test_every_order_of_memory_is_updated_as_by_the_plain_loop(
    fused: type[FusedAdam], plain: type[torch.optim.Adam], memory_format: torch.memory_format
) -> None:
    ours, theirs = a_model(memory_format), a_model(memory_format)
    take_steps(ours, fused(groups_of(ours), lr=0.01), num_steps=5)
    reference = plain(groups_of(theirs), lr=0.01, foreach=False, fused=False)
    take_steps(theirs, reference, num_steps=5)
    for mine, yours in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(mine, yours, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("fused", "plain"), PAIRS)
def test_it_is_torchs_fused_kernel_bit_for_bit(
    fused: type[FusedAdam], plain: type[torch.optim.Adam]
) -> None:
    ours, theirs = a_model(torch.channels_last), a_model(torch.channels_last)
    take_steps(ours, fused(groups_of(ours), lr=0.01), num_steps=5)
    take_steps(theirs, plain(groups_of(theirs), lr=0.01, fused=True), num_steps=5)
    assert all(map(torch.equal, weights(ours), weights(theirs)))


@pytest.mark.parametrize(("fused", "plain"), PAIRS)
def test_nothing_is_copied_where_torch_copies_a_gradient(
    fused: type[FusedAdam], plain: type[torch.optim.Adam]
) -> None:
    copies = []
    for make in (fused, lambda groups, lr: plain(groups, lr=lr, fused=True)):
        model = a_model(torch.channels_last)
        optimizer = make(groups_of(model), lr=0.01)
        take_steps(model, optimizer, num_steps=1)
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            optimizer.step()
        copies.append(sum(event.name == "aten::clone" for event in seen.events()))
    assert copies == [0, 1]


def test_its_state_has_the_shapes_of_the_weights_and_comes_back_from_a_file() -> None:
    model = a_model(torch.channels_last)
    optimizer = FusedAdamW(groups_of(model), lr=0.01)
    take_steps(model, optimizer, num_steps=2)
    for parameter, entry in optimizer.state.items():
        assert entry["exp_avg"].shape == parameter.shape
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    other = a_model(torch.channels_last)
    other.load_state_dict(model.state_dict())
    restored = FusedAdamW(groups_of(other), lr=0.01)
    restored.load_state_dict(torch.load(file, weights_only=True))
    for run, its in ((model, optimizer), (other, restored)):
        take_steps(run, its, num_steps=3)
    assert all(map(torch.equal, weights(model), weights(other)))
