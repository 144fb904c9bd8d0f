"""Design of the experiment: the strengths it varies, and the runs of each block."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, count, islice

from spaces.strengths.registry import STRENGTHS, WITHIN_RUN, strength
from spaces.task import Task
from spaces.units import to_effective

(EMA_FACTOR,) = (name for name, s in STRENGTHS.items() if not s.acts_back_on_training)
"""Name of the strength that does not act back on training: the decay of the weight average."""

_WITHIN = {EMA_FACTOR, *WITHIN_RUN}

MAX_FACTORS = 16
"""Largest number of two-level factors of `cells`; from 9 factors on a block has 32 runs."""

MAX_CLEARED = 8
"""Largest number of factors of which one can be cleared: up to 16 runs a block."""

RUNS_PER_LOOK = 8
"""Fewest new runs after which the experiment is evaluated again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WithinRun:
    """A factor that does not act back on training, so that every run measures both its levels.

    Its effect is the mean over runs of the difference between the two. It costs no run and never
    enters `cells`.

    Attributes:
        name: Name of the factor.
        reference: Name of the measurement at the reference's value, a key of
            `search.verdict.effects.Run.metrics`.
        best: Name of the measurement at the best's value.
    """

    name: str
    reference: str
    best: str


AVERAGES = WithinRun(name=EMA_FACTOR, reference="reference", best="best")
"""The decay of the weight average: every run carries the average of both recipes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Factors:
    """The factors that the experiment varies between the reference and the best recipe.

    Attributes:
        trajectory: Strengths that change how the weights move; each run has one level of each.
        within: Factors of which every run measures both levels.
        unchanged: Strengths that do not differ noticeably; they get no effect.
    """

    trajectory: tuple[str, ...]
    within: tuple[WithinRun, ...] = ()
    unchanged: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All factors for which an effect is estimated."""
        return self.trajectory + tuple(factor.name for factor in self.within)


def factors(reference: Mapping[str, float], best: Mapping[str, float], task: Task) -> Factors:
    """Split the strengths by whether reference and best differ noticeably in effective units.

    Each strength in `spaces.strengths` defines its noticeable difference. The bar is low on
    purpose: up to four factors an added one costs no runs, while for a factor left out nothing
    is learned. What acts on averages only is no factor where neither recipe has one.

    Args:
        reference: Raw values of the reference by name.
        best: Raw values of the best; the same names.
        task: Task that the effective units depend on.
    """
    average = _judged_average(reference, best)
    changed = tuple(
        name
        for name in reference
        if strength(name).differs(*_pair(name, reference, best, task), task)
        and not (strength(name).needs_average and average is None)
    )
    return Factors(
        trajectory=tuple(name for name in changed if strength(name).acts_back_on_training),
        within=tuple(
            AVERAGES if name == EMA_FACTOR else _within(name, average)
            for name in changed
            if not strength(name).acts_back_on_training
        ),
        unchanged=tuple(name for name in reference if name not in changed),
    )


def _judged_average(reference: Mapping[str, float], best: Mapping[str, float]) -> str | None:
    """Name the average on which what needs one is judged: the best's, or else the reference's."""
    recipes = {"best": best, "reference": reference}
    off = STRENGTHS[EMA_FACTOR].off
    return next((name for name, of in recipes.items() if of.get(EMA_FACTOR, off) != off), None)


def _within(name: str, average: str | None) -> WithinRun:
    """Make a factor that is judged on one set of weights: the best's, with its average if any."""
    weights = average if strength(name).needs_average and average is not None else "best"
    return WithinRun(name=name, reference=weights, best=f"{weights}.{name}")


