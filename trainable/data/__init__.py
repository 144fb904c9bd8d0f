"""Datasets: reading of image files, and splits into training, validation and test."""
