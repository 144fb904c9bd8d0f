"""No two draws share a seed."""

import pytest

from spaces.seeds import drawn_seed

MOST = 1_000_002


@pytest.mark.parametrize("seed", [0, 1, 17, 2**31])
def test_the_last_draw_of_a_seed_comes_before_the_first_of_the_next(seed: int) -> None:
    assert drawn_seed(seed, 0) < drawn_seed(seed, 1) < drawn_seed(seed, MOST)
    assert drawn_seed(seed, MOST) < drawn_seed(seed + 1, 0)
