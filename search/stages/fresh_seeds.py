"""Seeds of all runs outside the search itself; no two stages or blocks share one."""

from spaces.seeds import drawn_seed

_FIRST = {
    "search": 0,  # Reruns of the search's best trials.
    "attribute": 1000,
    "confirm": 2000,
    "ablate": 3000,
    "tune": 4000,
    "contest": 5000,
    "refine": 6000,
}


def fresh_seed(seed: int, *, stage: str, number: int) -> int:
    """Derive the seed of one block, round or repetition, different from those of all others.

    It also differs from ``seed`` itself, which all trials of the search share.

    Args:
        seed: Seed of the whole run, at least 0.
        stage: One of `search.records.trials.STAGES` but ``learning_curve``, whose runs have the
            seeds of those that they are held against.
        number: Number of the block, round or repetition, in [0, 1000).
    """
    return drawn_seed(seed + 1, _FIRST[stage] + number)
