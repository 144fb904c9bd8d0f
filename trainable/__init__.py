"""How one recipe is trained and measured."""
