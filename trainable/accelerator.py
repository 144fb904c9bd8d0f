"""The accelerator of this machine: a CUDA (also ROCm), Apple (MPS) or Intel (XPU) GPU, by torch.

A driver may plan for machines other than its own, so it names the device of a trial `CPU` or `GPU`,
and the machine on which the trial runs resolves what that is there.
"""

import torch

CPU = "cpu"
GPU = "gpu"
"""Name of whatever accelerator a machine has; torch has no such name of its own."""
KINDS = ("cuda", "mps", "xpu")
"""Device types that are used; others that torch knows (HPU, MTIA) count as no accelerator."""


def kind() -> str | None:
    """Return the device type of this machine's accelerator, one of `KINDS`; None without one."""
    found = torch.accelerator.current_accelerator(check_available=True)
    return found.type if found is not None and found.type in KINDS else None


def num_devices() -> int:
    """Count this machine's accelerators."""
    return torch.accelerator.device_count() if kind() else 0


def device_for(gpus: float) -> str:
    """Return the name of the device of a run that gets ``gpus`` GPUs: `GPU`, or `CPU` for 0."""
    return GPU if gpus > 0 else CPU


def resolve(name: torch.device | str) -> torch.device:
    """Turn a device or its name into the device of this machine; `GPU` is its accelerator.

    Raises:
        RuntimeError: If the name is `GPU` and this machine has no accelerator that torch can use.
    """
    if name != GPU:
        return torch.device(name)
    if (found := kind()) is None:
        raise RuntimeError(
            "A GPU was given to this run, but torch finds none that it can use here "
            f"(torch {torch.__version__}): install a build of torch for it, or give "
            "--gpus-per-trial 0."
        )
    return torch.device(found)


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether an accelerator computes in bfloat16 itself, rather than emulating it.

    False for an Apple GPU, where nobody has measured it with this package.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "xpu":
        return torch.xpu.is_bf16_supported(including_emulation=False)
    return False
