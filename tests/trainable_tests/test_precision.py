"""From loss to optimizer step: what is scaled, clipped, skipped, and never stepped at all."""

import copy
import io
import math
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.toy_training import TOY, toy_dataset
from trainable import timing
from trainable.optim.fused_adam import FusedAdam, FusedAdamW
from trainable.precision import (
    MAX_SKIPS_IN_A_ROW,
    Diverged,
    Precision,
    StepResult,
    autocast_is_faster,
    resolve_amp_dtype,
)

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
DTYPES = [None, torch.bfloat16, torch.float16]
NOT_FINITE = [math.nan, math.inf, -math.inf]


def a_weight(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values))


def step_with(
    precision: Precision,
    optimizer: torch.optim.Optimizer,
    weight: nn.Parameter,
    gradient: Sequence[float],
    grad_clip_norm: float = 0.0,
) -> StepResult:
    """One step of the loss ``weight . gradient``, whose gradient is just that."""
    optimizer.zero_grad()
    precision.backward((weight * torch.tensor(gradient)).sum())
    return precision.step(optimizer, [weight], grad_clip_norm)


def tensors_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    state = optimizer.state_dict()["state"]
    return [t.clone() for entry in state.values() for t in entry.values() if isinstance(t, Tensor)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_has_the_length_computed_by_hand_whatever_the_dtype(
    dtype: torch.dtype | None,
) -> None:
    weight = a_weight(1.0, 1.0)
    result = step_with(Precision(dtype, CPU), torch.optim.SGD([weight], lr=0.1), weight, [3.0, 4.0])
    assert result.stepped
    assert result.grad_norm.item() == pytest.approx(5.0)
    assert weight.tolist() == pytest.approx([1 - 0.3, 1 - 0.4])


@pytest.mark.parametrize("dtype", DTYPES)
def test_clipping_is_in_units_of_true_gradients(dtype: torch.dtype | None) -> None:
    weight = a_weight(0.0, 0.0)
    precision, optimizer = Precision(dtype, CPU), torch.optim.SGD([weight], lr=1.0)
    result = step_with(precision, optimizer, weight, [3.0, 4.0], grad_clip_norm=1.0)
    assert weight.tolist() == pytest.approx([-0.6, -0.8], rel=1e-5)
    assert result.grad_norm.item() == pytest.approx(5.0)
    # A gradient below the threshold is left as it is.
    step_with(precision, optimizer, weight, [0.3, 0.4], grad_clip_norm=1.0)
    assert weight.tolist() == pytest.approx([-0.9, -1.2], rel=1e-5)


@pytest.mark.parametrize("grad_clip_norm", [0.0, 0.1])
def test_float32_is_the_plain_loop_bit_for_bit(grad_clip_norm: float) -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    theirs = copy.deepcopy(ours)
    our_adamw = torch.optim.AdamW(ours.parameters(), lr=0.01)
    their_adamw = torch.optim.AdamW(theirs.parameters(), lr=0.01)
    precision = Precision(None, CPU)
    for _ in range(5):
        batch = torch.randn(6, 4)
        with precision.autocast():
            loss = ours(batch).square().mean()
        our_adamw.zero_grad()
        precision.backward(loss)
        precision.step(our_adamw, ours.parameters(), grad_clip_norm)

        their_adamw.zero_grad()
        theirs(batch).square().mean().backward()
        if grad_clip_norm:
            nn.utils.clip_grad_norm_(theirs.parameters(), grad_clip_norm)
        their_adamw.step()
    for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, yours)


FUSED: dict[str, Callable[[list[nn.Parameter], bool], torch.optim.Optimizer]] = {
    "sgd": lambda p, fused: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=fused),
    "adam": lambda p, fused: (
        FusedAdam([{"params": p}], lr=0.1) if fused else torch.optim.Adam(p, lr=0.1)
    ),
    "adamw": lambda p, fused: (
        FusedAdamW([{"params": p}], lr=0.1) if fused else torch.optim.AdamW(p, lr=0.1)
    ),
}


def a_kernel() -> nn.Parameter:
    values = torch.linspace(-1, 1, 2 * 3 * 3 * 3).view(2, 3, 3, 3)
    return nn.Parameter(values.to(memory_format=torch.channels_last))


