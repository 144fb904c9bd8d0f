"""Sentences of the verdict: the problem, the settings to change, certainty, and gains."""
