"""Baselines that need no fine-tuning: classifiers on the features of a frozen pretrained backbone.

They cost seconds and tell whether fine-tuning is worth its time: a linear probe (Kornblith et al.
2019, Do Better ImageNet Models Transfer Better?, section 4.1) and k nearest neighbours (Wu et al.
2018, Unsupervised Feature Learning via Non-Parametric Instance Discrimination, section 3.4). Both
choose their one setting by cross-validation on the training images alone.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spaces.recipe import Recipe
from trainable.models.build import create_model
from trainable.speed.convolutions import use_fast_kernels

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

PENALTIES = tuple(10.0**exponent for exponent in range(-4, 3))
"""Values of scikit-learn's ``C``, the inverse of the L2 penalty, that a probe chooses from."""
NEIGHBOURS = (1, 2, 5, 10, 20, 50, 100, 200)
"""Numbers of neighbours that are chosen from."""
NUM_FOLDS = 5
MOST_CHOSEN_ON = 1000
"""Largest number of training images that a setting is chosen on, which bounds the time."""
MOST_ITERATIONS = 100
TEMPERATURE = 0.07
"""Cosine similarity that makes the vote of a neighbour e times as heavy, as in Wu et al."""
LEAST_PROBABILITY = 1e-6
"""Smallest probability of a class, so that every log-loss is finite."""
_QUERIES_AT_ONCE = 1024


def create_backbone(recipe: Recipe, device: torch.device) -> nn.Module:
    """Make the recipe's model with its pretrained weights and without a classifier.

    Returns:
        A module from normalized images to pooled features ``[B, D]``.
    """
    model = create_model(recipe, num_classes=2)
    model.reset_classifier(0)  # type: ignore[operator]  # A method of every timm model.
    model = model.to(device).to(memory_format=torch.channels_last)
    if device.type == "cpu":
        use_fast_kernels(model)
    return model


def frozen_predictions(
    train: Floats, labels: Indices, test: Floats, *, num_classes: int, seed: int
) -> dict[str, Tensor]:
    """Fit both baselines to training features and predict the test images.

    Features are standardised with the mean and the standard deviation of the training images.

    Args:
        train: Features of the training images, ``[N, D]``, ``N`` at least 2.
        labels: Their classes, ``[N]``, at least two different ones.
        test: Features of the test images, ``[M, D]``.
        num_classes: Number of classes, of which training images may lack some.
        seed: Seed of the folds of cross-validation.

    Returns:
        Log-probabilities ``[M, num_classes]`` of ``probe`` and of ``knn``.
    """
    mean, spread = train.mean(axis=0), train.std(axis=0)
    scale = np.where(spread > 0.0, spread, 1.0)
    train, test = (train - mean) / scale, (test - mean) / scale
    return {
        "probe": probe(train, labels, test, num_classes=num_classes, seed=seed),
        "knn": nearest_neighbours(train, labels, test, num_classes=num_classes, seed=seed),
    }


def probe(train: Floats, labels: Indices, test: Floats, *, num_classes: int, seed: int) -> Tensor:
    """Fit a logistic regression, with the L2 penalty of the best accuracy in cross-validation.

    Ties of accuracy are broken by log-loss. Arguments and result as in `frozen_predictions`.
    """
    if len(train) < train.shape[1]:
        # The penalty leaves the weights in the span of the training features: the same fit in
        # fewer dimensions.
        axes = np.linalg.svd(train, full_matrices=False)[2].T
        train, test = train @ axes, test @ axes
    chosen, folds = _folds(labels, seed)
    scores = np.zeros(len(PENALTIES))
    for fold in range(NUM_FOLDS):
        held_out, kept = chosen[folds == fold], chosen[folds != fold]
        if len(held_out) == 0 or len(set(labels[kept].tolist())) < 2:
            continue
        fits = _fits(train[kept], labels[kept], PENALTIES)
        for i, model in enumerate(fits):
            predicted = _probabilities(model, train[held_out], num_classes)
            scores[i] += len(held_out) * _score(predicted, labels[held_out], len(chosen))
    best = PENALTIES[int(scores.argmax())]
    (model,) = _fits(train, labels, [best])
    return torch.from_numpy(np.log(_probabilities(model, test, num_classes)))


