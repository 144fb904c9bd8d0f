"""Notes of a plan on classes that differ much in size."""

from collections.abc import Collection

from search.plan.plan import DataFacts
from search.records.metrics import BALANCED_TOP1, TOP1, Metric, decided_by
from spaces.strengths.class_weighting import CLASS_WEIGHTING, SEARCHED_ABOVE


def imbalance_notes(data: DataFacts, *, metric: str) -> list[str]:
    """Write a sentence on classes that differ by more than `SEARCHED_ABOVE` in training images.

    It tells what always predicting the largest class would reach, which is what top-1 has to be
    held against, and what the smallest class weighs if classes count equally.

    Args:
        data: The dataset.
        metric: Name under which a run reports the metric of its search, such as ``val/top1``.
    """
    trained = [train for train, _, _ in data.images_per_class]
    if not trained or max(trained) <= SEARCHED_ABOVE * min(trained):
        return []
    small, large = trained.index(min(trained)), trained.index(max(trained))
    validated = [val for _, val, _ in data.images_per_class]
    said = (
        f"Classes differ in size: {data.class_names[large]} has {trained[large]} training images, "
        f"{data.class_names[small]} has {trained[small]}."
    )
    if not sum(validated):
        return [said]
    always = TOP1.unit.value(validated[large] / sum(validated))
    num_present = sum(val > 0 for val in validated)
    said += (
        f" Always predicting {data.class_names[large]} would get {always} of the validation "
        f"images right, and {BALANCED_TOP1.unit.value(1 / num_present)} {BALANCED_TOP1.words}."
    )
    first = decided_by(metric)
    if first.over_classes:
        return [f"{said} {_weight(data, first)}"]
    return [
        f"{said} This run is judged by {first.words}, where every image counts equally; with "
        f"`--metric {BALANCED_TOP1.name}` every class does."
    ]


def weighting_notes(searched: Collection[str]) -> list[str]:
    """Write a sentence on class weights if they are among the names that are searched."""
    name = CLASS_WEIGHTING.name
    if name not in searched:
        return []
    return [
        f"{CLASS_WEIGHTING.label.capitalize()} in the loss are covered too (`{name}`): from 0, "
        "where every training image weighs the same, to 1, where every class does."
    ]


def _weight(data: DataFacts, metric: Metric) -> str:
    """Say what one image of the class with the fewest validation images weighs."""
    validated = [val for _, val, _ in data.images_per_class]
    present = [val for val in validated if val]
    name = data.class_names[validated.index(min(present))]
    points = metric.unit.change(1 / (len(present) * min(present))).lstrip("+")
    return (
        f"One of the {min(present)} validation images of {name} is worth {points} of "
        f"{metric.words}."
    )
