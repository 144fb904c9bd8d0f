"""The functions that Python users and notebooks call, and the results that they return."""
