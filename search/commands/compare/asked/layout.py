"""Design of the experiment on a script: blocks of cells, each block one seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search.commands.compare.asked.factors import BEST, REFERENCE, Factor, Requirement
from search.verdict.design import blocks_per_look, cells
from search.verdict.screening import (
    confounded_pairs,
    screening_cells,
    unclear_of_pairs,
)
from spaces.errors import InputError

FEWEST_CLEARED = 6
"""Factors from which on two blocks leave joint effects of three factors mixed with a fourth."""
MOST_FACTORIAL = 7
"""Factors up to which the design keeps main effects clear of pairs in every single block."""
USUAL_RUNS = 32
"""Runs of the experiment if nothing else is asked for."""

CONFIRMED = ("reference", "best", "advised")
"""The configurations that are run again on fresh seeds."""

Levels = dict[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The design of an experiment.

    Attributes:
        names: The factors.
        requirements: Pairs of levels that no run may combine; such cells are left out.
        cleared: Factor of which no joint effect with two others passes for the effect of a fourth,
            once two blocks have been run. None until that was chosen.
    """

    names: tuple[str, ...]
    requirements: tuple[Requirement, ...] = ()
    cleared: str | None = None

    @property
    def is_screening(self) -> bool:
        """Whether only two blocks together keep main effects clear of pairs."""
        return len(self.names) > MOST_FACTORIAL

    @property
    def clears(self) -> bool:
        """Whether the second block is laid out by what the first has shown."""
        return FEWEST_CLEARED <= len(self.names) <= MOST_FACTORIAL

    @property
    def blocks_per_round(self) -> int:
        """Blocks that are finished before the experiment is looked at once more."""
        return 1 if self.is_screening else blocks_per_look(len(self.names))

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
        if self.clears and rounds > 1:
            said.append(self._cleared_words())
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

    def _cleared_words(self) -> str:
        if self.cleared is None:
            return (
                "The second block is laid out once the first has ended: whatever the factor with "
                "the largest effect does together with two others, it does not pass for the effect "
                "of a fourth. What three others do together still may."
            )
        return (
            f"What `{self.cleared}` does together with two others does not pass for the effect of "
            "a fourth; what three others do together may."
        )


def layout_of(factors: Sequence[Factor], requirements: Sequence[Requirement]) -> Layout:
    """The design for these factors.

    Raises:
        InputError: If the requirements leave out so many cells that a factor's effect cannot be
            told; the message says which and what to do.
    """
    names = tuple(factor.name for factor in factors)
    layout = Layout(names=names, requirements=tuple(requirements))
    found = layout.rounds(2)
    levels = np.array([[1.0, *(float(cell[name]) for name in names)] for cell in found])
    for at, name in enumerate(names, start=1):
        others = np.delete(levels, at, axis=1)
        if np.linalg.matrix_rank(levels) == np.linalg.matrix_rank(others):
            texts = ", ".join(repr(requirement.text) for requirement in requirements)
            raise InputError(
                f"With --require {texts} no run tells `{name}` from the others: put the keys that "
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
