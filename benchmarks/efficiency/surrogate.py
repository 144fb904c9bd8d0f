"""A learning curve for any recipe: what a replayed search trains instead of a network.

Searchers propose points between the recorded ones. Taking the nearest recorded recipe would turn
every axis into a few steps and hand the same noise to neighbours, so the curves are fitted: their
principal components by Gaussian processes over the strengths, on scales on which the curves are
smooth. The fitted mean is the truth that a pick is judged by. A trial sees the mean plus the
residual of a recorded recipe that is about as good: whole, so that noise keeps its size, its
correlation over epochs and metrics, and its growth towards bad recipes.

A fitted surrogate is plain arrays and needs numpy alone: it is handed as a file to an environment
without scikit-learn.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.efficiency.table import METRICS, Table
from spaces.strengths.registry import STRENGTHS

Floats = NDArray[np.float64]

NUM_COMPONENTS = 8
"""Principal components of the curves that are fitted; what the others hold is noise."""
NEIGHBOURS = 40
"""Recorded recipes of about the same quality whose residuals a trial may get."""
_FLATTEST = 3.0
"""EMA window, as a share of the run, beyond which an average is initial weights at any length."""
_LEAST_TOP1 = 0.002
"""Top-1 is fitted as log-odds, kept this far from 0 and 1."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Surrogate:
    """Curves of one problem as a function of the strengths.

    Attributes:
        places: Where the recorded recipes lie, ``[N, 5]``, see `coordinates`.
        scales: Length scales of each component, ``[C, 5]``.
        weights: Weights of the recorded recipes in each component, ``[C, N]``.
        mean: Mean of the transformed curves, ``[D]``.
        basis: Components, ``[C, D]``.
        residuals: Of the recorded recipes, ``[N, D]``.
        quality: Fitted refined log-loss at the end, transformed, ``[N]``.
        steps: Optimizer steps of a run.
        most_drop_path: Strongest recorded drop path.
        pull_per_decay: Total pull of a weight decay of 1.
        epochs: Length of a curve.
    """

    places: Floats
    scales: Floats
    weights: Floats
    mean: Floats
    basis: Floats
    residuals: Floats
    quality: Floats
    steps: int
    most_drop_path: float
    pull_per_decay: float
    epochs: int

    def save(self, path: Path) -> None:
        """Write a file that `load` reads."""
        arrays: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(
                **{name: file[name] if file[name].ndim else file[name].item() for name in file}
            )

    def coordinates(self, strengths: Floats) -> Floats:
        """Raw strengths, ``[M, 5]``, on the scales that the fit uses, each about 0 to 1."""
        raw = dict(zip(STRENGTHS, strengths.T, strict=True))
        most_pull = 10.0 * self.pull_per_decay
        window = 1.0 / (1.0 - raw["ema_decay"])  # In steps; 1 is off.
        return np.stack(
            [
                np.arcsinh(raw["weight_decay"] * self.pull_per_decay / most_pull * 60)
                / np.arcsinh(60),
                raw["label_smoothing"] / 0.2,
                raw["drop_path_rate"] / self.most_drop_path,
                np.log(np.minimum(window, _FLATTEST * self.steps)) / np.log(_FLATTEST * self.steps),
                raw["warmup_fraction"] / 0.3,
            ],
            axis=1,
        )

    def transformed(self, strengths: Floats) -> Floats:
        """Fitted curves and test metrics, ``[M, D]``, on the scales they are fitted on."""
        places = self.coordinates(strengths)
        scores = [
            matern(places, self.places, scale) @ weights
            for scale, weights in zip(self.scales, self.weights, strict=True)
        ]
        fitted: Floats = self.mean + np.stack(scores, axis=1) @ self.basis
        return fitted

    def truth(self, strengths: Floats) -> Floats:
        """Noise-free metrics at the end: `METRICS` on validation, then on test, ``[M, 6]``."""
        return untransformed(self.transformed(strengths)[:, -2 * len(METRICS) :])

    def observed(self, strengths: Floats, rng: np.random.Generator) -> Floats:
        """Draw the metrics of one run of a recipe (``[5]``) after each epoch, ``[epochs, 3]``."""
        fitted = self.transformed(strengths[None])[0]
        distance = np.abs(self.quality - fitted[-len(METRICS) - 1])
        chosen = rng.choice(np.argsort(distance)[:NEIGHBOURS])
        noisy = untransformed(fitted + self.residuals[chosen])
        return noisy[: -len(METRICS)].reshape(self.epochs, len(METRICS))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fit:
    """A surrogate, and what it says of each recorded run when it has not seen it.

    Attributes:
        surrogate: Fitted on all recipes of seed 0.
        left_out: Curves of each recipe by the others, all of its run left out; transformed,
            ``[N, D]``.
        actual: The recorded ones, ``[N, D]``.
    """

    surrogate: Surrogate
    left_out: Floats
    actual: Floats


