"""What is said of memory and disk before a run starts, on machines of all sizes."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from search.commands import plan as plan_command
from search.plan.holdings import holdings
from search.plan.machine import Machine
from search.plan.room import needs_of
from spaces.errors import InputError
from tests.support import finished_run
from tests.support.toy_training import toy_dataset
from trainable.data.datasets import Dataset
from trainable.data.image_cache import is_streamed
from trainable.data.streamed_images import StreamedImages
from trainable.timing import Timing

GB = 10**9
LARGE = Machine(memory=24 * GB, shared=12 * GB, disk=100 * GB, temporary="/tmp")


class Photos:
    """As many photos as asked for, of which none is read here."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return self.number

    def read(self, index: int, image_size: int) -> Image.Image:
        raise AssertionError("planning decodes nothing")

    def size(self, index: int) -> tuple[int, int]:
        return 500, 500

    def name(self, index: int) -> str:
        return f"{index}.jpg"

    def pick(self, indices: object) -> "Photos":
        return self

    def fingerprint(self) -> str:
        return "photos"


def photos(number: int, image_size: int) -> Dataset:
    streamed = StreamedImages(Photos(number), np.arange(number), image_size)
    return replace(toy_dataset(), images=streamed)


def said(
    tmp_path: Path, dataset: Dataset, machine: Machine, state_bytes: int = 0, training: int = 0
) -> list[str]:
    needs = needs_of(dataset, num_workers=2, training_bytes=training, state_bytes=state_bytes)
    return holdings(dataset, finished_run.a_config(tmp_path), machine, needs)


def test_thirty_gigabytes_on_a_machine_of_twenty_four_are_streamed_and_it_is_said(
    tmp_path: Path,
) -> None:
    assert is_streamed((200_000, 224, 224, 3), memory_bytes=24 * GB)
    (images,) = said(tmp_path, photos(200_000, 224), LARGE)
    assert "200,000 images of 224 px, 30.1 GB decoded" in images
    assert "more than a quarter of this machine's 24.0 GB of memory, so they are streamed" in images
    assert "--image-size or --num-train" in images


@pytest.mark.parametrize(("number", "is_too_many"), [(39_000, False), (40_000, True)])
def test_a_quarter_of_memory_is_where_streaming_begins(number: int, is_too_many: bool) -> None:
    assert is_streamed((number, 224, 224, 3), memory_bytes=24 * GB) == is_too_many


def test_images_in_memory_are_held_once_in_the_object_store(tmp_path: Path) -> None:
    (images,) = said(tmp_path, toy_dataset(), LARGE)
    assert "48 images of 16 px" in images
    assert "held once in Ray's object store" in images


@pytest.mark.parametrize("shared", [64 * 2**20, 7 * GB])
def test_a_small_dev_shm_is_told_with_the_remedy(tmp_path: Path, shared: int) -> None:
    _, told = said(tmp_path, toy_dataset(), replace(LARGE, shared=shared))
    assert f"/dev/shm has {'67 MB' if shared < GB else '7.0 GB'} free" in told
    assert "object store of 7.2 GB, which therefore lies in /tmp, on disk" in told
    assert "--shm-size=7g" in told


@pytest.mark.parametrize(
    "machine",
    [
        replace(LARGE, shared=None),
        replace(LARGE, shared=8 * GB),
        replace(LARGE, memory=512 * GB, shared=64 * GB),  # Ray's store becomes smaller itself.
    ],
)
def test_nothing_is_said_of_a_dev_shm_that_does(tmp_path: Path, machine: Machine) -> None:
    assert len(said(tmp_path, toy_dataset(), machine)) == 1


def test_a_cluster_s_nodes_have_shared_memory_of_their_own(tmp_path: Path) -> None:
    config = finished_run.a_config(tmp_path, ray_address="auto")
    machine = replace(LARGE, shared=1)
    needs = needs_of(toy_dataset(), num_workers=2, training_bytes=GB, state_bytes=0)
    assert len(holdings(toy_dataset(), config, machine, needs)) == 1


def test_the_checkpoints_of_a_large_model_are_told_and_held_against_the_disk(
    tmp_path: Path,
) -> None:
    vit = 1_400_000_000
    *_, told = said(tmp_path, toy_dataset(), LARGE, state_bytes=vit)
    assert "up to 12.6 GB on disk (1.4 GB each), of which 7.0 GB stay" in told
    assert told.endswith("; 100.0 GB are free.")
    *_, told = said(tmp_path, toy_dataset(), replace(LARGE, disk=None), state_bytes=vit)
    assert told.endswith("champion is chosen.")


def test_the_memory_of_trials_is_told_if_it_was_measured(tmp_path: Path) -> None:
    _, told = said(tmp_path, toy_dataset(), LARGE, training=GB)
    assert told == "Memory: 2 trials at once take about 3.0 GB (1.5 GB each) beside the images."
    assert len(said(tmp_path, toy_dataset(), LARGE)) == 1


@pytest.mark.parametrize(("each", "is_refused"), [(2 * GB, False), (30 * GB, True)])
def test_a_plan_of_thirty_gigabytes_streams_and_is_refused_if_its_trials_do_not_fit_even_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: int, is_refused: bool
) -> None:
    timing = Timing(step_s=0.1, evaluated_image_s=0.01, state_bytes=10**8, host_bytes=each)
    monkeypatch.setattr(plan_command, "where_trials_run", lambda *_, **__: timing)
    monkeypatch.setattr(plan_command, "this_machine", lambda config: LARGE)
    out = io.StringIO()
    console = Console(file=out, width=10_000)
    config, plan = finished_run.a_config(tmp_path), finished_run.a_plan()
    if is_refused:
        with pytest.raises(InputError, match=r"needs? about .* smaller --batch-size"):
            plan_command.show(console, config, plan, photos(200_000, 224))
        return
    plan_command.show(console, config, plan, photos(200_000, 224))
    assert "200,000 images of 224 px, 30.1 GB decoded" in out.getvalue()
    assert "so they are streamed" in out.getvalue()
