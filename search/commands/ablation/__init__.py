"""The ``ablate`` command: remove one ingredient at a time, or compare optimizers."""
