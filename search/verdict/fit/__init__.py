"""The state of a recipe's fit, its evidence, and the gain of longer training."""
