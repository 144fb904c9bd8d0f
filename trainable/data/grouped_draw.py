"""Drawing of whole groups of images, so that each class has nearly its share of what is drawn.

scikit-learn's `StratifiedGroupKFold` draws parts of equal size only, and with few groups some of
them are never held out, whatever its seed; here each group of usual size is as likely as another.
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_PASSES = 10
"""Most times that every group is looked at; three to five are usual until none moves."""
_LEAST_GAIN = 1e-9  # Rounding alone must not move a group to and fro.


def draw_groups(
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    pool: NDArray[np.int64],
    total: int,
    *,
    reserve: int,
    seed: int,
) -> NDArray[np.bool_]:
    """Draw groups of about ``total`` images in all.

    Groups are looked at in random order, again and again, and one is drawn or put back if that
    brings the numbers of images nearer to those asked for: the sum of the squared differences from
    the class's share of ``total``, each divided by the size of the class, and from ``total`` itself
    must fall. If ``total`` suffices for every class, a group is then added for each class that has
    none.

    Args:
        labels: Class of every image of the dataset.
        groups: Group of every image.
        pool: Indices of the images to draw from, at least one.
        total: Number of images to come near to, at least 0.
        reserve: Number of groups of every class that are not drawn.
        seed: Seed of the order, at least 0.

    Returns:
        Whether each image of the pool is drawn. With a positive ``total`` at least one group is, if
        the reserve permits it.
    """
    _, group_of = np.unique(groups[pool], return_inverse=True)
    _, class_of = np.unique(labels[pool], return_inverse=True)
    num_groups, class_sizes = int(group_of.max()) + 1, np.bincount(class_of).tolist()
    num_classes = len(class_sizes)
    # Only the classes that a group has, in lists: a table of all groups and classes may not fit in
    # memory, and most groups have so few that arrays would take ten times as long.
    pairs, counts = np.unique(group_of * num_classes + class_of, return_counts=True)
    owners, kinds = np.divmod(pairs, num_classes)
    starts = np.searchsorted(owners, np.arange(num_groups + 1)).tolist()
    held = list(zip(kinds.tolist(), counts.tolist(), strict=True))
    held_by = [held[a:b] for a, b in pairwise(starts)]
    sizes = np.bincount(group_of).tolist()
    share = total / len(pool)
    missing, lacking = [size * share for size in class_sizes], float(total)
    num_left = np.bincount(kinds).tolist()
    is_drawn = [False] * num_groups

    def may_be_drawn(group: int) -> bool:
        return all(num_left[kind] > reserve for kind, _ in held_by[group])

    def gain(group: int, sign: int) -> float:
        """Compute by how much the squares fall if a group is drawn (1) or put back (-1)."""
        by_class: float = sum(
            count * (2 * sign * missing[kind] - count) / class_sizes[kind]
            for kind, count in held_by[group]
        )
        return by_class + float(sizes[group] * (2 * sign * lacking - sizes[group]) / len(pool))

    def move(group: int, sign: int) -> None:
        is_drawn[group] = sign > 0
        for kind, count in held_by[group]:
            num_left[kind] -= sign
            missing[kind] -= sign * count

    order = np.random.default_rng(seed).permutation(num_groups).tolist()
    for _ in range(_PASSES):
        has_moved = False
        for group in order:
            sign = -1 if is_drawn[group] else 1
            if gain(group, sign) > _LEAST_GAIN and (sign < 0 or may_be_drawn(group)):
                move(group, sign)
                lacking -= sign * sizes[group]
                has_moved = True
        if not has_moved:
            break
    lacks = [True] * num_classes
    for group in order:
        for kind, _ in held_by[group] if is_drawn[group] else ():
            lacks[kind] = False
    # A part of the smallest groups is better than one without a class, or without any image.
    for group in sorted(order, key=lambda group: sizes[group]) if total else ():
        helps = any(lacks[kind] for kind, _ in held_by[group])
        is_needed = helps if total >= num_classes else not any(is_drawn)
        if is_needed and not is_drawn[group] and may_be_drawn(group):
            move(group, 1)
            for kind, _ in held_by[group]:
                lacks[kind] = False
    return np.array(is_drawn)[group_of]
