"""Runs of somebody's script in MLflow."""
