"""Runs what is asked for: the only package of search that knows Ray."""
