"""Models: made, given weights and drop path, saved."""
