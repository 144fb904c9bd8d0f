"""Configuration and plan of a run."""
