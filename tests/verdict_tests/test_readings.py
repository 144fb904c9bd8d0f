"""A reading says what another way of using the same models changes, and decides nothing."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.readings import covers, result
from search.records.metrics import NLL, TOP1, Metric
from search.verdict.confirmation import SeedResult, confirm
from search.verdict.readings import reading_sentences, readings, short_readings

RIGHT = np.array([1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
PLAIN = {seed: result(RIGHT) for seed in (1, 2)}


def flipped(seed: int) -> np.ndarray:
    """In the first seed one image turns right, in the second two, and one wrong."""
    right = RIGHT.copy()
    right[2] = 1.0
    if seed == 2:
        right[[3, 0]] = 1.0, 0.0
    return right


FLIPPED = {seed: result(flipped(seed)) for seed in (1, 2)}


def test_turned_images_are_counted_by_run_and_changes_paired_by_seed() -> None:
    found = readings(PLAIN, {"flip": FLIPPED}, num_images=10)["flip"]
    assert (found.turned_right, found.turned_wrong) == (1.5, 0.5)
    assert found.seeds == 2
    assert found.change["test/top1"].mean == pytest.approx(0.1)
    low, high = found.change["test/top1"].ci95
    assert low < 0.1 < high
    assert found.temperature is None


def test_only_seeds_that_have_both_are_compared_and_without_any_nothing_is_said() -> None:
    found = readings(PLAIN, {"flip": {2: FLIPPED[2], 3: FLIPPED[1]}}, num_images=10)["flip"]
    assert found.seeds == 1
    assert found.turned_right == 2.0
    assert readings(PLAIN, {"flip": {}, "temperature": {3: FLIPPED[1]}}, num_images=10) == {}


def cooled(seed: int) -> object:
    metrics = {"test/top1": 0.7, "test/nll": 0.25, "test/temperature": 0.5 + 0.1 * seed}
    return replace(PLAIN[seed], metrics=metrics)


def test_sentences_say_what_it_buys_with_interval_images_and_temperature() -> None:
    cool = {seed: cooled(seed) for seed in (1, 2)}
    found = readings(PLAIN, {"flip": FLIPPED, "temperature": cool}, num_images=10)  # type: ignore[dict-item]
    confirmed = replace(confirm({"advised": PLAIN}, num_images=10), readings=found)
    flip, temperature = reading_sentences(confirmed)
    assert "top-1 by +10.0 points [" in flip
    assert "(1.5 images turn right, 0.5 wrong, mean of 2 seeds)" in flip
    assert "a temperature of 0.65" in temperature
    assert "log-loss by -0.050 nats [" in temperature
    short = short_readings(confirmed)
    assert short.startswith("mirror images at test time: top-1 +10.0 points [")
    assert "temperature of 0.65: log-loss -0.050 nats" in short


def test_where_no_image_turned_the_next_one_may_and_a_temperature_turns_none() -> None:
    found = readings(PLAIN, {"flip": PLAIN, "temperature": PLAIN}, num_images=10)
    low, high = found["flip"].change["test/top1"].ci95
    half = stats.t.ppf(0.975, 9) / 10
    assert (low, high) == pytest.approx((-half, half))
    assert found["temperature"].change["test/top1"].ci95 == (0.0, 0.0)


def averaged(right: np.ndarray, ingredients: float) -> SeedResult:
    of = result(right)
    return replace(of, metrics={**of.metrics, "test/ingredients": ingredients})


@pytest.mark.parametrize(
    ("turned", "said"),
    [
        (+60, "beats the advised recipe beyond noise"),
        (-60, "is worse than the advised recipe beyond noise"),
        (0, "does not beat the advised recipe beyond noise"),
    ],
)
@pytest.mark.parametrize("metric", [TOP1, NLL])
def test_a_soup_says_whether_it_beats_the_advised_recipe(
    metric: Metric, turned: int, said: str
) -> None:
    right = np.arange(600) % 5 > 0
    numbers = np.flatnonzero(right == (turned < 0))[: abs(turned)]
    after = right.copy()
    after[numbers] = turned > 0
    plain = {seed: result(right.astype(float)) for seed in (1, 2, 3)}
    soup = {seed: averaged(after.astype(float), 1.0 + seed) for seed in (1, 2, 3)}
    found = readings(plain, {"soup": soup}, num_images=600, first=metric)
    assert found["soup"].ingredients == 3.0
    confirmed = replace(confirm({"advised": plain}, num_images=600), readings=found)
    (sentence,) = reading_sentences(confirmed, metric)
    assert "(a soup of 3.0 on average, 3 seeds)" in sentence
    assert sentence.endswith(f": it {said}.")
    assert short_readings(confirmed, metric).startswith(f"a soup: {metric.words} ")


def test_a_soup_of_seeds_that_agree_by_chance_is_no_surer_than_its_turned_images() -> None:
    before = np.arange(400) < 300
    after = before.copy()
    after[:20], after[380:] = False, True  # As many turn wrong as right.
    plain = {seed: result(before.astype(float)) for seed in (1, 2, 3)}
    soup = {**plain, 3: averaged(after.astype(float), 1.0)}
    change = readings(plain, {"soup": soup}, num_images=400)["soup"].change["test/top1"]
    # The variance of a mean over three seeds of the net number of 40 images that turn.
    half = stats.t.ppf(0.975, 399) * np.sqrt(40) / 3 / 400
    assert change.mean == 0.0
    assert change.ci95 == pytest.approx((-half, half))


def test_without_readings_nothing_is_said() -> None:
    confirmed = confirm({"advised": PLAIN}, num_images=10)
    assert reading_sentences(confirmed) == reading_sentences(None) == ()
    assert short_readings(confirmed) == short_readings(None) == ""


@pytest.mark.parametrize("shared", [0.0, 0.9])
@pytest.mark.parametrize("turns", [(0.5, 0.0), (3.0, 0.5)])
def test_intervals_cover_where_hardly_an_image_turns(
    turns: tuple[float, float], shared: float
) -> None:
    assert np.mean([covers(turns, shared, 120, seed) for seed in range(300)]) >= 0.92