@pytest.mark.parametrize("ask_later", [False, True])
@pytest.mark.parametrize("grad_clip_norm", [0.1, 5.0, 100.0])
@pytest.mark.parametrize("name", FUSED)
def test_a_fused_kernel_that_clips_on_its_way_takes_the_step_of_the_plain_loop(
    name: str, grad_clip_norm: float, ask_later: bool
) -> None:
    ours, theirs = a_kernel(), a_kernel()
    fused, plain = FUSED[name]([ours], True), FUSED[name]([theirs], False)
    precision = Precision(None, CPU, ask_later=ask_later)
    for scale in (3.0, 0.01, 30.0):
        gradient = scale * torch.linspace(-2, 1, ours.numel()).view_as(ours)
        fused.zero_grad()
        precision.backward((ours * gradient).sum())
        result = precision.step(fused, [ours], grad_clip_norm)
        theirs.grad = gradient.clone(memory_format=torch.channels_last)
        norm = nn.utils.clip_grad_norm_([theirs], grad_clip_norm)
        plain.step()
        torch.testing.assert_close(result.grad_norm, norm)
        torch.testing.assert_close(ours.grad, theirs.grad)
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", FUSED)
def test_a_fused_kernel_that_would_clip_leaves_weights_alone_where_a_gradient_is_nan(
    name: str,
) -> None:
    weight = a_kernel()
    optimizer = FUSED[name]([weight], True)
    precision = Precision(None, CPU)
    optimizer.zero_grad()
    precision.backward((weight * torch.full_like(weight, math.nan)).sum())
    with pytest.raises(Diverged, match="step 0"):
        precision.step(optimizer, [weight], 1.0)
    assert torch.equal(weight, a_kernel())


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradients_of_micro_batches_add_up_to_one_step(dtype: torch.dtype | None) -> None:
    weight = a_weight(0.0, 0.0)
    precision, optimizer = Precision(dtype, CPU), torch.optim.SGD([weight], lr=1.0)
    for gradient in ([2.0, 0.0], [1.0, 4.0]):
        precision.backward((weight * torch.tensor(gradient)).sum())
    result = precision.step(optimizer, [weight])
    assert result.grad_norm.item() == pytest.approx(5.0)
    assert weight.tolist() == pytest.approx([-3.0, -4.0])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_forward_pass_runs_in_the_dtype(dtype: torch.dtype | None) -> None:
    with Precision(dtype, CPU).autocast():
        out = nn.Linear(2, 2)(torch.ones(1, 2))
    assert out.dtype is (dtype or torch.float32)


def test_a_gradient_too_small_for_float16_survives_because_the_loss_is_scaled() -> None:
    tiny = 1e-8  # The smallest float16 above zero is 6e-8.
    precision = Precision(torch.float16, CPU)
    linear = nn.Linear(1, 1, bias=False)
    with precision.autocast():
        loss = linear(torch.ones(1, 1)).float().sum() * tiny
    precision.backward(loss)
    result = precision.step(torch.optim.SGD(linear.parameters(), lr=1.0), linear.parameters())
    assert result.grad_norm.item() == pytest.approx(tiny, rel=0.01)


def test_a_skipped_step_moves_nothing_and_is_counted() -> None:
    weight = a_weight(1.0)
    precision, optimizer = Precision(torch.float16, CPU), torch.optim.AdamW([weight], lr=0.1)
    step_with(precision, optimizer, weight, [1.0])
    before, moments = weight.item(), tensors_of(optimizer)

    # Finite as it is, infinite once multiplied by the scale of 65536.
    result = step_with(precision, optimizer, weight, [1e35])
    assert not result.stepped
    assert weight.item() == before
    assert all(map(torch.equal, tensors_of(optimizer), moments))
    assert (precision.num_steps, precision.num_skipped) == (1, 1)

    # The scale has been halved, so what just failed to fit now does.
    assert step_with(precision, optimizer, weight, [0.9 * 2.0**112]).stepped
    assert (precision.num_steps, precision.num_skipped) == (2, 1)


def test_a_scaler_that_only_skips_has_diverged() -> None:
    weight = a_weight(1.0)
    precision, optimizer = Precision(torch.float16, CPU), torch.optim.SGD([weight], lr=0.1)
    for _ in range(3):
        step_with(precision, optimizer, weight, [0.0])
    for _ in range(MAX_SKIPS_IN_A_ROW - 1):
        assert not step_with(precision, optimizer, weight, [math.nan]).stepped
    with pytest.raises(Diverged, match=r"step 3: the loss scaler skipped 20 steps in a row"):
        step_with(precision, optimizer, weight, [math.nan])
    assert weight.item() == 1.0