def nearest_neighbours(
    train: Floats, labels: Indices, test: Floats, *, num_classes: int, seed: int
) -> Tensor:
    """Let the most similar training images vote, as many as are best in leave-one-out.

    The vote of a neighbour is ``exp(cosine similarity / TEMPERATURE)``; one vote more is spread
    over all classes, so that none has probability 0. Arguments and result as in
    `frozen_predictions`.
    """
    bank, queries = _unit_length(train), _unit_length(test)
    targets = torch.from_numpy(labels)
    counts = [k for k in NEIGHBOURS if k < len(train)] or [1]
    chosen, _ = _folds(labels, seed)
    similar, nearest = _most_similar(bank[chosen], bank, counts[-1] + 1)
    # An image is its own nearest neighbour, or a copy of it is, which is the same.
    is_self = nearest == torch.from_numpy(chosen)[:, None]
    similar = similar.masked_fill(is_self, -math.inf)
    order = similar.argsort(dim=1, descending=True, stable=True)[:, : counts[-1]]
    similar, nearest = similar.gather(1, order), nearest.gather(1, order)
    scores = [
        _score(
            _votes(similar[:, :k], targets[nearest[:, :k]], num_classes).numpy(),
            labels[chosen],
            len(chosen),
        )
        for k in counts
    ]
    best = counts[int(np.argmax(scores))]
    similar, nearest = _most_similar(queries, bank, min(best, len(train)))
    return _votes(similar, targets[nearest], num_classes).log()


def _folds(labels: Indices, seed: int) -> tuple[Indices, Indices]:
    """Draw the images that a setting is chosen on, and the fold of each, balanced by class."""
    shuffled = np.random.default_rng((seed, len(labels))).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    chosen = by_class[:: math.ceil(len(labels) / MOST_CHOSEN_ON)]
    return chosen, np.arange(len(chosen)) % NUM_FOLDS


def _fits(
    features: Floats, labels: Indices, penalties: Sequence[float]
) -> Iterator["LogisticRegression"]:
    """Fit one model per penalty, each from the weights of the one before."""
    # Imported late, as the start of a search would wait for it otherwise.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=MOST_ITERATIONS, warm_start=True)
    for penalty in penalties:
        model.set_params(C=penalty)
        with warnings.catch_warnings():
            # With a weak penalty it may end early, which cross-validation judges like all else.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features, labels)
        yield model


def _probabilities(
    model: "LogisticRegression", features: Floats, num_classes: int
) -> NDArray[np.float64]:
    found = np.zeros((len(features), num_classes))
    found[:, model.classes_] = model.predict_proba(features)
    found = np.maximum(found, LEAST_PROBABILITY)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _score(probabilities: NDArray[np.floating], labels: Indices, num_images: int) -> float:
    """Return the accuracy, with ties broken by a term below half an image's contribution."""
    right = float((probabilities.argmax(axis=1) == labels).mean())
    loss = -float(np.log(probabilities[np.arange(len(labels)), labels]).mean())
    return right - 0.5 / num_images * loss / (1.0 + loss)


def _unit_length(features: Floats) -> Tensor:
    return nn.functional.normalize(torch.from_numpy(features), dim=1)


def _most_similar(queries: Tensor, bank: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return cosine similarities and positions of the ``count`` most similar rows of ``bank``."""
    found = [
        torch.topk(part @ bank.T, min(count, len(bank)), dim=1)
        for part in torch.split(queries, _QUERIES_AT_ONCE)
    ]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def _votes(similar: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Turn the neighbours of each image into class probabilities ``[N, num_classes]``."""
    weights = (similar.double() / TEMPERATURE).softmax(dim=1) * similar.shape[1]
    votes = torch.full((len(similar), num_classes), 1.0 / num_classes, dtype=torch.float64)
    votes.scatter_add_(1, classes, weights)
    return votes / votes.sum(dim=1, keepdim=True)
