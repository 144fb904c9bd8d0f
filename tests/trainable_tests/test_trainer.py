"""A run is fixed by recipe and seed, goes on bit for bit, and trains with what was asked."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spaces.recipe import OPTIMIZERS, RandAugment, Recipe
from spaces.strengths.registry import EXTRAS, STRENGTHS, known
from spaces.strengths.values import Strengths
from trainable import checkpoint
from trainable.augment.batch_augment import Augment
from trainable.data.datasets import Dataset
from trainable.data.splits import Split
from trainable.evaluation_epochs import FORWARD_SHARE, MOST_SHARE, evaluation_epochs
from trainable.precision import Diverged
from trainable.readback import live_values, require_arrived
from trainable.trainer import Trainer

RECIPE = Recipe(
    model="test_byobnet",
    image_size=16,
    epochs=4,
    batch_size=8,
    lr=3e-3,
    amp_dtype="none",
    strengths=Strengths(
        weight_decay=0.05,
        label_smoothing=0.1,
        drop_path_rate=0.2,
        ema_decay=0.7,
        warmup_fraction=0.2,
    ),
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Three classes that differ in colour, so that a few steps learn something."""
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 16)
    images = generator.integers(0, 120, (48, 16, 16, 3), dtype=np.uint8)
    images[np.arange(48), :, :, labels] += 100
    order = generator.permutation(48)
    return Dataset(
        name="colours",
        images=images,
        labels=labels,
        class_names=("red", "green", "blue"),
        split=Split(train=np.sort(order[:24]), val=np.sort(order[24:36]), test=np.sort(order[36:])),
        digest="0" * 32,
        notes=(),
    )


def trainer(dataset: Dataset, recipe: Recipe = RECIPE, **levels: float) -> Trainer:
    return Trainer(recipe, dataset, dataset.split, ema_levels=levels)


def weights(of: Trainer) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in of.model.state_dict().values()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_training_fits_the_clean_training_images(dataset: Dataset) -> None:
    run = trainer(dataset, replace(RECIPE, epochs=8, strengths=Strengths()))
    before = run.evaluate("val")
    for _ in range(8):
        run.train_epoch()
    after = run.evaluate("val")
    assert after["clean_train/nll"] < 0.5 * before["clean_train/nll"]
    assert after["val/top1"] > before["val/top1"]


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs(dataset: Dataset) -> None:
    runs = [trainer(dataset, replace(RECIPE, seed=seed)) for seed in (3, 3, 4)]
    for run in runs:
        run.train_epoch()
    assert same(weights(runs[0]), weights(runs[1]))
    assert not same(weights(runs[0]), weights(runs[2]))


