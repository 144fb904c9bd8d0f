"""Seeds for many draws from one seed of the user's, such that no two draws share one."""

_STEP = 1_000_003
"""Distance between the draws of two seeds; more than the number of draws of any run."""


def drawn_seed(seed: int, number: int) -> int:
    """Derive the seed of draw ``number`` from a seed.

    Args:
        seed: What the user gave, or what derives from it; at least 0.
        number: From 0 to 1,000,002. Up to there, no two pairs of seed and number give the same.
    """
    return _STEP * seed + number
