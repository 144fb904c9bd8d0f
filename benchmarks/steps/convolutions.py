"""Where the fast ways of `trainable.speed` are faster than oneDNN, shape by shape.

    OMP_NUM_THREADS=1 python -m benchmarks.steps.convolutions model tf_efficientnet_lite0
    OMP_NUM_THREADS=1 python -m benchmarks.steps.convolutions depthwise

``model``: forward and backward pass of every kind of convolution that a model has at one image
size, torch's and the fast one. ``depthwise``: the weight gradient of depthwise convolutions over
maps of many sizes, also where the fast way is not taken, to see where the border runs.

Both ways take turns in one process; CPU seconds, and the median of ratios of neighbours in time.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Sequence

import timm
import torch
from torch import Tensor, nn

from benchmarks.pairs import Ratio, print_machine, take_turns
from trainable.speed.convolutions import use_fast_kernels
from trainable.speed.depthwise import is_faster_here, weight_gradient
from trainable.speed.memory import keep_freed_memory

SIDES = (1, 2, 3, 4, 5, 7, 8, 10, 14, 16, 28)
KERNELS = (3, 5, 7)


def images(shape: Sequence[int]) -> Tensor:
    return torch.randn(*shape).contiguous(memory_format=torch.channels_last)


def print_model(name: str, *, image_size: int, batch_size: int, rounds: int) -> None:
    """Forward and backward pass of a model's convolutions."""
    print("| convolution | its input | times | torch, ms | fast, ms | torch / fast |")
    print("| --- " * 6 + "|")
    convolutions: dict[tuple[str, tuple[int, ...]], list[nn.Conv2d]] = {}

    def note(conv: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(conv, nn.Conv2d)
        key = f"{type(conv).__name__}({conv.extra_repr()})", tuple(inputs[0].shape)
        convolutions.setdefault(key, []).append(conv)

    model = timm.create_model(name).to(memory_format=torch.channels_last)
    hooks = [
        m.register_forward_pre_hook(note)
        for m in model.modules()
        if type(m).__name__.startswith("Conv2d")
    ]
    model(images((batch_size, 3, image_size, image_size)))
    for hook in hooks:
        hook.remove()
    for (text, shape), alike in convolutions.items():
        plain, fast = alike[0], copy.deepcopy(alike[0])
        use_fast_kernels(nn.Sequential(fast))
        if type(fast) is type(plain):
            continue
        old, new = take_turns(
            [_pass(conv, shape) for conv in (plain, fast)], rounds=rounds, clock=time.process_time
        )
        print(f"| {text} | {shape} | {len(alike)} {_row(old, new)}", flush=True)


def print_depthwise(*, channels: int, batch_size: int, rounds: int) -> None:
    """The weight gradient over maps of many sizes, padded by half of the kernel."""
    print("| map | kernel | stride | oneDNN, ms | fast, ms | oneDNN / fast | taken |")
    print("| --- " * 7 + "|")
    for kernel in KERNELS:
        for stride in (1, 2):
            for side in SIDES:
                pad = kernel // 2
                out = (side + 2 * pad - kernel) // stride + 1
                shape = (batch_size, channels, side, side)
                inputs, gradient = images(shape), images((batch_size, channels, out, out))
                weight = torch.randn(channels, 1, kernel, kernel)
                sizes = (kernel, kernel), (stride, stride), (pad, pad)

                def onednn(x=inputs, g=gradient, w=weight, s=sizes) -> object:
                    return torch.ops.aten.convolution_backward(
                        g,
                        x,
                        w,
                        None,
                        s[1],
                        s[2],
                        (1, 1),
                        False,
                        (0, 0),
                        len(w),
                        (False, True, False),
                    )

                def fast(x=inputs, g=gradient, s=sizes) -> object:
                    return weight_gradient(x, g, *s)

                old, new = take_turns([onednn, fast], rounds=rounds, clock=time.process_time)
                maps = (side, side)
                is_taken = is_faster_here(maps, maps, (out, out), *sizes[:2])
                row = f"| {side} | {kernel} | {stride} {_row(old, new)}"
                print(f"{row} {'yes' if is_taken else 'no'} |", flush=True)


def _pass(conv: nn.Conv2d, shape: Sequence[int]) -> Callable[[], None]:
    x = images(shape).requires_grad_()
    gradient = torch.randn_like(conv(x))

    def forward_and_backward() -> None:
        conv.zero_grad()
        x.grad = None
        conv(x).backward(gradient)

    return forward_and_backward


def _row(old: Sequence[float], new: Sequence[float]) -> str:
    old_ms, new_ms = (1e3 * statistics.median(side) for side in (old, new))
    return f"| {old_ms:.2f} | {new_ms:.2f} | {Ratio.of(old, new)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps.convolutions")
    parser.add_argument("what", choices=("model", "depthwise"))
    parser.add_argument("name", nargs="?", default="tf_efficientnet_lite0", help="of a timm model")
    parser.add_argument("--image-size", type=int, default=32, help="pixels, with a model")
    parser.add_argument("--channels", type=int, default=240, help="with `depthwise`")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=11, help="timed pairs")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # As a trainer does; else a new page now and then is part of the time.
    print_machine()
    if asked.what == "model":
        print_model(
            asked.name,
            image_size=asked.image_size,
            batch_size=asked.batch_size,
            rounds=asked.rounds,
        )
    else:
        print_depthwise(channels=asked.channels, batch_size=asked.batch_size, rounds=asked.rounds)


if __name__ == "__main__":
    main()
