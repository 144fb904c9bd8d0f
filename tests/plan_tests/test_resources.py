"""More trials on a GPU than it holds are refused, with the number that it holds."""

import io
from math import floor
from pathlib import Path

import pytest
import torch
from rich.console import Console

from search.commands.progress import Progress
from search.plan.config import RunConfig
from search.plan.resources import _share, in_parts, require_fitting, require_places
from search.plan.stage_size import StageSize
from search.records.journal import Journal
from search.records.trials import Record, TrialSpec
from spaces.errors import InputError
from spaces.recipe import Recipe
from tests.support.finished_run import a_plan
from trainable.gpu_memory import CONTEXT_BYTES, PARTS, GpuMemory

GIB = 2**30


def memory_for(trials: int) -> GpuMemory:
    return GpuMemory(reserved=5 * GIB, room=trials * (5 * GIB + CONTEXT_BYTES) + GIB)


@pytest.mark.parametrize(
    ("fitting", "gpus_per_trial"),
    [(4, 0.25), (4, 0.3), (4, 1.0), (1, 0.51), (3, 0.34), (3, 1 / 3), (10, 0.1), (1, 2.0), (0, 1)],
)
def test_what_fits_is_not_refused(fitting: int, gpus_per_trial: float) -> None:
    require_fitting(memory_for(fitting), gpus_per_trial=gpus_per_trial)


@pytest.mark.parametrize(
    ("fitting", "gpus_per_trial", "packed"), [(4, 0.2, 5), (3, 0.25, 4), (1, 0.5, 2), (0, 0.5, 2)]
)
def test_what_does_not_fit_is_refused_with_the_number_that_does(
    fitting: int, gpus_per_trial: float, packed: int
) -> None:
    says = rf"packs {packed} trials .* {max(1, fitting)} fit: give --gpus-per-trial"
    with pytest.raises(InputError, match=says) as caught:
        require_fitting(memory_for(fitting), gpus_per_trial=gpus_per_trial)
    share = float(str(caught.value).partition("--gpus-per-trial ")[2].partition(",")[0])
    require_fitting(memory_for(max(1, fitting)), gpus_per_trial=share)


@pytest.mark.parametrize("gpus_per_trial", [0.0, 0.01, 1.0])
def test_nothing_is_refused_without_a_gpu(gpus_per_trial: float) -> None:
    require_fitting(None, gpus_per_trial=gpus_per_trial)


@pytest.mark.parametrize("fitting", range(1, 65))
def test_the_share_that_is_named_packs_as_many_as_fit(fitting: int) -> None:
    assert floor(1 / _share(fitting) + 1e-9) == fitting


def test_training_in_parts_is_kept_in_the_journal_and_said_once(tmp_path: Path) -> None:
    out = io.StringIO()
    progress = Progress(
        Console(file=out, width=400),
        sizes=[StageSize(name="search", num_trials=2, epochs=1)],
        space=a_plan().space,
        metric="val/top1",
        num_val=10,
        deadline=None,
    )
    journal = Journal(tmp_path)
    for number in range(2):
        spec = TrialSpec(stage="search", number=number, role="proposed", recipe=Recipe())
        progress.seen(journal.start(spec), num_expected={})
        for epoch in (1, 2):
            metrics = {"train/loss": 1.0, PARTS: 2.0}
            journal.report(
                Record(trial_id=spec.trial_id, stage="search", epoch=epoch, metrics=metrics)
            )
            progress.seen(journal.trials[spec.trial_id], num_expected={})
    journal.close()
    batch_size = Recipe().batch_size
    assert out.getvalue().count(in_parts("search-0000", batch_size, 2)) == 1
    assert "search-0001" not in out.getvalue()
    assert Journal(tmp_path).trials["search-0001"].records[-1].metrics[PARTS] == 2.0


@pytest.mark.parametrize("ray_address", [None, "auto"])
def test_a_trial_on_several_gpus_is_refused_wherever_it_would_run(ray_address: str | None) -> None:
    config = RunConfig(
        dataset="d", run_name="r", created="", gpus_per_trial=2.0, ray_address=ray_address
    )
    with pytest.raises(
        InputError, match=r"`gpus_per_trial <= 1` must hold, .*not built.* but got 2"
    ):
        require_places(config)


@pytest.mark.parametrize(("share", "is_refused"), [(0.0, False), (0.5, True), (1.0, False)])
def test_an_apple_gpu_is_given_to_one_trial_at_a_time(
    monkeypatch: pytest.MonkeyPatch, share: float, is_refused: bool
) -> None:
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    found = torch.device("mps")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: found)
    config = RunConfig(dataset="d", run_name="r", created="", gpus_per_trial=share)
    if is_refused:
        with pytest.raises(InputError, match="must be 0 or 1 on an Apple GPU"):
            require_places(config)
    else:
        require_places(config)
