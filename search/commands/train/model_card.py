"""Description and test results of a trained model, as a Markdown card and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scipy.stats import binomtest

from search.commands.train.job import TrainJob
from search.recipes.data_remarks import class_order
from search.recipes.strict_yaml import number_text, to_yaml
from search.records.metrics import ALWAYS, METRICS, NLL, NLL_REFINED, POINTS, TOP1, Unit
from search.records.provenance import versions
from search.records.strict_json import build
from spaces.errors import InputError
from spaces.strengths.registry import STRENGTHS
from spaces.strengths.strength import Strength
from spaces.units import plain, to_effective
from trainable.models.build import describe_model
from trainable.models.saved_model import MODEL_FILE, loading_code

SCHEMA = "metrics/1"
_NEEDED = tuple(m.on("test") for m in ALWAYS) + tuple(m.on("clean_train") for m in (TOP1, NLL))
"""Metrics that every ``metrics.json`` must hold."""
_BARE = Unit(word="", least_span=0.05)
_OTHERS = {
    "test/top5": ("test top-5", POINTS),
    "test/brier": ("test Brier score, in [0, 2]", _BARE),
    "test/ece": ("test calibration error", _BARE),
}
"""Measures that are reported but cannot decide a run, with label and unit."""
_MOST_CLASSES = 10
_LIBRARIES = ("python", "torch", "torchvision", "timm")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Results of a model, measured once after its last epoch.

    Attributes:
        metrics: Values by name; accuracies in [0, 1], losses in nats.
        test_top1_ci95: Interval of the test accuracy by the number of images alone (Wilson);
            another seed would move it further.
        train_s: Seconds of training.
        per_class_top1: Test accuracy by name of the class, for the weights ``shipped`` and ``raw``;
            classes without test images are left out.
    """

    metrics: Mapping[str, float]
    test_top1_ci95: tuple[float, float]
    train_s: float
    per_class_top1: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        metrics: Mapping[str, float],
        *,
        num_test: int,
        train_s: float,
        per_class_top1: Mapping[str, Mapping[str, float]] | None = None,
    ) -> "Measured":
        """Make the results, with the interval of the test accuracy computed from ``num_test``."""
        hits = round(metrics["test/top1"] * num_test)
        interval = binomtest(hits, num_test).proportion_ci(method="wilson")
        return cls(
            metrics=dict(metrics),
            test_top1_ci95=(float(interval.low), float(interval.high)),
            train_s=train_s,
            per_class_top1=per_class_top1 or {},
        )


