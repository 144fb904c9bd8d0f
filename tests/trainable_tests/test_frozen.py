"""Classifiers on frozen features: what they find, what they are chosen on, and that it is cheap."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from trainable.evaluation import quick_metrics
from trainable.on_test import frozen

CLASSES, DIMENSIONS = 4, 30
ROLES = ("probe", "knn")


def drawn(
    num: int, *, seed: int = 0, noise: float = 1.0, classes: int = CLASSES
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features around one centre per class; the centres are the same for every seed."""
    centres = np.random.default_rng(99).normal(size=(CLASSES, DIMENSIONS))
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % classes
    features = centres[labels] + noise * rng.normal(size=(num, DIMENSIONS))
    return features.astype(np.float32), labels.astype(np.int64)


def predicted(noise: float, *, num: int = 80, classes: int = CLASSES) -> dict[str, torch.Tensor]:
    train, labels = drawn(num, noise=noise, classes=classes)
    test, _ = drawn(200, seed=1, noise=noise)
    return frozen.frozen_predictions(train, labels, test, num_classes=CLASSES, seed=0)


@pytest.mark.parametrize("role", ROLES)
def test_what_the_features_tell_apart_is_told_apart_and_what_they_do_not_is_not(role: str) -> None:
    labels = torch.arange(200) % CLASSES
    assert quick_metrics(predicted(0.5)[role], labels)["top1"] > 0.97
    assert 0.1 < quick_metrics(predicted(100.0)[role], labels)["top1"] < 0.4


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("noise", [0.5, 100.0])
def test_predictions_are_logarithms_of_finite_probabilities(role: str, noise: float) -> None:
    probabilities = predicted(noise)[role].exp()
    assert probabilities.shape == (200, CLASSES)
    assert probabilities.min() > 0.0
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(200, dtype=torch.float64))


@pytest.mark.parametrize("role", ROLES)
def test_a_class_without_training_images_is_never_predicted(role: str) -> None:
    found = predicted(0.5, classes=CLASSES - 1)[role]
    assert found.isfinite().all()
    assert found.argmax(dim=1).max() < CLASSES - 1


@pytest.mark.parametrize("role", ROLES)
def test_two_images_are_enough_to_train_on(role: str) -> None:
    found = predicted(0.5, num=2, classes=2)[role]
    assert found.isfinite().all()


@pytest.mark.parametrize("penalty", [1e-2, 1.0])
def test_in_fewer_dimensions_the_probe_is_the_same_fit(
    penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "PENALTIES", (penalty,))
    train, labels = drawn(20)
    test, _ = drawn(50, seed=1)
    found = frozen.probe(train, labels, test, num_classes=CLASSES, seed=0).exp().numpy()
    slow = LogisticRegression(C=penalty, max_iter=1000, tol=1e-8).fit(train.astype(float), labels)
    assert len(train) < DIMENSIONS
    np.testing.assert_allclose(found, slow.predict_proba(test.astype(float)), atol=2e-3)


def test_a_strong_penalty_is_chosen_where_labels_are_noise_and_a_weak_one_where_they_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted: list[float] = []
    fits = frozen._fits

    def spied(features, labels, penalties):  # type: ignore[no-untyped-def]
        fitted[:] = penalties
        return fits(features, labels, penalties)

    monkeypatch.setattr(frozen, "_fits", spied)
    chosen = {}
    for noise in (0.3, 6.0):
        train, labels = drawn(200, noise=noise)
        frozen.probe(train, labels, train[:1], num_classes=CLASSES, seed=0)
        [chosen[noise]] = fitted  # The last fit is that of all training images.
    assert chosen[6.0] < chosen[0.3]


def test_one_neighbour_votes_where_images_come_in_pairs_and_no_image_for_itself() -> None:
    rng = np.random.default_rng(0)
    # Pairs of near copies, with a class of their own each: a second neighbour only misleads.
    pairs = np.repeat(rng.normal(size=(60, DIMENSIONS)), 2, axis=0)
    pairs += 0.01 * rng.normal(size=pairs.shape)
    classes = np.repeat(rng.integers(0, CLASSES, 60), 2)
    new = pairs[::2] + 0.01 * rng.normal(size=(60, DIMENSIONS))
    found = frozen.nearest_neighbours(
        pairs.astype(np.float32), classes, new.astype(np.float32), num_classes=CLASSES, seed=0
    )
    assert (found.argmax(dim=1).numpy() == classes[::2]).all()
    # An image does not vote for itself: classes without any relation to features stay unknown.
    noise = rng.normal(size=(120, DIMENSIONS)).astype(np.float32)
    unknown = frozen.nearest_neighbours(noise, classes, noise, num_classes=CLASSES, seed=0)
    assert float(unknown.exp().max(dim=1).values.mean()) < 0.9


def test_no_more_images_are_chosen_on_than_bounded_and_folds_are_balanced_by_class() -> None:
    labels = np.arange(5000) % CLASSES
    chosen, folds = frozen._folds(labels, seed=0)
    assert len(chosen) == len(set(chosen)) <= frozen.MOST_CHOSEN_ON
    for fold in range(frozen.NUM_FOLDS):
        counts = np.bincount(labels[chosen[folds == fold]], minlength=CLASSES)
        assert counts.max() - counts.min() <= 1


def test_the_same_seed_gives_the_same_predictions() -> None:
    for role, found in predicted(1.0).items():
        assert torch.equal(found, predicted(1.0)[role])
