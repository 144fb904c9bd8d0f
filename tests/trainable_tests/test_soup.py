"""A soup is chosen on validation images, measured once on test images, and what it says it is."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from spaces.recipe import Recipe
from tests.support.local_trainable import LocalTrainable, trained
from tests.support.toy_training import TOY, toy_dataset
from trainable.batch_norm import refresh_batch_norm
from trainable.data.datasets import Dataset
from trainable.evaluation import quick_metrics
from trainable.measurement import Measured, Measurement
from trainable.models import build
from trainable.on_test.lent_weights import are_there, read_weights, write_weights
from trainable.on_test.soup import greedy_soup
from trainable.run_spec import RunSpec, Soup
from trainable.trainer import Trainer

DATASET = toy_dataset()
PRETRAINED = replace(TOY, epochs=2, pretrained=True)
OTHERS = {
    "confirm-0000": PRETRAINED.with_strengths(label_smoothing=0.0),
    "confirm-0001": PRETRAINED.with_strengths(weight_decay=0.5, ema_decay=0.0),
}


@pytest.fixture(autouse=True)
def _weights_of_imagenet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that are the same in every run, as pretrained ones are."""

    def made(name: str, given: dict[str, Any]) -> torch.nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(5)
            return timm.create_model(name, **given)

    monkeypatch.setattr(build, "_with_timm_weights", made)


def run_of(recipe: Recipe, dataset: Dataset = DATASET) -> tuple[Trainer, Measured]:
    run = Trainer(recipe, dataset, dataset.split)
    for _ in range(recipe.epochs):
        run.train_epoch()
    return run, run.measure("val", "test")


def lent(folder: Path, scores: Mapping[str, float] | None = None) -> Soup:
    """The weights of `OTHERS` in files, with their scores, or the ones given."""
    found = {}
    for name, recipe in OTHERS.items():
        run, measured = run_of(recipe)
        write_weights(str(folder / name), run.shipped_weights())
        found[name] = measured.metrics["val/top1"]
    return Soup(
        locations={name: str(folder / name) for name in OTHERS},
        scores=found if scores is None else scores,
        metric="top1",
        sign=1.0,
    )


# The greedy rule


def of(value: float) -> dict[str, Tensor]:
    return {"w": torch.full((3,), value), "batches": torch.tensor(round(value))}


def cooked(scores: Mapping[str, float], values: Mapping[str, float], by_mean: Any) -> Any:
    asked: list[float] = []

    def score_of(weights: Mapping[str, Tensor]) -> float:
        asked.append(float(weights["w"][0]))
        score: float = by_mean(asked[-1])
        return score

    chosen, mean = greedy_soup(scores, lambda name: of(values[name]), score_of)
    expected = np.mean([values[name] for name in chosen])
    torch.testing.assert_close(mean["w"], torch.full((3,), float(expected)))
    assert not mean["batches"].is_floating_point()
    return chosen, asked


def test_it_begins_with_the_best_and_keeps_what_does_no_harm() -> None:
    values = {"a": 0.0, "b": 4.0, "c": 8.0, "d": 1.0}
    scores = {"a": 0.7, "b": 0.9, "c": 0.8, "d": 0.6}
    # b, then b + c at 6 is worse, then b + a at 2 is equal, then b + a + d at 5/3 is better.
    better = {6.0: 0.89, 2.0: 0.9}
    chosen, asked = cooked(scores, values, lambda mean: better.get(mean, 0.95))
    assert chosen == ["b", "a", "d"]
    assert asked == pytest.approx([6.0, 2.0, 5.0 / 3.0])


def test_the_bar_rises_with_each_ingredient_that_helps() -> None:
    values = {"a": 0.0, "b": 2.0, "c": 7.0}
    scores = {"a": 0.9, "b": 0.8, "c": 0.7}
    # a + b scores more than a; a + b + c scores more than a, and less than a + b.
    chosen, _ = cooked(scores, values, lambda mean: {1.0: 0.95, 3.0: 0.93}[round(mean, 6)])
    assert chosen == ["a", "b"]


