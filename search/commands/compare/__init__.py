"""Comparisons of two configurations of any training script: the differences that matter."""
