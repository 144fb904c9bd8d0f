"""What the whole recipe costs, beside the bare training step and beside a trainer of timm's parts.

    OMP_NUM_THREADS=1 python -m benchmarks.step_cost steps
    OMP_NUM_THREADS=1 python -m benchmarks.step_cost epochs --model resnet18 --image-size 32
    python -m benchmarks.step_cost cuda

``steps``: one optimizer step as `trainable.trainer.Trainer` takes it (read and normalize bytes,
schedule, smoothing, stochastic depth, finite check, clipping, average of the weights) against
``zero_grad``, forward, cross-entropy, backward and a fused AdamW step of the same model without
stochastic depth on one normalized batch, in the same memory format.

``epochs``: a training epoch, data included, against the same recipe from timm's loader, mixing,
optimizer, schedule and average, on the same folder of image files and the same CPU cores.

``cuda``: as ``steps``, in blocks that the host does not wait within; needs a CUDA device.

Both sides of a comparison run in one process and take turns, so that other work on the machine
hits both; a ratio is the median over pairs of neighbours in time. The module is long because each
side stands in full beside the other.
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from timm.data.dataset_factory import create_dataset
from timm.data.loader import create_loader
from timm.data.mixup import FastCollateMixup
from timm.loss.cross_entropy import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.optim._optim_factory import create_optimizer_v2
from timm.scheduler.scheduler_factory import create_scheduler_v2
from timm.utils.clip_grad import dispatch_clip_grad
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from spaces.recipe import RandAugment, Recipe
from spaces.strengths import Strengths
from trainable.datasets import Dataset, load_dataset
from trainable.drop_path import StochasticDepth
from trainable.models import create_model, describe_model
from trainable.splits import Split
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
PHOTOS = "photos"
"""Crops of scikit-learn's two photographs, as JPEG: files that take as long to read as photos."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """How long one side took against the other, over pairs of neighbours in time.

    Attributes:
        median: Of the ratios.
        low: First quartile.
        high: Third quartile.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numerators: Sequence[float], denominators: Sequence[float]) -> "Ratio":
        """Of paired seconds."""
        ratios = [n / d for n, d in zip(numerators, denominators, strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4)
        return cls(median=median, low=low, high=high)

    def __str__(self) -> str:
        return f"**{self.median:.2f}** ({self.low:.2f} to {self.high:.2f})"


def take_turns(sides: Sequence[Callable[[], object]], *, rounds: int) -> list[list[float]]:
    """Seconds of each side in each round, after an untimed one; who begins changes every round."""
    seconds: list[list[float]] = [[] for _ in sides]
    for side in sides:
        side()
    for number in range(rounds):
        order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
        for place in order:
            started = time.perf_counter()
            sides[place]()
            seconds[place].append(time.perf_counter() - started)
    return seconds


def bare_model(recipe: Recipe, device: torch.device) -> nn.Module:
    """The recipe's model without stochastic depth, also without the modules that would apply it."""
    model = create_model(recipe.with_strengths(drop_path_rate=0.0), num_classes=NUM_CLASSES)
    for name, module in list(model.named_modules()):
        if isinstance(module, StochasticDepth):
            model.set_submodule(name, nn.Identity())
    return model.to(device).to(memory_format=torch.channels_last).train()


def step_pair(recipe: Recipe, device: torch.device) -> tuple[Callable[[], None], ...]:
    """One whole step and one bare step, each on weights of its own."""
    dataset = random_dataset(recipe)
    trainer = Trainer(recipe, dataset, dataset.split, device=device)
    trainer.model.train()
    indices = dataset.split.train[: recipe.batch_size]

    model = bare_model(recipe, device)
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
            loss = F.cross_entropy(model(images), labels)
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


def print_steps(cases: Sequence[tuple[str, int]], *, rounds: int) -> None:
    """The table of ``steps``."""
    torch.set_num_threads(1)
    print("| model | px | recipe | bare, ms | whole, ms | whole / bare (quartiles) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for model, image_size in cases:
        for name, base in RECIPES.items():
            recipe = replace(base, model=model, image_size=image_size)
            sides = step_pair(recipe, torch.device("cpu"))
            whole, bare = take_turns(sides, rounds=rounds)
            print(
                f"| {model} | {image_size} | {name} | {1e3 * statistics.median(bare):.1f} "
                f"| {1e3 * statistics.median(whole):.1f} | {Ratio.of(whole, bare)} |",
                flush=True,
            )


class TimmTrainer:
    """The same recipe from timm's parts, put together as its ``train.py`` does by default.

    Without ``--amp`` that script calls a plain backward pass. MixUp and CutMix draw once per batch
    there, the cheaper way and timm's default; nothing checks whether the loss is finite.

    Args:
        recipe: What to train.
        folder: With the sub-folders ``train/<class>``.
        num_workers: Processes that read images; 0 reads them in this one.
        channels_last: timm's ``--channels-last``, which is off by default.
        num_threads: Compute threads of this process.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        *,
        num_workers: int,
        channels_last: bool,
        num_threads: int,
    ) -> None:
        strengths, info = recipe.strengths, describe_model(recipe.model)
        mixes = recipe.mixup_alpha > 0 or recipe.cutmix_alpha > 0
        augments = recipe.randaugment is not None
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._num_threads = num_threads
        mixing = FastCollateMixup(  # type: ignore[no-untyped-call]
            mixup_alpha=recipe.mixup_alpha,
            cutmix_alpha=recipe.cutmix_alpha,
            label_smoothing=strengths.label_smoothing,
            num_classes=NUM_CLASSES,
        )
        self._loader = create_loader(
            create_dataset("", root=str(folder), split="train", is_training=True),
            input_size=(3, recipe.image_size, recipe.image_size),
            batch_size=recipe.batch_size,
            is_training=True,
            no_aug=not augments,
            scale=(recipe.crop_scale_min, 1.0),
            hflip=recipe.hflip,
            color_jitter=0.0,
            re_prob=recipe.erasing,
            # Two operations on each image at three tenths of their range, as here.
            auto_augment="rand-m3-n2-p1-inc1" if augments else None,
            interpolation="bilinear",
            mean=info.mean,
            std=info.std,
            num_workers=num_workers,
            collate_fn=mixing if mixes else None,
            device=torch.device("cpu"),
        )
        model = timm.create_model(
            recipe.model, num_classes=NUM_CLASSES, drop_path_rate=strengths.drop_path_rate
        )
        self._model = model.to(memory_format=self._format).train()
        self._criterion: nn.Module = SoftTargetCrossEntropy()  # type: ignore[no-untyped-call]
        if not mixes:
            smoothing = strengths.label_smoothing
            self._criterion = LabelSmoothingCrossEntropy(smoothing)  # type: ignore[no-untyped-call]
        self._optimizer = create_optimizer_v2(
            self._model, opt="adamw", lr=recipe.lr, weight_decay=strengths.weight_decay
        )
        self._ema = ModelEmaV3(self._model, decay=strengths.ema_decay)
        self._schedule, _ = create_scheduler_v2(
            self._optimizer,
            sched="cosine",
            num_epochs=recipe.epochs,
            warmup_epochs=round(strengths.warmup_fraction * recipe.epochs),
            warmup_prefix=True,
            step_on_epochs=False,
            updates_per_epoch=len(self._loader),
        )
        self._clip_norm = recipe.grad_clip_norm
        self._num_updates = 0

    def train_epoch(self) -> None:
        """Train on every full batch of the folder once."""
        torch.set_num_threads(self._num_threads)
        for images, targets in self._loader:
            images = images.contiguous(memory_format=self._format)
            loss: Tensor = self._criterion(self._model(images), targets)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch: untyped
            dispatch_clip_grad(self._model.parameters(), value=self._clip_norm)
            self._optimizer.step()
            self._num_updates += 1
            self._ema.update(self._model, step=self._num_updates)
            self._schedule.step_update(num_updates=self._num_updates)


def print_epochs(
    cases: Sequence[tuple[str, int]],
    *,
    names: Sequence[str],
    source: str,
    num_train: int,
    data_dir: Path,
    num_cores: int,
    rounds: int,
) -> None:
    """The table of ``epochs``."""
    # Threads and worker processes of both sides share the same cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:num_cores])
    print(
        "| model | px | recipe | files | cores | decoding once, s | ours, images/s "
        "| timm channels-last, images/s | timm default, images/s | ours / timm channels-last "
        "| ours / timm default |"
    )
    print("| --- " * 11 + "|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / source
        write_folder(folder, source, num_train=num_train, data_dir=data_dir)
        for model, image_size in cases:
            for name in names:
                recipe = replace(RECIPES[name], model=model, image_size=image_size)
                started = time.perf_counter()
                dataset = load_dataset(
                    folder, image_size=image_size, data_dir=folder, num_train=None, seed=0
                )
                decoding_s = time.perf_counter() - started
                shutil.rmtree(folder / "cache")  # Or the next recipe would find it.
                sides = epoch_sides(recipe, folder, dataset, num_cores)
                ours, last, default = take_turns(sides, rounds=rounds)
                num_images = num_train // recipe.batch_size * recipe.batch_size
                rates = [num_images / statistics.median(s) for s in (ours, last, default)]
                print(
                    f"| {model} | {image_size} | {name} | {source} | {num_cores} "
                    f"| {decoding_s:.1f} | {rates[0]:.0f} | {rates[1]:.0f} | {rates[2]:.0f} "
                    f"| {Ratio.of(last, ours)} | {Ratio.of(default, ours)} |",
                    flush=True,
                )


def epoch_sides(
    recipe: Recipe, folder: Path, dataset: Dataset, num_cores: int
) -> list[Callable[[], object]]:
    """An epoch of ours, of timm with ``--channels-last`` and of timm as it comes."""
    trainer = Trainer(recipe, dataset, dataset.split)

    def ours() -> None:
        torch.set_num_threads(num_cores)
        trainer.train_epoch()

    def timm_with(num_workers: int, num_threads: int, channels_last: bool) -> TimmTrainer:
        return TimmTrainer(
            recipe,
            folder,
            num_workers=num_workers,
            channels_last=channels_last,
            num_threads=num_threads,
        )

    # How many processes read and how many threads compute is timm's user's choice: the best one.
    splits = {(0, num_cores), (1, num_cores), (num_cores, num_cores), (1, max(1, num_cores - 1))}

    def epoch_s(split: tuple[int, int]) -> float:
        return take_turns([timm_with(*split, channels_last=True).train_epoch], rounds=1)[0][0]

    best = min(sorted(splits), key=epoch_s)
    return [
        ours,
        timm_with(*best, channels_last=True).train_epoch,
        timm_with(*best, channels_last=False).train_epoch,
    ]


def write_folder(folder: Path, source: str, *, num_train: int, data_dir: Path) -> None:
    """Write ``train``, ``val`` and ``test`` with one folder per class, as image files."""
    for place, (pixels, label) in enumerate(stored_images(source, num_train, data_dir)):
        held_out = place - num_train  # One image per class and held-out part comes last.
        part = "train" if held_out < 0 else ("val", "test")[held_out // NUM_CLASSES]
        path = folder / part / f"class_{label}" / f"{place:06d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if source == PHOTOS:
            Image.fromarray(pixels).save(path.with_suffix(".jpg"), quality=90)
        else:
            Image.fromarray(pixels).save(path.with_suffix(".png"))


def stored_images(
    source: str, num_train: int, data_dir: Path
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Images as they are stored, and their classes, which take turns."""
    num_images = num_train + 2 * NUM_CLASSES
    if source == PHOTOS:
        from sklearn.datasets import load_sample_images

        photos = load_sample_images().images
        generator = np.random.default_rng(0)
        for place in range(num_images):
            photo = photos[place % len(photos)]
            top, left = (int(generator.integers(0, size - 256)) for size in photo.shape[:2])
            yield photo[top : top + 256, left : left + 256], place % NUM_CLASSES
        return
    stored_px = {"digits": 8, "fashion-mnist": 28}[source]
    dataset = load_dataset(source, image_size=stored_px, data_dir=data_dir, num_train=None, seed=0)
    by_class = [iter(np.flatnonzero(dataset.labels == label)) for label in range(NUM_CLASSES)]
    for place in range(num_images):
        label = place % NUM_CLASSES
        index = np.array([next(by_class[label])])
        yield dataset.images[index][0], label


def print_cuda(cases: Sequence[tuple[str, int]], *, rounds: int, steps_per_block: int = 50) -> None:
    """The table of ``cuda``: throughput, its share of the bare step's, and waits inside a step."""
    device = torch.device("cuda")
    print(
        "| model | px | recipe | compiled | whole, images/s | bare, images/s | share of bare "
        "| host waits in a step |"
    )
    print("| --- " * 8 + "|")
    for model, image_size in cases:
        for name, base in RECIPES.items():
            for compiled in (False, True):
                recipe = replace(
                    base,
                    model=model,
                    image_size=image_size,
                    batch_size=256,
                    amp_dtype="auto",
                    compile=compiled,
                )
                sides = step_pair(recipe, device)
                blocks = [_block(side, steps_per_block) for side in sides]
                whole, bare = take_turns(blocks, rounds=rounds)
                images = steps_per_block * recipe.batch_size
                print(
                    f"| {model} | {image_size} | {name} | {compiled} "
                    f"| {images / statistics.median(whole):.0f} "
                    f"| {images / statistics.median(bare):.0f} | {Ratio.of(bare, whole)} "
                    f"| {count_host_waits(sides[0])} |",
                    flush=True,
                )


def _block(step: Callable[[], None], number: int) -> Callable[[], None]:
    def run() -> None:
        for _ in range(number):
            step()
        torch.cuda.synchronize()

    return run


def count_host_waits(step: Callable[[], None]) -> int:
    """How often the host waits for the device during one step, by torch's own detector."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in caught)


def print_machine() -> None:
    """Hardware, versions and command: a number without them says nothing."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    print(f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; ", end="")
    if torch.cuda.is_available():
        print(f"{torch.cuda.get_device_name()}; ", end="")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}")
    print(f"`python -m benchmarks.step_cost {' '.join(sys.argv[1:])}`\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_cost")
    parser.add_argument("what", choices=("steps", "epochs", "cuda"))
    parser.add_argument("--model", help="one model instead of the three cases")
    parser.add_argument("--image-size", type=int, default=32, help="pixels, with --model")
    parser.add_argument("--rounds", type=int, help="timed pairs; default 41 steps or 5 epochs")
    parser.add_argument("--recipe", choices=RECIPES, help="epochs: one recipe instead of both")
    parser.add_argument(
        "--source", choices=("fashion-mnist", "digits", PHOTOS), default="fashion-mnist"
    )
    parser.add_argument("--num-train", type=int, default=960, help="epochs: training images")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--cores", type=int, default=1, help="epochs: cores of either side")
    asked = parser.parse_args()
    cases = [(asked.model, asked.image_size)] if asked.model else CASES
    print_machine()
    if asked.what == "steps":
        print_steps(cases, rounds=asked.rounds or 41)
    elif asked.what == "epochs":
        print_epochs(
            cases,
            names=[asked.recipe] if asked.recipe else list(RECIPES),
            source=asked.source,
            num_train=asked.num_train,
            data_dir=asked.data_dir,
            num_cores=asked.cores,
            rounds=asked.rounds or 5,
        )
    elif torch.cuda.is_available():
        print_cuda(cases, rounds=asked.rounds or 11)
    else:
        parser.error("`cuda` needs a CUDA device, and there is none here")


if __name__ == "__main__":
    main()
