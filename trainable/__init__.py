"""Training and evaluation of one recipe."""
