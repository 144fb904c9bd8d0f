"""``ablate``: one ingredient less each time, or a contest of optimizers."""
