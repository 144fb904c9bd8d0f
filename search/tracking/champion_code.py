"""Code that MLflow stores beside the champion's weights and runs to load and use them.

A copy of this one file goes into the store ("models from code"), so it imports nothing of this
project: it must work on a machine without it. Weights come from safetensors and must match the
model exactly; nothing is unpickled.
"""

import json
from typing import Any

import numpy as np
import timm
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

BATCH_SIZE = 128


class Champion(PythonModel):
    """A classifier from images, as they are in the dataset, to class probabilities."""

    def load_context(self, context: PythonModelContext) -> None:
        """Build the model named in the metadata of the weights, and load them."""
        path = context.artifacts["weights"]
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        args = json.loads(metadata["model_args"])
        self.model = _create(metadata["model"], args)
        self.model.load_state_dict(load_file(path), strict=True)
        self.model = self.model.to(memory_format=torch.channels_last).eval()
        mean, std = (
            torch.tensor(json.loads(metadata[name]), dtype=torch.float64).view(1, 3, 1, 1)
            for name in ("mean", "std")
        )
        self._scale = (1 / (255 * std)).float()
        self._shift = (-mean / std).float()

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,
        params: dict[str, Any] | None = None,
    ) -> np.ndarray:
        """Compute class probabilities of images.

        Args:
            context: Context that the model was loaded with; not used.
            model_input: uint8, shape image, height, width, 3.
            params: Not used.

        Returns:
            float32, shape image, class.
        """
        images = torch.as_tensor(np.asarray(model_input)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            parts = [self._probabilities(part) for part in torch.split(images, BATCH_SIZE)]
        return torch.cat(parts).numpy()

    def _probabilities(self, images: Tensor) -> Tensor:
        batch = images.contiguous(memory_format=torch.channels_last).float()
        logits: Tensor = self.model(torch.addcmul(self._shift, batch, self._scale))
        return logits.softmax(dim=1)


def _create(name: str, args: dict[str, Any]) -> nn.Module:
    if name == "resnet18_cifar":
        # Not one of timm's: its source is packed beside this file.
        from trainable.models.resnet_cifar import ResNet18Cifar

        return ResNet18Cifar(**args)
    model: nn.Module = timm.create_model(name, **args)
    return model


set_model(Champion())
