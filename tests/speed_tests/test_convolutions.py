"""Fast convolutions give what torch's give, where they are faster, and stand aside elsewhere."""

import copy
import io
from collections.abc import Iterator
from dataclasses import replace

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn

from tests.support.toy_training import TOY, toy_dataset
from trainable.ema import OWN
from trainable.speed import convolutions
from trainable.speed.convolutions import (
    MOST_PIXELS,
    FastDepthwise,
    FastDepthwiseSame,
    FastPointwise,
    use_fast_kernels,
)
from trainable.trainer import Trainer

CHANNELS = 8
MODEL = "tf_mobilenetv3_small_075"
"""Small, and has depthwise kernels of 3 x 3 and 5 x 5 with either padding; 1 x 1 maps at 32 px."""
RECIPE = replace(TOY, model=MODEL, image_size=32, epochs=2).with_strengths(drop_path_rate=0.0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _the_measured_kind_of_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast ways are right on any CPU, and tested on any."""
    monkeypatch.setattr(convolutions, "_has_fast_ways", lambda: True)


def images(
    height: int, width: int | None = None, *, num: int = 4, channels: int = CHANNELS
) -> Tensor:
    """Square without a width."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(num, channels, height, width or height, generator=generator)
    return noise.contiguous(memory_format=torch.channels_last)


def fast(conv: nn.Conv2d) -> nn.Conv2d:
    """A copy that takes the fast ways."""
    changed = copy.deepcopy(conv).to(memory_format=torch.channels_last)
    use_fast_kernels(nn.Sequential(changed))
    return changed


def took_the_fast_way(conv: nn.Conv2d, x: Tensor) -> bool:
    """Whether the graph of the output holds anything but torch's own convolution of the input."""
    output: Tensor = fast(conv)(x)
    node, names = output.grad_fn, set()
    while node is not None:
        names.add(type(node).__name__)
        node = node.next_functions[0][0] if node.next_functions else None
    return "ConvolutionBackward0" not in names


def depthwise(kernel: int, stride: int = 1, *, same: bool = False) -> nn.Conv2d:
    torch.manual_seed(0)
    if same:
        return Conv2dSame(CHANNELS, CHANNELS, kernel, stride, groups=CHANNELS)
    padding = kernel // 2
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, padding, groups=CHANNELS)


def assert_same_numbers(conv: nn.Conv2d, x: Tensor) -> None:
    """Output and gradients are those of torch in float64, within float32's rounding."""
    ours, theirs = fast(conv), copy.deepcopy(conv).double()
    x, exact = x.clone().requires_grad_(), x.double().requires_grad_()
    output, expected = ours(x), theirs(exact)
    torch.testing.assert_close(output, expected.float(), rtol=1e-5, atol=1e-5)
    assert output.is_contiguous(memory_format=torch.channels_last)
    output.square().sum().backward()
    expected.square().sum().backward()
    assert x.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(x.grad, exact.grad.float(), rtol=1e-5, atol=1e-4)
    for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None
        assert yours.grad is not None
        assert mine.grad.shape == mine.shape
        torch.testing.assert_close(mine.grad, yours.grad.float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 7, 8, 14])
def test_a_depthwise_convolution_gives_the_same_numbers(
    side: int, kernel: int, stride: int, same: bool
) -> None:
    assert_same_numbers(depthwise(kernel, stride, same=same), images(side))


@pytest.mark.parametrize(("height", "width"), [(3, 4), (4, 2), (2, 5), (5, 6)])
@pytest.mark.parametrize("stride", [1, 2])
def test_padded_by_other_numbers_of_rows_than_columns_it_gives_the_same_numbers(
    height: int, width: int, stride: int
) -> None:
    assert_same_numbers(depthwise(5, stride, same=True), images(height, width))


@pytest.mark.parametrize("conv", [depthwise(5), depthwise(5, same=True), nn.Conv2d(8, 8, 1)])
def test_a_batch_without_images_has_gradients_of_zero(conv: nn.Conv2d) -> None:
    changed = fast(conv)
    changed(images(2, num=0)).sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in changed.parameters())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("num", "side"), [(1, 1), (8, 1), (8, 2), (32, 4), (33, 4)])
def test_a_pointwise_convolution_gives_the_same_numbers(num: int, side: int, bias: bool) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(CHANNELS, 12, 1, bias=bias)
    assert_same_numbers(conv, images(side, num=num))
    is_small = num * side * side <= MOST_PIXELS
    assert took_the_fast_way(conv, images(side, num=num)) == is_small


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "is_fast"),
    [
        (1, 3, 1, True),
        (2, 3, 1, True),
        (3, 3, 1, False),  # From here on oneDNN has a kernel of its own for 3 x 3.
        (14, 3, 1, False),
        (2, 5, 1, True),
        (8, 5, 1, True),
        (2, 5, 2, True),
        (4, 5, 2, True),
        (14, 5, 2, False),
        (2, 7, 1, True),
    ],
)
def test_the_fast_way_is_taken_where_it_was_measured_to_be_faster(
    side: int, kernel: int, stride: int, is_fast: bool
) -> None:
    assert took_the_fast_way(depthwise(kernel, stride), images(side)) == is_fast


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=2),
        nn.Conv2d(CHANNELS, 2 * CHANNELS, 5, padding=2, groups=CHANNELS),
        nn.Conv2d(CHANNELS, CHANNELS, 5, padding=4, dilation=2, groups=CHANNELS),
        nn.Conv2d(CHANNELS, CHANNELS, 5, padding="same", groups=CHANNELS),
        nn.Conv2d(CHANNELS, CHANNELS, 5, padding=1, padding_mode="circular", groups=CHANNELS),
        nn.Conv2d(CHANNELS, CHANNELS, 1, stride=2),
        nn.Conv2d(CHANNELS, CHANNELS, 1, padding=1),
        nn.Conv2d(CHANNELS, CHANNELS, 1, groups=2),
    ],
    ids=lambda conv: conv.extra_repr(),
)
def test_other_convolutions_stay_torchs(conv: nn.Conv2d) -> None:
    assert type(fast(conv)) is nn.Conv2d
    torch.testing.assert_close(fast(conv)(images(5)), conv(images(5)))


