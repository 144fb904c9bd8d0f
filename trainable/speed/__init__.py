"""The same numbers in less time on a CPU: kernels and settings, none of which a recipe knows of."""