def fit(table: Table, *, seed: int = 0) -> Fit:
    """Fit the recorded recipes of one seed, which share split, weights and batch order."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    table = table.only(table.seed == seed)
    task = table.problem.task
    actual = transformed(table)
    mean = actual.mean(axis=0)
    _, _, basis = np.linalg.svd(actual - mean, full_matrices=False)
    basis = basis[:NUM_COMPONENTS]
    scores = (actual - mean) @ basis.T
    num, num_components = scores.shape
    parts = {
        "scales": np.zeros((num_components, len(STRENGTHS))),
        "weights": np.zeros((num_components, num)),
    }
    surrogate = Surrogate(
        places=np.zeros((num, len(STRENGTHS))),
        **parts,
        mean=mean,
        basis=basis,
        residuals=np.zeros_like(actual),
        quality=np.zeros(num),
        steps=task.total_steps,
        most_drop_path=table.problem.most_drop_path,
        pull_per_decay=task.lr * task.total_steps,
        epochs=task.epochs,
    )
    surrogate.places[:] = surrogate.coordinates(table.strengths)
    residuals, left_out = np.zeros_like(scores), np.zeros_like(scores)
    runs = [np.flatnonzero(table.point == point) for point in np.unique(table.point)]
    kernel = ConstantKernel() * Matern(np.ones(5), (0.05, 50.0), nu=2.5) + WhiteKernel(0.1)
    for i in range(num_components):
        size = scores[:, i].std()
        model = GaussianProcessRegressor(kernel, random_state=0)
        model.fit(surrogate.places, scores[:, i] / size)
        amplitude, noise = model.kernel_.k1.k1.constant_value, model.kernel_.k2.noise_level
        surrogate.scales[i] = model.kernel_.k1.k2.length_scale
        surrogate.weights[i] = amplitude * model.alpha_ * size
        covariance = amplitude * matern(surrogate.places, surrogate.places, surrogate.scales[i])
        inverse = np.linalg.inv(covariance + noise * np.eye(num))
        # A residual of n points is shrunk by what the fit took of its own noise; undone here.
        residuals[:, i] = size * np.sqrt(noise) * model.alpha_ / np.sqrt(np.diag(inverse))
        for run in runs:
            error = np.linalg.solve(inverse[np.ix_(run, run)], model.alpha_[run])
            left_out[run, i] = scores[run, i] - size * error
    surrogate.residuals[:] = residuals @ basis + (actual - mean - scores @ basis)
    surrogate.quality[:] = surrogate.transformed(table.strengths)[:, -len(METRICS) - 1]
    return Fit(surrogate=surrogate, left_out=mean + left_out @ basis, actual=actual)


def matern(a: Floats, b: Floats, scales: Floats) -> Floats:
    """Matern's kernel with smoothness 5/2, ``[M, N]``."""
    a, b = a / scales, b / scales
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    distance = np.sqrt(5 * np.maximum(squared, 0.0))
    kernel: Floats = (1 + distance + distance**2 / 3) * np.exp(-distance)
    return kernel


def transformed(table: Table) -> Floats:
    """Validation after each epoch, then test: log-losses as logarithms, top-1 as log-odds."""
    metrics = np.concatenate([table.curves, table.test[:, None]], axis=1)
    top1 = np.clip(metrics[..., :1], _LEAST_TOP1, 1 - _LEAST_TOP1)
    scaled = np.concatenate([np.log(top1 / (1 - top1)), np.log(metrics[..., 1:])], axis=2)
    return scaled.reshape(len(scaled), -1)


def untransformed(values: Floats) -> Floats:
    """The inverse of `transformed`, for any number of whole epochs."""
    shaped = values.reshape(*values.shape[:-1], -1, len(METRICS))
    metrics = np.concatenate([1 / (1 + np.exp(-shaped[..., :1])), np.exp(shaped[..., 1:])], axis=-1)
    return metrics.reshape(values.shape)
