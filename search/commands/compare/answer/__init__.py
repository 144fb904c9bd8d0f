"""The answer of a comparison: what its runs say of each factor, and how that is told."""
