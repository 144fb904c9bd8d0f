"""MixUp and CutMix against a loop over images, and the draws."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import beta
from torch import Tensor

from trainable.augment.mixing import draw_mix, mix

SIDE = 16


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(num: int = 12) -> tuple[Tensor, Tensor]:
    return torch.rand(num, 3, SIDE, SIDE, generator=generator(7)), torch.arange(num) % 5


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.2, 0.0), (0.0, 1.0), (0.8, 1.0), (1e-3, 1e-3)])
def test_mixing_equals_a_loop_over_images_with_the_same_draws(mixup: float, cutmix: float) -> None:
    images, labels = batch()
    share, boxes = draw_mix(
        12, SIDE, SIDE, mixup_alpha=mixup, cutmix_alpha=cutmix, generator=generator(3)
    )
    mixed, targets = mix(
        images, labels, 5, mixup_alpha=mixup, cutmix_alpha=cutmix, generator=generator(3)
    )
    one_hot = F.one_hot(labels, 5).float()
    for i in range(12):
        other = (i - 1) % 12
        keep = float(share[i])
        expected = keep * images[i] + (1 - keep) * images[other]
        top, left, height, width = boxes[i].tolist()
        inside = (slice(None), slice(top, top + height), slice(left, left + width))
        expected[inside] = images[other][inside]
        kept_of_label = keep * (1 - height * width / SIDE**2)
        torch.testing.assert_close(mixed[i], expected, atol=1e-6, rtol=0)
        expected_target = kept_of_label * one_hot[i] + (1 - kept_of_label) * one_hot[other]
        torch.testing.assert_close(targets[i], expected_target, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.2, 0.0), (0.0, 1.0), (0.8, 1.0)])
def test_the_label_keeps_what_the_image_keeps(mixup: float, cutmix: float) -> None:
    # Image i is black but for its own brightness-coded partner: a white image after a black one.
    images = torch.zeros(40, 3, SIDE, SIDE)
    images[::2] = 1.0
    labels = torch.arange(40) % 2  # White is class 0.
    mixed, targets = mix(
        images, labels, 2, mixup_alpha=mixup, cutmix_alpha=cutmix, generator=generator()
    )
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), targets[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(40))
    assert float(targets.min()) >= 0


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 5.0])
def test_shares_follow_the_beta_distribution_image_by_image(alpha: float) -> None:
    share, boxes = draw_mix(
        4000, SIDE, SIDE, mixup_alpha=alpha, cutmix_alpha=0.0, generator=generator()
    )
    assert not boxes.any()
    for x in (1e-3, 0.1, 0.3, 0.5, 0.9, 0.999):
        expected = float(beta(alpha, alpha).cdf(x))
        error = math.sqrt(expected * (1 - expected) / 4000)
        assert float((share <= x).float().mean()) == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 1e3])
def test_extreme_parameters_give_shares_in_the_unit_interval(alpha: float) -> None:
    share, _ = draw_mix(
        1000, SIDE, SIDE, mixup_alpha=alpha, cutmix_alpha=0.0, generator=generator()
    )
    assert bool(((share >= 0) & (share <= 1)).all())
    assert float(share.mean()) == pytest.approx(0.5, abs=0.08)
    middle = float(((share > 0.4) & (share < 0.6)).float().mean())
    assert middle == (1.0 if alpha > 1 else pytest.approx(0.0, abs=0.01))


def test_cut_boxes_stay_inside_and_have_the_drawn_area_before_clipping() -> None:
    height, width = 40, 60
    share, boxes = draw_mix(
        4000, height, width, mixup_alpha=0.0, cutmix_alpha=1.0, generator=generator()
    )
    assert bool((share == 1).all())
    top, left, box_height, box_width = boxes.unbind(dim=1)
    assert bool((boxes >= 0).all())
    assert bool((top + box_height <= height).all() and (left + box_width <= width).all())
    # Boxes that touch no border are unclipped: sides in the image's proportion, up to a pixel each.
    inner = (top > 0) & (left > 0) & (top + box_height < height) & (left + box_width < width)
    inner &= box_height > 0
    assert int(inner.sum()) > 500
    assert bool(((box_width / width - box_height / height)[inner].abs() <= 2 / height).all())


def test_cut_boxes_are_distributed_like_torchvisions() -> None:
    num = 4000
    _, boxes = draw_mix(num, 32, 32, mixup_alpha=0.0, cutmix_alpha=1.0, generator=generator())
    areas = (boxes[:, 2] * boxes[:, 3]).double() / 32**2
    rng = np.random.default_rng(0)
    theirs: list[float] = []
    for _ in range(num):  # The arithmetic of torchvision.transforms.v2.CutMix.make_params.
        half = int(0.5 * math.sqrt(1 - rng.beta(1, 1)) * 32)
        x, y = int(rng.integers(32)), int(rng.integers(32))
        x1, y1, x2, y2 = max(x - half, 0), max(y - half, 0), min(x + half, 32), min(y + half, 32)
        theirs.append((x2 - x1) * (y2 - y1) / 32**2)
    assert float(areas.mean()) == pytest.approx(np.mean(theirs), abs=0.02)
    assert float(areas.std()) == pytest.approx(np.std(theirs), rel=0.06)


def test_with_both_on_each_takes_about_half_of_the_images_of_one_batch() -> None:
    share, _ = draw_mix(4000, SIDE, SIDE, mixup_alpha=1.0, cutmix_alpha=1.0, generator=generator())
    assert float((share == 1).float().mean()) == pytest.approx(0.5, abs=0.04)


def test_a_batch_of_one_image_is_left_as_it_is() -> None:
    images, labels = batch(1)
    mixed, targets = mix(
        images, labels, 5, mixup_alpha=1.0, cutmix_alpha=0.0, generator=generator()
    )
    torch.testing.assert_close(mixed, images)
    assert torch.equal(targets, F.one_hot(labels, 5).float())
