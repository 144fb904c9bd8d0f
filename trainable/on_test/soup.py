"""A soup: the average of the final weights of several runs, chosen on validation images.

Runs that start from the same pretrained weights end near enough to each other that the mean of
their weights may be better than any of them, and it costs no more to use than one model (Wortsman
et al. 2022, Model soups, arXiv 2203.05482; the greedy soup is its recipe 1). Runs from scratch end
too far apart.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from spaces.recipe import Recipe
from trainable.calibration import NonFiniteError
from trainable.evaluation import quick_metrics
from trainable.measurement import Measured, Measurement
from trainable.models.build import create_model
from trainable.models.freezing import freeze
from trainable.on_test.lent_weights import are_there, read_weights
from trainable.on_test.results import OnTest, judged
from trainable.run_spec import Soup
from trainable.speed.convolutions import use_fast_kernels

OWN = "own"
"""Name of the weights of the run that makes the soup."""
Weights = Mapping[str, Tensor]


def greedy_soup(
    scores: Mapping[str, float],
    weights_of: Callable[[str], Weights],
    score_of: Callable[[Weights], float],
) -> tuple[list[str], Weights]:
    """Average weights greedily: from the best on, each stays in if the score gets no worse.

    Args:
        scores: Of each ingredient by name, larger being better; of equal ones the first named is
            taken first.
        weights_of: Returns the weights of an ingredient; asked once for each.
        score_of: Returns the score of an average, not finite or NaN if it has none.

    Returns:
        Names of the ingredients, and the mean of their weights.
    """
    first, *others = sorted(scores, key=lambda name: -scores[name])
    chosen, mean, best = [first], weights_of(first), scores[first]
    for name in others:
        candidate = _with_one_more(mean, weights_of(name), len(chosen) + 1)
        score = score_of(candidate)
        if score >= best:  # False for NaN.
            chosen, mean, best = [*chosen, name], candidate, score
    return chosen, mean


def _with_one_more(mean: Weights, more: Weights, count: int) -> Weights:
    """Return the mean of ``count`` ingredients from that of the others and the last one."""
    return {
        # Counters of batches have no mean.
        name: torch.lerp(tensor, more[name], 1.0 / count) if tensor.is_floating_point() else tensor
        for name, tensor in mean.items()
    }


def soup_on_test(
    measurement: Measurement,
    measured: Measured,
    own: Weights,
    soup: Soup,
    *,
    recipe: Recipe,
    num_classes: int,
    device: torch.device,
) -> OnTest | None:
    """Choose a soup on validation images and measure it once, on the test images.

    BatchNorm's statistics are measured anew for an average of several runs, on training images; a
    soup of one is that run as it ships. How many runs it has is reported as
    ``test_soup/ingredients``.

    Args:
        measurement: Of the run, after its end.
        measured: Its results on validation and test images.
        own: The weights that it ships.
        soup: The other runs.
        recipe: The run's.
        num_classes: Number of classes.
        device: Device to measure on.

    Returns:
        None if the weights of a run are gone, as after a crash, for a soup without it would be
        another one; or if the soup has no finite result.

    Raises:
        OSError: If weights that are there cannot be read.
        torch.OutOfMemoryError: If a second model does not fit into the GPU's memory.
    """
    if not are_there(soup.locations.values()):
        return None
    # The weights overwrite all others, so those of ImageNet need not be loaded.
    model = create_model(replace(recipe, pretrained=False, freeze="none"), num_classes=num_classes)
    freeze(model, recipe)  # Frozen parts keep their statistics.
    model = model.to(device).to(memory_format=torch.channels_last)
    if device.type == "cpu":
        use_fast_kernels(model)

    def outputs(weights: Weights, part: str, *, is_mean: bool) -> Tensor:
        model.load_state_dict(weights)
        if is_mean:
            measurement.refresh_statistics(model)
        return measurement.outputs_of(model, part)

    def score_of(weights: Weights) -> float:
        logits = outputs(weights, "val", is_mean=True)
        try:
            metrics = quick_metrics(logits, measurement.labels_of("val"))
        except NonFiniteError:
            return float("nan")
        return soup.sign * metrics[soup.metric]

    # Of equal ones the run's own comes first.
    scores = {OWN: soup.sign * measured.metrics[f"val/{soup.metric}"], **soup.scores}

    def weights_of(name: str) -> Weights:
        # One at a time: host memory holds the mean, a candidate and what is added, but not all.
        return own if name == OWN else read_weights(soup.locations[name])

    chosen, mean = greedy_soup(scores, weights_of, score_of)
    if chosen == [OWN]:
        logits = measured.logits["test"]  # Not measured again: it is the same to the last bit.
    else:
        logits = outputs(mean, "test", is_mean=len(chosen) > 1)
    try:
        result = judged({"soup": logits}, measurement.labels_of("test"))
    except NonFiniteError:
        return None
    reported = {"test_soup/ingredients": float(len(chosen))}
    return replace(result, metrics={**result.metrics, **reported})