@pytest.mark.parametrize("conv", [depthwise(5), depthwise(5, same=True), nn.Conv2d(8, 8, 1)])
@pytest.mark.parametrize("case", ["autocast", "bfloat16", "contiguous", "compiled"])
def test_whatever_was_not_measured_goes_through_torch(conv: nn.Conv2d, case: str) -> None:
    ours, theirs, x = fast(conv), copy.deepcopy(conv), images(2)
    assert took_the_fast_way(conv, x)
    if case == "bfloat16":
        ours, theirs, x = ours.bfloat16(), theirs.bfloat16(), x.bfloat16()
    if case == "contiguous":
        x = x.contiguous()
    forward = torch.compile(ours, backend="eager", fullgraph=True) if case == "compiled" else ours
    with torch.autocast("cpu", enabled=case == "autocast"):
        output, expected = forward(x), theirs.to(memory_format=torch.channels_last)(x)
    assert output.dtype is expected.dtype
    assert torch.equal(output, expected)
    output.float().square().sum().backward()
    expected.float().square().sum().backward()
    for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None
        assert yours.grad is not None
        assert torch.equal(mine.grad, yours.grad)


@pytest.mark.parametrize("conv", [depthwise(5), nn.Conv2d(8, 8, 1)])
def test_an_image_without_a_batch_goes_through_torch(conv: nn.Conv2d) -> None:
    torch.testing.assert_close(fast(conv)(images(2)[0]), conv(images(2)[0]))


def test_a_frozen_kernel_has_no_gradient_and_its_input_has_one() -> None:
    conv = fast(depthwise(5)).requires_grad_(False)
    x = images(2).requires_grad_()
    conv(x).sum().backward()
    assert x.grad is not None
    assert conv.weight.grad is None


def test_nothing_changes_where_nothing_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolutions, "_has_fast_ways", lambda: False)
    activation = nn.SiLU(inplace=True)
    model = nn.Sequential(depthwise(5), activation)
    use_fast_kernels(model)
    assert type(model[0]) is nn.Conv2d
    assert activation.inplace


def a_model(*, is_fast: bool) -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model(MODEL, num_classes=10).train()
    model = model.to(memory_format=torch.channels_last)
    if is_fast:
        use_fast_kernels(model)
    return model


def gradients(model: nn.Module, x: Tensor) -> Tensor:
    labels = torch.arange(len(x)) % 10
    F.cross_entropy(model(x), labels).backward()  # type: ignore[no-untyped-call]  # torch: untyped
    return torch.cat([p.grad.double().flatten() for p in model.parameters() if p.grad is not None])


def test_the_gradient_of_a_whole_model_is_as_exact_as_torchs() -> None:
    """Rounding grows on its way through the normalizations, so float64 is the judge of both."""
    x = images(32, num=16, channels=3)
    kinds = {type(module) for module in a_model(is_fast=True).modules()}
    assert {FastDepthwise, FastDepthwiseSame, FastPointwise} <= kinds
    exact = gradients(a_model(is_fast=False).double(), x.double())
    errors = [
        float((gradients(a_model(is_fast=is_fast), x) - exact).norm() / exact.norm())
        for is_fast in (False, True)
    ]
    assert 0 < errors[1] < 2 * errors[0] < 0.1


def test_names_and_shapes_of_a_saved_model_are_timms() -> None:
    ours, theirs = a_model(is_fast=True), a_model(is_fast=False)
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    assert list(saved) == list(theirs.state_dict())
    theirs.load_state_dict(saved)
    with torch.no_grad():
        x = images(32, channels=3)
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-4, atol=1e-5)


def test_a_copy_takes_the_same_ways() -> None:
    model = a_model(is_fast=True)
    other, x = copy.deepcopy(model), images(32, channels=3)
    assert [type(m) for m in other.modules()] == [type(m) for m in model.modules()]
    assert torch.equal(gradients(model, x), gradients(other, x))


def test_a_run_trains_with_them_and_goes_on_bit_for_bit() -> None:
    dataset = toy_dataset(image_size=32)

    def run() -> Trainer:
        return Trainer(RECIPE, dataset, dataset.split)

    whole, first, second = run(), run(), run()
    assert any(isinstance(module, FastDepthwise) for module in whole.model.modules())
    for _ in range(2):
        whole.train_epoch()
    first.train_epoch()
    first.evaluate("val")
    second.load_state_dict(first.state_dict())
    second.train_epoch()
    for states in (
        [trainer.model.state_dict() for trainer in (whole, second)],
        [trainer.ema.state_dict()["averages"][OWN] for trainer in (whole, second)],
    ):
        for name, tensor in states[0].items():
            assert torch.equal(tensor, states[1][name]), name
