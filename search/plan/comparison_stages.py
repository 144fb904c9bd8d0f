"""Stages by which a run is known to be no search; imports nothing, for every command reads it."""

OF_INGREDIENTS = ("ablate",)
OF_OPTIMIZERS = ("tune", "contest")
