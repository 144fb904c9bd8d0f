"""Datasets: from files to tensors, and how they are split."""
