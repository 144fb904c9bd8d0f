"""Execution of trials on Ray: the only package of search that imports it."""
