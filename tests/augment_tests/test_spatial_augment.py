"""Flip, crop and erasing against torchvision's functionals and distributions."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from trainable.augment.spatial_augment import (
    box_mask,
    crop_and_resize,
    draw_crops,
    draw_erased,
    random_flip,
)

SIZES = [(16, 16), (32, 32), (9, 21)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(num: int, height: int, width: int) -> Tensor:
    return torch.rand(num, 3, height, width, generator=generator(9))


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_a_flip_that_is_certain_mirrors_all_and_one_that_is_impossible_none(
    probability: float,
) -> None:
    batch = images(5, 4, 6)
    expected = TF.horizontal_flip(batch) if probability else batch
    assert torch.equal(random_flip(batch, probability=probability, generator=generator()), expected)


def test_each_image_is_flipped_or_not_as_a_whole_with_the_given_probability() -> None:
    batch = images(1, 2, 3).expand(4000, -1, -1, -1)
    result = random_flip(batch, probability=0.3, generator=generator())
    is_flipped = (result == batch[0].flip(2)).all(dim=(1, 2, 3))
    is_kept = (result == batch[0]).all(dim=(1, 2, 3))
    assert bool((is_flipped ^ is_kept).all())
    assert abs(int(is_flipped.sum()) - 1200) < 150


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale_min", [0.08, 0.5, 0.999])
def test_crops_lie_inside_the_image_with_area_and_ratio_in_their_intervals(
    size: tuple[int, int], scale_min: float
) -> None:
    height, width = size
    boxes = draw_crops(2000, height, width, scale_min=scale_min, generator=generator())
    top, left, box_height, box_width = boxes.unbind(dim=1)
    assert bool((top >= 0).all() and (left >= 0).all())
    assert bool((box_height >= 1).all() and (box_width >= 1).all())
    assert bool((top + box_height <= height).all() and (left + box_width <= width).all())
    # Sides are rounded to whole pixels: half a pixel of slack on each.
    assert bool(((box_height + 0.5) * (box_width + 0.5) >= scale_min * height * width).all())
    part = (box_height < height) | (box_width < width)  # Not the fallback to the whole image.
    ratio_high = (box_width + 0.5) / (box_height - 0.5)
    ratio_low = (box_width - 0.5) / (box_height + 0.5)
    assert bool((ratio_high >= 3 / 4)[part].all() and (ratio_low <= 4 / 3)[part].all())


def statistics(boxes: Tensor) -> tuple[Tensor, ...]:
    top, left, height, width = boxes.unbind(dim=1)
    return top, left, height * width, (width / height).log()


def test_crops_are_distributed_like_torchvisions() -> None:
    num, side = 3000, 32
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(side, scale=(0.2, 1.0))
    params = [transform.make_params([torch.zeros(3, side, side)]) for _ in range(num)]
    theirs = torch.tensor([[p["top"], p["left"], p["height"], p["width"]] for p in params]).float()
    ours = draw_crops(num, side, side, scale_min=0.2, generator=generator()).float()
    for a, b in zip(statistics(ours), statistics(theirs), strict=True):
        error = math.sqrt(float(a.var() + b.var()) / num)
        assert abs(float(a.mean() - b.mean())) < 4 * error
        assert float(a.std() / b.std()) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("antialias", [True, False])
def test_a_resized_crop_equals_torchvisions(size: tuple[int, int], antialias: bool) -> None:
    batch = images(40, *size)
    boxes = draw_crops(40, *size, scale_min=0.05, generator=generator())
    expected = torch.stack(
        [
            TF.resized_crop(image, *box, size=list(size), antialias=antialias)
            for image, box in zip(batch, boxes.tolist(), strict=True)
        ]
    )
    torch.testing.assert_close(crop_and_resize(batch, boxes), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_a_crop_read_from_right_to_left_is_the_crop_mirrored(size: tuple[int, int]) -> None:
    batch = images(20, *size)
    boxes = draw_crops(20, *size, scale_min=0.05, generator=generator())
    flipped = torch.arange(20) % 3 == 0
    plain = crop_and_resize(batch, boxes)
    expected = [x.flip(2) if f else x for x, f in zip(plain, flipped.tolist(), strict=True)]
    result = crop_and_resize(batch, boxes, flipped)
    torch.testing.assert_close(result, torch.stack(expected), atol=1e-6, rtol=0)


def test_a_crop_of_the_whole_image_is_the_image() -> None:
    batch = images(2, 8, 8)
    whole = torch.tensor([[0, 0, 8, 8]] * 2)
    torch.testing.assert_close(crop_and_resize(batch, whole), batch, atol=1e-5, rtol=0)


def test_a_crop_of_one_pixel_is_that_pixel_everywhere() -> None:
    batch = images(1, 8, 8)
    result = crop_and_resize(batch, torch.tensor([[3, 5, 1, 1]]))
    expected = batch[:, :, 3:4, 5:6].expand(-1, -1, 8, 8)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_erased_boxes_are_distributed_like_torchvisions(size: tuple[int, int]) -> None:
    num, (height, width) = 3000, size
    torch.manual_seed(0)
    transform = v2.RandomErasing(p=1.0)
    params = [transform.make_params([torch.zeros(3, height, width)]) for _ in range(num)]
    theirs = torch.tensor([[p["i"], p["j"], p["h"], p["w"]] for p in params]).float()
    ours = draw_erased(num, height, width, probability=1.0, generator=generator()).float()
    assert bool((ours[:, 0] + ours[:, 2] <= height).all())
    assert bool((ours[:, 1] + ours[:, 3] <= width).all())
    for column in range(4):
        a, b = ours[:, column], theirs[:, column]
        error = math.sqrt(float(a.var() + b.var()) / num)
        assert abs(float(a.mean() - b.mean())) < 4 * error
        assert float(a.std() / b.std()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_erasing_spares_images_with_the_complement_of_its_probability(probability: float) -> None:
    boxes = draw_erased(4000, 32, 32, probability=probability, generator=generator())
    share = float(((boxes[:, 2] > 0) & (boxes[:, 3] > 0)).float().mean())
    assert share == pytest.approx(probability, abs=0.03)
    if probability in (0.0, 1.0):
        assert share == probability


def test_a_box_mask_equals_slicing() -> None:
    boxes = torch.tensor([[0, 0, 4, 5], [1, 2, 2, 3], [3, 4, 1, 1], [2, 2, 0, 3], [0, 0, 0, 0]])
    expected = torch.zeros(5, 1, 4, 5, dtype=torch.bool)
    for mask, (top, left, height, width) in zip(expected, boxes.tolist(), strict=True):
        mask[:, top : top + height, left : left + width] = True
    assert torch.equal(box_mask(boxes, 4, 5, torch.device("cpu")), expected)
