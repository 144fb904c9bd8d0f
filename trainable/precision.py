"""Mixed precision, and the one place where a gradient becomes an optimizer step.

The order is fixed here: loss scaled, backward, gradients unscaled, norm taken, clipped, stepped. A
gradient that is not finite never reaches the weights: with the float16 scaler the step is skipped
and counted, without it the run has diverged.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainable.accelerator import has_bfloat16

MAX_SKIPS_IN_A_ROW = 20
"""Number of skipped steps after which the loss scale, halved each time, is not the cause."""
PROBE_MARGIN = 1.2
"""Smallest speed-up by autocast on a CPU for it to be chosen, as timing is noisy."""


class Diverged(RuntimeError):  # noqa: N818  It is what happened to the run, not a mistake in it.
    """Loss or gradient is no longer finite; the weights are still those before that step.

    Attributes:
        step: Number of the optimizer step that was not taken, counted from 0.
    """

    def __init__(self, step: int, reason: str = "loss or gradient is not finite") -> None:
        super().__init__(step, reason)  # As arguments, or it could not come back from a worker.
        self.step = step
        self.reason = reason

    def __str__(self) -> str:
        return f"Diverged at optimizer step {self.step}: {self.reason}."


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """The result of one optimizer step.

    Attributes:
        stepped: Whether the weights moved. If not, neither schedule nor weight average may.
        grad_norm: Norm of the whole unscaled gradient before clipping, a 0-dim tensor; reading it
            on a CUDA device waits for the device.
    """

    stepped: bool
    grad_norm: Tensor


class Precision:
    """Forward passes, backward passes and optimizer steps in one floating dtype.

    On an accelerator, and if the optimizer's fused kernel takes `found_inf`, a non-finite gradient
    is noted and the step suppressed on the device, without the host waiting for it;
    `raise_if_diverged` asks afterwards, now and then. Everywhere else `step` raises, which on an
    accelerator waits in every step: for optimizers without such a kernel (`lion`, `muon`, `sophia`,
    `adamw_schedulefree`), and for float16, whose scaler must know.

    Attributes:
        amp_dtype: Dtype of autocast, or None for float32 throughout.
        num_steps: Optimizer steps taken.
        num_skipped: Optimizer steps that the loss scaler skipped.
    """

    def __init__(
        self,
        amp_dtype: torch.dtype | None,
        device: torch.device,
        *,
        ask_later: bool | None = None,
    ) -> None:
        """Start without a step taken.

        Args:
            amp_dtype: What `resolve_amp_dtype` returned.
            device: Where the model is.
            ask_later: Whether a fused optimizer's divergence waits for `raise_if_diverged`; by
                default everywhere but on a CPU, where asking is free.
        """
        self.amp_dtype = amp_dtype
        self.num_steps = 0
        self.num_skipped = 0
        self._device = device
        self._ask_later = device.type != "cpu" if ask_later is None else ask_later
        self._diverged_at = torch.full((), -1, dtype=torch.int64, device=device)
        self._loss = torch.zeros((), device=device)
        self._skips_in_a_row = 0
        # bfloat16 has the exponents of float32, so only float16 needs its losses scaled.
        self._scaler = torch.amp.GradScaler(device.type, enabled=amp_dtype is torch.float16)

    @property
    def loss_scale(self) -> float:
        """Factor by which `backward` multiplies a loss; 1 without float16."""
        return float(self._scaler.get_scale())

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context for forward pass and loss, not for the backward pass."""
        if self.amp_dtype is None:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self.amp_dtype)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of ``loss``, one micro-batch's share of the step, to the parameters."""
        self._loss = self._loss + loss.detach()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: Iterable[nn.Parameter],
        grad_clip_norm: float = 0.0,
    ) -> StepResult:
        """Take one optimizer step with the gradients that `backward` has gathered.

        Args:
            optimizer: Its learning rate is set already.
            parameters: All the parameters that it steps.
            grad_clip_norm: Largest norm of the whole gradient; 0 is no clipping.

        Raises:
            Diverged: If loss or gradient is not finite, or the scaler has skipped
                `MAX_SKIPS_IN_A_ROW` steps in a row. The weights are untouched.
        """
        loss, self._loss = self._loss, torch.zeros_like(self._loss)
        # The clip threshold is in units of true gradients, so unscale first.
        self._scaler.unscale_(optimizer)
        parameters = list(parameters)
        grad_norm = _total_norm([p.grad for p in parameters if p.grad is not None])
        # A CPU can be asked for free, and clipping below the threshold is multiplying by one.
        is_below = self._device.type == "cpu" and bool(grad_norm + 1e-6 <= grad_clip_norm)
        clips = grad_clip_norm > 0.0 and not is_below
        is_fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        if clips and (not is_fused or self._scaler.is_enabled()):
            nn.utils.clip_grads_with_norm_(parameters, grad_clip_norm, grad_norm)

        # The sum is finite only if both are.
        healthy = torch.isfinite(grad_norm + loss)
        if self._scaler.is_enabled():
            return self._scaled_step(optimizer, grad_norm, healthy)
        if not (self._ask_later and is_fused) and not healthy:
            raise Diverged(self.num_steps)
        if is_fused:
            # The kernel clips on its way, which saves walking through the gradients once more.
            divisor = ((grad_norm + 1e-6) / grad_clip_norm).clamp(min=1) if clips else None
            self._fused_step(optimizer, divisor, healthy)
        else:
            optimizer.step()
        self.num_steps += 1
        return StepResult(stepped=True, grad_norm=grad_norm)

    def raise_if_diverged(self) -> None:
        """Raise if the device has suppressed a step; waits for the device.

        Raises:
            Diverged: If so, with the number of the first one.
        """
        step = int(self._diverged_at)
        if step >= 0:
            raise Diverged(step)

    def state_dict(self) -> dict[str, Any]:
        """Return counters and the scaler's state, loadable with ``weights_only=True``."""
        return {
            "scaler": self._scaler.state_dict(),
            "num_steps": self.num_steps,
            "num_skipped": self.num_skipped,
            "skips_in_a_row": self._skips_in_a_row,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state of `state_dict` of the same dtype."""
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(state["scaler"])
        self.num_steps = state["num_steps"]
        self.num_skipped = state["num_skipped"]
        self._skips_in_a_row = state["skips_in_a_row"]

    def _scaled_step(
        self, optimizer: torch.optim.Optimizer, grad_norm: Tensor, healthy: Tensor
    ) -> StepResult:
        stepped = bool(healthy)
        if not stepped and torch.isfinite(grad_norm):
            raise Diverged(self.num_steps)  # A smaller scale does not make the loss itself finite.
        if stepped:
            # The scaler would call a fused kernel also with infinite gradients and leave it to skip
            # the step; that of SGD then keeps a momentum that nothing was ever written to.
            self._scaler.step(optimizer)
        self._scaler.update()
        if stepped:
            self.num_steps += 1
            self._skips_in_a_row = 0
        else:
            self.num_skipped += 1
            self._skips_in_a_row += 1
            if self._skips_in_a_row >= MAX_SKIPS_IN_A_ROW:
                raise Diverged(
                    self.num_steps, f"the loss scaler skipped {self._skips_in_a_row} steps in a row"
                )
        return StepResult(stepped=stepped, grad_norm=grad_norm)

    def _fused_step(
        self, optimizer: torch.optim.Optimizer, divisor: Tensor | None, healthy: Tensor
    ) -> None:
        """Step with divided gradients; once unhealthy, the kernel leaves everything alone."""
        optimizer.grad_scale, optimizer.found_inf = divisor, None  # type: ignore[attr-defined]
        if self._ask_later:
            first = ~healthy & (self._diverged_at < 0)
            self._diverged_at = torch.where(first, self.num_steps, self._diverged_at)
            optimizer.found_inf = (self._diverged_at >= 0).float()  # type: ignore[attr-defined]
        optimizer.step()
        del optimizer.grad_scale, optimizer.found_inf  # type: ignore[attr-defined]


def _total_norm(gradients: list[Tensor]) -> Tensor:
    """Norm of all gradients as one vector."""
    if not gradients or gradients[0].device.type != "cpu":
        return nn.utils.get_total_norm(gradients)
    # On a CPU each call costs more than the norm of a hundred BatchNorm gradients, so join those.
    vectors = [gradient for gradient in gradients if gradient.ndim == 1]
    parts = [gradient for gradient in gradients if gradient.ndim != 1]
    if vectors:
        parts.append(torch.cat(vectors))
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(parts)))
    return norm


def resolve_amp_dtype(
    amp_dtype: str, device: torch.device, probe: Callable[[], bool] | None = None
) -> torch.dtype | None:
    """Choose the autocast dtype for a recipe's ``amp_dtype`` on ``device``.

    Args:
        amp_dtype: ``none``, ``bfloat16``, ``float16``, or ``auto``: bfloat16 on an accelerator
            whose hardware has it, else float16 on a CUDA device; on a CPU bfloat16 if the probe
            says so; else none, so on an Apple GPU.
        device: Where the model will be.
        probe: Whether autocast is faster on this CPU for the model at hand, for example
            ``lambda: autocast_is_faster(model, images)``. Resolve once per search, not per trial:
            a timing may fall out differently the next time. Without a probe it is taken not to be.

    Returns:
        None for float32 throughout.
    """
    if amp_dtype != "auto":
        return {"none": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[amp_dtype]
    if has_bfloat16(device):
        return torch.bfloat16
    if device.type == "cuda":
        return torch.float16
    if device.type == "cpu" and probe is not None and probe():
        return torch.bfloat16
    return None


def emulates_bfloat16() -> bool:
    """Whether this CPU has no instructions for bfloat16, in which it then is slower at any model.

    On one with AVX2 only, forward and backward pass took 2.9 to 5.7 times as long in bfloat16 (four
    convolutional networks at 32 px, torch 2.15).
    """
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def autocast_is_faster(model: nn.Module, images: Tensor, *, pairs: int = 5) -> bool:
    """Time training steps of a copy of ``model`` on this CPU, with and without bfloat16.

    No small stand-in answers this. On one and the same CPU with bfloat16 instructions, dense
    convolutions gained (ResNet-18: 1.3 to 1.5 times) and depthwise ones lost (EfficientNet-Lite0:
    0.35 to 0.4 times; one thread, batch 32, 32 and 64 px, torch 2.15).

    Args:
        model: In training mode, on the CPU; neither it nor the random state is touched.
        images: A batch as it will be trained on.
        pairs: Timed pairs of steps, at least 1, after an untimed one.
    """
    copy = deepcopy(model)

    def seconds(dtype: torch.dtype | None) -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            loss = copy(images).float().mean()
        loss.backward()
        return time.perf_counter() - start

    with torch.random.fork_rng(devices=[]):
        timed = [(seconds(None), seconds(torch.bfloat16)) for _ in range(pairs + 1)][1:]
    # Other work on the machine only ever adds time, so the shortest steps are the truest.
    shortest = min(full for full, _ in timed), min(half for _, half in timed)
    return shortest[0] > PROBE_MARGIN * shortest[1]
