"""Screening designs for many factors, and what any two-level design confounds with what."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from search.verdict.blocked_model import Floats

MOST = 19
"""Factors of the largest screening design, which has 20 runs a block."""


def screening_cells(names: tuple[str, ...], *, block: int) -> tuple[dict[str, int], ...]:
    """Lay out one block of a Plackett-Burman design: -1 for reference, +1 for best.

    Even blocks are the design (Plackett & Burman 1946, Biometrika 33), odd ones its mirror image
    with every sign turned (a fold-over). In one block a main effect is mixed with pairs of other
    factors; over two it is clear of all of them, for a product of two factors keeps its sign. Up to
    11 factors take 12 runs a block, up to 15 take 16, up to 19 take 20.

    Raises:
        ValueError: If there are fewer than 8 or more than `MOST` names, a name twice, or
            ``block < 0``.
        RuntimeError: If the library's design is not orthogonal.
    """
    if not 8 <= len(names) <= MOST or len(set(names)) < len(names) or block < 0:
        raise ValueError(
            f"`names` must be 8 to {MOST} different factors and `block >= 0`, but got {names}."
        )
    import pydoe  # Slow to load, and not needed before the experiment.

    design = np.asarray(pydoe.pbdesign(len(names)), dtype=int)
    if (design.T @ design != len(design) * np.eye(len(names), dtype=int)).any() or design.sum():
        raise RuntimeError(f"pydoe's design for {len(names)} factors is not orthogonal.")
    sign = -1 if block % 2 else 1
    return tuple({n: int(sign * v) for n, v in zip(names, row, strict=True)} for row in design)


def confounded_pairs(
    cells: Sequence[Mapping[str, int]], names: Sequence[str]
) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Groups of pairs of factors whose joint effects these runs cannot tell apart at all.

    Args:
        cells: The levels of every run, all blocks.
        names: The factors.

    Returns:
        Groups of two or more pairs whose products are the same column but for the sign.
    """
    levels = level_columns(cells, names)
    by_column: dict[bytes, list[tuple[str, str]]] = {}
    for i, j in combinations(range(len(names)), 2):
        product = levels[:, i] * levels[:, j]
        by_column.setdefault((product * product[0]).tobytes(), []).append((names[i], names[j]))
    return tuple(tuple(group) for group in by_column.values() if len(group) > 1)


def unclear_of_pairs(cells: Sequence[Mapping[str, int]], names: Sequence[str]) -> tuple[str, ...]:
    """The factors whose main effect these runs mix with a pair of others, in part or whole."""
    levels = level_columns(cells, names)
    products = [levels[:, i] * levels[:, j] for i, j in combinations(range(len(names)), 2)]
    return tuple(
        name
        for at, name in enumerate(names)
        if any(abs(float(levels[:, at] @ product)) > 1e-9 for product in products)
    )


def level_columns(cells: Sequence[Mapping[str, int]], names: Sequence[str]) -> Floats:
    """The levels of some runs as a matrix, runs in rows and factors in columns."""
    return np.array([[float(cell[name]) for name in names] for cell in cells])
