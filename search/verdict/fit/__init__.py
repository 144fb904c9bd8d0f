"""How a recipe fits its training images, and whether longer training would change that."""
