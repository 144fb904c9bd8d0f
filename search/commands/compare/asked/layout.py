"""Design of the experiment on a script: blocks of cells, each block one seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from search.commands.compare.asked.factors import BEST, REFERENCE, Factor, Requirement
from search.verdict.design import blocks_per_look, cells
from search.verdict.screening import (
    confounded_pairs,
    level_columns,
    screening_cells,
    unclear_of_pairs,
)
from spaces.errors import InputError

FEWEST_DEALT = 5
"""Factors from which on the cells of a round are a fraction of 16."""
FEWEST_CLEARED = 6
"""Factors from which on two rounds leave joint effects of three factors mixed with a fourth."""
MOST_FACTORIAL = 7
"""Factors up to which the design keeps main effects clear of pairs in every single round."""
USUAL_RUNS = 32
"""Runs of the experiment if nothing else is asked for."""

Levels = dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The design of an experiment.

    Attributes:
        names: The factors.
        requirements: Pairs of levels that no run may combine; such cells are left out.
        cleared: Factor of which no joint effect with two others passes for the effect of a fourth,
            once two rounds have been run. None until that was chosen.
        two_seeds: Whether 16 runs of a fraction are dealt to two seeds. Comparisons of earlier
            versions had one for all of them.
    """

    names: tuple[str, ...]
    requirements: tuple[Requirement, ...] = ()
    cleared: str | None = None
    two_seeds: bool = True

    @property
    def is_screening(self) -> bool:
        """Whether only two blocks together keep main effects clear of pairs."""
        return len(self.names) > MOST_FACTORIAL

    @property
    def clears(self) -> bool:
        """Whether the second round is laid out by what the first has shown."""
        return FEWEST_CLEARED <= len(self.names) <= MOST_FACTORIAL

    @property
    def is_dealt(self) -> bool:
        """Whether two blocks of 8 runs make a fraction of 16.

        An effect differs from seed to seed. Twice as many seeds show that, and average over it.
        """
        return self.two_seeds and FEWEST_DEALT <= len(self.names) <= MOST_FACTORIAL

    @property
    def blocks_per_round(self) -> int:
        """Blocks that are finished before the experiment is looked at once more."""
        if self.is_screening:
            return 1
        return 2 if self.is_dealt else blocks_per_look(len(self.names))

    @property
    def untold(self) -> str | None:
        """A factor whose effect two rounds do not tell from others, for what is left out of them.

        None if there is none.
        """
        blocks = [self.block(block) for block in range(2 * self.blocks_per_round)]
        levels = level_columns([cell for block in blocks for cell in block], self.names)
        inside = np.repeat(np.eye(len(blocks)), [len(block) for block in blocks], axis=0)
        model = np.hstack([inside, levels])
        rank = np.linalg.matrix_rank(model)
        for at, name in enumerate(self.names, start=len(blocks)):
            if np.linalg.matrix_rank(np.delete(model, at, axis=1)) == rank:
                return name
        return None

    @property
    def runs_per_round(self) -> int:
        """Runs of one round, by its first blocks."""
        return sum(len(self.block(block)) for block in range(self.blocks_per_round))

    def rounds_of(self, blocks: int | None) -> int:
        """Rounds that a number of rounds asked for means; without one, about `USUAL_RUNS` runs."""
        return blocks if blocks is not None else max(2, USUAL_RUNS // self.runs_per_round)

    def block(self, block: int) -> tuple[Levels, ...]:
        """The cells of one block, without those that a requirement rules out."""
        if self.is_screening:
            laid_out = screening_cells(self.names, block=block)
        elif self.is_dealt:
            laid_out = self._half(block)
        else:
            laid_out = cells(self.names, block=block, clear=self.cleared)
        return tuple(
            levels
            for levels in laid_out
            if all(requirement.allows(levels) for requirement in self.requirements)
        )

    def rounds(self, number: int) -> tuple[Levels, ...]:
        """The cells of the first rounds."""
        blocks = range(number * self.blocks_per_round)
        return tuple(levels for block in blocks for levels in self.block(block))

    def limits(self, rounds: int) -> tuple[str, ...]:
        """Sentences on what so many rounds cannot tell apart."""
        found = self.rounds(rounds)
        said = []
        mixed = unclear_of_pairs(found, self.names)
        if mixed:
            said.append(
                f"The effect of {_listed(mixed)} is mixed with joint effects of other pairs: it "
                "holds if factors add up."
            )
        if self.is_screening:
            said.append(
                "What three factors do together is mixed into the effects of others, in part or "
                "whole: where one effect is huge, give both files its better value and compare the "
                "rest."
            )
        is_open = self.clears and rounds > 1 and self.cleared is None
        if is_open:
            said.append(
                f"The second {self.runs_per_round} runs are laid out once the first have ended, so "
                "that what the factor with the largest effect does together with two others does "
                "not pass for the effect of a fourth."
            )
        elif self.cleared is not None and self._is_clear(found):
            said.append(
                f"What `{self.cleared}` does together with two others does not pass for the effect "
                "of a fourth; what three others do together may."
            )
        groups = () if is_open else confounded_pairs(found, self.names)
        if groups and len(self.names) > 1:
            shown = "; ".join(" = ".join(f"{a} x {b}" for a, b in group) for group in groups[:8])
            more = f"; and {len(groups) - 8} more groups" if len(groups) > 8 else ""
            said.append(f"Joint effects that these runs cannot tell apart: {shown}{more}.")
        elif self.is_screening:
            said.append(
                "Joint effects of two factors are mixed with one another: no pair is named."
            )
        return tuple(said)

    def _half(self, block: int) -> tuple[Levels, ...]:
        """Half of a fraction of 16: the runs whose second to fourth level have one product.

        No factor is a product of these three, so that main effects stay clear of each other and of
        the seed within each half, and of pairs over both.
        """
        whole = cells(self.names, block=block // 2, clear=self.cleared)
        sign = 1 if block % 2 else -1
        split = self.names[1:4]
        return tuple(cell for cell in whole if math.prod(cell[name] for name in split) == sign)

    def _is_clear(self, found: Sequence[Levels]) -> bool:
        """Whether no product of the cleared factor with two others is mixed with a fourth."""
        levels = level_columns(found, self.names)
        own = levels[:, self.names.index(self.cleared or "")]
        others = [levels[:, at] for at, name in enumerate(self.names) if name != self.cleared]
        return not any(
            abs(float(fourth @ (own * a * b))) > 1e-9 for a, b, fourth in permutations(others, 3)
        )


def layout_of(
    factors: Sequence[Factor], requirements: Sequence[Requirement], *, two_seeds: bool = True
) -> Layout:
    """The design for these factors; ``two_seeds`` is that of `Layout`.

    Raises:
        InputError: If the requirements leave out so many cells that a factor's effect cannot be
            told; the message says which and what to do.
    """
    names = tuple(factor.name for factor in factors)
    layout = Layout(names=names, requirements=tuple(requirements), two_seeds=two_seeds)
    if (untold := layout.untold) is not None:
        texts = ", ".join(repr(requirement.text) for requirement in requirements)
        raise InputError(
            f"With --require {texts} no run tells `{untold}` from the others: put the keys that "
            "need each other into one factor with --group name=key,key."
        )
    return layout


def ends(layout: Layout) -> tuple[Levels, Levels]:
    """The levels of the reference and of the best."""
    return dict.fromkeys(layout.names, REFERENCE), dict.fromkeys(layout.names, BEST)


def role_of(layout: Layout, advised: Mapping[str, int], role: str) -> str:
    """The role under which a configuration was run: the advised one may be one of the others."""
    reference, best = ends(layout)
    if role == "advised":
        if advised == reference:
            return "reference"
        if advised == best:
            return "best"
    return role


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
