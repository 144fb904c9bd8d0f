"""What a worker keeps of each test image is what the confirmation reads."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.records.files import write_json
from search.records.trials import Record, Trial, TrialSpec
from search.stages.fresh_runs import read_result
from tests.support.finished_run import REFERENCE
from trainable.evaluation import class_metrics
from trainable.measuring.image_results import ImageResults
from trainable.ray_trainable import _classes, _packed

METRICS = {"test/top1": 0.5, "test/nll": 1.0, "test_raw/top1": 0.25, "val/top1": 0.9}


def images(seed: int) -> ImageResults:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, 50)
    return ImageResults(
        label=label,
        predicted=np.where(rng.random(50) < 0.7, label, rng.integers(0, 3, 50)),
        nll=rng.random(50).astype(np.float32),
    )


def a_trial(*, ema_decay: float) -> Trial:
    spec = TrialSpec(
        stage="confirm",
        number=0,
        role="reference",
        recipe=replace(REFERENCE.with_strengths(ema_decay=ema_decay), epochs=1),
        evaluate_on="test",
    )
    record = Record(trial_id=spec.trial_id, stage="confirm", epoch=1, metrics=METRICS)
    return Trial(spec=spec, records=(record,), status="finished")


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_each_image_has_its_result_and_its_contribution(
    tmp_path: Path, ema_decay: float, raw: bool
) -> None:
    shipped, of_raw = images(0), replace(images(1), label=images(0).label)
    kept = _packed(shipped) | _classes(shipped)
    if ema_decay:
        kept |= {f"raw_{key}": text for key, text in _packed(of_raw).items()}
    trial = a_trial(ema_decay=ema_decay)
    (tmp_path / "predictions").mkdir()
    write_json(tmp_path / "predictions" / f"{trial.spec.trial_id}.json", kept)
    found = read_result(tmp_path, trial, 50, measured="raw" if raw else "")
    expected = of_raw if raw and ema_decay else shipped
    assert found.metrics["test/top1"] == (0.25 if raw else 0.5)
    assert found.images["test/top1"].tolist() == expected.correct.tolist()
    np.testing.assert_allclose(found.images["test/nll"], expected.nll, rtol=1e-3)
    assert found.classes is not None
    assert found.classes.tolist() == expected.label.tolist()
    for name, metric in class_metrics(expected.label, expected.predicted, 3).items():
        np.testing.assert_allclose(found.images[f"test/{name}"], metric.contributions, rtol=1e-6)


def test_a_run_of_an_older_version_lacks_what_it_did_not_keep(tmp_path: Path) -> None:
    kept = {key: text for key, text in _packed(images(0)).items() if key in ("correct", "nll")}
    trial = a_trial(ema_decay=0.9)
    (tmp_path / "predictions").mkdir()
    write_json(tmp_path / "predictions" / f"{trial.spec.trial_id}.json", kept)
    found = read_result(tmp_path, trial, 50)
    assert set(found.images) == {"test/top1", "test/nll"}
    assert found.classes is None
    assert not read_result(tmp_path, trial, 50, measured="raw").images
