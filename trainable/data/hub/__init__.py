"""Datasets of the `datasets` library of Hugging Face: from a folder, or from its hub."""
