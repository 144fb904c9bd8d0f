"""``train``: one full training run of a recipe."""
