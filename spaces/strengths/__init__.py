"""One file for each number of a recipe that can be searched, and the registry of them all."""