def cells(
    names: tuple[str, ...], *, block: int, clear: str | None = None
) -> tuple[dict[str, int], ...]:
    """Lay out the runs of one block: the level of each factor, -1 for reference, +1 for best.

    Every factor is a product of an odd number of base columns ``a, b, c, ...``: the base columns
    first, then the products of three. With odd products only, no product of two factors is a third
    factor, so main effects are clear of all pair interactions (resolution IV or better), and every
    defining word is even, so the first block holds both all-reference and all-best.

    ===========  ==============  =====================================================
    factors      runs a block    generators
    ===========  ==============  =====================================================
    0, 1, 2, 3   1, 2, 4, 8      full factorial
    4            8               ``a b c abc``
    5 to 8       16              ``a b c d`` and then ``abc abd acd bcd``
    9 to 16      32              ``a b c d e`` and then the products of three, ``abcde``
    ===========  ==============  =====================================================

    From block to block generated columns change sign (a fold-over), so that further blocks bring
    cells that were not there. Blocks come in pairs: the odd one turns the same columns of the even
    one before it, by default all. Four factors are therefore laid out as ``I = +ABCD`` in even
    blocks and ``I = -ABCD`` in odd ones: two blocks hold all 16 cells, and only the four-way
    interaction is confounded with blocks.

    A pair of blocks of six or seven factors leaves some joint effects of three factors mixed with
    the main effect of a fourth. Which ones, the turned columns decide: with ``clear`` none of them
    has to do with that factor (a fold-over on one factor; Box, Hunter & Hunter 2005, *Statistics
    for Experimenters*, section 6.10).

    Without names the block is one run without levels: enough to compare averages within a run.

    Args:
        names: The trajectory factors.
        block: Number of the block.
        clear: Factor of which all joint effects with two others are to be clear of main effects
            after each pair of blocks; None as with the first of ``names``.

    Raises:
        ValueError: If there are more than `MAX_FACTORS` names, a name twice, ``block < 0``, or
            ``clear`` is none of the names or there are more than `MAX_CLEARED` of them.
    """
    if len(names) > MAX_FACTORS or len(set(names)) < len(names) or _WITHIN & set(names):
        raise ValueError(
            f"`names` must be at most {MAX_FACTORS} different trajectory factors, but got {names}."
        )
    if block < 0:
        raise ValueError(f"`block >= 0` must hold, but got {block}.")
    if clear is not None and (clear not in names or len(names) > MAX_CLEARED):
        raise ValueError(f"`clear` must be one of at most {MAX_CLEARED} names, but got {clear!r}.")
    if not names:
        return ({},)
    words = _generators(len(names))
    num_generated = sum(len(word) > 1 for word in words)
    turned = 2**num_generated - 1 if clear is None else _clearing(words, names.index(clear))
    signs = _signs(num_generated, block, turned)
    signed = words[: len(words) - num_generated] + [
        sign + word for sign, word in zip(signs, words[len(words) - num_generated :], strict=True)
    ]
    import pydoe  # Slow to load, and not needed before the experiment.

    matrix = pydoe.fracfact(" ".join(signed))
    return tuple({n: round(level) for n, level in zip(names, row, strict=True)} for row in matrix)


def blocks_per_look(num_trajectory: int) -> int:
    """Return the number of blocks between two looks at the experiment: those that make 8 runs.

    With fewer than three trajectory factors a block has one, two or four runs. A look after each
    would spend part of the error probability on hardly any new data. More blocks, each with a split
    of its own, tell more than runs repeated within one block.
    """
    runs_per_block = 1 << num_trajectory
    return max(1, RUNS_PER_LOOK // runs_per_block)


def _generators(num_factors: int) -> list[str]:
    num_base = next(p for p in range(1, 6) if 2 ** (p - 1) >= num_factors)
    letters = "abcde"[:num_base]
    odd = (
        "".join(word) for size in range(1, num_base + 1, 2) for word in combinations(letters, size)
    )
    return list(islice(odd, num_factors))


def _signs(num_generated: int, block: int, turned: int) -> list[str]:
    """Signs of the generated columns of a block; ``turned`` are those of a pair, as bits."""
    # Every pattern once, in pairs that differ by what is turned; the first pattern is all plus.
    pairs = 2 ** max(num_generated - 1, 0)
    firsts = (pattern for pattern in count() if pattern <= pattern ^ turned)
    pattern = next(islice(firsts, block // 2 % pairs, None))
    if block % 2:
        pattern ^= turned
    return ["-" if pattern >> i & 1 else "+" for i in range(num_generated)]


def _clearing(words: list[str], factor: int) -> int:
    """Choose the columns to turn after which no defining word of four has ``factor`` in it.

    Returns:
        The generated columns that the second block of a pair turns, as bits.
    """
    generated = [at for at, word in enumerate(words) if len(word) > 1]
    # A defining word is a set of factors of which the product of levels is the same in all runs of
    # a block. It stays so over both blocks if the second turns an even number of its generators.
    defining = []
    for size in range(1, len(generated) + 1):
        for chosen in combinations(generated, size):
            letters = "".join(words[at] for at in chosen)
            base = {at for at, w in enumerate(words) if len(w) == 1 and letters.count(w) % 2}
            defining.append((set(chosen), base.union(chosen)))

    def harm(turned: tuple[int, ...]) -> tuple[int, int]:
        staying = [
            word
            for chosen, word in defining
            if len(word) == 4 and len(chosen.intersection(turned)) % 2 == 0
        ]
        return sum(factor in word for word in staying), len(staying)

    patterns = [c for size in range(len(generated) + 1) for c in combinations(generated, size)]
    turned = min(reversed(patterns), key=harm)
    return sum(1 << bit for bit, at in enumerate(generated) if at in turned)


def _pair(
    name: str, reference: Mapping[str, float], best: Mapping[str, float], task: Task
) -> tuple[float, float]:
    return to_effective(name, reference[name], task), to_effective(name, best[name], task)
