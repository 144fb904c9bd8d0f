"""Each operation against torchvision's own, and the draws."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode

from trainable.augment.randaugment import OPS, apply_ops, rand_augment

MAGNITUDES = (0, 1, 6, 9, 17, 30)
SIGNED = {*OPS[1:10]}


def images(num: int = 6, height: int = 16, width: int = 16) -> Tensor:
    """Smooth gradients with noise: operations move edges, means and histograms visibly."""
    g = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0.1, 0.8, width).expand(num, 3, height, width)
    return (ramp + 0.2 * torch.rand(num, 3, height, width, generator=g)).clamp(0, 1)


def torchvision_op(image: Tensor, op: str, sign: int, magnitude: int) -> Tensor:
    """One operation on one image by torchvision's own class, with its own table of magnitudes."""
    transform = v2.RandAugment(interpolation=InterpolationMode.BILINEAR)
    table, signed = transform._AUGMENTATION_SPACE[op]
    amounts = table(31, *image.shape[-2:])
    amount = 0.0 if amounts is None else float(amounts[magnitude]) * (sign if signed else 1)
    result: Tensor = transform._apply_image_or_video_transform(
        image, op, amount, interpolation=InterpolationMode.BILINEAR, fill={Tensor: None}
    )
    return result


def test_operations_are_torchvisions_in_its_order() -> None:
    assert tuple(v2.RandAugment._AUGMENTATION_SPACE) == OPS


@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("size", [(16, 16), (9, 14)])
def test_each_operation_equals_torchvisions_on_single_float_images(
    op: str, sign: int, magnitude: int, size: tuple[int, int]
) -> None:
    batch = images(3, *size)
    if op == "Posterize" and magnitude < 4:
        expected = list(batch)  # All eight bits, where torchvision rounds floats but not bytes.
    else:
        expected = [torchvision_op(image, op, sign, magnitude) for image in batch]
    result = apply_ops(batch, [op] * 3, torch.tensor([sign] * 3), magnitude)
    # Positions of a rotation are summed in another order; everything else agrees to 1e-6.
    torch.testing.assert_close(result, torch.stack(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("op", OPS)
def test_each_operation_is_within_rounding_of_torchvisions_on_bytes(
    op: str, sign: int, magnitude: int
) -> None:
    # Away from the steps of posterize and solarize, which rounding would let a pixel jump over.
    stored = (images(2) * 255).to(torch.uint8) // 8 * 8 + 3
    expected = torch.stack([torchvision_op(image, op, sign, magnitude) for image in stored])
    result = apply_ops(stored / 255, [op] * 2, torch.tensor([sign] * 2), magnitude)
    # torchvision cuts results off to whole bytes; a grey or a blur is rounded before that, too.
    levels = 2.0 if op in ("Color", "Contrast", "Sharpness") else 1.01
    assert float((result * 255 - expected.float()).abs().max()) <= levels


def test_images_with_different_operations_and_signs_do_not_touch_each_other() -> None:
    batch = images(2 * len(OPS))
    ops = [op for op in OPS for _ in range(2)]
    signs = torch.tensor([-1, 1] * len(OPS))
    shuffled = torch.randperm(len(ops), generator=torch.Generator().manual_seed(1)).tolist()
    result = apply_ops(
        batch[shuffled], [ops[row] for row in shuffled], signs[shuffled], magnitude=20
    )
    for position, row in enumerate(shuffled):
        alone = apply_ops(batch[row : row + 1], [ops[row]], signs[row : row + 1], 20)
        torch.testing.assert_close(result[position], alone[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("op", sorted(SIGNED))
def test_the_sign_turns_signed_operations_around(op: str) -> None:
    batch = images(1)
    plus = apply_ops(batch, [op], torch.tensor([1]), 20)
    minus = apply_ops(batch, [op], torch.tensor([-1]), 20)
    assert float((plus - minus).abs().max()) > 0.02


@pytest.mark.parametrize("op", sorted(set(OPS) - SIGNED))
def test_the_sign_leaves_other_operations_alone(op: str) -> None:
    batch = images(1)
    plus = apply_ops(batch, [op], torch.tensor([1]), 20)
    assert torch.equal(plus, apply_ops(batch, [op], torch.tensor([-1]), 20))


def test_magnitude_zero_leaves_signed_operations_without_effect() -> None:
    batch = images(len(SIGNED))
    result = apply_ops(batch, sorted(SIGNED), torch.ones(len(SIGNED)), 0)
    torch.testing.assert_close(result, batch, atol=1e-6, rtol=0)


def test_the_input_is_not_written_to() -> None:
    batch = images(len(OPS))
    before = batch.clone()
    apply_ops(batch, OPS, torch.ones(len(OPS)), 30)
    assert torch.equal(batch, before)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_memory_format_does_not_change_the_result(memory_format: torch.memory_format) -> None:
    batch = images(20)
    args = {"num_ops": 2, "magnitude": 9}
    plain = rand_augment(batch, **args, generator=torch.Generator().manual_seed(5))
    other = rand_augment(
        batch.contiguous(memory_format=memory_format),
        **args,
        generator=torch.Generator().manual_seed(5),
    )
    torch.testing.assert_close(plain, other, atol=1e-6, rtol=0)


def test_every_operation_is_drawn_equally_often_and_signs_are_fair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[tuple[str, int]] = []

    def spy(batch: Tensor, ops: list[str], signs: Tensor, magnitude: int) -> Tensor:
        drawn.extend(zip(ops, signs.tolist(), strict=True))
        return batch

    monkeypatch.setattr("trainable.augment.randaugment.apply_ops", spy)
    g = torch.Generator().manual_seed(0)
    rand_augment(torch.zeros(7000, 3, 1, 1), num_ops=2, magnitude=9, generator=g)
    assert len(drawn) == 14_000
    for op in OPS:
        count = sum(name == op for name, _ in drawn)
        assert abs(count - 1000) < 150  # Five standard deviations.
    assert abs(sum(sign for _, sign in drawn)) < 600


def test_rounds_are_applied_one_after_the_other() -> None:
    batch = images(8)
    twice = rand_augment(batch, num_ops=2, magnitude=9, generator=torch.Generator().manual_seed(3))
    g = torch.Generator().manual_seed(3)
    once = rand_augment(batch, num_ops=1, magnitude=9, generator=g)
    assert torch.equal(twice, rand_augment(once, num_ops=1, magnitude=9, generator=g))
