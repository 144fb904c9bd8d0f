"""Images for the training device: stored there if they fit, else sent batch by batch."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainable.data.datasets import Dataset
from trainable.to_device import send

LARGEST_SHARE = 0.25
"""Largest share of a device's free memory for images.

Activations, which need the most, and other trials on the same device need the rest.
"""
_CHUNK_BYTES = 2**26


class DeviceImages:
    """The images and labels of a dataset, with batches returned on a device.

    On a CPU they stay where they are. On a CUDA device they are copied there once, as bytes, if
    they fit into `LARGEST_SHARE` of its free memory; a batch is then gathered there, and only its
    indices travel. Otherwise each batch is gathered on the host. Handing out a batch never waits
    for the device, so decoding and gathering go on while it trains.

    Args:
        dataset: Images and labels.
        device: Device of the batches.
        free_bytes: Free memory in bytes; None asks the device.
    """

    def __init__(
        self, dataset: Dataset, device: torch.device, *, free_bytes: int | None = None
    ) -> None:
        self._device = device
        self._host = dataset.images
        self._labels = torch.from_numpy(np.array(dataset.labels)).to(device)
        self._resident: Tensor | None = None
        # What is no array streams from files, as it does not fit into the memory of the host.
        if isinstance(dataset.images, np.ndarray):
            free = free_memory(device) if free_bytes is None else free_bytes
            if dataset.images.nbytes <= LARGEST_SHARE * free:
                self._resident = _copied(dataset.images, device)

    @property
    def is_resident(self) -> bool:
        """Whether the images were copied to the device."""
        return self._resident is not None

    def __getitem__(self, indices: NDArray[np.int64]) -> Tensor:
        """Return the images at ``indices``, in this order; uint8 ``[B, H, W, 3]`` on the device."""
        return self._gathered(indices, send(torch.from_numpy(indices), self._device))

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Return the images at ``indices`` and their labels, int64 ``[B]``, on the device."""
        places = send(torch.from_numpy(indices), self._device)
        return self._gathered(indices, places), self._labels.index_select(0, places)

    def _gathered(self, indices: NDArray[np.int64], places: Tensor) -> Tensor:
        if self._resident is not None:
            return self._resident.index_select(0, places)
        if self._device.type != "cuda" or not isinstance(self._host, np.ndarray):
            return send(torch.as_tensor(self._host[indices]), self._device)
        shape = (len(indices), *self._host.shape[1:])
        # Gathered straight into page-locked memory, which saves copying the batch a second time.
        pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        np.take(self._host, indices, axis=0, out=pinned.numpy(), mode="clip")
        return pinned.to(self._device, non_blocking=True)


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a CUDA device; 0 on others, where a copy would gain nothing."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def _copied(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Copy images to the device in chunks, so that the host never holds a second copy of all."""
    resident = torch.empty(images.shape, dtype=torch.uint8, device=device)
    step = max(1, _CHUNK_BYTES // math.prod(images.shape[1:]))
    for start in range(0, len(images), step):
        rows = np.array(images[start : start + step])  # Torch refuses a read-only map.
        resident[start : start + step].copy_(torch.from_numpy(rows))
    return resident
