"""What a plan takes of the recipe held against the reference, and where trials may be stopped."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.plan.config import RunConfig
from search.plan.plan import Plan
from search.plan.planning import make_plan, rung_epochs
from search.stages.experiment import experiment_factors
from spaces.errors import InputError
from trainable.data.file_facts import FileFacts
from trainable.models.build import describe_model
from trainable.models.pretrained import weights_folder


def plan_of(tmp_path: Path, **changes: Any) -> Plan:
    """A plan for 300 digits, from scratch, without anything being timed."""
    config = RunConfig(
        dataset="small-transfer",
        run_dir=str(tmp_path),
        run_name="r",
        data_dir=str(tmp_path),
        created="",
        pretrained=False,
        **({"amp_dtype": "none"} | changes),
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


def test_everything_off_has_no_dropout_and_the_plan_says_who_has(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, model="ghostnet_050", image_size=32)
    rates = {role: recipe.dropout for role, recipe in plan.anchors.items()}
    assert rates == {"reference": 0.2, "scaled": 0.2, "off": 0.0}
    (note,) = [note for note in plan.notes if "dropout of 0.2" in note]
    assert "everything off trains without it" in note


def test_a_plan_of_an_older_version_leaves_dropout_to_the_architecture_as_it_did(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path, model="test_resnet")
    data = plan.to_dict()
    for recipe in data["anchors"].values():
        del recipe["dropout"]
    del data["task"]["deepest_share"]
    config = RunConfig(dataset="d", run_dir=str(tmp_path), run_name="r", data_dir="", created="")
    old = Plan.from_dict(data, config=config)
    assert {recipe.dropout for recipe in old.anchors.values()} == {None}
    assert old.task.deepest_share == 1.0


def test_a_dropout_that_the_model_has_no_layer_for_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: resnet18_cifar\ndropout: 0.1\n")
    with pytest.raises(InputError, match="`dropout` must be 0 or null for resnet18_cifar"):
        plan_of(tmp_path, reference=str(path))


def test_model_and_size_are_those_of_the_reference_file_unless_a_flag_says_otherwise(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: test_resnet\nimage_size: 48\n")
    plan = plan_of(tmp_path, reference=str(path))
    assert (plan.reference.model, plan.reference.image_size) == ("test_resnet", 48)
    assert plan.task.num_blocks == describe_model("test_resnet").num_blocks
    flagged = plan_of(tmp_path, reference=str(path), model="vgg11", image_size=32)
    assert (flagged.reference.model, flagged.reference.image_size) == ("vgg11", 32)
    assert flagged.task.num_blocks == 0


def test_what_a_timm_file_says_beyond_a_recipe_is_in_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "args.yaml"
    args = "model: test_resnet\nopt: adamw\nsched: cosine\nlr: 1e-3\nbatch_size: 32\nepochs: 20\n"
    path.write_text(args + "crop_pct: 0.9\nworkers: 8\n")
    notes = plan_of(tmp_path, reference=str(path)).notes
    assert any(note.startswith("args.yaml: `crop_pct` = 0.9") for note in notes)
    assert any("Without effect here: workers = 8" in note for note in notes)
    path.write_text(args + "initial_checkpoint: ./weights.pth\n")
    with pytest.raises(InputError, match=r"starts from the weights in \./weights\.pth") as caught:
        plan_of(tmp_path, reference=str(path))
    assert f"{weights_folder() / 'test_resnet'}.safetensors" in str(caught.value)


def test_a_reference_that_leaves_the_drop_path_out_has_that_of_the_model(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path, model="swin_tiny_patch4_window7_224", image_size=32, reference="timm_defaults"
    )
    assert plan.reference.strengths.drop_path_rate == pytest.approx(0.1)
    assert plan.anchors["off"].strengths.drop_path_rate == 0.0
    plain = plan_of(tmp_path, model="test_resnet", reference="timm_defaults")
    assert plain.reference.strengths.drop_path_rate == 0.0
    assert plain.reference.dropout == 0.0


def planned(tmp_path: Path, *ranges: str) -> Plan:
    """A diagnosis of the published strengths against a file with MixUp and another rate."""
    best = tmp_path / "best.yaml"
    best.write_text("mixup_alpha: 0.4\nlr: 0.002\nstrengths: {label_smoothing: 0.0}\n")
    return plan_of(tmp_path, model="test_resnet", best=str(best), ranges=ranges)


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
