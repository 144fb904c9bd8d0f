"""ResNet-18 for images of about 32 pixels."""

import torch.nn.functional as F
from torch import Tensor, nn

from trainable.models.drop_path import StochasticDepth, set_drop_path_rate

_WIDTHS = (64, 128, 256, 512)
_BLOCKS_PER_STAGE = 2


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Args:
        width_in: Channels that come in.
        width: Channels that go out.
        stride: Of the first convolution.
        share: Share of the model's drop path rate; 0 is a block that is never skipped.
    """

    def __init__(self, width_in: int, width: int, stride: int, share: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.drop_path = StochasticDepth(share) if share > 0 else nn.Identity()
        self.shortcut = nn.Sequential()
        if stride != 1 or width_in != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map a batch of channels, height, width."""
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.drop_path(branch) + self.shortcut(x))


class ResNet18Cifar(nn.Module):
    """ResNet-18 with the stem of He et al. 2016 (arXiv 1512.03385, section 4.2) for CIFAR.

    One 3x3 convolution of stride 1 and no pooling stand in for the 7x7 stem, which would leave a
    32-pixel image with 8x8 positions. With 10 classes it has 11.2 M parameters.

    Args:
        num_classes: Outputs.
        drop_path_rate: Rate of the last block, in ``[0, 1)``; it falls linearly to 0 at the first.
    """

    def __init__(self, num_classes: int, drop_path_rate: float = 0.0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        blocks: list[nn.Module] = []
        last = len(_WIDTHS) * _BLOCKS_PER_STAGE - 1
        width_in = _WIDTHS[0]
        for stage, width in enumerate(_WIDTHS):
            for place in range(_BLOCKS_PER_STAGE):
                stride = 2 if place == 0 and stage > 0 else 1
                blocks.append(BasicBlock(width_in, width, stride, len(blocks) / last))
                width_in = width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(width_in, num_classes)
        self._init_weights()
        set_drop_path_rate(self, drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of a batch of channels, height, width."""
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock):
                # Each block starts as its shortcut (Goyal et al. 2017, arXiv 1706.02677).
                nn.init.zeros_(module.bn2.weight)
