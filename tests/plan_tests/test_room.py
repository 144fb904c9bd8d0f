"""Runs that fit neither into memory nor onto the disk are refused, with ways out that do."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.plan import room
from search.plan.machine import Machine, this_machine
from search.plan.room import KEPT_RUNS, LENT_RUNS, MOST_LENT, WORKER_BYTES, Needs, require_room
from spaces.errors import InputError
from tests.support import finished_run
from trainable import accelerator

GB = 10**9
MACHINE = Machine(memory=24 * GB, shared=12 * GB, disk=100 * GB, temporary="/tmp")
NEEDS = Needs(num_workers=2, training=GB, state=10**8, images=0)


def require(tmp_path: Path, needs: Needs, machine: Machine, **changes: Any) -> None:
    require_room(needs, finished_run.a_config(tmp_path, **changes), machine)


def test_what_fits_just_so_is_not_refused(tmp_path: Path) -> None:
    just = 12 * GB - WORKER_BYTES
    require(tmp_path, replace(NEEDS, training=just), MACHINE)
    with pytest.raises(InputError, match=r"2 trials at once need about 12\.0 GB of memory each"):
        require(tmp_path, replace(NEEDS, training=just + 1), MACHINE)


def test_images_in_memory_count_and_streamed_ones_do_not(tmp_path: Path) -> None:
    needs = replace(NEEDS, training=10 * GB)
    require(tmp_path, needs, MACHINE)
    says = r"10\.5 GB of memory each, beside images of 5\.0 GB, but this machine has 24\.0 GB"
    with pytest.raises(InputError, match=says):
        require(tmp_path, replace(needs, images=5 * GB), MACHINE)


@pytest.mark.parametrize(("num_cpus", "workers"), [(8, 8), (3, 3), (7, 3), (64, 16)])
@pytest.mark.parametrize("each", [2 * GB, 5 * GB, 11 * GB])
def test_the_flag_that_is_named_lets_as_many_run_as_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_cpus: int, workers: int, each: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: num_cpus)
    needs = replace(NEEDS, num_workers=workers, training=each)
    if needs.memory <= MACHINE.memory:
        require(tmp_path, needs, MACHINE)
        return
    with pytest.raises(InputError, match="--cpus-per-trial") as caught:
        require(tmp_path, needs, MACHINE)
    asked = float(str(caught.value).partition("--cpus-per-trial ")[2].partition(" ")[0])
    fewer = int(num_cpus / asked)
    assert 1 <= fewer < workers
    require(tmp_path, replace(needs, num_workers=fewer), MACHINE)
    assert (fewer + 1) * needs.trial > MACHINE.memory


def test_the_share_of_a_gpu_is_named_where_trials_run_on_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "num_devices", lambda: 2)
    needs = replace(NEEDS, num_workers=8, training=5 * GB)
    with pytest.raises(InputError, match=r"give --gpus-per-trial 0\.5 for 4 at once, or a smaller"):
        require(tmp_path, needs, MACHINE, gpus_per_trial=0.25)
    # No trial takes more than one GPU, so that no share leaves four of eight GPUs idle.
    monkeypatch.setattr(accelerator, "num_devices", lambda: 8)
    with pytest.raises(InputError, match=r"24\.0 GB: give a smaller --batch-size"):
        require(tmp_path, needs, MACHINE, gpus_per_trial=1.0)


def test_one_trial_too_large_for_the_machine_has_no_number_that_fits(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        require(tmp_path, replace(NEEDS, num_workers=1, training=30 * GB), MACHINE)
    assert str(caught.value) == (
        "A trial needs about 30.5 GB of memory, but this machine has 24.0 GB: give a smaller "
        "--batch-size, --image-size or --model."
    )


def test_nothing_is_refused_by_what_was_not_measured_or_is_elsewhere(tmp_path: Path) -> None:
    require(tmp_path, replace(NEEDS, num_workers=1000, training=0, state=0), MACHINE)
    require(tmp_path, replace(NEEDS, training=30 * GB), MACHINE, ray_address="auto")
    large = replace(NEEDS, state=50 * GB)
    require(tmp_path, large, replace(MACHINE, disk=None), storage="s3://bucket/x")
    require(tmp_path, large, MACHINE, stages=("search",))


def test_an_average_of_weights_takes_memory_beside_training() -> None:
    vit = replace(NEEDS, state=1_400_000_000)
    assert replace(vit, makes_soup=True).trial - vit.trial == 3_500_000_000


def test_checkpoints_that_exceed_the_disk_are_refused(tmp_path: Path) -> None:
    vit = replace(NEEDS, state=1_400_000_000)
    assert vit.kept == KEPT_RUNS * vit.state == 7 * GB
    require(tmp_path, vit, replace(MACHINE, disk=vit.disk))
    # Weights that are averaged are a checkpoint at most, as where all else is frozen.
    assert replace(vit, makes_soup=True).disk == vit.disk + (LENT_RUNS + vit.num_workers) * 1.4e9
    assert replace(vit, makes_soup=True, num_workers=64).disk == 133 * 1.4e9 + MOST_LENT * 1.4e9
    says = r"Checkpoints of 1\.4 GB each need up to 12\.6 GB under .*, but 12\.0 GB are free"
    with pytest.raises(InputError, match=says) as caught:
        require(tmp_path, vit, replace(MACHINE, disk=12 * GB))
    assert "give a --run-dir with more room" in str(caught.value)
    with pytest.raises(InputError, match=r"under /big, .* give a --storage with more room"):
        require(tmp_path, vit, replace(MACHINE, disk=12 * GB), storage="/big")


@pytest.mark.parametrize("total", [1, 2, 3, 8, 64])
def test_a_share_of_a_total_fits_as_often_as_asked(total: int) -> None:
    for fitting in range(1, 40):
        assert int(total / room._share(total, fitting)) == fitting


def test_this_machine_has_room_also_for_a_run_whose_directory_is_not_made_yet(
    tmp_path: Path,
) -> None:
    machine = this_machine(finished_run.a_config(tmp_path / "a" / "b"))
    assert machine.memory > 10**8
    assert machine.disk is not None
    assert this_machine(finished_run.a_config(tmp_path, storage="s3://bucket/x")).disk is None
