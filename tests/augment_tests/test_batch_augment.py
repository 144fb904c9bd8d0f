"""Normalization against torchvision; what augmentation promises of order, state and scale."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from spaces.recipe import RandAugment, Recipe
from trainable.augment.batch_augment import Augment, Normalizer

EVERYTHING: dict[str, Any] = {
    "hflip": 0.5,
    "crop_scale_min": 0.3,
    "randaugment": RandAugment(num_ops=2, magnitude=9),
    "erasing": 0.25,
    "mixup_alpha": 0.2,
    "cutmix_alpha": 1.0,
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stored_images(num: int = 16, side: int = 12) -> Tensor:
    return torch.randint(0, 256, (num, side, side, 3), dtype=torch.uint8, generator=generator(9))


def labels(num: int = 16) -> Tensor:
    return torch.arange(num) % 4


def test_normalizing_equals_torchvisions_to_dtype_and_normalize() -> None:
    stored = stored_images()
    slow = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    result = Normalizer(MEAN, STD, "cpu")(stored)
    expected = slow(stored.permute(0, 3, 1, 2))
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-6)


def test_arrays_tensors_bytes_floats_and_both_layouts_normalize_alike() -> None:
    normalize = Normalizer(MEAN, STD, "cpu")
    stored = stored_images()
    expected = normalize(stored)
    for images in (
        stored.numpy(),
        stored.permute(0, 3, 1, 2),
        stored.permute(0, 3, 1, 2).contiguous(),
        stored / 255,
        (stored / 255).permute(0, 3, 1, 2).contiguous(),
    ):
        result = normalize(images)
        assert result.dtype == torch.float32
        assert result.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("byte", [0, 255])
def test_the_darkest_and_the_brightest_pixel_reach_both_ends(byte: int) -> None:
    images = np.full((1, 8, 8, 3), byte, dtype=np.uint8)
    result = Normalizer((0.5,) * 3, (0.5,) * 3, "cpu")(images)
    expected = torch.full_like(result, 1.0 if byte else -1.0)
    torch.testing.assert_close(result, expected, atol=2e-7, rtol=0)


def test_with_everything_off_the_inputs_come_back_themselves_and_nothing_is_drawn() -> None:
    g = generator()
    before = g.get_state()
    images, targets = stored_images(), labels()
    returned_images, returned_targets = Augment(Recipe(), g)(images, targets, 4)
    assert returned_images is images
    assert returned_targets is targets
    assert torch.equal(g.get_state(), before)


@pytest.mark.parametrize("name", EVERYTHING)
def test_each_field_of_the_recipe_alone_changes_pixels(name: str) -> None:
    images = stored_images()
    augment = Augment(Recipe(**{name: EVERYTHING[name]}), generator())
    result, targets = augment(images, labels(), 4)
    assert result.shape == (16, 3, 12, 12)
    assert result.dtype == torch.float32
    assert not torch.allclose(result, images.permute(0, 3, 1, 2) / 255, atol=0.02)
    assert targets.ndim == (2 if name in ("mixup_alpha", "cutmix_alpha") else 1)


@pytest.mark.parametrize("seed", range(3))
def test_augmented_images_stay_in_the_unit_interval(seed: int) -> None:
    result, targets = Augment(Recipe(**EVERYTHING), generator(seed))(stored_images(), labels(), 4)
    assert float(result.min()) >= 0
    assert float(result.max()) <= 1 + 1e-6
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(16))


def test_the_same_state_gives_the_same_batch_and_a_restored_one_goes_on() -> None:
    images = stored_images()
    g = generator(1)
    augment = Augment(Recipe(**EVERYTHING), g)
    augment(images, labels(), 4)
    state = g.get_state()
    first, first_targets = augment(images, labels(), 4)
    restored = generator(2)
    restored.set_state(state)
    second, second_targets = Augment(Recipe(**EVERYTHING), restored)(images, labels(), 4)
    assert torch.equal(first, second)
    assert torch.equal(first_targets, second_targets)
    third, _ = augment(images, labels(), 4)
    assert not torch.equal(first, third)


def test_global_generators_are_neither_read_nor_moved() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - the point is that the global generator is left alone.
    torch_state, numpy_state = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    first, _ = Augment(Recipe(**EVERYTHING), generator())(stored_images(), labels(), 4)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert repr(np.random.get_state()) == numpy_state  # noqa: NPY002
    torch.manual_seed(1)
    second, _ = Augment(Recipe(**EVERYTHING), generator())(stored_images(), labels(), 4)
    assert torch.equal(first, second)


def test_parameters_differ_between_the_images_of_a_batch() -> None:
    one = stored_images(1)
    copies = one.expand(16, -1, -1, -1)
    for name in ("hflip", "crop_scale_min", "randaugment", "erasing"):
        recipe = Recipe(**{name: EVERYTHING[name]})
        result, _ = Augment(recipe, generator())(copies, labels(), 4)
        assert any(not torch.equal(image, result[0]) for image in result), name


def test_bytes_and_floats_in_either_layout_are_augmented_alike() -> None:
    stored = stored_images()
    expected, _ = Augment(Recipe(**EVERYTHING), generator())(stored, labels(), 4)
    for images in (stored / 255, stored.permute(0, 3, 1, 2), stored.permute(0, 3, 1, 2) / 255):
        result, _ = Augment(Recipe(**EVERYTHING), generator())(images, labels(), 4)
        torch.testing.assert_close(result, expected, atol=1e-6, rtol=0)


def test_the_input_is_not_written_to() -> None:
    floats = (stored_images() / 255).permute(0, 3, 1, 2).contiguous()
    before = floats.clone()
    Augment(Recipe(**EVERYTHING), generator())(floats, labels(), 4)
    assert torch.equal(floats, before)


def test_an_erased_box_has_the_erase_value_which_normalizes_to_zero() -> None:
    images = torch.ones(32, 3, 16, 16)
    augment = Augment(Recipe(erasing=1.0), generator(), erase_value=MEAN)
    result, _ = augment(images, labels(32), 4)
    erased = result != 1
    assert torch.equal(erased[:, 0], erased[:, 1])
    assert 0.02 < float(erased.float().mean()) < 0.33
    normalized = Normalizer(MEAN, STD, "cpu")(result)
    assert float(normalized[erased].abs().max()) < 1e-6


def test_erasing_comes_before_mixing() -> None:
    # The other way round, no pixel could lie strictly between the erase value and white.
    images = torch.ones(32, 3, 16, 16)
    augment = Augment(Recipe(erasing=1.0, mixup_alpha=1.0), generator())
    result, _ = augment(images, labels(32), 4)
    assert bool(((result > 0.51) & (result < 0.99)).any())


def test_normalizing_after_mixing_equals_normalizing_before() -> None:
    normalize = Normalizer(MEAN, STD, "cpu")
    stored = stored_images()
    recipe = Recipe(mixup_alpha=0.8, cutmix_alpha=1.0)
    after = normalize(Augment(recipe, generator())(stored, labels(), 4)[0])
    # Mixing is linear with weights that sum to one, so it takes any float images.
    before = Augment(recipe, generator())(normalize(stored), labels(), 4)[0]
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


def test_a_generator_that_is_not_on_the_cpu_is_refused() -> None:
    class Elsewhere(torch.Generator):
        @property
        def device(self) -> torch.device:  # type: ignore[override]
            return torch.device("cuda")

    with pytest.raises(ValueError, match="`generator` must be on the CPU, but got cuda"):
        Augment(Recipe(), Elsewhere())
