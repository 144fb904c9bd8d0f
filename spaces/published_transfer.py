"""Recipes published for fine-tuning a pretrained model on other data."""

from spaces.published import Published
from spaces.published_imagenet import IMAGENET_IMAGES
from spaces.recipe import Recipe
from spaces.strengths.values import Strengths
from spaces.task import MEDIUM_BELOW, SMALL_BELOW, Task

_FIXED_CROP = "crops of one size at a random place become crops of at least that area"


def augreg_finetune() -> Published:
    """Fine-tuning of AugReg's vision transformers: no regularizer at all, 100 of 500 steps warmup.

    Steiner et al. 2021, arXiv 2106.10270; google-research/vision_transformer, configs/augreg.py and
    common.py: SGD with momentum 0.9, batch 512, lr 0.03, norm 1, crops of 384 from 448 px. 500
    steps are 71 epochs of the 3 680 pets that the file's example trains on.
    """
    recipe = Recipe(
        model="vit_base_patch16_384",
        pretrained=True,
        image_size=384,
        epochs=71,
        batch_size=512,
        optimizer="sgd",
        lr=0.03,
        grad_clip_norm=1.0,
        crop_scale_min=(384 / 448) ** 2,
        hflip=0.5,
        strengths=Strengths(warmup_fraction=0.2),
    )
    return Published(
        recipe=recipe,
        task=Task.of(recipe, num_train=3680, num_classes=37, num_blocks=12),
        source="Steiner et al. 2021, arXiv 2106.10270; google-research/vision_transformer",
        expect="ViT-B/16 in 500 steps of 512 images: 98.59 % on CIFAR-10, 89.17 % on CIFAR-100",
        caveats=(
            _FIXED_CROP,
            "the numbers to expect are the README's for ViT from ImageNet-21k, 50 steps warmup",
        ),
    )


def bit_hyperrule(num_train: int) -> Published:
    """BiT-HyperRule: length, warmup and MixUp by the number of images; no decay, no smoothing.

    Kolesnikov et al. 2020, arXiv 1912.11370, section 3.3; google-research/big_transfer,
    bit_hyperrule.py: SGD with momentum 0.9, batch 512, lr 3e-3; 500 steps of which 100 warmup below
    20k images, 10k of which 500 below 500k, else 20k of which 500; MixUp 0.1 from 20k on. The tasks
    nearest to the rule's lengths are pets, CIFAR-100 and ImageNet for 71, 103 and 8 epochs.
    """
    if num_train < SMALL_BELOW:
        images, classes, epochs, warmup, mixup = 3680, 37, 71, 100 / 500, 0.0
    elif num_train < MEDIUM_BELOW:
        images, classes, epochs, warmup, mixup = 50_000, 100, 103, 500 / 10_000, 0.1
    else:
        images, classes, epochs, warmup, mixup = IMAGENET_IMAGES, 1000, 8, 500 / 20_000, 0.1
    recipe = Recipe(
        model="resnetv2_50x1_bit",
        pretrained=True,
        image_size=480,
        epochs=epochs,
        batch_size=512,
        optimizer="sgd",
        lr=3e-3,
        grad_clip_norm=0.0,
        mixup_alpha=mixup,
        crop_scale_min=(480 / 512) ** 2,
        hflip=0.5,
        strengths=Strengths(warmup_fraction=warmup),
    )
    return Published(
        recipe=recipe,
        task=Task.of(recipe, num_train=images, num_classes=classes, num_blocks=16),
        source="Kolesnikov et al. 2020, arXiv 1912.11370; google-research/big_transfer",
        expect="BiT-M-R50x1: 97.2 to 97.4 % on CIFAR-10, 86.4 to 86.6 % on CIFAR-100",
        caveats=(_FIXED_CROP, "the rate falls tenfold at 3 steps of the run; cosine stands in"),
    )