def test_one_good_step_in_between_is_no_divergence() -> None:
    weight = a_weight(1.0)
    precision, optimizer = Precision(torch.float16, CPU), torch.optim.SGD([weight], lr=0.1)
    for gradient in [math.nan] * (MAX_SKIPS_IN_A_ROW - 1) + [0.0] + [math.nan] * 5:
        step_with(precision, optimizer, weight, [gradient])
    assert precision.num_skipped == MAX_SKIPS_IN_A_ROW + 4


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("grad_clip_norm", [0.0, 1.0])
def test_a_gradient_that_is_not_finite_stops_the_run_before_the_weights_move(
    dtype: torch.dtype | None, value: float, grad_clip_norm: float
) -> None:
    weight = a_weight(1.0, 1.0)
    precision, optimizer = Precision(dtype, CPU), torch.optim.AdamW([weight], lr=0.1)
    step_with(precision, optimizer, weight, [1.0, 1.0])
    before, moments = weight.tolist(), tensors_of(optimizer)
    with pytest.raises(Diverged, match=r"step 1: loss or gradient is not finite") as caught:
        step_with(precision, optimizer, weight, [1.0, value], grad_clip_norm)
    assert caught.value.step == 1
    assert weight.tolist() == before
    assert all(map(torch.equal, tensors_of(optimizer), moments))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", NOT_FINITE)
def test_a_loss_that_is_not_finite_stops_the_run_even_if_its_gradient_is(
    dtype: torch.dtype | None, value: float
) -> None:
    weight = a_weight(1.0)
    precision, optimizer = Precision(dtype, CPU), torch.optim.SGD([weight], lr=0.1)
    precision.backward(weight.sum() + value)  # The first of two micro-batches.
    precision.backward(weight.sum())
    with pytest.raises(Diverged, match="step 0"):
        precision.step(optimizer, [weight])
    assert weight.item() == 1.0


@pytest.mark.parametrize("value", NOT_FINITE)
def test_asked_later_the_fused_step_is_suppressed_and_everything_stays_as_it_was(
    value: float,
) -> None:
    weight = a_weight(1.0, 1.0)
    precision = Precision(None, CPU, ask_later=True)
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    for _ in range(2):
        step_with(precision, optimizer, weight, [1.0, 2.0])
    precision.raise_if_diverged()
    before, moments = weight.tolist(), tensors_of(optimizer)

    step_with(precision, optimizer, weight, [1.0, value], grad_clip_norm=1.0)
    step_with(precision, optimizer, weight, [1.0, 1.0])  # Healthy again, but too late.
    step_with(precision, optimizer, weight, [1.0, value])  # Not the first one.
    assert weight.tolist() == before
    assert all(map(torch.equal, tensors_of(optimizer), moments))
    with pytest.raises(Diverged, match="step 2"):
        precision.raise_if_diverged()


def test_asking_later_changes_nothing_in_a_healthy_run() -> None:
    ended = []
    for ask_later in (False, True):
        weight = a_weight(1.0, 1.0)
        precision = Precision(None, CPU, ask_later=ask_later)
        optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
        for _ in range(5):
            step_with(precision, optimizer, weight, [1.0, 2.0], grad_clip_norm=1.0)
        ended.append(weight.tolist())
    assert ended[0] == ended[1] != [1.0, 1.0]


def test_an_optimizer_that_cannot_suppress_its_step_raises_at_once() -> None:
    weight = a_weight(1.0)
    precision = Precision(None, CPU, ask_later=True)
    with pytest.raises(Diverged, match="step 0"):
        step_with(precision, torch.optim.SGD([weight], lr=0.1), weight, [math.nan])


def test_divergence_keeps_its_step_on_the_way_back_from_a_worker_process() -> None:
    returned = pickle.loads(pickle.dumps(Diverged(7, "the loss exploded")))
    assert (returned.step, str(returned)) == (7, str(Diverged(7, "the loss exploded")))


