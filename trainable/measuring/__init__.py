"""Settings with which weights are measured, and results of an evaluation for each image."""
