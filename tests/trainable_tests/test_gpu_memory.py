"""Memory that runs out is planted: no GPU is needed to see what is made of it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from spaces.recipe import Recipe
from tests.support.toy_training import TOY, toy_dataset
from trainable.gpu_memory import CONTEXT_BYTES, PARTS, GpuMemory, in_smaller_parts, measure
from trainable.measurement import EVAL_BATCH_SIZE
from trainable.ray_trainable import RecipeTrainable
from trainable.run_spec import RunSpec
from trainable.timing import excerpt, time_run
from trainable.trainer import Trainer

GIB = 2**30
MESSAGE = "CUDA out of memory. Tried to allocate 2.00 GiB."


class Trial(RecipeTrainable):
    """The trainable with its images, as Tune makes it."""

    def setup(self, config: dict[str, Any], *given: Any, **more: Any) -> None:
        super().setup(config, dataset=toy_dataset())


def make_trial(recipe: Recipe) -> Trial:
    return Trial(config={"spec": RunSpec(recipe=recipe).to_dict()})


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def plant(monkeypatch: pytest.MonkeyPatch, *, fitting: int, from_epoch: int = 0) -> None:
    """Let a step fail whose parts hold more than ``fitting`` images."""
    step = Trainer._step

    def planted(self: Trainer, batch: NDArray[np.int64]) -> Tensor:
        too_large = len(batch) / self.recipe.grad_accum_steps > fitting
        if too_large and self.epoch >= from_epoch:
            raise torch.OutOfMemoryError(MESSAGE)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "_step", planted)


def losses(recipe: Recipe, epochs: int) -> list[float]:
    dataset = toy_dataset()
    trainer = Trainer(recipe, dataset, dataset.split)
    return [trainer.train_epoch()["train/loss"] for _ in range(epochs)]


@pytest.mark.parametrize(("fitting", "parts"), [(4, 2), (2, 4)])
def test_a_trial_out_of_memory_trains_the_same_batches_in_parts_and_says_so(
    monkeypatch: pytest.MonkeyPatch, fitting: int, parts: int
) -> None:
    expected = losses(replace(TOY, grad_accum_steps=parts), 2)
    plant(monkeypatch, fitting=fitting)
    trial = make_trial(TOY)
    results = [trial.step(), trial.step()]
    assert [result["epoch"] for result in results] == [1, 2]
    assert [result["metrics"]["train/loss"] for result in results] == expected
    assert [result["metrics"][PARTS] for result in results] == [parts, parts]


def test_memory_that_runs_out_later_starts_the_run_over(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, parts = losses(TOY, 2), losses(replace(TOY, grad_accum_steps=2), 4)
    plant(monkeypatch, fitting=4, from_epoch=2)
    trial = make_trial(TOY)
    results = [trial.step() for _ in range(4)]
    assert [result["epoch"] for result in results] == [1, 2, 3, 4]
    # Epochs 3 and 4 are those of a run that was trained in parts from its beginning.
    assert [result["metrics"]["train/loss"] for result in results] == whole + parts[2:]
    assert [PARTS in result["metrics"] for result in results] == [False, False, True, True]


def test_a_trial_that_fits_says_nothing_of_parts() -> None:
    assert PARTS not in make_trial(replace(TOY, grad_accum_steps=2)).step()["metrics"]


def test_a_trial_that_does_not_fit_in_the_smallest_parts_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch, fitting=1)
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        make_trial(TOY).step()
    dataset = toy_dataset()
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        time_run(TOY, dataset, device="cpu", num_threads=1)


def test_a_plan_finds_the_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = toy_dataset()
    assert time_run(TOY, dataset, device="cpu", num_threads=1).grad_accum_steps == 1
    plant(monkeypatch, fitting=2)
    assert time_run(TOY, dataset, device="cpu", num_threads=1).grad_accum_steps == 4


@pytest.mark.parametrize(
    ("batch_size", "parts", "smaller"),
    [(32, 1, 2), (32, 8, 16), (32, 16, None), (3, 1, None), (4, 1, 2), (2, 1, None), (9, 2, 4)],
)
def test_parts_are_halved_down_to_two_images(
    batch_size: int, parts: int, smaller: int | None
) -> None:
    recipe = replace(TOY, batch_size=batch_size, grad_accum_steps=parts)
    found = in_smaller_parts(recipe)
    assert (found.grad_accum_steps if found else None) == smaller
    if found:
        assert found.batch_size == batch_size


def test_there_is_nothing_to_measure_without_a_gpu() -> None:
    assert measure("cpu") is None
    assert time_run(TOY, toy_dataset(), device="cpu", num_threads=1).memory is None


def test_the_room_is_what_others_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "max_memory_reserved", lambda device: 3 * GIB)
    monkeypatch.setattr(cuda, "memory_reserved", lambda device: 2 * GIB)
    monkeypatch.setattr(cuda, "mem_get_info", lambda device: (10 * GIB, 24 * GIB))
    assert measure("cuda", more_bytes=GIB) == GpuMemory(
        reserved=4 * GIB, room=12 * GIB + CONTEXT_BYTES
    )


@pytest.mark.parametrize(("room_in_trials", "fitting"), [(0.9, 0), (1.0, 1), (3.99, 3), (4.0, 4)])
def test_as_many_fit_as_their_memory_goes_into_the_room(
    room_in_trials: float, fitting: int
) -> None:
    trial = 2 * GIB + CONTEXT_BYTES
    assert GpuMemory(reserved=2 * GIB, room=int(room_in_trials * trial)).num_fitting == fitting


def test_an_excerpt_holds_the_images_that_are_timed_and_no_others() -> None:
    dataset = toy_dataset(scale=40)
    cut = excerpt(dataset, num_train=8)
    assert len(cut.images) == len(cut.labels) == 8 + EVAL_BATCH_SIZE
    chosen = np.concatenate([dataset.split.train[:8], dataset.split.val[:EVAL_BATCH_SIZE]])
    placed = np.concatenate([cut.split.train, cut.split.val])
    assert np.array_equal(cut.images[placed], dataset.images[chosen])
    assert np.array_equal(cut.labels[placed], dataset.labels[chosen])
    short = replace(
        dataset,
        split=replace(
            dataset.split, train=dataset.split.train[:8], val=dataset.split.val[:EVAL_BATCH_SIZE]
        ),
    )
    trainers = [Trainer(TOY, each, each.split) for each in (cut, short)]
    assert trainers[0].train_epoch()["train/loss"] == trainers[1].train_epoch()["train/loss"]