def saved_and_loaded(state: dict[str, Any]) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_restored_it_goes_on_with_counters_and_scale() -> None:
    weight = a_weight(1.0)
    precision, optimizer = Precision(torch.float16, CPU), torch.optim.SGD([weight], lr=0.0)
    step_with(precision, optimizer, weight, [1.0])
    for _ in range(MAX_SKIPS_IN_A_ROW - 1):
        step_with(precision, optimizer, weight, [math.inf])

    restored = Precision(torch.float16, CPU)
    restored.load_state_dict(saved_and_loaded(precision.state_dict()))
    assert restored.state_dict() == precision.state_dict()
    assert (restored.num_steps, restored.num_skipped) == (1, MAX_SKIPS_IN_A_ROW - 1)
    # What overflowed at 65536 fits into the scale that was restored.
    assert step_with(copy.deepcopy(restored), optimizer, weight, [1e35]).stepped
    with pytest.raises(Diverged, match="step 1"):
        step_with(restored, optimizer, weight, [math.inf])


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_restored_without_a_scaler_it_goes_on_with_the_step_number(
    dtype: torch.dtype | None,
) -> None:
    weight = a_weight(1.0)
    precision, optimizer = Precision(dtype, CPU), torch.optim.SGD([weight], lr=0.1)
    step_with(precision, optimizer, weight, [1.0])
    restored = Precision(dtype, CPU)
    restored.load_state_dict(saved_and_loaded(precision.state_dict()))
    with pytest.raises(Diverged, match="step 1"):
        step_with(restored, optimizer, weight, [math.nan])


@pytest.mark.parametrize("device", [CPU, CUDA])
@pytest.mark.parametrize(
    ("amp_dtype", "dtype"),
    [("none", None), ("bfloat16", torch.bfloat16), ("float16", torch.float16)],
)
def test_a_dtype_that_is_asked_for_is_used(
    amp_dtype: str, dtype: torch.dtype | None, device: torch.device
) -> None:
    assert resolve_amp_dtype(amp_dtype, device, probe=lambda: True) is dtype


@pytest.mark.parametrize("supported", [True, False])
def test_auto_is_bfloat16_on_a_cuda_device_that_has_it_and_else_float16(
    monkeypatch: pytest.MonkeyPatch, supported: bool
) -> None:
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation: including_emulation or supported,
    )
    assert resolve_amp_dtype("auto", CUDA) is (torch.bfloat16 if supported else torch.float16)


def test_auto_on_a_cpu_is_float32_unless_the_probe_shows_a_gain() -> None:
    assert resolve_amp_dtype("auto", CPU) is None
    assert resolve_amp_dtype("auto", CPU, probe=lambda: False) is None
    assert resolve_amp_dtype("auto", CPU, probe=lambda: True) is torch.bfloat16


@pytest.mark.parametrize(("capability", "chosen"), [("AVX2", "none"), ("AVX512", "bfloat16")])
def test_a_cpu_that_only_emulates_bfloat16_is_not_timed_in_it(
    monkeypatch: pytest.MonkeyPatch, capability: str, chosen: str
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(timing, "autocast_is_faster", lambda *args, **kwargs: True)
    recipe = replace(TOY, amp_dtype="auto")
    assert timing.amp_dtype_of(recipe, toy_dataset(), device="cpu", num_threads=1) == chosen


def test_auto_on_any_other_device_is_float32() -> None:
    assert resolve_amp_dtype("auto", torch.device("meta"), probe=lambda: True) is None


class Slow(nn.Linear):
    """Takes 10 ms with autocast or without it."""

    def __init__(self, *, slow_in_autocast: bool) -> None:
        super().__init__(4, 4)
        self.slow_in_autocast = slow_in_autocast
        self.norm = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu") == self.slow_in_autocast:
            time.sleep(0.01)
        out: Tensor = self.dropout(self.norm(super().forward(x)))
        return out


@pytest.mark.parametrize("slow_in_autocast", [True, False])
def test_the_probe_times_the_model_at_hand_and_leaves_no_trace(slow_in_autocast: bool) -> None:
    model, batch = Slow(slow_in_autocast=slow_in_autocast), torch.randn(3, 4)
    before, random_state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    assert autocast_is_faster(model, batch) is not slow_in_autocast
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(map(torch.equal, model.state_dict().values(), before.values()))
    assert all(parameter.grad is None for parameter in model.parameters())
