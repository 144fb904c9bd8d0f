"""What a plan takes of the recipe held against the reference, and where trials may be stopped."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.planning import make_plan, rung_epochs
from search.stages.experiment import experiment_factors
from trainable.data.file_facts import FileFacts


def planned(tmp_path: Path, *ranges: str) -> Plan:
    """A diagnosis of the published strengths against a file with MixUp and another rate."""
    best = tmp_path / "best.yaml"
    best.write_text("mixup_alpha: 0.4\nlr: 0.002\nstrengths: {label_smoothing: 0.0}\n")
    config = RunConfig(
        dataset="small-transfer",
        run_dir=str(tmp_path),
        run_name="r",
        data_dir=str(tmp_path),
        created="",
        model="test_resnet",
        pretrained=False,
        amp_dtype="none",
        best=str(best),
        ranges=ranges,
    )
    return make_plan(config)[0]


def test_the_plan_knows_the_classes_and_files_of_a_folder_and_keeps_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, counts in (("Training", (40, 30)), ("Testing", (6, 0))):
        for name, count in zip(("ill", "well"), counts, strict=True):
            folder = tmp_path / "scans" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                values = rng.integers(0, 1400, size=(16, 16)).astype(np.uint16)
                Image.fromarray(values).save(folder / f"{i}.tif")
    config = RunConfig(
        dataset=str(tmp_path / "scans"),
        run_dir=str(tmp_path),
        run_name="r",
        data_dir=str(tmp_path / "data"),
        created="",
        model="test_resnet",
        pretrained=False,
        amp_dtype="none",
    )
    plan = make_plan(config)[0]
    assert plan.data.class_names == ("ill", "well")
    assert plan.data.images_per_class == ((32, 8, 6), (24, 6, 0))
    assert plan.data.files == FileFacts(endings={".tif": 76}, num_deep=76)
    notes = "\n".join(plan.notes)
    assert "Training is train, Testing is test" in notes
    assert "no image in test, so that they are not tested: well" in notes
    assert "greyscale of more than 8 bits" in notes
    kept = json.loads(json.dumps(plan.to_dict()))
    assert Plan.from_dict(kept, config=config) == plan


@pytest.mark.parametrize(
    ("ranges", "alpha", "factors", "taken"),
    [
        ((), 0.0, ("label_smoothing",), "only the strengths are taken"),
        (
            ("mixup_alpha=0:1", "lr=0.0001:0.01"),
            0.4,
            ("label_smoothing", "mixup_alpha"),
            "only the strengths and mixup_alpha are taken",
        ),
    ],
)
def test_a_given_recipe_is_judged_by_strengths_and_by_the_extra_axes_asked_for(
    tmp_path: Path, ranges: tuple[str, ...], alpha: float, factors: tuple[str, ...], taken: str
) -> None:
    plan = planned(tmp_path, *ranges)
    assert plan.candidate is not None
    assert (plan.candidate.mixup_alpha, plan.candidate.lr) == (alpha, plan.reference.lr)
    assert experiment_factors(plan, plan.candidate).trajectory == factors
    assert any(taken in note for note in plan.notes)


@pytest.mark.parametrize(
    ("epochs", "grace_period", "reduction_factor", "expected"),
    [
        (15, 5, 3, (5,)),
        (16, 5, 3, (5, 15)),
        (100, 1, 3, (1, 3, 9, 27, 81)),
        (81, 1, 3, (1, 3, 9, 27)),
        (8, 8, 2, ()),
        (1, 1, 2, ()),
    ],
)
def test_rungs_lie_below_full_length_by_powers(
    epochs: int, grace_period: int, reduction_factor: int, expected: tuple[int, ...]
) -> None:
    assert (
        rung_epochs(epochs, grace_period=grace_period, reduction_factor=reduction_factor)
        == expected
    )


@pytest.mark.parametrize(("grace_period", "reduction_factor"), [(0, 3), (1, 1)])
def test_impossible_rungs_are_refused(grace_period: int, reduction_factor: int) -> None:
    with pytest.raises(ValueError, match="must hold"):
        rung_epochs(10, grace_period=grace_period, reduction_factor=reduction_factor)