@pytest.mark.parametrize("score", [float("nan"), -float("inf"), 0.49])
def test_one_that_harms_or_has_no_score_is_left_out(score: float) -> None:
    chosen, _ = cooked({"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 3.0}, lambda mean: score)
    assert chosen == ["a"]


def test_of_equal_ones_the_first_named_is_first() -> None:
    for names in (("own", "x"), ("x", "own")):
        scores = dict.fromkeys(names, 0.5)
        assert cooked(scores, {"own": 0.0, "x": 1.0}, lambda mean: 0.5)[0] == list(names)


# The soup of real runs


def test_it_is_the_mean_of_what_ships_with_statistics_of_its_own(tmp_path: Path) -> None:
    # With such scores everything is added.
    soup = lent(tmp_path, dict.fromkeys(OTHERS, -1.0))
    run, measured = run_of(PRETRAINED)
    own = {**soup.scores, "own": -2.0}
    measured = replace(measured, metrics={**measured.metrics, "val/top1": -0.5})
    found = run.soup_on_test(measured, soup)
    assert found is not None
    assert found.metrics["test_soup/ingredients"] == len(own)
    all_weights = [run.shipped_weights(), *(read_weights(at) for at in soup.locations.values())]
    mean = {
        name: torch.stack([of[name] for of in all_weights if of is not None]).float().mean(0)
        for name, tensor in run.shipped_weights().items()
        if tensor.is_floating_point()
    }
    model = timm.create_model(TOY.model, num_classes=3)
    model.load_state_dict(mean, strict=False)
    images = run._normalize(DATASET.images[DATASET.split.train])
    refresh_batch_norm(model, [images])
    with torch.no_grad():
        logits = model.eval()(run._normalize(DATASET.images[DATASET.split.test]))
    labels = torch.from_numpy(np.array(DATASET.labels))[DATASET.split.test]
    for name, value in quick_metrics(logits, labels).items():
        assert found.metrics[f"test_soup/{name}"] == pytest.approx(value, abs=1e-4)
    assert found.images["soup"].correct.mean() == pytest.approx(found.metrics["test_soup/top1"])


def test_a_soup_of_the_run_alone_is_the_run_to_the_last_bit(tmp_path: Path) -> None:
    soup = replace(lent(tmp_path, dict.fromkeys(OTHERS, 0.0)), metric="nll", sign=1.0)
    run, measured = run_of(PRETRAINED)
    # No average reaches this.
    measured = replace(measured, metrics={**measured.metrics, "val/nll": 1e9})
    found = run.soup_on_test(measured, soup)
    assert found is not None
    assert found.metrics["test_soup/ingredients"] == 1.0
    np.testing.assert_array_equal(found.images["soup"].nll, measured.shipped["test"].nll)


def test_another_recipe_s_run_alone_is_measured_as_it_ships(tmp_path: Path) -> None:
    soup = replace(lent(tmp_path, {"confirm-0000": 1e9, "confirm-0001": 0.0}), metric="nll")
    run, measured = run_of(PRETRAINED)
    found = run.soup_on_test(measured, soup)
    _, other = run_of(OTHERS["confirm-0000"])
    assert found is not None
    np.testing.assert_allclose(found.images["soup"].nll, other.shipped["test"].nll, atol=1e-5)


def test_validation_images_choose_and_test_images_are_looked_at_once_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soup = lent(tmp_path)
    run, measured = run_of(PRETRAINED)
    looked: list[str] = []
    plain = Measurement.outputs_of

    def watched(self: Measurement, model: torch.nn.Module, part: str) -> Tensor:
        looked.append(part)
        return plain(self, model, part)

    monkeypatch.setattr(Measurement, "outputs_of", watched)
    found = run.soup_on_test(replace(measured, logits={}), soup)
    assert found is not None
    assert found.metrics["test_soup/ingredients"] > 1
    assert looked == ["val"] * len(OTHERS) + ["test"]


@pytest.mark.parametrize("part", ["labels", "images"])
def test_no_test_image_and_no_label_of_one_changes_the_choice(tmp_path: Path, part: str) -> None:
    soup = lent(tmp_path)
    test = DATASET.split.test
    labels, images = np.array(DATASET.labels), np.array(DATASET.images)
    if part == "labels":
        labels[test] = np.roll(labels[test], 1)
    else:
        images[test] = 255 - images[test]
    changed = replace(DATASET, labels=labels, images=images)
    found = []
    for dataset in (DATASET, changed):
        run, measured = run_of(PRETRAINED, dataset)
        found.append(run.soup_on_test(measured, soup))
    before, after = found
    assert before is not None
    assert after is not None
    key = "test_soup/ingredients"
    assert before.metrics[key] == after.metrics[key] > 1
    assert before.metrics["test_soup/nll"] != after.metrics["test_soup/nll"]


def test_it_leaves_the_run_s_model_and_averages_as_they_were(tmp_path: Path) -> None:
    soup = lent(tmp_path)
    run, measured = run_of(replace(PRETRAINED, ema_batch_norm="measured"))
    before = run.shipped_weights()
    run.soup_on_test(measured, soup)
    after = run.shipped_weights()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert run.measure("val", "test").metrics["test/nll"] == measured.metrics["test/nll"]


# What a worker does


def a_trial(number: int, recipe: Recipe, **asked: Any) -> LocalTrainable:
    spec = RunSpec(recipe=recipe, split_seed=3, evaluate_on="test", **asked)
    return LocalTrainable({"trial_id": f"confirm-{number:04d}", "spec": spec.to_dict()})


def ended(trial: LocalTrainable) -> dict[str, Any]:
    first = trained(trial)
    assert not [name for name in first["metrics"] if "soup" in name]
    return trained(trial)


def test_a_worker_lends_its_weights_before_it_reports_and_another_averages_them(
    tmp_path: Path,
) -> None:
    locations = {name: str(tmp_path / "weights" / f"{name}.safetensors") for name in OTHERS}
    for number, (name, recipe) in enumerate(OTHERS.items()):
        trial = a_trial(number, recipe, weights_to=locations[name])
        trained(trial)
        assert not Path(locations[name]).exists()
        trained(trial)
        assert Path(locations[name]).exists()
    soup = Soup(locations=locations, scores=dict.fromkeys(OTHERS, 1.0), metric="top1", sign=1.0)
    with_soup = ended(a_trial(2, PRETRAINED, soup=soup))
    assert with_soup["metrics"]["test_soup/ingredients"] >= 1.0
    assert "soup_correct" in with_soup["by_image"]
    # All else that it reports is as without one, and so is the same after a crash.
    without = ended(a_trial(2, PRETRAINED))
    for name in ("test/top1", "test/nll", "val/nll"):
        assert with_soup["metrics"][name] == without["metrics"][name]
    again = ended(a_trial(2, PRETRAINED, soup=soup))
    assert again["by_image"] == with_soup["by_image"]
    # Where weights are gone or not whole there is no soup of the others, and all else is as ever.
    lent = Path(locations["confirm-0000"])
    for broken in (lent.read_bytes()[:100], None):
        lent.unlink()
        if broken is not None:
            lent.write_bytes(broken)
        found = ended(a_trial(2, PRETRAINED, soup=soup))
        assert not [name for name in found["metrics"] if "soup" in name]
        assert found["metrics"]["test/nll"] == without["metrics"]["test/nll"]


def test_a_worker_that_cannot_write_its_weights_reports_its_results_all_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "weights").write_text("a file where the folder should be")
    place = str(tmp_path / "weights" / "confirm-0000.safetensors")
    assert "test/top1" in ended(a_trial(0, PRETRAINED, weights_to=place))["metrics"]


def test_a_crash_while_weights_are_written_leaves_the_old_file_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(tmp_path / "weights" / "confirm-0000.safetensors")
    assert not are_there([place])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("trainable.on_test.lent_weights.commit", killed)
        with pytest.raises(KeyboardInterrupt):
            write_weights(place, of(1.0))
    assert not are_there([place])
    write_weights(place, of(2.0))
    assert are_there([place])
    found = read_weights(place)
    torch.testing.assert_close(found["w"], torch.full((3,), 2.0))
    whole = Path(place).read_bytes()
    for damaged in (whole[:-4], whole[:3], b"", bytes(len(whole))):
        Path(place).write_bytes(damaged)
        with pytest.raises(OSError, match="holds no weights"):
            read_weights(place)