def metrics_dict(job: TrainJob, measured: Measured) -> dict[str, Any]:
    """Return the content of ``metrics.json``: the results, and the data behind them."""
    return {
        "schema": SCHEMA,
        "dataset": job.data_name,
        "digest": job.digest,
        "num_train": job.num_train,
        "num_test": job.num_test,
        "seed": job.recipe.seed,
        "epochs": job.recipe.epochs,
        "total_steps": job.task.total_steps,
        "train_s": measured.train_s,
        "metrics": dict(measured.metrics),
        "ci95": {"test/top1": list(measured.test_top1_ci95)},
        "per_class_top1": {name: dict(by) for name, by in measured.per_class_top1.items()},
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kept:
    """The fields of ``metrics.json`` that are not in ``train.json``."""

    metrics: Mapping[str, float]
    ci95: Mapping[str, tuple[float, float]]
    train_s: float
    per_class_top1: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def read_measured(data: Mapping[str, Any], *, where: str = "metrics.json") -> Measured:
    """Convert back from the mapping of `metrics_dict`.

    Raises:
        InputError: If a value is missing or of the wrong type.
    """
    kept = build(_Kept, data, where=where)
    missing = sorted(set(_NEEDED) - set(kept.metrics)) or sorted({"test/top1"} - set(kept.ci95))
    if missing:
        raise InputError(f"{where}: {missing[0]!r} is missing.")
    return Measured(
        metrics=kept.metrics,
        test_top1_ci95=kept.ci95["test/top1"],
        train_s=kept.train_s,
        per_class_top1=kept.per_class_top1,
    )


def model_card(job: TrainJob, measured: Measured) -> str:
    """Write the model card in Markdown."""
    recipe = job.recipe
    sections = [
        f"# {recipe.model} on {job.data_name}",
        summary(job, measured),
        f"## Use it\n\n```python\n{loading_code(recipe, num_classes=len(job.class_names))}```",
        _input(job),
        "## Measured\n\n" + _measured(job, measured),
        "## Data\n\n" + _data(job),
        "## Recipe\n\n" + _recipe(job),
        "## Where the recipe comes from\n\n" + _origin(job),
        "## Made with\n\n" + ", ".join(f"{name} {versions()[name]}" for name in _LIBRARIES),
    ]
    return "\n\n".join(section.rstrip() for section in sections) + "\n"


def summary(job: TrainJob, measured: Measured) -> str:
    """Describe model, data, training and test accuracy in two sentences."""
    recipe = job.recipe
    start = "ImageNet weights" if recipe.pretrained else "random weights"
    low, high = measured.test_top1_ci95
    return (
        f"{recipe.model} from {start}, trained on {job.num_train} images of {job.data_name} "
        f"(training and validation part) for {recipe.epochs} epochs = {job.task.total_steps} "
        f"steps, seed {recipe.seed}. It recognises {measured.metrics['test/top1']:.1%} of "
        f"{job.num_test} test images [{low:.1%}, {high:.1%}]."
    )


def _input(job: TrainJob) -> str:
    info, size = describe_model(job.recipe.model), job.recipe.image_size
    return (
        f"Input: RGB images of {size} x {size} pixels (shorter side scaled to {size}, centre cut "
        f"out, bicubic with antialiasing), as floats in [0, 1], minus mean {_listed(info.mean)}, "
        f"divided by std {_listed(info.std)}; shape batch, 3, {size}, {size}. "
        f"Output: one logit per class, in this order: {_names(job.class_names)}. "
        f"{class_order(job.class_names)} "
        f"The metadata of `{MODEL_FILE}` holds all of this as JSON."
    )


def _shown() -> dict[str, tuple[str, Unit]]:
    """Return label and unit of every metric that may have been measured, by name."""
    metrics = list(METRICS.values())
    plain_ones = [metric for metric in metrics if metric != NLL_REFINED]
    labels = {m.on("test"): (f"test {m.words}", m.unit) for m in metrics}
    labels |= {m.on("clean_train"): (f"{m.words} on training images", m.unit) for m in plain_ones}
    labels |= _OTHERS
    return labels | {
        m.on("test_raw"): (f"test {m.words} of the raw weights", m.unit) for m in plain_ones
    }


def _measured(job: TrainJob, measured: Measured) -> str:
    rows = [
        (
            label if unit.mark or not unit.word else f"{label}, {unit.word}",
            f"{unit.scale * value:.{unit.decimals + 1}f}{unit.mark}",
        )
        for name, (label, unit) in _shown().items()
        if (value := measured.metrics.get(name)) is not None
    ]
    low, high = measured.test_top1_ci95
    search = job.from_search
    lines = [
        _table(("", "value"), rows),
        f"One run with seed {job.recipe.seed}. It looked at the test part ({job.num_test} images) "
        "once, after its last epoch. 95 % interval of test top-1 by the number of images alone: "
        f"{100 * low:.2f} to {100 * high:.2f} %; another seed would move it further.",
    ]
    if shipped := measured.per_class_top1.get("shipped"):
        worst = sorted(shipped.items(), key=lambda item: item[1])[:_MOST_CLASSES]
        rest = f"; all {len(shipped)} are in `metrics.json`" if len(worst) < len(shipped) else ""
        lines.append(
            "Test top-1 by class, lowest first: "
            + ", ".join(f"{name} {100 * value:.1f} %" for name, value in worst)
            + f"{rest}."
        )
    if search and search.is_exported and "test/top1" in search.confirmed:
        lines.append(
            f"The search had confirmed its recipe on the same test images: "
            f"{search.confirmed['test/top1']:.1%} as the mean of {search.seeds} fresh seeds, "
            f"trained on {search.num_train} images each."
        )
    return "\n\n".join(lines)


def _data(job: TrainJob) -> str:
    pooled = f"{job.num_train - job.num_val} + {job.num_val} = {job.num_train}"
    rows = [
        ("dataset", f"`{job.data_name}`"),
        ("digest", f"`{job.digest}`"),
        ("classes", str(len(job.class_names))),
        ("trained on (training + validation part)", pooled),
        ("tested on", str(job.num_test)),
    ]
    return _table(("", ""), rows)


def _recipe(job: TrainJob) -> str:
    rows = [_strength(strength, job) for strength in STRENGTHS.values()]
    parts = [_table(("strength", "in the file", "trained with", "which amounts to"), rows)]
    if job.notes:
        parts.append("\n".join(f"- {note}" for note in job.notes))
    parts.append(f"```yaml\n{to_yaml(job.recipe.to_dict())}```")
    return "\n\n".join(parts)


def _strength(strength: Strength, job: TrainJob) -> tuple[str, ...]:
    written, trained = strength.read(job.as_written), strength.read(job.recipe)
    effective = to_effective(strength.name, trained, job.task)
    return (
        strength.name,
        number_text(float(written)),
        number_text(float(trained)),
        f"{plain(effective)} {strength.unit}",
    )


def _origin(job: TrainJob) -> str:
    search = job.from_search
    if search is None:
        return "A recipe file of its own; no search chose it."
    if not search.is_exported:
        return f"A file beside the search `{search.name}`; not the recipe that it exported."
    if not search.sentence:
        return f"The search `{search.name}`, which has no verdict yet."
    return f"The search `{search.name}`. Its verdict: {search.sentence}"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _listed(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _names(class_names: tuple[str, ...], *, most: int = 20) -> str:
    shown = ", ".join(class_names[:most])
    return shown if len(class_names) <= most else f"{shown}, ... ({len(class_names)} in all)"
