"""The biases of a classifier's outputs, into which a constant change of its logits is written."""

from collections.abc import Iterator

from torch import nn

from trainable.models.resnet_cifar import ResNet18Cifar


def output_biases(model: nn.Module, *, num_classes: int) -> tuple[str, ...]:
    """Find the parameters of which each adds one number to the logit of each class.

    A model whose logits are the mean over two classifiers has two, each of which has to change.

    Args:
        model: A timm model, or `trainable.models.resnet_cifar.ResNet18Cifar`.
        num_classes: Number of its outputs.

    Returns:
        Names in the model's ``state_dict``; none if its classifier is of a kind that has no bias.
    """
    names = {module: name for name, module in model.named_modules()}
    found = []
    for head in _heads(model):
        last = [m for m in head.modules() if _is_linear(m)]
        if len(last) != 1 or last[0] not in names:
            return ()
        bias = last[0].bias
        if not isinstance(bias, nn.Parameter) or bias.shape != (num_classes,):
            return ()
        found.append(f"{names[last[0]]}.bias")
    return tuple(found)


def _heads(model: nn.Module) -> Iterator[nn.Module]:
    if isinstance(model, ResNet18Cifar):
        yield model.fc
        return
    heads = model.get_classifier()  # type: ignore[operator]  # A method of every timm model.
    yield from heads if isinstance(heads, tuple | list | nn.ModuleList) else [heads]


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d)