def test_strengths_change_neither_initial_weights_nor_batch_order(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[list[int]] = []

    class Recorded:
        def __init__(self) -> None:
            self.seen: list[int] = []

        def __getitem__(self, indices: np.ndarray) -> np.ndarray:
            self.seen += [int(i) for i in indices]
            images: np.ndarray = np.asarray(dataset.images)[indices]
            return images

    first_weights = []
    for strengths in (RECIPE.strengths, Strengths()):
        recorded = Recorded()
        run = trainer(replace(dataset, images=recorded), replace(RECIPE, strengths=strengths))  # type: ignore[arg-type]
        first_weights.append(weights(run))
        run.train_epoch()
        orders.append(recorded.seen)
    assert same(*first_weights)
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == sorted(dataset.split.train)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_resumed_run_ends_with_bit_identical_weights(
    dataset: Dataset, tmp_path: Path, optimizer: str, stop_after: int
) -> None:
    recipe = replace(
        RECIPE,
        optimizer=optimizer,
        lr=1e-3,
        mixup_alpha=0.2,
        hflip=0.5,
        erasing=0.3,
        randaugment=RandAugment(num_ops=1, magnitude=5),
    )
    whole = trainer(dataset, recipe)
    for epoch in range(recipe.epochs):
        whole.train_epoch()
        if epoch + 1 == stop_after:
            whole.evaluate("val")
    first = trainer(dataset, recipe)
    for _ in range(stop_after):
        first.train_epoch()
    first.evaluate("val")  # As in a search, which evaluates first and then saves.
    checkpoint.save(first, tmp_path)
    torch.manual_seed(99)  # What the next process's generators happen to hold must not matter.
    second = trainer(dataset, replace(recipe))
    checkpoint.load(second, tmp_path)
    for _ in range(recipe.epochs - stop_after):
        second.train_epoch()
    assert second.epoch == whole.epoch
    assert same(weights(whole), weights(second))
    assert whole.evaluate("val")["val_ema/nll"] == second.evaluate("val")["val_ema/nll"]


def test_a_crash_while_saving_leaves_the_old_checkpoint(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(dataset)
    run.train_epoch()
    checkpoint.save(run, tmp_path)

    def torn(state: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("No space left on device")

    run.train_epoch()
    monkeypatch.setattr("trainable.checkpoint.torch.save", torn)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(run, tmp_path)
    again = trainer(dataset)
    checkpoint.load(again, tmp_path)
    assert again.epoch == 1


@pytest.mark.parametrize("pieces", [2, 3, 4])  # Parts of 8 images, also unequal ones.
def test_accumulated_gradients_train_like_the_whole_batch(dataset: Dataset, pieces: int) -> None:
    """With statistics of normalization frozen, parts of a batch add up to the whole."""
    results = []
    for grad_accum_steps in (1, pieces):
        recipe = replace(
            RECIPE,
            model="test_vit",
            image_size=160,
            epochs=1,
            grad_accum_steps=grad_accum_steps,
            strengths=replace(RECIPE.strengths, drop_path_rate=0.0),
        )
        big = replace(
            dataset, images=np.asarray(dataset.images).repeat(10, axis=1).repeat(10, axis=2)
        )
        run = trainer(big, recipe)
        run.train_epoch()
        results.append(run.evaluate("val")["val_raw/nll"])
    assert results[0] == pytest.approx(results[1], rel=1e-4)


@pytest.mark.parametrize(
    "strengths",
    [
        Strengths(),
        RECIPE.strengths,
        Strengths(weight_decay=1.5),
        Strengths(label_smoothing=0.3),
        Strengths(drop_path_rate=0.4),
        Strengths(ema_decay=0.99),
        Strengths(warmup_fraction=0.5),
    ],
)
def test_every_strength_arrives_where_it_acts(dataset: Dataset, strengths: Strengths) -> None:
    run = trainer(dataset, replace(RECIPE, strengths=strengths))
    require_arrived(run)
    live = live_values(run)
    for name, value in strengths.as_dict().items():
        tolerance = 0.5 / run.task.total_steps if name == "warmup_fraction" else 1e-9
        assert live[name] == pytest.approx(value, abs=tolerance + 1e-9), name


EXTRA_VALUES = {
    "lr": 1e-2,
    "mixup_alpha": 0.2,
    "cutmix_alpha": 0.5,
    "randaugment_magnitude": 7.0,
    "layer_decay": 0.6,
    "class_weighting": 0.9,
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_extra_is_read_back_from_where_it_acts(dataset: Dataset, optimizer: str) -> None:
    recipe = replace(RECIPE, optimizer=optimizer)
    for name, value in EXTRA_VALUES.items():
        recipe = EXTRAS[name].put(recipe, value)
    found = require_arrived(trainer(dataset, recipe))
    for name, extra in EXTRAS.items():
        assert found[f"live/{name}"] == pytest.approx(extra.read(recipe), rel=1e-9), name


def test_an_augmentation_that_is_not_the_recipes_is_refused(dataset: Dataset) -> None:
    run = trainer(dataset)
    run.augment = Augment(replace(RECIPE, mixup_alpha=0.3), torch.Generator())
    with pytest.raises(RuntimeError, match=r"`mixup_alpha` is 0.0 in the recipe, but 0.3"):
        require_arrived(run)


def test_every_strength_can_be_read_back(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(dataset)
    assert live_values(run).keys() == known().keys()
    unread = replace(EXTRAS["mixup_alpha"], name="erasing")
    monkeypatch.setitem(STRENGTHS, "erasing", unread)
    with pytest.raises(RuntimeError, match="erasing must be read back from where it is at work"):
        live_values(run)


def test_a_strength_that_did_not_arrive_is_refused(dataset: Dataset) -> None:
    run = trainer(dataset)
    run.recipe = run.recipe.with_strengths(weight_decay=0.3)
    with pytest.raises(RuntimeError, match=r"`weight_decay` is 0.3 in the recipe, but 0.05"):
        require_arrived(run)


@pytest.mark.parametrize(("dropout", "live"), [(None, 0.2), (0.0, 0.0), (0.3, 0.3)])
def test_dropout_is_read_back_from_the_live_layers(
    dataset: Dataset, dropout: float | None, live: float
) -> None:
    """Also where the recipe leaves it to the architecture: GhostNet then has 0.2."""
    recipe = replace(RECIPE, model="ghostnet_050", dropout=dropout)
    run = trainer(dataset, recipe.with_strengths(drop_path_rate=0.0))
    assert require_arrived(run)["live/dropout"] == live
    run.model.drop_rate = 0.45  # type: ignore[assignment]
    if dropout is None:
        assert require_arrived(run)["live/dropout"] == 0.45
    else:
        with pytest.raises(RuntimeError, match=f"`dropout` is {dropout} in the recipe, but 0.45"):
            require_arrived(run)


def test_the_rate_of_the_deepest_block_is_read_back_as_it_is(dataset: Dataset) -> None:
    recipe = replace(RECIPE, model="tf_efficientnet_lite0").with_strengths(drop_path_rate=0.2)
    live = require_arrived(trainer(dataset, recipe))
    assert live["live/drop_path_rate"] == pytest.approx(0.2)
    assert live["live/deepest_drop_path"] == pytest.approx(0.2 * 14 / 16)


def test_shipped_metrics_are_those_of_the_average_and_levels_of_their_own(
    dataset: Dataset,
) -> None:
    run = trainer(dataset, best=0.3, none=0.0, reference=0.7)
    for _ in range(3):
        run.train_epoch()
    metrics = run.evaluate("val")
    assert metrics["val/nll"] == metrics["val_ema/nll"] == metrics["val.reference/nll"]
    assert metrics["val_raw/nll"] == metrics["val.none/nll"]
    assert len({metrics[f"val.{level}/nll"] for level in ("best", "none", "reference")}) == 3


def test_the_last_epoch_is_measured_in_full_for_all_weights_and_the_others_in_short(
    dataset: Dataset,
) -> None:
    run = trainer(dataset, best=0.3)
    run.train_epoch()
    assert not [name for name in run.evaluate("val") if name.endswith("top5")]
    while run.epoch < run.recipe.epochs:
        run.train_epoch()
    measured = run.measure("test")
    metrics = measured.metrics
    for weights in ("", "_raw", "_ema", ".best"):
        for name in ("top1", "top5", "nll", "nll_refined", "brier", "ece", "worst_class_top1"):
            assert math.isfinite(metrics[f"test{weights}/{name}"]), (weights, name)
    labels = dataset.labels[dataset.split.test]
    shares = [measured.shipped["test"].correct[labels == k].mean() for k in range(3)]
    assert run.by_class("test") == pytest.approx(shares)
    assert min(shares) == metrics["test/worst_class_top1"]
    assert min(run.by_class("test", "raw")) == metrics["test_raw/worst_class_top1"]


def test_without_an_average_the_raw_weights_ship(dataset: Dataset) -> None:
    run = trainer(dataset, RECIPE.with_strengths(ema_decay=0.0))
    run.train_epoch()
    metrics = run.evaluate("val")
    assert metrics["val/nll"] == metrics["val_raw/nll"]
    assert "val_ema/nll" not in metrics


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_evaluation_leaves_training_as_it_was(dataset: Dataset, optimizer: str) -> None:
    recipe = replace(RECIPE, optimizer=optimizer)
    looked, blind = trainer(dataset, recipe), trainer(dataset, recipe)
    for _ in range(3):
        looked.train_epoch()
        looked.evaluate("val", "test")
        blind.train_epoch()
    # To the averaged weights and back rounds, the others come back as they are.
    tolerance = 1e-5 if optimizer == "adamw_schedulefree" else 0.0
    expected = blind.evaluate("val")
    for name, value in looked.evaluate("val").items():
        if not name.startswith("cost/"):
            assert value == pytest.approx(expected[name], rel=tolerance, abs=tolerance), name
    for weight, other in zip(weights(looked), weights(blind), strict=True):
        torch.testing.assert_close(weight, other, rtol=tolerance, atol=tolerance)


def test_results_by_image_agree_with_test_metrics(dataset: Dataset) -> None:
    run = trainer(dataset)
    for _ in range(4):
        run.train_epoch()
    measured = run.measure("val", "test")
    for name, weights in (("test", measured.shipped), ("test_raw", measured.raw)):
        images = weights["test"]
        assert images.correct.mean() == pytest.approx(measured.metrics[f"{name}/top1"])
        assert images.label.tolist() == dataset.labels[dataset.split.test].tolist()
        assert 0 <= images.predicted.min() <= images.predicted.max() < 3
        assert images.nll.mean() == pytest.approx(measured.metrics[f"{name}/nll"], rel=1e-5)


@pytest.mark.parametrize(("ema_decay", "num_weights"), [(0.5, 2), (0.0, 1)])
@pytest.mark.parametrize("levels", [{}, {"reference": 0.5, "best": 0.3, "none": 0.0}])
def test_an_image_goes_through_the_same_weights_once(
    dataset: Dataset, ema_decay: float, num_weights: int, levels: dict[str, float]
) -> None:
    run = trainer(dataset, RECIPE.with_strengths(ema_decay=ema_decay), **levels)
    run.train_epoch()
    seen = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal seen
        seen += len(inputs[0])

    run.model.register_forward_pre_hook(count)
    measured = run.measure("val", "test")
    held_out = len(dataset.split.val) + len(dataset.split.test)
    fitted = min(len(dataset.split.train), len(dataset.split.val))
    # The levels add one set of weights or two, and ask how well the raw ones fit.
    expected = 3 * (held_out + fitted) if levels else num_weights * held_out + fitted
    assert seen == measured.num_images == expected


def test_a_loss_that_is_not_finite_stops_the_run_with_weights_untouched(dataset: Dataset) -> None:
    run = trainer(dataset)
    run.train_epoch()
    *parameters, last = run.model.parameters()
    with torch.no_grad():
        last.fill_(math.inf)
    before = [parameter.detach().clone() for parameter in parameters]
    with pytest.raises(Diverged, match="step 3"):
        run.train_epoch()
    assert same(before, [parameter.detach() for parameter in parameters])


@pytest.mark.parametrize("amp_dtype", ["bfloat16", "float16"])
def test_low_precision_trains_too(dataset: Dataset, amp_dtype: str) -> None:
    # Larger images: on a CPU torch 2.15 now and then returns NaN for the gradient of a strided 3x3
    # convolution over a 1x1 map in bfloat16 (it reads memory that nothing has written).
    images = np.asarray(dataset.images).repeat(4, axis=1).repeat(4, axis=2)
    recipe = replace(RECIPE, image_size=64, amp_dtype=amp_dtype)
    run = trainer(replace(dataset, images=images), recipe)
    first = run.train_epoch()["train/loss"]
    for _ in range(3):
        last = run.train_epoch()["train/loss"]
    assert last < first


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "sam"])
def test_a_skipped_step_moves_neither_schedule_nor_average_and_is_counted(
    dataset: Dataset, optimizer: str
) -> None:
    run = trainer(dataset, replace(RECIPE, amp_dtype="float16", optimizer=optimizer))
    # So high that the first steps overflow, and halved by each of them.
    run.precision._scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    averaged, peak_shares = [], []
    run.model.train()
    for _ in range(2):
        assert run._step(dataset.split.train[:8]) == 0.0
        averages = run.ema.state_dict()["averages"]["own"].values()
        averaged.append([tensor.clone() for tensor in averages])
        peak_shares.append(run.optimizer.inner.param_groups[0]["lr"] / run.recipe.lr)
    assert same(*averaged)
    assert peak_shares == pytest.approx([run.lr_factor(0)] * 2)
    assert run.lr_factor(0) < run.lr_factor(1)
    metrics = run.train_epoch()
    assert 0 < metrics["train/skipped_steps"] <= 3 == run.task.steps_per_epoch
    assert metrics["train/skipped_steps"] + 2 == run.precision.num_skipped


@pytest.mark.parametrize("epochs", [1, 2, 15, 100])
@pytest.mark.parametrize("num_evaluated", [10, 300, 1200, 100_000])
def test_evaluation_costs_at_most_its_share_and_sees_the_last_epoch(
    epochs: int, num_evaluated: int
) -> None:
    due = evaluation_epochs(epochs, num_train=300, num_evaluated=num_evaluated)
    assert due[-1] == epochs
    evaluation = len(due) * num_evaluated * FORWARD_SHARE
    training = epochs * 300
    if len(due) > 1:
        # One evaluation, the last, is never given up; the others fit into the share.
        evaluation -= num_evaluated * FORWARD_SHARE
        assert evaluation <= MOST_SHARE * (evaluation + training) + 1e-9
