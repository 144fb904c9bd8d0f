"""The ``train`` command: one full training run of a recipe."""
