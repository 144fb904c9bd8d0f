"""Strengths of a recipe: their ranges, axes and effective units for a given task."""
