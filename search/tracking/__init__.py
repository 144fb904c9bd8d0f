"""Tracking of a run in MLflow: the only package that imports it."""
