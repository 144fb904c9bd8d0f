"""The recipes and models whose steps are timed, and the two steps."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spaces.recipe import RandAugment, Recipe
from spaces.strengths.values import Strengths
from trainable.data.datasets import Dataset
from trainable.data.splits import Split
from trainable.models.build import create_model
from trainable.models.drop_path import StochasticDepth
from trainable.trainer import Trainer

PUBLISHED = Strengths(
    weight_decay=0.05,
    label_smoothing=0.1,
    drop_path_rate=0.1,
    ema_decay=0.9999,
    warmup_fraction=0.05,
)
"""All five strengths are on, so all five cost what they cost."""
PLAIN = Recipe(strengths=PUBLISHED, grad_clip_norm=1.0, amp_dtype="none", epochs=10_000)
AUGMENTED = replace(
    PLAIN,
    mixup_alpha=0.8,
    cutmix_alpha=1.0,
    randaugment=RandAugment(num_ops=2, magnitude=9),
    crop_scale_min=0.35,
    hflip=0.5,
    erasing=0.25,
)
RECIPES = {"no augmentation": PLAIN, "all augmentation": AUGMENTED}
CASES = (("tf_efficientnet_lite0", 32), ("tf_efficientnet_lite0", 64), ("resnet18", 32))
NUM_CLASSES = 10


def bare_model(recipe: Recipe, device: torch.device) -> nn.Module:
    """The recipe's model without stochastic depth, also without the modules that would apply it."""
    model = create_model(recipe.with_strengths(drop_path_rate=0.0), num_classes=NUM_CLASSES)
    for name, module in list(model.named_modules()):
        if isinstance(module, StochasticDepth):
            model.set_submodule(name, nn.Identity())
    return model.to(device).to(memory_format=torch.channels_last).train()


def step_pair(recipe: Recipe, device: torch.device) -> tuple[Callable[[], None], ...]:
    """One whole step and one bare step, each on weights of its own, both compiled or neither."""
    dataset = random_dataset(recipe)
    trainer = Trainer(recipe, dataset, dataset.split, device=device)
    trainer.model.train()
    indices = dataset.split.train[: recipe.batch_size]

    model = bare_model(recipe, device)
    forward: Callable[[Tensor], Tensor] = torch.compile(model) if recipe.compile else model
    images = trainer._normalize(dataset.images[indices])
    labels = torch.from_numpy(dataset.labels[indices]).to(device)
    weight_decay = recipe.strengths.weight_decay
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=weight_decay, fused=True
    )

    def whole() -> None:
        trainer._step(indices)

    def bare() -> None:
        optimizer.zero_grad()
        with trainer.precision.autocast():
            loss = F.cross_entropy(forward(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]  # torch: untyped
        optimizer.step()

    return whole, bare


def random_dataset(recipe: Recipe) -> Dataset:
    """Noise in memory: what a step costs does not depend on what is in the images."""
    num_images = 4 * recipe.batch_size
    generator = np.random.default_rng(0)
    side = recipe.image_size
    places = np.arange(num_images)
    return Dataset(
        name="noise",
        images=generator.integers(0, 256, (num_images, side, side, 3), dtype=np.uint8),
        labels=places % NUM_CLASSES,
        class_names=tuple(map(str, range(NUM_CLASSES))),
        split=Split(train=places[:-2], val=places[-2:-1], test=places[-1:]),
        digest="",
        notes=(),
    )
