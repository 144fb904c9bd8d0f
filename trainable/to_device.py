"""Copying of tensors from the host to the training device without waiting for it."""

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to a device; on a CPU, the tensor itself."""
    if device.type == "cuda":
        # A copy out of ordinary memory may wait for all that is queued on the device. Torch's
        # allocator gives page-locked memory to nobody else before the copy out of it is done.
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
