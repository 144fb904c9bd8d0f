"""Seeds of the runs that are no trials of the search: none is shared, by stages or by blocks."""

from spaces.seeds import drawn_seed

_FIRST = {
    "search": 0,  # The best of the search again.
    "attribute": 1000,
    "confirm": 2000,
    "ablate": 3000,
    "tune": 4000,
    "contest": 5000,
}


def fresh_seed(seed: int, *, stage: str, number: int) -> int:
    """The seed of a block, a round or a repetition, which no other one has.

    It differs from the seeds that users give, too: all trials of a search share that one.

    Args:
        seed: Seed of the whole run, at least 0.
        stage: One of `search.records.trials.STAGES`.
        number: Of the block, round or repetition, below 1000.
    """
    return drawn_seed(seed + 1, _FIRST[stage] + number)
